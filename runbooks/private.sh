# Runs commands beside given files in a private temporary folder, several at a time; the folder is gone afterwards.
#   sh -c PROGRAM sh PROJECT_FOLDER LANES OUTPUT_LIMIT
# Standard input, a line each, words in base64 (`-` for an empty one):
#   file NAME BYTES           writes NAME in the private folder
#   mirror NAME PATH BYTES    NAME becomes a copy of the project made of links, in which the relative PATH has these bytes
#   run NAME WORD...          runs a command in the project's folder; a WORD that begins with @ means a path in ours
# The answer: records "part NAME EXIT SIZE", SIZE bytes, a line break: first `folder`, then each command's output and
# errors (NAME.err).
set -u
umask 077
export LC_ALL=C

decoded() { # WORD: the text, with an x behind it that keeps line breaks at its end
    if [ "$1" != - ]; then printf '%s' "$1" | base64 -d; fi
    printf x
}
links() { # TARGET SOURCE: fills a folder with links to another's entries
    mkdir -p "$1"
    for entry in "$2"/* "$2"/.[!.]* "$2"/..?*; do
        if [ -e "$entry" ] || [ -h "$entry" ]; then ln -s "$entry" "$1/" 2>/dev/null; fi
    done
}
mirrored() { # NAME PATH BYTES
    path=$(decoded "$2")
    rest=${path%x} here=''
    [ -d "$tmp/$1" ] || links "$tmp/$1" "$project"
    while [ "${rest#*/}" != "$rest" ]; do
        here=$here/${rest%%/*} rest=${rest#*/}
        if [ -h "$tmp/$1$here" ]; then
            rm -f "$tmp/$1$here"
            links "$tmp/$1$here" "$project$here"
        fi
    done
    rm -f "$tmp/$1$here/$rest"
    printf '%s' "${3#-}" | base64 -d >"$tmp/$1$here/$rest"
}
run() ( # NAME WORD...
    name=$1 last=0
    shift
    for word in "$@"; do
        text=$(decoded "$word")
        text=${text%x}
        case $text in @*) text=$tmp/${text#@} ;; esac
        set -- "$@" "$text"
        last=$((last + 1))
    done
    shift "$last"
    "$@" </dev/null 2>"$tmp/out/$name.err" >"$tmp/out/$name.out"
    echo $? >"$tmp/out/$name.exit"
)
lane() { # every LANES-th command, one after another
    at=0
    while read -r line; do
        # shellcheck disable=SC2086 # base64 holds no blanks
        [ $((at % lanes)) != "$1" ] || run $line
        at=$((at + 1))
    done <"$tmp/commands"
}
send() { # NAME EXIT FILE
    size=$(wc -c <"$3" | tr -d ' ')
    [ "$size" -le "$most" ] || size=$most
    printf 'part %s %s %s\n' "$1" "$2" "$size"
    head -c "$size" "$3"
    echo
}

main() {
    project=$1 lanes=$2 most=$3
    tmp=$(mktemp -d "${TMPDIR:-/tmp}/runbook.XXXXXX") || exit 1
    trap 'rm -rf "$tmp"' EXIT
    trap 'exit 129' HUP INT TERM PIPE
    mkdir "$tmp/out" && cd "$project" || exit 1
    : >"$tmp/commands"
    while read -r what name rest; do
        case $what in
            file) printf '%s' "${rest#-}" | base64 -d >"$tmp/$name" || exit 1 ;;
            mirror) mirrored "$name" "${rest%% *}" "${rest#* }" || exit 1 ;;
            run) printf '%s\n' "$name $rest" >>"$tmp/commands" ;;
        esac
    done
    number=0
    while [ $number -lt "$lanes" ]; do
        lane $number &
        number=$((number + 1))
    done
    wait
    printf '%s' "$tmp" >"$tmp/folder"
    send folder 0 "$tmp/folder"
    while read -r name _; do
        send "$name" "$(cat "$tmp/out/$name.exit")" "$tmp/out/$name.out"
        send "$name.err" 0 "$tmp/out/$name.err"
    done <"$tmp/commands"
}

main "$@"

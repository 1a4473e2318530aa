# Runs the questions of a survey inside containers, several at a time, each with a time limit and bounded output. One
# without a container is asked of the host itself.
#   sh -c PROGRAM sh LANES OUTPUT_LIMIT
# Standard input: one question a line, words in base64, `-` for an empty one, parted by blanks:
#   TIMEOUT CONTAINER COUNT [NAME VALUE]{COUNT} WORD...
# A value reaches the program in its environment and never stands in a process list. Lane k answers questions k, k + LANES ...
# An answer is a record "part NUMBER EXIT SIZE", SIZE bytes, a line break; its first line is the milliseconds that it took.
set -u
umask 077
export LC_ALL=C

clock() { # milliseconds since the machine started, without a program
    read -r up _ </proc/uptime
    fraction=${up#*.}
    echo $((${up%.*} * 1000 + ${fraction#0} * 10))
}
decoded() { # WORD: the text, with an x behind it that keeps line breaks at its end
    if [ "$1" != - ]; then printf '%s' "$1" | base64 -d; fi
    printf x
}
question() ( # NUMBER TIMEOUT CONTAINER COUNT [NAME VALUE]... WORD...
    number=$1 limit=$2 container=$(decoded "$3") count=$4
    shift 4
    container=${container%x} names='' last=0
    while [ "$count" -gt 0 ]; do
        name=$(decoded "$1") value=$(decoded "$2")
        name=${name%x}
        export "$name=${value%x}"
        names="$names -e $name"
        shift 2
        count=$((count - 1))
    done
    for word in "$@"; do
        text=$(decoded "$word")
        set -- "$@" "${text%x}"
        last=$((last + 1))
    done
    shift "$last"
    # shellcheck disable=SC2086 # names of variables hold no blanks
    [ -z "$container" ] || set -- "$docker" exec $names "$container" "$@"
    begin=$(clock)
    {
        timeout -s KILL "$limit" "$@" </dev/null 2>&1
        echo $? >"$tmp/$number.exit"
    } | { head -c "$most"; cat >/dev/null; } >"$tmp/$number.out"
    echo $(($(clock) - begin)) >"$tmp/$number.took"
)
lane() { # every LANES-th question, one after another
    at=0
    while read -r line; do
        # shellcheck disable=SC2086 # base64 holds no blanks
        [ $((at % lanes)) != "$1" ] || question $at $line
        at=$((at + 1))
    done <"$tmp/questions"
}

ask() {
    lanes=$1 most=$2
    docker=$(command -v docker) || exit 127
    tmp=$(mktemp -d "${TMPDIR:-/tmp}/runbook.XXXXXX") || exit 1
    trap 'rm -rf "$tmp"' EXIT
    trap 'exit 129' HUP INT TERM PIPE
    cat >"$tmp/questions"
    number=0
    while [ $number -lt "$lanes" ]; do
        lane $number &
        number=$((number + 1))
    done
    wait
    count=$(wc -l <"$tmp/questions") number=0
    while [ $number -lt "$count" ]; do
        cat "$tmp/$number.took" "$tmp/$number.out" >"$tmp/answer"
        printf 'part %s %s %s\n' $number "$(cat "$tmp/$number.exit")" "$(wc -c <"$tmp/answer" | tr -d ' ')"
        cat "$tmp/answer"
        echo
        number=$((number + 1))
    done
}

ask "$@"

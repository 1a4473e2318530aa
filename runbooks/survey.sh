# Reads all that a survey needs of one Compose project, in one exchange; changes nothing.
#   sh -c PROGRAM sh FOLDER NAME [COMPOSE OPTION]...
# FOLDER is the project's, NAME its name, or empty (then Compose says it), or --files (then only files are read).
# Standard input: paths to read, one a line.
# The answer is a sequence of records: a line "part NAME EXIT SIZE" or "file STATUS MODE UID GID LINK SIZE PATH", SIZE
# bytes, a line break. STATUS is ok, absent, outside, unreadable, special or large. LINK is the sum of what a symbolic link
# says, or - for what is none.
set -u
umask 077
export LC_ALL=C

into() { # NAME COMMAND...: keeps its output and how it ended
    out=$tmp/$1
    shift
    "$@" >"$out.out" 2>"$out.err" </dev/null
    echo $? >"$out.exit"
}
send() { # NAME FILE
    printf 'part %s %s %s\n' "$1" "$(cat "$tmp/$1.exit" 2>/dev/null || echo 0)" "$(wc -c <"$2" | tr -d ' ')"
    cat "$2"
    echo
}
send_all() { # NAME...: what a command said, and its errors apart
    for name in "$@"; do
        [ -e "$tmp/$name.out" ] || continue
        send "$name" "$tmp/$name.out"
        cp "$tmp/$name.exit" "$tmp/$name.err.exit"
        send "$name.err" "$tmp/$name.err"
    done
}
send_file() { # PATH
    status=ok
    if [ ! -e "$1" ] && [ ! -h "$1" ]; then status=absent
    elif ! inside "$1"; then status=outside
    elif [ ! -f "$1" ]; then status=special
    elif [ ! -r "$1" ] || ! owner=$(stat -L -c '%a %u %g %s' "$1"); then status=unreadable
    else size=${owner##* } && [ "$size" -le 2097152 ] || status=large
    fi
    if [ $status != ok ]; then
        printf 'file %s 0 0 0 - 0 %s\n\n' $status "$1"
        return
    fi
    link=-
    if [ -h "$1" ]; then link=$(readlink "$1" | sha256sum | cut -d ' ' -f 1); fi
    printf 'file ok %s %s %s %s\n' "${owner% *}" "$link" "$size" "$1"
    # Without a copy of it, which would take three programs more: of a file that grew meanwhile this is its beginning, and
    # one that shrank makes the answer too short to be understood.
    [ "$size" = 0 ] || head -c "$size" "$1"
    echo
}
inside() { # a path of the project that a link leads out of it is not inside; a path elsewhere was named as such
    case $1 in "$project"/*) ;; *) return 0 ;; esac
    # In the very folder only what is a link itself can lead out.
    case ${1#"$project"/} in */* | ..) ;; *) [ -h "$1" ] || return 0 ;; esac
    [ -n "$root" ] || root=$(pwd -P)
    case $(readlink -f "$1") in "$root"/*) return 0 ;; esac
    return 1
}
compose() { docker compose --ansi never --project-directory "$project" "$@"; }
named() { # the project's name as Compose has it: the one key of this depth
    sed -n 's/^  "name": "\([^"]*\)",\{0,1\}$/\1/p' "$tmp/config.out" | head -n 1
}
labelled() { # LABEL VALUE: ids of containers
    docker ps -aq --no-trunc --filter "label=com.docker.compose.$1=$2"
}
running() { # services with a running container, each once with its number of containers
    docker ps --filter "label=com.docker.compose.project=$name_of" --filter label=com.docker.compose.oneoff=False \
        --format '{{.Label "com.docker.compose.service"}}' | sort | uniq -c
}
dry_run() { # OPTION...: what bringing up the services that run would do, from the unchanged files
    compose -p "$name_of" "$@" config --services >"$tmp/services" || return
    running >"$tmp/running"
    services='' scales=''
    while read -r count service; do
        grep -qFx -e "$service" "$tmp/services" || continue
        services="$services $service"
        [ "$count" = 1 ] || scales="$scales --scale $service=$count"
    done <"$tmp/running"
    [ -n "$services" ] || return 0
    # shellcheck disable=SC2086 # names of services hold no blanks
    compose --progress plain -p "$name_of" "$@" up --dry-run --no-start --no-build --pull never $scales $services
}
look() { # OPTION...: Docker's and Compose's answers
    given=$name_of
    into engine docker version --format '{{json .Server}}' &
    into compose docker compose version --short &
    into info docker info --format '{"cpus": {{.NCPU}}, "memory": {{.MemTotal}}}' &
    into named compose ${given:+-p "$given"} "$@" config --images &
    into config compose ${given:+-p "$given"} "$@" config --format json
    [ -n "$name_of" ] || name_of=$(named)
    if [ -n "$name_of" ]; then
        { labelled project "$name_of" && labelled project.working_dir "$project"; } 2>/dev/null | sort -u >"$tmp/ids"
    fi
    if [ -s "$tmp/ids" ]; then
        into dry_run dry_run "$@" &
        # shellcheck disable=SC2046 # ids hold no blanks
        into containers docker inspect $(cat "$tmp/ids")
        sed -n 's/^        "Image": "\(sha256:[0-9a-f]*\)",\{0,1\}$/\1/p' "$tmp/containers.out" >"$tmp/wanted"
    fi
    wait
    cat "$tmp/named.out" >>"$tmp/wanted"
    if [ -s "$tmp/wanted" ]; then
        # shellcheck disable=SC2046 # names of images hold no blanks
        into images docker image inspect $(sort -u "$tmp/wanted")
    fi
    send_all engine compose info config containers images dry_run
}

make_room() { # for what Docker and Compose say
    tmp=$(mktemp -d "${TMPDIR:-/tmp}/runbook.XXXXXX") || exit 1
    trap 'rm -rf "$tmp"' EXIT
    trap 'exit 129' HUP INT TERM PIPE
    printf . >"$tmp/room" || {
        echo "there is no room in ${TMPDIR:-/tmp}" >&2
        exit 1
    }
}

tools_elsewhere() { # the tools are never what somebody put into the folder where the program works
    rest=$PATH: tools=''
    while [ -n "$rest" ]; do
        case $rest in /*) tools=$tools${tools:+:}${rest%%:*} ;; esac
        rest=${rest#*:}
    done
    PATH=$tools
}
survey() { # FOLDER NAME [OPTION]...; the name --files: nothing but the paths
    case :$PATH: in *:[!/]*) tools_elsewhere ;; esac
    project=$1 name_of=$2 root=''
    shift 2
    [ "$name_of" = --files ] || make_room
    if ! cd "$project" 2>/dev/null; then
        said=$(cd "$project" 2>&1 || exit)
        printf 'part folder 1 %s\n%s\n\n' "$(printf '%s\n' "$said" | wc -c | tr -d ' ')" "$said"
        return
    fi
    [ "$name_of" = --files ] || look "$@" </dev/null
    while IFS= read -r path; do send_file "$path"; done
}

survey "$@"

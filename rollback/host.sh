# Every write to a host goes through this program: one constant POSIX sh text, run by `sh -c`, data on standard input.
#   sh -c PROGRAM sh VERB STATE_DIR PROJECT_DIR RUN WHO
# Standard input: a line with the byte count of the header, the header's lines, then the bytes that the header points to.
# Exit codes: 0 done, 10 drift, 11 locked, 12 refused, 13 the state folder cannot be made, 14 interrupted work is pending.
# Every effect is an external command, so that tests can stop the program anywhere. Nothing runs before the last line.
# shellcheck disable=SC2015 # A && B && C || refuse: whichever of them fails, the answer is to refuse
set -u
umask 077
export LC_ALL=C
trap '' HUP PIPE

say() { printf '%s\n' "$*"; }
refuse() { code=$1; shift; say "$*"; rm -f "${payload:-}" "${header:-}"; exit "$code"; }
now() { date -u +%Y-%m-%dT%H:%M:%SZ; }
flush() { sync "$1" 2>/dev/null || sync; }
has_bytes() { [ "$(($(wc -c <"$1")))" = "$2" ]; }
sum_of() { set -- "$(sha256sum <"$1")" && printf '%s' "${1%% *}"; }

receive() {
    payload=$state/tmp/payload.$$ header=$state/tmp/header.$$
    [ -d "$state/tmp" ] || refuse 12 "refused there is no state folder $state"
    cat >"$payload" || refuse 12 "no space for the data in $state"
    read -r length <"$payload" || refuse 12 "no data"
    skip=$((${#length} + 1))
    tail -c "+$((skip + 1))" "$payload" | head -c "$length" >"$header" || refuse 12 "no space for the data in $state"
    # A pipe hides that its first half failed, and a link that is cut ends the data early: half a command is none.
    has_bytes "$header" "$length" || refuse 12 "refused the data did not arrive whole"
    blobs=$((skip + length))
}
blob() { tail -c "+$((blobs + $1 + 1))" "$payload" | head -c "$2"; }
done_with_data() { rm -f "$payload" "$header"; }

# --- the journal: each line holds the hash of the line before ------------------------------------------------------
head_of_journal() { # fails rather than chain the next line to something that is not the last one
    if [ ! -s "$journal" ]; then printf '%064d' 0; return; fi
    last=$(tail -n 1 "$journal") && [ -n "$last" ] && set -- "$(printf '%s\n' "$last" | sha256sum)" && [ -n "$1" ] && printf '%s' "${1%% *}"
}
record() { # KIND ID DATA
    [ -n "${3:-}" ] || set -- "$1" "$2" '{}'
    previous=$(head_of_journal) || return 1
    printf '{"previous":"%s","at":"%s","kind":"%s","run":"%s","id":"%s","who":"%s","data":%s}\n' \
        "$previous" "$(now)" "$1" "$run" "$2" "$who" "$3" >"$state/tmp/line.$$" || return 1
    cat "$state/tmp/line.$$" >>"$journal" && flush "$journal" && rm -f "$state/tmp/line.$$"
}
mend_journal() { # a line that a power cut left unfinished is set aside
    [ -s "$journal" ] && [ -n "$(tail -c 1 "$journal")" ] || return 0
    lines=$(wc -l <"$journal")
    cp "$journal" "$journal.cut.$$" && head -n "$lines" "$journal.cut.$$" >"$journal.new.$$" \
        && flush "$journal.new.$$" && mv -f "$journal.new.$$" "$journal" && say "mended journal: an unfinished last line was set aside"
}

# --- the lock: a symbolic link whose target is its owner's data, atomic with its content ------------------------------
lock_text() { printf 'run=%s who=%s since=%s renewed=%s' "$run" "$who" "$1" "$(date +%s)"; }
holds_lock() { case $(readlink "$lock") in "run=$run "*) return 0 ;; esac; return 1; }
take_lock() {
    text=$(lock_text "$(date +%s)")
    if ln -s "$text" "$lock" 2>/dev/null; then return 0; fi
    if holds_lock; then return 0; fi
    found=$(readlink "$lock") || refuse 12 "cannot write the lock in $project"
    refuse 11 "locked $(date +%s) $found"
}
renew_lock() {
    holds_lock || refuse 11 "locked $(date +%s) $(readlink "$lock")"
    since=$(readlink "$lock"); since=${since#*since=}; since=${since%% *}
    ln -s "$(lock_text "$since")" "$lock.$$" && mv -f "$lock.$$" "$lock"
}
hold() { # the lock for one verb, unless this run has it already: another run's files are never touched in its midst
    borrowed=
    holds_lock || { take_lock; borrowed=1; }
}
let_go() { if [ -n "$borrowed" ]; then rm -f "$lock"; fi; }

# --- files ---------------------------------------------------------------------------------------------------------------
place() { # the file itself, when it is a link inside the project
    if [ -h "$1" ]; then readlink -f "$1"; else printf '%s' "$1"; fi
}
ground() { # PATH: the nearest folder above it that is there
    above=$(dirname "$1")
    while [ ! -d "$above" ] && [ "$above" != / ]; do above=$(dirname "$above"); done
    printf '%s' "$above"
}
inside() { # PATH: refuse what leads out of the project
    case $1 in */../* | */..) refuse 12 "refused $1 leads out of the project folder" ;; esac
    real=$(readlink -f "$(ground "$1")")/$(basename "$1")
    [ -h "$1" ] && real=$(readlink -f "$1")
    case $real in "$root"/*) return 0 ;; esac
    refuse 12 "refused $1 leads out of the project folder"
}
state_of() { # PATH -> "SHA MODE UID GID", or "absent 0 0 0"
    if [ ! -e "$1" ]; then printf 'absent 0 0 0'; return; fi
    [ -f "$1" ] || refuse 10 "drift $1 is no longer a regular file"
    printf '%s %s' "$(sum_of "$1")" "$(stat -L -c '%a %u %g' "$1")"
}
keep() { # PATH SHA: store an object once
    [ -e "$objects/$2" ] && [ "$(sum_of "$objects/$2")" = "$2" ] && return 0
    cp "$1" "$objects/.new.$$" && flush "$objects/.new.$$" && [ "$(sum_of "$objects/.new.$$")" = "$2" ] \
        && mv -f "$objects/.new.$$" "$objects/$2" && flush "$objects"
}
put() { # SOURCE PATH MODE UID GID: the new file stands beside its target, whole and synced, before it takes its name
    draft=$(dirname "$2")/.compose-runbook.$id
    rm -f "$draft" && cp "$1" "$draft" && chmod "$3" "$draft" || return 1
    # An owner that is right already is left alone: who is not root may not even set it to itself on some systems.
    [ "$(stat -c '%u %g' "$draft")" = "$4 $5" ] || chown "$4:$5" "$draft" || return 1
    chmod "$3" "$draft" && flush "$draft" && mv -f "$draft" "$2" && flush "$(dirname "$2")"
}
take_away() { rm -f "$1" && flush "$(dirname "$1")" && clear_folders "$1"; }
make_folders() { # PATH UID GID: the folders that it needs; those that were missing are remembered, to go with the last file
    while [ ! -d "$(dirname "$1")" ]; do
        above=$(ground "$1") rest=${1#"$(ground "$1")/"}
        made=$above/${rest%%/*}
        ( if [ -e "$state/folders" ]; then cat "$state/folders" || exit; fi; printf '%s\n' "$made" ) >"$state/tmp/folders.$$" \
            && flush "$state/tmp/folders.$$" && mv -f "$state/tmp/folders.$$" "$state/folders" && flush "$state" \
            && mkdir "$made" && chmod 755 "$made" || return 1
        [ "$(stat -c '%u %g' "$made")" = "$2 $3" ] || chown "$2:$3" "$made" || return 1
        flush "$above"
    done
}
clear_folders() { # PATH: folders above it that were made for a file and are empty now
    folder=$(dirname "$1")
    while [ -s "$state/folders" ] && [ "$folder" != / ]; do
        if grep -qFx -e "$folder" "$state/folders"; then
            if [ -d "$folder" ]; then rmdir "$folder" 2>/dev/null || return 0; fi
            flush "$(ground "$folder")"
            # No match is no failure here: then it was the last line.
            grep -vFx -e "$folder" "$state/folders" >"$state/tmp/folders.$$"
            flush "$state/tmp/folders.$$" && mv -f "$state/tmp/folders.$$" "$state/folders" || return 1
        elif [ -d "$folder" ]; then return 0; fi
        folder=$(dirname "$folder")
    done
}

# --- verbs -----------------------------------------------------------------------------------------------------------------
prepare() {
    mkdir -p "$state" 2>/dev/null && mkdir -p "$objects" "$state/snapshots" "$state/tmp" "$state/commands" 2>/dev/null \
        && [ -w "$state/tmp" ] || refuse 13 "cannot make $state"
    [ -d "$project" ] || refuse 12 "refused no folder $project"
    [ -w "$project" ] || refuse 12 "refused $project is not writable for $(id -un)"
    say "clock $(date +%s)"
    say "free $(df -Pk "$state" | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4)"
    say "head $(head_of_journal)"
    if [ -s "$state/pending" ]; then say "pending $(cat "$state/pending")"; fi
}

commit() {
    receive
    holds_lock || refuse 11 "locked $(date +%s) $(readlink "$lock")"
    [ ! -s "$state/pending" ] || refuse 14 "pending $(cat "$state/pending")"
    check_files
    while IFS=' ' read -r word sha mode uid gid new newmode newuid newgid from size path; do
        [ "$word" = write ] || continue
        file=$(place "$path")
        [ "$sha" = absent ] || keep "$file" "$sha" || refuse 12 "refused no space to keep $path in $state"
        if [ "$new" != absent ] && [ "$from" != object ]; then
            blob "$from" "$size" >"$state/tmp/blob.$$" && [ "$(sum_of "$state/tmp/blob.$$")" = "$new" ] || refuse 12 "refused $path did not arrive whole"
            keep "$state/tmp/blob.$$" "$new" || refuse 12 "refused no space to keep $path in $state"
            rm -f "$state/tmp/blob.$$"
        fi
        [ "$new" = absent ] || [ "$(sum_of "$objects/$new")" = "$new" ] || refuse 12 "refused the kept copy of $path is damaged"
    done <"$header"
    grep '^write ' "$header" >"$state/snapshots/.$id.files" && flush "$state/snapshots/.$id.files" \
        && mv -f "$state/snapshots/.$id.files" "$state/snapshots/$id.files" \
        && blob 0 "$story" >"$state/snapshots/.$id.json" && has_bytes "$state/snapshots/.$id.json" "$story" && flush "$state/snapshots/.$id.json" && flush "$state/snapshots" \
        || refuse 12 "refused no space for the snapshot in $state"
    record begin "$id" || refuse 12 "refused cannot write $journal"
    printf '%s\n' "$id" >"$state/tmp/pending.$$" && flush "$state/tmp/pending.$$" && mv -f "$state/tmp/pending.$$" "$state/pending" \
        && flush "$state" || refuse 12 "refused cannot write in $state"
    failed=
    while IFS=' ' read -r word sha mode uid gid new newmode newuid newgid from size path; do
        file=$(place "$path")
        if [ "$new" = absent ]; then take_away "$file" || failed=$path
        else make_folders "$file" "$newuid" "$newgid" && put "$objects/$new" "$file" "$newmode" "$newuid" "$newgid" || failed=$path; fi
        [ -z "$failed" ] || break
    done <"$state/snapshots/$id.files"
    # Only now can it be undone: a snapshot that is listed is one whose files were all written.
    [ -n "$failed" ] || mv -f "$state/snapshots/.$id.json" "$state/snapshots/$id.json" && flush "$state/snapshots" || failed="the snapshot"
    if [ -n "$failed" ]; then
        revert && refuse 12 "refused $failed could not be written; every file is as it was"
        refuse 14 "pending $id"
    fi
    record commit "$id" "$note" && rm -f "$state/pending" && flush "$state" || refuse 14 "pending $id"
    done_with_data
    say "head $(head_of_journal)"
}

check_files() { # every file that was read or will be written has the bytes, mode and owner that the plan was made from
    while IFS= read -r line; do
        word=${line%% *}
        case $word in
            id) id=${line#id } ;;
            story) story=${line#story } ;;
            note) note=${line#note } ;;
        esac
    done <"$header"
    while IFS=' ' read -r word sha mode uid gid rest; do
        case $word in
            write) path=${rest#* * * * * * }; inside "$path"; file=$(place "$path") ;;
            read) path=$rest; file=$(place "$path") ;;
            *) continue ;;
        esac
        found=$(state_of "$file") || refuse 10 "$found"
        [ "$found" = "$sha $mode $uid $gid" ] || refuse 10 "drift $path ($found, planned from $sha $mode $uid $gid)"
        [ "$word" = write ] || continue
        [ -w "$(ground "$file")" ] || refuse 12 "refused the folder of $path is not writable for $(id -un)"
        owner=${rest#* * }; owner=${owner%% *}
        [ "${rest%% *}" = absent ] || [ "$(id -u)" = 0 ] || [ "$owner" = "$(id -u)" ] || refuse 12 "refused $path belongs to user $owner, which $(id -un) cannot restore"
    done <"$header"
}

revert() { # puts back what the pending transaction found; whole afterwards, or still pending
    id=$(cat "$state/pending") && [ -n "$id" ] || return 1
    while IFS=' ' read -r word sha mode uid gid new newmode newuid newgid from size path; do
        file=$(place "$path")
        rm -f "$(dirname "$file")/.compose-runbook.$id"
        found=$(state_of "$file")
        if [ "$found" = "$sha $mode $uid $gid" ]; then
            if [ "$sha" = absent ]; then clear_folders "$file"; fi
            continue
        fi
        case $found in
            "$sha "* | "$new "* | absent*) ;;
            *) keep "$file" "${found%% *}" || return 1; say "kept $path as object ${found%% *}: it was changed after the interruption" ;;
        esac
        if [ "$sha" = absent ]; then take_away "$file" || return 1
        else [ "$(sum_of "$objects/$sha")" = "$sha" ] && make_folders "$file" "$uid" "$gid" && put "$objects/$sha" "$file" "$mode" "$uid" "$gid" || return 1; fi
    done <"$state/snapshots/$id.files"
    rm -f "$state/snapshots/$id.json" "$state/snapshots/.$id.json" && flush "$state/snapshots" \
        && record revert "$id" && rm -f "$state/pending" && flush "$state"
}

recover() { # finishes or reverts what was interrupted, and says which
    mend_journal || { let_go; refuse 12 "refused the unfinished last line of $journal cannot be set aside"; }
    rm -f "$state/tmp/"* "$objects/.new."* "$lock".[0-9]*
    [ -s "$state/pending" ] || { rm -f "$state/snapshots/".[!.]*; say "whole"; return 0; }
    id=$(cat "$state/pending")
    if grep -F "\"id\":\"$id\"" "$journal" | tail -n 1 | grep -q '"kind":"commit"'; then
        rm -f "$state/pending" && flush "$state" && say "finished $id"
    else
        revert || { let_go; refuse 14 "pending $id"; }
        say "reverted $id"
    fi
    say "head $(head_of_journal)"
}

read_files() { # each path of the data: "SHA MODE UID GID SIZE PATH", then its bytes
    receive
    while IFS= read -r path; do
        file=$(place "$path")
        if [ ! -e "$file" ]; then say "absent 0 0 0 0 $path"; continue; fi
        [ -f "$file" ] || refuse 12 "refused $path is not a regular file"
        cp "$file" "$state/tmp/read.$$" || refuse 12 "refused $path cannot be read by $(id -un)"
        say "$(sum_of "$state/tmp/read.$$") $(stat -c '%a %u %g' "$file") $(stat -c %s "$state/tmp/read.$$") $path"
        cat "$state/tmp/read.$$"
    done <"$header"
    rm -f "$state/tmp/read.$$"
    done_with_data
}

execute() { # runs the words of the data, one a line; goes on when the link is lost; both ends are in the journal
    receive
    order=$(date +%s)-$$ folder=$state/commands/$(date +%s)-$$
    mkdir "$folder" && mv "$header" "$folder/argv" && rm -f "$payload" || refuse 12 "refused no space in $state"
    set --
    while IFS= read -r line; do set -- "$@" "$line"; done <"$folder/argv"
    data=$1; shift
    record command-begin "$order" "$data" || refuse 12 "refused cannot write $journal"
    (
        trap '' HUP INT
        (cd "$project" && exec "$@") >"$folder/out" 2>&1 </dev/null
        code=$?
        record command-end "$order" "{\"exit\":$code}"
        printf '%s\n' "$code" >"$folder/.exit" && mv "$folder/.exit" "$folder/exit"
    ) >/dev/null 2>&1 </dev/null &
    wait $!
    cat "$folder/out"
    say ""
    say "exit $(cat "$folder/exit")"
}

last_command() {
    last=
    for file in "$state/commands/"*; do if [ -e "$file" ]; then last=${file##*/}; fi; done
    [ -n "$last" ] || { say none; return; }
    if [ -s "$state/commands/$last/exit" ]; then say "exit $(cat "$state/commands/$last/exit")"; else say running; fi
    tail -n +2 "$state/commands/$last/argv" | tr '\n' ' '
    say ""
}

main() {
    verb=$1 state=$2 project=$3 run=$4 who=$5
    objects=$state/objects journal=$state/journal lock=$project/.compose-runbook.lock
    root=$(readlink -f "$project") id='' story=0 note='{}' payload='' header=''
    # A state folder that the Docker group shares keeps being shared; any other is its owner's alone.
    if [ -g "$state" ]; then umask 007; fi
    case $verb in
        prepare) prepare ;;
        lock) take_lock; say "held" ;;
        renew) renew_lock; say "held" ;;
        unlock) found=$(readlink "$lock" 2>/dev/null); if [ -h "$lock" ]; then rm -f "$lock"; fi; say "released ${found:-nothing}" ;;
        release) if holds_lock; then rm -f "$lock"; fi; say "released" ;;
        owner) if [ -h "$lock" ]; then say "locked $(date +%s) $(readlink "$lock")"; else say free; fi ;;
        read) read_files ;;
        commit) commit ;;
        recover) hold; recover; let_go ;;
        execute) execute ;;
        last) last_command ;;
        note) receive; record "$(head -n 1 "$header")" "$(sed -n 2p "$header")" "$(sed -n 3p "$header")"; done_with_data; say "head $(head_of_journal)" ;;
        journal) if [ -e "$journal" ]; then cat "$journal"; fi ;;
        snapshots) for file in "$state/snapshots/"*.json; do if [ -e "$file" ]; then cat "$file"; say ""; fi; done ;;
        prune) receive; hold; while IFS= read -r name; do rm -f "$state/snapshots/$name.json" "$state/snapshots/$name.files"; done <"$header"; done_with_data; sweep; let_go ;;
        *) refuse 12 "refused unknown verb $verb" ;;
    esac
}

sweep() { # objects that no snapshot names any more
    for file in "$objects/"*; do
        [ -e "$file" ] || continue
        grep -qs "$(basename "$file")" "$state/snapshots/"*.files || rm -f "$file"
    done
    say swept
}

main "$@"

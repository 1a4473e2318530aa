# Every write to a host goes through this program: one constant POSIX sh text, run by `sh -c`, data on standard input.
#   sh -c PROGRAM sh VERB STATE_DIR PROJECT_DIR RUN WHO [PLAIN]
# PLAIN is a program of plain/, which does the plain case of its verb where the host has Perl.
# Standard input: a line with the byte count of the header, the header's lines, then the bytes that the header points to.
# Exit codes: 0 done, 10 drift, 11 locked, 12 refused, 13 the state folder cannot be made, 14 interrupted work is pending.
# Every effect but a line that is written is an external command, so that tests can stop the program anywhere. Nothing runs
# before the last line.
# shellcheck disable=SC2015 # A && B && C || refuse: whichever of them fails, the answer is to refuse
# shellcheck disable=SC2030,SC2031 # what runs within a folder runs in the subshell that set the names
# To start a program takes a host longer than all the rest, and a subshell a third of that. So a function that finds
# something out puts it into a name (its comment says which) instead of saying it to a `$(...)`.
set -u
umask 077
export LC_ALL=C
trap '' HUP PIPE

say() { printf '%s\n' "$*"; }
refuse() { code=$1; shift; say "$*"; rm -f "${payload:-}" "${header:-}"; exit "$code"; }
flush() { sync "$@" 2>/dev/null || sync; } # PATH...: all of them are sure afterwards, in whichever order
has_bytes() { bytes=$(wc -c <"$1") && [ -n "$bytes" ] && [ "$((bytes))" = "$2" ]; }
sum_of() { sum=$(sha256sum <"$1") && [ -n "$sum" ] && sum=${sum%% *} || { sum=''; return 1; }; } # FILE -> sum
# One at a time: an open folder that is locked while a function runs, and free again whatever kills it. Where there is no
# flock two operators at the very same instant are the only ones who could notice.
alone() { { locked=''; flock 9 2>/dev/null && locked=1; tip=''; shift; "$@"; } 9<"$1"; }
# What writes waits for what still writes, a line of the journal too: the program of a controller that was lost goes on, and
# somebody may break its lock.
sole() { if [ -r "$state" ]; then alone "$state" "$@"; else locked='' tip=''; "$@"; fi; }
none() { # PATH...: whether nothing of it is there
    for each; do if [ -e "$each" ] || [ -h "$each" ]; then return 1; fi; done
}
line_break='
'
no_hash=0000000000000000000000000000000000000000000000000000000000000000

receive() { # the header of the data, which is kept until it is done with
    if [ -n "$handed" ]; then ready_for_data
    else
        hear
        while next_line; do heading=$heading$line$line_break; done
        all_heard
    fi
    printf '%s' "$heading" >"$header" || refuse 12 "no space for the data in $state"
}
ready_for_data() {
    payload=$state/tmp/payload.$$ header=$state/tmp/header.$$
    [ -d "$state/tmp" ] || refuse 12 "refused there is no state folder $state"
}
hear() { # the length of a header of few lines, which are read as they come in
    ready_for_data
    IFS= read -r left || refuse 12 "no data"
}
next_line() { # -> line, the header's next; fails after the last, and where the data ends before it
    is_count "$left" && [ "$left" -gt 0 ] && IFS= read -r line && left=$((left - ${#line} - 1))
}
# Nothing is reckoned with that may be no number: where it is none a shell ends at once, with a code of its own.
is_count() { case $1 in '' | *[!0-9]* | 0?* | ????????????????*) return 1 ;; esac; }
# A link that is cut ends the data early: half a command is none.
all_heard() { [ "$left" = 0 ] || refuse 12 "refused the data did not arrive whole"; }
blob() { # OFFSET BYTES: a piece of what follows the header; the last one ends with the data
    is_count "$1" && is_count "$2" || return 1
    if [ "$1" = 0 ]; then head -c "$2" "$payload"
    elif [ "$(($1 + $2))" = "$end" ]; then tail -c "+$(($1 + 1))" "$payload"
    else tail -c "+$(($1 + 1))" "$payload" | head -c "$2"; fi
}
done_with_data() { rm -f "$payload" "$header"; }

# --- the journal: each line holds the hash of the line before ------------------------------------------------------
last_line() { # puts the journal's last line into `last`; 1: it was cut off, 2: it cannot be read
    last=
    [ -s "$journal" ] || return 0
    last=$(tail -n 1 "$journal" && printf x) || return 2
    case $last in *"${line_break}x") last=${last%"${line_break}x"} ;; *) return 1 ;; esac
}
last_whole_line() { # -> last, empty where there is none; fails rather than take another for it
    last_line
    case $? in
        0) ends_whole=1 && { [ -n "$last" ] || [ ! -s "$journal" ]; } ;;
        1)
            lines=$(wc -l <"$journal") && [ -n "$lines" ] || return 1
            if [ "$((lines))" = 0 ]; then last=''; return; fi
            last=$(sed -n "$((lines))p" "$journal") && [ -n "$last" ]
            ;;
        *) return 1 ;;
    esac
}
# Who asks for the journal's head is told the line, and takes its hash: that is a program less here.
say_head_after() { say "last $added"; } # the line that was added last
say_head() {
    if ! last_whole_line; then say "head "; elif [ -n "$last" ]; then say "last $last"; else say "head $no_hash"; fi
}
hash_of_last() { # -> hash
    if [ ! -s "$journal" ]; then hash=$no_hash; return; fi
    hash_of_line "$last"
}
hash_of_line() { # LINE -> hash, which the next line holds
    hash=''
    [ -n "$1" ] && hash=$(sha256sum <<LINE
$1
LINE
) && [ -n "$hash" ] && hash=${hash%% *} || { hash=''; return 1; }
}
record() { append "$@" && flush "$journal"; } # KIND ID DATA; among what is sole
put_down() { # among what is sole: an event of the data: its kind, what it is about, what it says
    next_line && kind=$line && next_line && about=$line && next_line && said=$line \
        && [ "$left" = 0 ] && [ -n "$kind" ] && [ -n "$about" ] && record "$kind" "$about" "$said"
}
append() { # KIND ID DATA: a line that is sure when the journal is; `tip` is the one before, where that is known
    # Half of what should be said is worse than nothing: no later line could make the journal whole again.
    [ -n "${3:-}" ] || set -- "$1" "$2" '{}'
    case $3 in '{'*'}') ;; *) return 1 ;; esac
    if [ -n "$tip" ]; then hash_of_line "$tip" || return 1
    else
        last_line || { mend_journal >/dev/null && last_line; } || return 1
        hash_of_last || return 1
    fi
    at=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    added="{\"previous\":\"$hash\",\"at\":\"$at\",\"kind\":\"$1\",\"run\":\"$run\",\"id\":\"$2\",\"who\":\"$who\",\"data\":$3}"
    tip=''
    printf '%s\n' "$added" >>"$journal" || return 1
    # Where there is no lock another may write a line at any moment.
    [ -z "$locked" ] || tip=$added
}
mend_journal() { # a line that a full disk or a power cut left unfinished is set aside; takes no room
    last_line
    case $? in 0) return 0 ;; 1) ;; *) return 1 ;; esac
    lines=$(wc -l <"$journal") && [ -n "$lines" ] && kept=$(head -n "$lines" "$journal" | wc -lc) || return 1
    # shellcheck disable=SC2086 # two numbers: a pipe hides that its first half failed, so the lines that stay are counted again
    set -- $kept
    [ "$((${1:-0}))" = "$((lines))" ] && size=${2:-} && [ -n "$size" ] || return 1
    tail -c "+$((size + 1))" "$journal" >"$journal.cut" 2>/dev/null || rm -f "$journal.cut"
    dd if=/dev/null of="$journal" bs=1 seek="$((size))" 2>/dev/null && flush "$journal" \
        && say "mended journal: an unfinished last line was set aside"
}

# --- the lock: a symbolic link whose target is its owner's data, atomic with its content ------------------------------
lock_text() { clock=$(date +%s) && [ -n "$clock" ] && text="run=$run who=$who since=${1:-$clock} renewed=$clock"; } # SINCE -> text
holds_lock() { case $(readlink "$lock") in "run=$run "*) return 0 ;; esac; return 1; }
take_lock() { alone "$project" try_lock; code=$?; [ "$code" = 0 ] || exit "$code"; }
try_lock() {
    lock_text '' || refuse 12 "refused the clock of this host cannot be read"
    if ln -s -n "$text" "$lock" 2>/dev/null; then return 0; fi
    if holds_lock; then return 0; fi
    found=$(readlink "$lock") || refuse 12 "refused the lock in $project cannot be written"
    refuse 11 "locked $(date +%s) $found"
}
renew_lock() { alone "$project" try_renew; code=$?; [ "$code" = 0 ] || exit "$code"; }
try_renew() {
    found=$(readlink "$lock")
    case $found in "run=$run "*) ;; *) refuse 11 "locked $(date +%s) $found" ;; esac
    since=$found; since=${since#*since=}; since=${since%% *}
    lock_text "$since" && ln -s -n "$text" "$lock.$$" && take_name "$lock.$$" "$lock"
}
break_lock() { # RUN: only the lock that was looked at, or any where none is named
    found=$(readlink "$lock" 2>/dev/null)
    case ${1:+$found} in '' | "run=$1 "*) ;; *) refuse 11 "locked $(date +%s) $found" ;; esac
    if [ -h "$lock" ]; then rm -f "$lock" || refuse 12 "refused the lock in $project cannot be removed"; fi
    say "released ${found:-nothing}"
}
give_back() { if holds_lock; then rm -f "$lock"; fi; }
release() { # as it was this run that was told of its commands
    holds_lock || return 0
    none "$state/commands/"*/unseen || rm -f "$state/commands/"*/unseen
    rm -f "$lock"
}
hold() { # the lock for one verb, unless this run has it already: another run's files are never touched in its midst
    borrowed=
    holds_lock || { take_lock; borrowed=1; }
}
let_go() { if [ -n "$borrowed" ]; then alone "$project" give_back; fi; }

# --- files ---------------------------------------------------------------------------------------------------------------
place() { # -> file: itself, when it is a link inside the project; a link that leads elsewhere is only ever replaced
    file=$1 real=$1
    # What cannot be read is not taken for a link that leads elsewhere: a file would stand in its place then.
    if [ -h "$1" ]; then real=$(readlink -f "$1") && [ -n "$real" ] || { [ ! -e "$1" ] || return 1; }; fi
    case $real in "$root"/*) file=$real ;; esac
}
# Who may write in the project's folder (a container that mounts it, say) could put a link in the place of a folder or a
# file at any moment. So all that is made or changed is done from within its folder, which stays the same whatever is put
# in its place, and new files take shape in a folder of our own, which nobody else can write in.
within() ( # FILE COMMAND...: in the folder of a file, if that is in the project
    cd -P "${1%/*}/" 2>/dev/null || exit 1
    here=$PWD name=${1##*/}
    case $here/ in "$root"/*) ;; *) exit 1 ;; esac
    shift
    "$@"
)
take_name() { # SOURCE NAME: renames, and never into a folder of that name
    mv -f -T "$1" "$2" 2>/dev/null && return 0
    [ ! -d "$2" ] && mv -f "$1" "$2"
}
ground() { # PATH -> above: the nearest folder above it that is there
    above=${1%/*}
    while [ -n "$above" ] && [ ! -d "$above" ]; do above=${above%/*}; done
    above=${above:-/}
}
where() { cd -P "$1" 2>/dev/null && pwd -P || readlink -f "$1"; } # FOLDER -> its own name, without links
inside() { # PATH: refuse what leads out of the project
    case $1 in */../* | */..) refuse 12 "refused $1 leads out of the project folder" ;; /*) ;; *) refuse 12 "refused $1 is not an absolute path" ;; esac
    ground "$1"
    if [ "$above" = "$project" ]; then real=$root/${1##*/}; else real=$(where "$above")/${1##*/}; fi
    [ -h "$1" ] && real=$(readlink -f "$1")
    case $real in "$root"/*) return 0 ;; esac
    refuse 12 "refused $1 leads out of the project folder"
}
link_of() { # PATH -> target: the sum of what a link says; "-" for what is none
    target=-
    [ -h "$1" ] || return 0
    target=$(readlink "$1" | sha256sum) && [ -n "$target" ] && target=${target%% *} || { target=''; return 1; }
}
state_of() { # PATH -> found: "SHA MODE UID GID LINK", or "absent 0 0 0 -"; or, when it fails, what is wrong
    found='absent 0 0 0 -'
    if [ ! -e "$1" ] && [ ! -h "$1" ]; then return; fi
    [ -f "$1" ] || { found="drift $1 is no longer a regular file"; return 1; }
    sum_of "$1" && owner=$(stat -L -c '%a %u %g' "$1") && [ -n "$owner" ] && link_of "$1" \
        || { found="drift $1 cannot be read"; return 1; }
    found="$sum $owner $target"
}
is_whole() { sum_of "$objects/$1" && [ "$sum" = "$1" ]; } # SHA: whether an object has the bytes of its name
keep() { # PATH SHA: store an object once
    [ -n "$2" ] || return 1
    [ -e "$objects/$2" ] && is_whole "$2" && return 0
    cp -f "$1" "$objects/.new.$$" && flush "$objects/.new.$$" && sum_of "$objects/.new.$$" && [ "$sum" = "$2" ] \
        && mv -f "$objects/.new.$$" "$objects/$2"
}
draft() { # SOURCE BOX MODE UID GID: within its target's folder, a new file, whole and synced, in a folder of our own
    none "./$2" || rm -rf "./$2" || return 1
    mkdir -m 700 "./$2" && cd -P "./$2" && [ "$PWD" = "$here/$2" ] && cp "$1" new && chmod "$3" new || return 1
    # An owner that is right already is left alone: who is not root may not even set it to itself on some systems. A new
    # one takes bits of the mode along.
    is_ours "$4 $5" || [ "$(stat -c '%u %g' new)" = "$4 $5" ] || { chown "$4:$5" new && chmod "$3" new; } || return 1
    flush new
}
# Whether a new file is whose it must be, where it is this user's and group's, whose numbers are known of a file of their own.
# shellcheck disable=SC3066,SC3067 # a shell that cannot tell says no
is_ours() { { [ "$1" = "$me $group" ] && [ -O new ] && [ -G new ]; } 2>/dev/null; } # "UID GID"
unbox() { # BOX: within its target's folder, the new file takes its name
    cd -P "./$1" && [ "$PWD" = "$here/$1" ] && take_name new "../$name" && cd .. && rmdir "./$1"
}
put() { # SOURCE PATH MODE UID GID: takes its name only when it is whole
    within "$2" draft "$1" ".compose-runbook.$id.back" "$3" "$4" "$5" && within "$2" unbox ".compose-runbook.$id.back" \
        && flush "${2%/*}/"
}
remove() { rm -f "./$name"; }
clear_boxes() { rm -rf "./.compose-runbook.$id".*; }
take_away() { within "$1" remove && ground "$1" && flush "$above" && clear_folders "$1"; }
make_folder() { # UID GID: within the folder above it
    mkdir "./$name" && cd -P "./$name" && [ "$PWD" = "$here/$name" ] && chmod 755 . || return 1
    [ "$(stat -c '%u %g' .)" = "$1 $2" ] || chown "$1:$2" .
}
make_folders() { # PATH UID GID: the folders that it needs; those that were missing are remembered, to go with the last file
    while [ ! -d "${1%/*}/" ]; do
        ground "$1"
        rest=${1#"$above/"}
        made=$above/${rest%%/*}
        ( if [ -e "$state/folders" ]; then cat "$state/folders" || exit; fi; printf '%s\n' "$made" ) >"$state/tmp/folders.$$" \
            && flush "$state/tmp/folders.$$" && mv -f "$state/tmp/folders.$$" "$state/folders" && flush "$state" \
            && within "$made" make_folder "$2" "$3" || return 1
        flush "$made" && flush "$above" || return 1
    done
}
is_empty() { # FOLDER
    for entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -e "$entry" ] || [ -h "$entry" ]; then return 1; fi
    done
}
clear_folders() { # PATH: folders above it that were made for a file and are empty now
    folder=${1%/*}
    while [ -s "$state/folders" ] && [ -n "$folder" ]; do
        grep -qFx -e "$folder" "$state/folders"
        case $? in
            0)
                if [ -d "$folder" ]; then
                    is_empty "$folder" || return 0
                    rmdir "$folder" || return 1
                fi
                ground "$folder" && flush "$above" || return 1
                grep -vFx -e "$folder" "$state/folders" >"$state/tmp/folders.$$"
                # No match is no failure here: then it was the last line.
                [ $? -le 1 ] && flush "$state/tmp/folders.$$" && mv -f "$state/tmp/folders.$$" "$state/folders" && flush "$state" || return 1
                ;;
            1) if [ -d "$folder" ]; then return 0; fi ;;
            *) return 1 ;;
        esac
        folder=${folder%/*}
    done
}

# --- verbs -----------------------------------------------------------------------------------------------------------------
free_room() { # -> free, in KiB
    table=$(df -Pk "$state")
    set -f
    # shellcheck disable=SC2086 # the columns of its last line
    set -- ${table##*"$line_break"}
    free=${4:-}
    set +f
}
prepare() {
    if [ ! -d "$state/commands" ]; then
        mkdir -p "$state" "$objects" "$state/snapshots" "$state/tmp" 2>/dev/null || refuse 13 "cannot make $state"
        # What is kept in it is worth nothing while the folder itself could vanish in a power cut.
        up=$state
        set -- "$up/"
        while [ "$up" != "${up%/*}" ]; do up=${up%/*} && set -- "$@" "$up/"; done
        flush "$@"
        mkdir "$state/commands" 2>/dev/null || [ -d "$state/commands" ] || refuse 13 "cannot make $state"
    fi
    [ -w "$state/tmp" ] || refuse 13 "cannot make $state"
    [ -d "$project" ] || refuse 12 "refused no folder $project"
    [ -w "$project" ] || refuse 12 "refused $project is not writable for $(id -un)"
    say "clock $(date +%s)"
    free_room
    say "free $free"
    say_head
    if [ -s "$state/pending" ]; then say "pending $(cat "$state/pending")"; fi
}

commit() {
    receive
    cat >"$payload" || refuse 12 "no space for the data in $state"
    holds_lock || refuse 11 "locked $(date +%s) $(readlink "$lock")"
    [ ! -s "$state/pending" ] || refuse 14 "pending $(cat "$state/pending")"
    check_files
    keep_all
    append begin "$id" || refuse 12 "refused cannot write $journal"
    printf '%s\n' "$id" >"$state/tmp/pending.$$" && flush "$journal" "$state/tmp/pending.$$" && mv -f "$state/tmp/pending.$$" "$state/pending" \
        && flush "$state" || refuse 12 "refused cannot write in $state"
    failed=
    stand_by && exchange || failed=${failed:-the snapshot}
    if [ -n "$failed" ]; then
        take_back "$failed"
    fi
    record commit "$id" "$note" && rm -f "$payload" "$header" "$state/pending" && flush "$state" || refuse 14 "pending $id"
    say_head_after
}
keep_all() { # all that undoes the transaction: the bytes of each file, old and new, by their sum, which files, and its story
    listed=''
    while IFS=' ' read -r word sha mode uid gid link new newmode newuid newgid _ from size path; do
        [ "$word" = write ] || continue
        place "$path" || refuse 12 "refused the link $path cannot be read"
        [ "$sha" = absent ] || is_kept "$sha" || cp -f "$file" "$state/tmp/$sha" || refuse 12 "refused no space to keep $path in $state"
        if [ "$new" = absent ]; then continue; fi
        if [ "$from" = object ]; then is_listed "$new" || is_whole "$new" || refuse 12 "refused the kept copy of $path is damaged"
        else is_kept "$new" || blob "$from" "$size" >"$state/tmp/$new" || refuse 12 "refused no space to keep $path in $state"; fi
    done <"$header" || refuse 12 "refused the data in $state cannot be read"
    [ -z "$listed" ] || are_whole || say_lost
    record_kept || refuse 12 "refused no space for the snapshot in $state"
}
record_kept() { # all of it is whole before any of it has its name
    notes=$state/snapshots/.$id
    printf '%s' "$writes" >"$notes.files" && blob 0 "$story" >"$notes.json" && has_bytes "$notes.json" "$story" || return 1
    set --
    for each in $listed; do set -- "$@" "$state/tmp/$each"; done
    flush "$@" "$notes.files" "$notes.json" && mv -f "$notes.files" "$state/snapshots/$id.files" || return 1
    [ $# = 0 ] || mv -f "$@" "$objects/" || return 1
    # Of objects that are there already the names may not be sure: who made them may have been killed before that.
    flush "$objects" "$state/snapshots"
}
is_listed() { case " $listed " in *" $1 "*) ;; *) return 1 ;; esac; } # SUM: whether its bytes are about to be an object
is_kept() { # SUM -> listed: whether an object has its bytes, or is going to
    if is_listed "$1"; then return 0; fi
    if [ -e "$objects/$1" ] && is_whole "$1"; then return 0; fi
    listed="$listed $1"
    return 1
}
are_whole() { # whether each new object has the bytes of its name
    sums=
    for each in $listed; do sums="$sums${sums:+$line_break}$each  $each"; done
    (cd -P "$state/tmp" && sha256sum -c) >/dev/null 2>&1 <<SUMS
$sums
SUMS
}
say_lost() { # which of the new objects is not as it should be
    while IFS=' ' read -r word sha mode uid gid link new newmode newuid newgid _ from size path; do
        [ "$word" = write ] || continue
        for each in "$sha" "$new"; do
            is_listed "$each" || continue
            sum_of "$state/tmp/$each" && [ "$sum" = "$each" ] && continue
            [ "$each" = "$sha" ] && refuse 12 "refused no space to keep $path in $state"
            refuse 12 "refused $path did not arrive whole"
        done
    done <"$header"
    refuse 12 "refused what is kept in $state cannot be looked at"
}
stand_by() { # every new file is beside its target, whole, before the first takes its name: all the room is had by then
    number=0
    while IFS=' ' read -r word sha mode uid gid link new newmode newuid newgid _ from size path; do
        number=$((number + 1))
        [ "$new" != absent ] || continue
        place "$path" && make_folders "$file" "$newuid" "$newgid" \
            && within "$file" draft "$objects/$new" ".compose-runbook.$id.$number" "$newmode" "$newuid" "$newgid" || { failed=$path; return 1; }
    done <"$state/snapshots/$id.files"
}
exchange() { # the files take their names, one right after the other; then the snapshot that undoes them can be seen
    number=0
    set -- "$state/snapshots"
    while IFS=' ' read -r word sha mode uid gid link new newmode newuid newgid _ from size path; do
        number=$((number + 1))
        place "$path" || { failed=$path; return 1; }
        if [ "$new" = absent ]; then within "$file" remove || { failed=$path; return 1; }
        else within "$file" unbox ".compose-runbook.$id.$number" || { failed=$path; return 1; }; fi
        ground "$file"
        [ "$above" = "$1" ] || set -- "$above" "$@"
    done <"$state/snapshots/$id.files" || return 1
    mv -f "$state/snapshots/.$id.json" "$state/snapshots/$id.json" || return 1
    flush "$@" || { failed='what the folders of the new files hold'; return 1; }
    while IFS=' ' read -r word sha mode uid gid link new newmode newuid newgid _ from size path; do
        [ "$new" = absent ] || continue
        place "$path" && clear_folders "$file" || { failed=$path; return 1; }
    done <"$state/snapshots/$id.files"
}

check_files() { # every file that was read or will be written has the bytes, mode and owner that the plan was made from
    while IFS= read -r line; do
        word=${line%% *}
        case $word in
            id) id=${line#id } ;;
            story) story=${line#story } ;;
            note) note=${line#note } ;;
            write) writes=$writes$line$line_break ;;
        esac
    done <"$header" || refuse 12 "refused the data in $state cannot be read"
    case $id in '' | [!A-Za-z0-9]* | *[!A-Za-z0-9._+-]*) refuse 12 "refused the data names no transaction" ;; esac
    is_count "$story" || refuse 12 "refused the data does not say how long the story of $id is"
    [ -n "$writes" ] || refuse 12 "refused the data of $id names no file"
    end=$story
    while IFS=' ' read -r word sha mode uid gid link rest; do
        case $word in
            write)
                path=${rest#* * * * * * * }
                inside "$path"
                is_sum "${rest%% *}" || refuse 12 "refused the data does not say what $path is to hold"
                ;;
            read) path=$rest ;;
            *) continue ;;
        esac
        state_of "$path" || refuse 10 "$found"
        [ "$found" = "$sha $mode $uid $gid $link" ] || refuse 10 "drift $path ($(told "$path" "$found"), planned from $sha $mode $uid $gid)"
        [ "$word" = write ] || continue
        place "$path" || refuse 12 "refused the link $path cannot be read"
        ground "$file"
        [ -w "$above" ] || refuse 12 "refused the folder of $path is not writable for $(id -un)"
        [ "$sha" = absent ] || may_own "$uid" "$gid"
        rest=${rest% "$path"} && size=${rest##* } && from=${rest% *} && from=${from##* }
        case $from in
            object | -) ;;
            *)
                is_count "$from" && is_count "$size" || refuse 12 "refused the data does not say where $path is in it"
                [ "$((from + size))" -le "$end" ] || end=$((from + size))
                ;;
        esac
        [ "${rest%% *}" = absent ] || { owner=${rest#* * }; after=${owner#* }; may_own "${owner%% *}" "${after%% *}"; }
    done <"$header" || refuse 12 "refused the data in $state cannot be read"
}
is_sum() { case $1 in absent) ;; *[!0-9a-f]*) return 1 ;; *) [ ${#1} = 64 ] ;; esac; } # NEW: a sum, or what is to go
may_own() { # UID GID: whether this user can give a file to them
    # Whose file has this owner is this user. (Not every shell can tell; then a program does.)
    # shellcheck disable=SC3067
    if [ -z "$me" ] && [ -O "$path" ] 2>/dev/null; then me=$uid; fi
    # shellcheck disable=SC3066
    if [ -z "$group" ] && [ -G "$path" ] 2>/dev/null; then group=$gid; fi
    [ -n "$me" ] || me=$(id -u)
    [ "$me" != 0 ] || return 0
    [ "$1" = "$me" ] || refuse 12 "refused $path belongs to user $1, which $(id -un) cannot restore"
    case " $(id -G) " in *" $2 "*) ;; *) refuse 12 "refused $path belongs to group $2, which $(id -un) cannot restore" ;; esac
}
told() { # PATH STATE: for people
    if [ "${2##* }" = - ]; then printf '%s' "${2% *}"; else printf '%s, a link to %s' "${2% *}" "$(readlink "$1")"; fi
}

revert() { # puts back what the pending transaction found; whole afterwards, or still pending
    id=$(cat "$state/pending") && [ -n "$id" ] && [ -s "$state/snapshots/$id.files" ] || { say "refused the notes of ${id:-a transaction} are gone"; return 1; }
    while IFS=' ' read -r word sha mode uid gid link new newmode newuid newgid _ from size path; do
        place "$path" || { say "refused the link $path cannot be read"; return 1; }
        [ ! -d "${file%/*}/" ] || within "$file" clear_boxes || { say "refused what stands beside $path cannot be taken away"; return 1; }
        state_of "$path" || { say "$found"; return 1; }
        if [ "$found" = "$sha $mode $uid $gid $link" ]; then
            [ "$sha" != absent ] || clear_folders "$file" || { say "refused a folder that was made for $path cannot be taken away"; return 1; }
            continue
        fi
        case $found in
            "$sha "* | "$new "* | absent*) ;;
            *) keep "$file" "${found%% *}" && flush "$objects" || return 1; say "kept $path as object ${found%% *}: it was changed after the interruption" ;;
        esac
        if [ "$sha" = absent ]; then take_away "$file" || { say "refused $path cannot be taken away"; return 1; }; continue; fi
        is_whole "$sha" || { say "refused the kept copy of $path is damaged or gone"; return 1; }
        make_folders "$file" "$uid" "$gid" && put "$objects/$sha" "$file" "$mode" "$uid" "$gid" || { say "refused $path cannot be put back"; return 1; }
    done <"$state/snapshots/$id.files" || { say "refused the notes of $id cannot be read"; return 1; }
    rm -f "$state/snapshots/$id.json" "$state/snapshots/.$id.json" && flush "$state/snapshots" \
        && record revert "$id" && rm -f "$state/pending" && flush "$state"
}

repair() { if untouched; then say "whole"; else hold; sole recover; let_go; fi; }
untouched() { # whether no run left anything, as far as reading shows: then there is nothing to hold a lock for
    none "$lock" "$state/pending" "$state/tmp/"* "$objects/.new."* "$lock".[0-9]* "$state/snapshots/".[!.]* "$state/commands/"*/unseen || return 1
    for file in "$state/snapshots/"*.files; do none "$file" || [ -e "${file%.files}.json" ] || return 1; done
    set -- "$state/commands/"*
    [ $# -le 20 ] && { [ -n "$ends_whole" ] || last_line; }
}
recover() { # finishes or reverts what was interrupted, and says which
    mend_journal || { let_go; refuse 12 "refused the unfinished last line of $journal cannot be set aside"; }
    rm -f "$state/tmp/"* "$objects/.new."* "$lock".[0-9]*
    commands_unseen
    if [ ! -s "$state/pending" ]; then
        rm -f "$state/snapshots/".[!.]*
        for file in "$state/snapshots/"*.files; do [ -e "${file%.files}.json" ] || rm -f "$file"; done
        say "whole"
        return 0
    fi
    id=$(cat "$state/pending") || { let_go; refuse 14 "pending unknown"; }
    lines=
    # A power cut right after the very first line may have taken the journal with it.
    [ ! -e "$journal" ] || lines=$(grep -F "\"id\":\"$id\"" "$journal")
    [ $? -le 1 ] || { let_go; refuse 14 "pending $id: $journal cannot be read"; }
    case ${lines##*"$line_break"} in *'"kind":"commit"'*) committed=1 ;; *) committed= ;; esac
    if [ -n "$committed" ]; then
        rm -f "$state/pending" && flush "$state" && say "finished $id" || { let_go; refuse 14 "pending $id"; }
    else
        why=$(revert) || { let_go; refuse 14 "pending $id: $(printf '%s' "$why" | tail -n 1)"; }
        if [ -n "$why" ]; then say "$why"; fi
        say "reverted $id"
    fi
    say_head
}

snapshots() {
    for file in "$state/snapshots/"*.json; do
        [ ! -e "$file" ] || { cat "$file" && say ""; } || refuse 12 "refused $file cannot be read"
    done
}
read_files() { # each path of the data: "SHA MODE UID GID SIZE PATH", then its bytes
    receive
    while IFS= read -r path; do
        if [ ! -e "$path" ]; then link_of "$path"; say "absent 0 0 0 $target 0 $path"; continue; fi
        [ -f "$path" ] || refuse 12 "refused $path is not a regular file"
        cp -f "$path" "$state/tmp/read.$$" || refuse 12 "refused $path cannot be read by $(id -un)"
        sum_of "$state/tmp/read.$$"
        link_of "$path"
        say "$sum $(stat -L -c '%a %u %g' "$path") $target $(stat -c %s "$state/tmp/read.$$") $path"
        cat "$state/tmp/read.$$"
    done <"$header"
    rm -f "$state/tmp/read.$$"
    done_with_data
}

# --- the plain case ---------------------------------------------------------------------------------------------------------
plainly() { # PLAIN: what it does is done; what it leaves to us it has not begun, but for the lock
    [ -n "$1" ] && command -v perl >/dev/null 2>&1 || return 0
    answer=$(PERL5OPT='' perl -C0 -e "$1" "$state" "$project" "$run" "$who")
    code=$?
    case $code in
        0 | 12 | 14) say "$answer"; exit "$code" ;;
        100) if [ -n "$answer" ]; then heading=$answer$line_break handed=1; fi ;;
        101) sole take_back "$answer" ;;
        # It was killed, or is no Perl. With the lock it may have begun, and then the next run sees what it did, and mends it.
        *) if [ "$verb" = lock+commit ] && holds_lock; then refuse 14 "pending, as perl ended with $code"; fi ;;
    esac
}
take_back() { # WHAT: a file that could not be written; the lock stays, as after any refusal
    revert && refuse 12 "refused $1 could not be written; every file is as it was"
    refuse 14 "pending $id"
}

# --- commands ----------------------------------------------------------------------------------------------------------
execute() { # runs the words of the data, one a line; goes on when the link is lost; both ends are in the journal
    receive
    order=$(date +%s)-$$
    folder=$state/commands/$order
    mkdir "$folder" && head -n 2 "$header" >"$folder/about" && tail -n +3 "$header" >"$folder/argv" && : >"$folder/unseen" || refuse 12 "refused no space in $state"
    done_with_data
    set --
    while IFS= read -r line; do set -- "$@" "$line"; done <"$folder/argv"
    about=$(head -n 1 "$folder/about") && sole record command-begin "$order" "$about" || refuse 12 "refused cannot write $journal"
    (
        trap '' HUP INT
        life_of "$(exec sh -c 'echo $PPID')" >"$folder/life"
        (cd "$project" && exec "$@") >"$folder/out" 2>&1 </dev/null
        code=$?
        sole record command-end "$order" "{\"exit\":$code}"
        printf '%s\n' "$code" >"$folder/.exit" && mv "$folder/.exit" "$folder/exit"
    ) >/dev/null 2>&1 </dev/null &
    wait $!
    cat "$folder/out"
    say ""
    say "exit $(cat "$folder/exit")"
}
life_of() { # PID -> the process and when it began: a number alone may be another's after a restart of the host
    { IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    case ${stat##*) } in [ZX]*) return 0 ;; esac
    # shellcheck disable=SC2086 # its fields are numbers
    set -- "$1" ${stat##*) }
    printf '%s %s' "$1" "${21}"
}
fate_of() { # FOLDER -> "exit N", "running" or "lost"
    if [ -s "$1/exit" ]; then printf 'exit %s' "$(cat "$1/exit")"; return; fi
    life=$(cat "$1/life" 2>/dev/null)
    if [ -n "$life" ] && [ "$(life_of "${life%% *}")" = "$life" ]; then printf running
    # It may have ended while it was looked at.
    elif [ -s "$1/exit" ]; then printf 'exit %s' "$(cat "$1/exit")"
    else printf lost; fi
}
commands_unseen() { # how those ended whose end nobody was told; the notes of older ones go
    for folder in "$state/commands/"*; do
        [ -e "$folder/unseen" ] || continue
        fate=$(fate_of "$folder")
        say "command $fate: $(sed -n 2p "$folder/about")"
        [ "$fate" = running ] || rm -f "$folder/unseen"
    done
    set -- "$state/commands/"*
    while [ $# -gt 20 ]; do
        if [ -s "$1/exit" ]; then rm -rf "$1"; fi
        shift
    done
}
last_command() {
    last=
    for folder in "$state/commands/"*; do if [ -e "$folder/about" ]; then last=$folder; fi; done
    [ -n "$last" ] || { say none; return; }
    say "$(fate_of "$last")"
    sed -n 2p "$last/about"
}

tools_elsewhere() { # the tools are never what somebody put into the folder where the program works
    rest=$PATH: tools=''
    while [ -n "$rest" ]; do
        case $rest in /*) tools=$tools${tools:+:}${rest%%:*} ;; esac
        rest=${rest#*:}
    done
    PATH=$tools
}
main() {
    case :$PATH: in *:[!/]*) tools_elsewhere ;; esac
    verb=$1 state=$2 project=$3 run=$4 who=$5
    objects=$state/objects journal=$state/journal lock=$project/.compose-runbook.lock
    # The program stays there: to ask from elsewhere takes a subshell.
    if cd -P "$project" 2>/dev/null; then root=$PWD; else root=$(where "$project"); fi
    # Nothing may ever count as within a folder without a name.
    [ -n "$root" ] || root=$project
    id='' added='' tip='' locked='' ends_whole='' left=1 story=0 note='{}' heading='' handed='' writes='' payload='' header='' me='' group=''
    # A state folder that the Docker group shares keeps being shared; any other is its owner's alone.
    if [ -g "$state" ]; then umask 007; fi
    case $verb in
        prepare) prepare ;;
        lock) take_lock; say "held" ;;
        renew) renew_lock; say "held" ;;
        unlock) hear; line=''; next_line; all_heard; done_with_data; alone "$project" break_lock "$line" ;;
        release) alone "$project" release; say "released"; say_head ;;
        # Verbs that go together start one program. The lock is given back whether or not the note could be written.
        opening) prepare; say --; repair; say --; snapshots ;;
        lock+commit) plainly "${6:-}"; take_lock; sole commit ;;
        note+release)
            plainly "${6:-}"
            if [ -z "$handed" ]; then IFS= read -r left && sole put_down
            else left=${#heading} && sole put_down <<NOTE
${heading%"$line_break"}
NOTE
            fi
            alone "$project" release
            say "released"
            if [ -n "$added" ]; then say_head_after; else say_head; fi
            ;;
        owner) if [ -h "$lock" ]; then say "locked $(date +%s) $(readlink "$lock")"; else say free; fi ;;
        read) read_files ;;
        commit) sole commit ;;
        recover) repair ;;
        abandon) hold; sole abandon; let_go ;;
        execute) execute ;;
        last) last_command ;;
        note) hear; sole put_down || { all_heard; refuse 12 "refused cannot write $journal"; }; done_with_data; say_head_after ;;
        journal) [ ! -e "$journal" ] || cat "$journal" || refuse 12 "refused $journal cannot be read" ;;
        snapshots) snapshots ;;
        prune) receive; hold; sole prune; let_go ;;
        *) refuse 12 "refused unknown verb $verb" ;;
    esac
}

abandon() { # an unfinished transaction that nothing here can repair: its files are put back from elsewhere
    if [ -s "$state/pending" ]; then
        record abandon "$(cat "$state/pending")" && rm -f "$state/pending" && flush "$state" || { let_go; refuse 12 "refused cannot write in $state"; }
    fi
    say abandoned
}
prune() { # in the order that was given, and surely: what undid a transaction must not go before the transaction
    while IFS= read -r name; do
        rm -f "$state/snapshots/$name.json" && flush "$state/snapshots" && rm -f "$state/snapshots/$name.files" \
            || { let_go; refuse 12 "refused snapshot $name cannot be removed"; }
    done <"$header" || { let_go; refuse 12 "refused the data in $state cannot be read"; }
    done_with_data
    sweep
}
sweep() { # objects that no snapshot names any more
    for file in "$objects/"*; do
        [ -e "$file" ] || continue
        grep -qsF "${file##*/}" "$state/snapshots/"* || rm -f "$file"
    done
    say swept
}

main "$@"

# Looks at what would spoil a run on a host half way; changes nothing.
#   sh -c PROGRAM sh PROJECT STATE ROOT
# ROOT stands before /proc, /etc and the like (empty but in tests). Standard input: lines "file PATH" for what would be
# written, "backup PATTERN" for where backups lie. The answer is a line for each thing found out.
set -u
export LC_ALL=C
project=$1 state=$2 root=$3
real=$(readlink -f "$project")
line_break='
'

room() { # NAME PATH: KiB and inodes that are free where a path is, or would be; - for what cannot be told
    place=$2
    while [ -n "$place" ] && [ ! -e "$place" ]; do place=${place%/*}; done
    echo "room $1 $(free -Pk "${place:-/}") $(free -Pi "${place:-/}")"
}
free() { # OPTION PATH: the number before the one with the percent sign; a file system without a limit has none
    df "$1" "$2" 2>/dev/null | sed -e 1d -e 's/^.* \([0-9][0-9]*\)  *[0-9][0-9]*% .*$/\1/' -e t -e 's/.*/-/' | grep . || echo -
}
in_git() ( # the files that git has, and those of them that were changed
    [ -n "$files" ] && command -v git >/dev/null || exit 0
    IFS=$line_break
    # shellcheck disable=SC2086 # a path a line, and no path holds a line break
    set -f -- $files
    unset IFS
    look='git --no-optional-locks -c core.fsmonitor=false -c core.quotePath=false'
    # shellcheck disable=SC2086 # the words of a command
    $look -C "$project" ls-files -- "$@" 2>/dev/null | sed 's/^/tracked /'
    # shellcheck disable=SC2086 # the words of a command
    $look -C "$project" status --porcelain --untracked-files=no -- "$@" 2>/dev/null | cut -c 4- | sed 's/^/edited /'
)
lines_about_it() { # WHERE: lines of standard input that name the project and, beside it, something that brings files
    while IFS= read -r line || [ -n "$line" ]; do
        case ${line#"${line%%[! ]*}"} in '#'*) continue ;; esac
        for path in "$project" "$real"; do
            case $line in *"$path"*) ;; *) continue ;; esac
            case "${line%%"$path"*} ${line#*"$path"}" in
                *git* | *deploy* | *rsync* | *ansible* | *puppet* | *chef-client* | *salt-call* | *scp* | *svn*)
                    printf 'deploy %s: %s\n' "$1" "$line" | cut -c 1-240
                    break ;;
            esac
        done
    done
}
deployed() { # what comes by itself and may overwrite the files: lines of cron, timers of systemd
    crontab -l 2>/dev/null | lines_about_it crontab
    for file in "$root/etc/crontab" "$root/etc/cron.d/"* "$root/var/spool/cron/crontabs/"*; do
        [ ! -r "$file" ] || [ -d "$file" ] || lines_about_it "${file#"$root"}" <"$file"
    done
    for timer in "$root/etc/systemd/system/"*.timer; do
        unit=${timer%.timer}.service
        [ ! -r "$unit" ] || { tr '\n' ' ' <"$unit"; echo; } | lines_about_it "${timer##*/}"
    done
}
newest() { # PATTERN: when the newest file was written, 0 for none
    latest=0
    IFS=
    # shellcheck disable=SC2086 # a pattern, which may hold blanks
    for file in $1; do
        [ ! -f "$file" ] || at=$(stat -L -c %Y "$file") || continue
        [ ! -f "$file" ] || [ "$at" -le "$latest" ] || latest=$at
    done
    unset IFS
    echo "backup $latest $1"
}

files='' backups=''
while IFS= read -r line; do
    case $line in
        'file '*) files="$files${line#file }$line_break" ;;
        'backup '*) backups="$backups${line#backup }$line_break" ;;
    esac
done
echo "clock $(date +%s)"
echo "user $(id -u) $(id -G)"
room state "$state"
room project "$project"
room tmp "${TMPDIR:-/tmp}"
sed -n 's/^MemAvailable: *\([0-9]*\) kB$/memory \1/p' "$root/proc/meminfo" 2>/dev/null
for tool in base64 cat chmod cp cut date dd df grep head id ln mkdir mktemp mv readlink rm rmdir sed sha256sum stat sync tail tr wc; do
    command -v "$tool" >/dev/null || echo "missing $tool"
done
in_git
deployed
printf %s "$backups" | while IFS= read -r pattern; do newest "$pattern"; done
echo end

# The floor: what a careful person would write for one exchange a host, with the same file operations and syncs as a run.
#   sh -c PROGRAM sh apply FOLDER FILE STATE RUN BEFORE_SHA AFTER_SHA MODE       new bytes on standard input
#   sh -c PROGRAM sh check FOLDER FILE STATE RUN BEFORE_SHA                      reads the file and compares
set -eu
umask 077
what=$1 folder=$2 file=$3 state=$4 run=$5 before=$6
cd "$folder"
if [ "$what" = check ]; then
    set -- "$(sha256sum <"$file")"
    [ "${1%% *}" = "$before" ] && cat "$file"
    exit
fi
after=$7 mode=$8 objects=$state/objects
[ -d "$objects" ] || mkdir -p "$objects" "$state/snapshots"
# lock, read and compare
ln -s "run=$run since=$(date +%s)" .lock
set -- "$(sha256sum <"$file")"
[ "${1%% *}" = "$before" ]
# back up: old and new bytes by their digest, and what was where
cp "$file" "$objects/.old"
cat >"$objects/.new"
set -- "$(sha256sum <"$objects/.new")"
[ "${1%% *}" = "$after" ]
printf '%s %s %s %s\n' "$before" "$after" "$(stat -c '%a %u %g' "$file")" "$file" >"$state/snapshots/.$run"
sync "$objects/.old" "$objects/.new" "$state/snapshots/.$run"
mv -f "$objects/.old" "$objects/$before"
mv -f "$objects/.new" "$objects/$after"
mv -f "$state/snapshots/.$run" "$state/snapshots/$run"
sync "$objects" "$state/snapshots"
# journal, each line with the digest of the one before; a mark that work is pending
head() { if [ -s "$state/journal" ]; then tail -n 1 "$state/journal" | sha256sum; else echo none; fi; }
record() { printf '{"previous":"%s","at":"%s","kind":"%s","run":"%s"}\n' "$(head)" "$(date -u +%FT%TZ)" "$1" "$run" >>"$state/journal"; }
record begin
printf '%s\n' "$run" >"$state/.pending"
sync "$state/journal" "$state/.pending"
mv -f "$state/.pending" "$state/pending"
sync "$state"
# replace: whole and synced beside the file before it takes its name
cp "$objects/$after" ".draft.$run"
chmod "$mode" ".draft.$run"
sync ".draft.$run"
mv -f ".draft.$run" "$file"
sync .
record commit
sync "$state/journal"
rm -f "$state/pending"
sync "$state"
# verify, and give the lock back
set -- "$(sha256sum <"$file")"
[ "${1%% *}" = "$after" ]
rm -f .lock

# Stands in front of the program that writes to hosts: each of its external commands is counted, and the n-th is struck.
#   FAULT_CALLS: a folder with a file 0 in it; each call takes the next free number, also when two come at once
#   FAULT_AT: which call to strike; 0: none.   FAULT: how
# before: killed before it; after: killed after it; torn: killed half way through what it writes; fail: it fails;
# full: it fails half way; late: it does its work, and fails; MOUNT: a command that changes the world, then it goes on.
_next() {
    set -C
    set -- "$1" "$FAULT_CALLS"/*
    _n=$(($# - 1))
    until { echo "$1" >"$FAULT_CALLS/$_n"; } 2>/dev/null; do _n=$((_n + 1)); done
    set +C
}
_half() {
    case $1 in
        cp)
            [ "$2" != -f ] || shift
            command head -c "$(($(command wc -c <"$2") / 2))" "$2" >"$3"
            ;;
        cat | head | tail) command "$@" >"$FAULT_CALLS/../half.$$"; command head -c "$(($(command wc -c <"$FAULT_CALLS/../half.$$") / 2))" "$FAULT_CALLS/../half.$$" ;;
        *) ;;
    esac
}
_do() {
    _next "$*"
    if [ "$_n" != "$FAULT_AT" ]; then command "$@"; return; fi
    case $FAULT in
        before) kill -9 0 ;;
        after) command "$@"; kill -9 0 ;;
        torn) _half "$@"; kill -9 0 ;;
        fail) return 2 ;;
        full) _half "$@"; return 1 ;;
        late) command "$@"; return 2 ;;
        *) sh -c "$FAULT" >/dev/null 2>&1 || :; command "$@" ;;
    esac
}
cat() { _do cat "$@"; }
chmod() { _do chmod "$@"; }
chown() { _do chown "$@"; }
cp() { _do cp "$@"; }
cut() { _do cut "$@"; }
date() { _do date "$@"; }
dd() { _do dd "$@"; }
df() { _do df "$@"; }
flock() { _do flock "$@"; }
grep() { _do grep "$@"; }
head() { _do head "$@"; }
id() { _do id "$@"; }
ln() { _do ln "$@"; }
mkdir() { _do mkdir "$@"; }
mv() { _do mv "$@"; }
readlink() { _do readlink "$@"; }
rm() { _do rm "$@"; }
rmdir() { _do rmdir "$@"; }
sed() { _do sed "$@"; }
sha256sum() { _do sha256sum "$@"; }
stat() { _do stat "$@"; }
sync() { _do sync "$@"; }
tail() { _do tail "$@"; }
tr() { _do tr "$@"; }
wc() { _do wc "$@"; }

# Makes the Redis that was the master before there was a replica the master again, before what was added is taken away.
#   sh -c PROGRAM sh NAME FIRST OTHER PORT SENTINEL...
# No write that was acknowledged is lost: the other takes none while FIRST is seen to have all of them and takes over.
# Ends with 0 when FIRST is the master and no Sentinel watches any more: none may act while FIRST is made anew.
# Else the last line says why not, and everything goes on as it was.
set -u
name=$1 first=$2 other=$3 port=$4
shift 4
[ -z "${REDIS_PASSWORD:-}" ] || export REDISCLI_AUTH="$REDIS_PASSWORD"
PAUSE_MS=20000

node() { # HOST WORD...
    host=$1
    shift
    timeout 3 redis-cli -h "$host" -p "$port" "$@" 2>/dev/null | tr -d '\r'
}
field() { node "$1" info replication | sed -n "s/^$2://p"; }
sentinel() { # HOST WORD...
    host=$1
    shift
    timeout 3 redis-cli -h "$host" -p 26379 sentinel "$@" 2>/dev/null | tr -d '\r'
}
say() { # HOST... : how many of the Sentinels hold it for the master
    count=0
    for each in $sentinels; do
        [ "$(sentinel "$each" get-master-addr-by-name "$name" | head -n 1)" != "$1" ] || count=$((count + 1))
    done
    echo $count
}
within() { # SECONDS COMMAND...: until it holds
    end=$(($(date +%s) + $1))
    shift
    until "$@"; do
        [ "$(date +%s)" -lt $end ] || return 1
        sleep 0.2
    done
}
follows() { [ "$(field "$1" role)" = slave ] && [ "$(field "$1" master_link_status)" = up ]; }
answers() { [ -n "$(field "$1" role)" ]; }
may_lead() { # as the Sentinels see it; where none answers nobody need
    [ "$(say "$other")$(say "$first")" = 00 ] || for each in $sentinels; do
        sentinel "$each" replicas "$name" | sed -n '/^slave-priority$/{n;p;}' | grep -qx 100 && return 0
    done
}
has_all() {
    read=$(field "$first" slave_repl_offset) written=$(field "$other" master_repl_offset)
    [ -n "$written" ] && [ "$written" = "$read" ]
}
is_master() { [ "$(field "$1" role)" = master ]; }
agreed() { [ "$(say "$first")" -ge 2 ]; }
refuse() {
    node "$other" client unpause >/dev/null
    echo "$*"
    exit 1
}
hand_over() { # by a Sentinel, as the others would turn it back; by hand where none answers
    asked=''
    for each in $sentinels; do
        said=$(sentinel "$each" failover "$name")
        [ "$said" != OK ] || return 0
        asked=$asked$said
    done
    [ -z "$asked" ] && [ "$(node "$first" replicaof no one)" = OK ]
}
sentinels=$*

if is_master "$first" && is_master "$other" && [ "$(say "$first")$(say "$other")" = 00 ]; then
    refuse "$first and $other both say that they are the master, and no Sentinel answers: make one a replica of the other"
fi
if ! is_master "$first" || [ "$(say "$other")" -ge 2 ]; then
    # Nobody can have taken over where there is no other, or none that is a master.
    if [ -n "$(field "$first" role)" ] || is_master "$other"; then
        if ! within 5 answers "$first" || ! within 30 follows "$first"; then
            refuse "$other is the master, and $first does not follow it: bring $first back first"
        fi
        within 30 may_lead || refuse "the Sentinels would not make $first the master: it has not all yet"
        [ "$(node "$other" client pause $PAUSE_MS write)" = OK ] || refuse "$other does not pause for the change"
        within 4 has_all || refuse "$first does not catch up: it has read ${read:-nothing} of ${written:-?}"
        echo "$first has read all that $other has written, $read"
        hand_over || refuse "no Sentinel makes $first the master: ${asked:-none answers}"
        within 12 is_master "$first" || refuse "$first did not become the master"
        node "$other" replicaof "$first" "$port" >/dev/null
        node "$other" client unpause >/dev/null
        [ "$(say "$other")$(say "$first")" = 00 ] || within 30 agreed || refuse "the Sentinels do not agree that $first is the master"
    fi
fi
for each in $sentinels; do
    sentinel "$each" remove "$name" >/dev/null
done
echo "$first is the master"

# Starts a node or a Sentinel of the set that the step redis_sentinel of Compose Runbook made; docs/redis.md there says why.
#   redis-start node NAME PORT ME OTHER SENTINEL... -- COMMAND...
#   redis-start sentinel NAME ME
# NAME is what the Sentinels call the set. A node begins as what two of the Sentinels say it is now: a master that comes
# back after a failover would take writes that are thrown away when it is told, and one that came back empty would empty
# the other. It waits for them as long as it takes. Passwords reach this in REDIS_PASSWORD, or behind --requirepass.
set -u
umask 077

name_of_master() { # SENTINEL: whom it holds for the master
    timeout 2 redis-cli -h "$1" -p 26379 sentinel get-master-addr-by-name "$name" 2>/dev/null | head -n 1
}
node() {
    name=$1 port=$2 me=$3 other=$4 sentinels='' password=''
    shift 4
    while [ "$1" != -- ]; do
        sentinels="$sentinels $1"
        shift
    done
    shift
    before=''
    for word in "$@"; do
        [ "$before" != --requirepass ] || password=$word
        before=$word
    done
    [ -z "$password" ] || export REDISCLI_AUTH="$password"
    master='' rounds=0
    while [ -z "$master" ]; do
        mine=0 others=0
        for sentinel in $sentinels; do
            case $(name_of_master "$sentinel") in
                "$me") mine=$((mine + 1)) ;;
                "$other") others=$((others + 1)) ;;
            esac
        done
        if [ $mine -ge 2 ]; then
            master=$me
        elif [ $others -ge 2 ]; then
            master=$other
        else
            [ $((rounds % 10)) != 0 ] || echo "$me: waits for two of$sentinels to say who is the master"
            rounds=$((rounds + 1))
            sleep 1
        fi
    done
    echo "$me: the master is $master"
    unset REDISCLI_AUTH
    case ${1:-} in -*) set -- redis-server "$@" ;; esac
    set -- "$@" --replica-announce-ip "$me"
    [ -z "$password" ] || set -- "$@" --masterauth "$password"
    if [ "$master" != "$me" ]; then
        set -- "$@" --replicaof "$master" "$port" --replica-priority 0
        may_lead &
    fi
    begin "$@"
}
may_lead() { # what has not all that the master has must not become the master: after a restart of the host it may be old
    [ -z "$password" ] || export REDISCLI_AUTH="$password"
    until redis-cli -h "$me" -p "$port" info replication 2>/dev/null | grep -q '^master_link_status:up'; do sleep 1; done
    redis-cli -h "$me" -p "$port" config set replica-priority 100 >/dev/null
}
sentinel() {
    name=$1 me=$2 file=/data/sentinel.conf
    # What it found out stays (who is the master, who the others are); the password is today's.
    {
        if [ -s $file ]; then
            grep -Ev '^(requirepass |user default |sentinel (auth|sentinel)-pass )' $file
        else
            cat /sentinel.conf
            echo "sentinel announce-ip $me"
        fi
        if [ -n "${REDIS_PASSWORD:-}" ]; then
            quoted=$(printf %s "$REDIS_PASSWORD" | sed 's/[\\"]/\\&/g')
            printf 'requirepass "%s"\nsentinel sentinel-pass "%s"\nsentinel auth-pass %s "%s"\n' "$quoted" "$quoted" "$name" "$quoted"
        fi
    } >$file.new && mv $file.new $file || exit
    begin redis-server $file --sentinel
}
begin() { # as the image's own way is: it gives up root
    if command -v docker-entrypoint.sh >/dev/null; then exec docker-entrypoint.sh "$@"; fi
    exec "$@"
}

"$@"

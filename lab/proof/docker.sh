#!/bin/sh
# Stands in for docker while links and controllers are cut: two services that always run and are well, unless a file `away`
# beside it says that the engine is stopped.
here=${0%/*}
if [ -e "$here/away" ]; then
    echo "Cannot connect to the Docker daemon. Is it running?" >&2
    exit 1
fi
words=$*
case $1 in
    ps)
        services="db web"
        case $words in *compose.service=*) services=${words#*compose.service=} services=${services%% *} ;; esac
        for service in $services; do
            case $words in *" --format "*) echo "$service $service" ;; *) echo "$service" ;; esac
        done
        ;;
    inspect)
        form=$3
        shift 3
        for service in "$@"; do
            case $form in *Config.Image*) echo "example/$service:1" ;; *) echo "$service running healthy 0 false 0" ;; esac
        done
        ;;
    image) echo sha256:old ;;
    exec) shift 2; exec "$@" ;;
esac

"""`pgbouncer`: a real query through the pooler by its own client, so that a dead database behind it is seen."""

from __future__ import annotations

from checks.model import Probe
from checks.probes.kind import Answer, Judgement, Kind, by_exit, in_service

# The pooler's own DATABASE_URL, with its own address in place of the database's. The login stays in the container, and
# its password out of the process list: it goes, percent-decoded, into psql's environment.
QUERY = (
    "plain() { out=; rest=$1; while case $rest in *%??*) ;; *) false ;; esac; do out=$out${rest%%%*}; rest=${rest#*%}; "
    'two=${rest%"${rest#??}"}; rest=${rest#??}; out=$out$(printf "\\\\$(printf %03o "0x$two")"); done; printf %s "$out$rest"; }; '
    "url=${DATABASE_URL:-}; port=${LISTEN_PORT:-${PGBOUNCER_PORT:-5432}}; "
    'if [ -n "$url" ]; then head=${url%@*}; rest=${url##*@}; name=${rest#*/}; login=${head#*://}; user=${login%%:*}; '
    'case $login in *:*) PGPASSWORD=$(plain "${login#*:}"); export PGPASSWORD ;; esac; '
    'set -- "postgresql://$user@127.0.0.1:$port/${name%%\\?*}"; '
    'else export PGPASSWORD="${DB_PASSWORD:-$POSTGRESQL_PASSWORD}"; set -- "host=127.0.0.1 port=$port '
    'user=${DB_USER:-${POSTGRESQL_USERNAME:-postgres}} dbname=${DB_NAME:-${PGBOUNCER_DATABASE:-postgres}}"; fi; '
    "PGCONNECT_TIMEOUT=5 exec psql -X -q -t -A \"$1\" -c 'select 1'"
)


def command(probe: Probe, project: str) -> tuple[str, ...]:
    return in_service(project, probe.service, "sh", "-c", QUERY)


def judge(_: Probe, answer: Answer) -> Judgement:
    if answer.exit == 0 and answer.output.strip() != "1":
        return Judgement(False, answer.seconds, detail="the query gave no answer")
    return by_exit(answer)


KIND = Kind({}, command, judge)

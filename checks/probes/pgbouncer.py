"""`pgbouncer`: a real query through the pooler by its own client, so that a dead database behind it is seen.

With `pool` it also asks the pooler how much of its server connections is used: the fullest pool, in percent.
"""

from __future__ import annotations

from checks.model import Probe
from checks.probes.kind import Answer, Judgement, Kind, by_exit, in_service

# The pooler's own DATABASE_URL, with its own address in place of the database's. The login stays in the container, and
# its password out of the process list: it goes, percent-decoded, into psql's environment. The pooler's console is a
# database of its own name, open to who is in admin_users or stats_users.
QUERY = (
    "plain() { out=; rest=$1; while case $rest in *%??*) ;; *) false ;; esac; do out=$out${rest%%%*}; rest=${rest#*%}; "
    'two=${rest%"${rest#??}"}; rest=${rest#??}; out=$out$(printf "\\\\$(printf %03o "0x$two")"); done; printf %s "$out$rest"; }; '
    "url=${DATABASE_URL:-}; port=${LISTEN_PORT:-${PGBOUNCER_PORT:-5432}}; "
    'if [ -n "$url" ]; then head=${url%@*}; rest=${url##*@}; name=${rest#*/}; login=${head#*://}; user=${login%%:*}; '
    'case $login in *:*) PGPASSWORD=$(plain "${login#*:}"); export PGPASSWORD ;; esac; '
    'at="postgresql://$user@127.0.0.1:$port/"; name=${name%%\\?*}; '
    'else export PGPASSWORD="${DB_PASSWORD:-$POSTGRESQL_PASSWORD}"; '
    'at="host=127.0.0.1 port=$port user=${DB_USER:-${POSTGRESQL_USERNAME:-postgres}} dbname="; '
    "name=${DB_NAME:-${PGBOUNCER_DATABASE:-postgres}}; fi; export PGCONNECT_TIMEOUT=5; "
    "psql -X -q -t -A \"$at$name\" -c 'select 1'"
)
CONSOLE = (
    " || exit; psql -X -q -A -F '|' -P footer=off \"${at}pgbouncer\" -c 'show pools' -c 'show databases' 2>&1; exit 0"
)


def command(probe: Probe, project: str) -> tuple[str, ...]:
    return in_service(project, probe.service, "sh", "-c", QUERY + (CONSOLE if probe.settings.get("pool") else ""))


def judge(probe: Probe, answer: Answer) -> Judgement:
    first, *rest = answer.output.strip().splitlines() or [""]
    if answer.exit == 0 and first.strip() != "1":
        return Judgement(False, answer.seconds, detail="the query gave no answer")
    if answer.exit != 0 or not probe.settings.get("pool"):
        return by_exit(answer)
    used = utilisation(rest)
    return Judgement(True, answer.seconds, used, "" if used is not None else "its console does not say how full it is")


def utilisation(lines: list[str]) -> float | None:
    """Percent of the fullest pool's server connections that are at work; None where the console does not say.

    `lines` are the tables of SHOW POOLS and SHOW DATABASES, each with its heading; columns differ between versions.
    """
    heading: list[str] = []
    pools: list[dict[str, str]] = []
    sizes: dict[str, float] = {}
    for line in lines:
        words = line.split("|")
        if words[0] in ("database", "name"):
            heading = words
            continue
        row = dict(zip(heading, words, strict=False))
        if "sv_active" in row and row.get("database") != "pgbouncer":
            pools.append(row)
        elif row.get("pool_size", "").isdigit():
            sizes[row["name"]] = float(row["pool_size"])
    shares = [
        100 * float(row["sv_active"]) / sizes[row["database"]]
        for row in pools
        if row["sv_active"].isdigit() and sizes.get(row["database"])
    ]
    return max(shares, default=0.0 if sizes else None)


KIND = Kind({"pool": "true: also how full it is, where its login may ask its console"}, command, judge)

"""`postgres`: a real query by the container's own client and user, over TCP; counts the connections."""

from __future__ import annotations

from checks.model import Probe
from checks.probes.kind import Answer, Judgement, Kind, by_exit, in_service
from inventory.replies import count

# The socket answers while initdb is still at work, so the query goes over TCP. The password stays in the container.
QUERY = (
    'PGPASSWORD="${POSTGRES_PASSWORD:-$POSTGRESQL_PASSWORD}" PGCONNECT_TIMEOUT=5 exec psql -X -q -t -A -h 127.0.0.1 '
    '-U "${POSTGRES_USER:-${POSTGRESQL_USERNAME:-postgres}}" -d "${POSTGRES_DB:-${POSTGRESQL_DATABASE:-postgres}}" '
    "-c 'select count(*) from pg_stat_activity'"
)


def command(probe: Probe, project: str) -> tuple[str, ...]:
    return in_service(project, probe.service, "sh", "-c", QUERY)


def judge(_: Probe, answer: Answer) -> Judgement:
    found = count(answer.output.strip()) if answer.exit == 0 else None
    return by_exit(answer, None if found is None else float(found))


KIND = Kind({}, command, judge)

"""A cold start of the platform as an operator would do it: `down`, then `up` again and again until every service answers.

One POSIX sh program on the practice host does it and counts; this module holds it and reads its answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from inventory.errors import HostFailed

ANSWERS = {
    "postgres": "pg_isready -q -h 127.0.0.1",
    "pgbouncer": "pg_isready -q -h 127.0.0.1 -p 5432",
    "redis": "nc -z 127.0.0.1 6379",
    "elasticsearch": "curl -fsS -m 2 http://127.0.0.1:9200/_cluster/health",
    "logstash": "curl -fsS -m 2 http://127.0.0.1:9600/",
    "kibana": "curl -fsS -m 2 http://127.0.0.1:5601/api/status",
    "apm-server": "curl -fsS -m 2 http://127.0.0.1:8200/",
    "backend": "curl -fsS -m 2 http://127.0.0.1:2000/health",
    "frontend": "curl -fsS -m 2 http://127.0.0.1/health",
    "prometheus": "curl -fsS -m 2 http://127.0.0.1:9090/-/ready",
    "grafana": "curl -fsS -m 2 http://127.0.0.1:3000/api/health",
}
"""How each service shows from inside its container that it answers, whatever its health check says."""

LIMIT_UPS, LIMIT_S = 30, 600
PROGRAM = r"""
cd "$1" && log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
case $2 in cold) docker compose down --remove-orphans >/dev/null 2>&1 ;; esac
begin=$(date +%s%N); ups=0; told=
elapsed() { echo $(( ($(date +%s%N) - begin) / 1000000 )); }
until docker compose up -d --no-build --pull never >"$log" 2>&1; do
    ups=$((ups + 1))
    if [ "$ups" -ge 30 ] || [ "$(elapsed)" -ge 600000 ]; then told="up kept failing: $(tail -n 1 "$log")"; break; fi
done
ups=$((ups + 1))
answer() { docker compose exec -T "$1" sh -c "$2" >/dev/null 2>&1; }
while [ -z "$told" ]; do
    silent=
    while IFS='|' read -r service command; do
        [ -z "$service" ] || answer "$service" "$command" </dev/null || { silent=$service; break; }
    done <<EOF
$3
EOF
    [ -n "$silent" ] || break
    if [ "$(elapsed)" -ge 600000 ]; then told="$silent does not answer"; break; fi
    sleep 0.2
done
took=$(elapsed)
failed=$(docker compose logs --no-log-prefix 2>/dev/null | grep -c 'connection attempt failed')
restarts=$(docker compose ps -aq | xargs docker inspect -f '{{.RestartCount}}' | awk '{s += $1} END {print s + 0}')
printf '%s %s %s %s %s\n' "$took" "$ups" "$failed" "$restarts" "$told"
"""


@dataclass(frozen=True)
class ColdStart:
    """Seconds until every service answered, `up` commands needed, failed connection attempts, container restarts."""

    seconds: float
    ups: int
    failed_connections: int
    restarts: int


def arguments(project_dir: str, *, cold: bool) -> tuple[str, str, str]:
    """What PROGRAM takes: the project, whether to take it down first, and how each service shows that it answers."""
    checks = "\n".join(f"{service}|{command}" for service, command in ANSWERS.items())
    return project_dir, "cold" if cold else "warm", checks


def read(text: str) -> ColdStart:
    """The program's answer. Raises HostFailed when the platform did not come up."""
    words = text.strip().split(" ", 4)
    if len(words) < 4 or not all(word.isdigit() for word in words[:4]):
        raise HostFailed(f"the cold start gave no figures: {text.strip()[:200]!r}")
    if len(words) == 5 and words[4]:
        raise HostFailed(f"the platform did not come up: {words[4]}")
    return ColdStart(int(words[0]) / 1000, int(words[1]), int(words[2]), int(words[3]))

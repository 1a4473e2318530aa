"""A lease that ends: a service is stopped, and its entry in the registry is looked at until it is gone, and back after a start."""

from __future__ import annotations

from dataclasses import dataclass

from checks.probes.aggregator import ASK
from inventory.errors import HostFailed
from inventory.link import Link
from lab.measure.cache import document
from lab.state import PROJECT_DIR

# $1 project folder, $2 service. Prints four times of the host's clock in seconds: stopped, said unwell (or a dash), gone, well again
# after the start; and when it was started. The entry's value has the health in it.
PROGRAM = """
cd "$1" || exit
registry=$(docker compose ps -q service-registry) && service=$(docker compose ps -aq "$2") || exit
now() { date +%s.%N; }
said() { docker exec "$registry" etcdctl get --prefix --print-value-only "/services/$1/"; }
well() { case $(said "$1") in *unhealthy*) return 1 ;; *healthy*) ;; *) return 1 ;; esac; }
well "$2" || { echo 'is not registered'; exit 1; }
docker stop -t 3 "$service" >/dev/null && stopped=$(now) unwell=- gone=
for _ in $(seq 600); do
    value=$(said "$2") || continue
    case $value in
        *unhealthy*) [ "$unwell" != - ] || unwell=$(now) ;;
        *healthy*) ;;
        *) gone=$(now) && break ;;
    esac
    sleep 0.1
done
docker start "$service" >/dev/null && started=$(now)
[ -n "$gone" ] || { echo 'is registered although it was stopped'; exit 1; }
for _ in $(seq 600); do
    well "$2" && exec echo "$stopped $unwell $gone $started $(now)"
    sleep 0.1
done
echo 'is not registered again'
exit 1
"""
LIMIT_S = 400.0
URL = "http://127.0.0.1:8080"
ASKED = 'cd "$1" && exec docker compose exec -T "$2" python3 -c "$3" "$4"'


@dataclass(frozen=True)
class Lease:
    """Seconds from the stop until the entry said that the service is unwell (None: it went without), until the entry was gone, and
    from the start until it was there again, well."""

    unwell_s: float | None
    gone_s: float
    back_s: float


def measure(link: Link, service: str) -> Lease:
    """Stops a service, waits for its entry to go, starts it again. Raises HostFailed."""
    return read(link.run(PROGRAM, PROJECT_DIR, service, timeout_s=LIMIT_S).text, service, link.host.name)


def read(text: str, service: str, host: str = "") -> Lease:
    """What the program printed. Raises HostFailed."""
    try:
        stopped, unwell, gone, started, back = text.split()
        return Lease(None if unwell == "-" else float(unwell) - float(stopped), float(gone) - float(stopped), float(back) - float(started))  # fmt: skip
    except ValueError:
        raise HostFailed(f"{service} {text.strip() or 'gave no figures'}", host=host) from None


def registered(link: Link) -> tuple[int, int]:
    """How many services the registry says to be well, and how many the aggregator asks. Raises HostFailed."""
    entries = document(link, link.run(ASKED, PROJECT_DIR, "service-registrar", ASK, f"{URL}/services"), "entries")["entries"]  # fmt: skip
    asked = document(link, link.run(ASKED, PROJECT_DIR, "health-aggregator", ASK, f"{URL}/health"), "services")["services"]  # fmt: skip
    return len({each["service"] for each in entries if each["health"] == "healthy"}), len(asked)

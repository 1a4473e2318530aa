"""Drills: a service is stopped, frozen or slow for a while under load, and what callers got is counted."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from inventory.errors import HostFailed
from inventory.link import Link, Reply
from lab.measure.gaps import START
from lab.state import PROJECT_DIR

PROGRAM = Path(__file__).parent / "programs" / "caller.py"
CALLERS, INTERVAL_S = 8, 0.2
"""So many callers, each of whom would ask every so many seconds: 40 requests a second."""
SOON_S = 1.0
"""An answer later than this is none to a caller."""
CALM_S = 5.0
"""Undisturbed load at the beginning."""
IN_A_ROW = 5
"""Good answers in a row that show that all is well again."""
NOW = "date +%s.%N"
AGAIN_LIMIT_S = 300.0
AGAIN = """
cd "$1" || exit
for _ in $(seq 240); do
    said=$(docker compose exec -T backend curl -s -m 5 -o /dev/null -w '%{http_code} %header{x-circuit}' "$2") && [ "$said" = "200 " ] && exec date +%s.%N
    sleep 1
done
exit 1
"""
PSQL = 'docker exec reconciliation-postgres sh -c \'psql -X -q -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "$0"\' '


@dataclass(frozen=True)
class Disturbance:
    """What is done on the host, for how long (s), how it is taken back, and how long (s) is watched afterwards."""

    name: str
    begin: str
    end: str
    hold_s: float
    rest_s: float


STOPPED = Disturbance(
    "database stopped", "docker stop -t 3 reconciliation-postgres >/dev/null",
    "docker start reconciliation-postgres >/dev/null", 60, 25,
)  # fmt: skip
HANGS = Disturbance(
    "database hangs", "docker pause reconciliation-postgres >/dev/null",
    "docker unpause reconciliation-postgres >/dev/null", 20, 25,
)  # fmt: skip
"""The engine's `pause` stops every process where it stands, as SIGSTOP does."""
SLOW = Disturbance(
    "a query that sleeps",
    PSQL + '"begin; lock table reconciled in access exclusive mode; select pg_sleep(20)" >/dev/null 2>&1 &', "true", 20, 10,
)  # fmt: skip
"""It holds a lock meanwhile, so that every write waits; reads, and checks, go on."""
DISTURBANCES = (STOPPED, HANGS, SLOW)


@dataclass(frozen=True)
class Drill:
    """What callers got from `seconds` of load with a disturbance in it. Times in seconds.

    `expected`: requests that all callers would make if nobody waited; those that were not made (`lost`) are the cascade: a
    caller that waits for an answer does nothing else. `hung`: requests of the disturbance without an answer within a
    second. `served`: answers with status 200 within a second, the fallback's among them; `own`: without those. `fallback`:
    answers that the breaker gave itself. `failing_s`: the median time until a request of the disturbance that was not
    served was told so. `recovered_s`: from the end of the disturbance to the first of five good answers in a row, or, when
    the load had ended by then, to the first good answer.
    """

    name: str
    expected: int
    requests: int
    served: int
    own: int
    fallback: int
    hung: int
    failing_s: float | None
    recovered_s: float | None

    @property
    def lost(self) -> int:
        return max(0, self.expected - self.requests)

    @property
    def available(self) -> float:
        """The share of what callers wanted that was served within a second."""
        return self.served / max(1, self.expected, self.requests)

    @property
    def available_own(self) -> float:
        """The same without the fallback's answers."""
        return self.own / max(1, self.expected, self.requests)


def run(link: Link, url: str, how: Disturbance) -> Drill:
    """One drill, with the load in a container beside the project. Raises HostFailed where there are no figures."""
    duration = CALM_S + how.hold_s + how.rest_s
    words = (f"runbook-caller-{secrets.token_hex(4)}", url, str(CALLERS), str(INTERVAL_S), str(duration))
    replies: list[Reply] = []

    def load() -> None:
        replies.append(link.run(START, PROJECT_DIR, *words, data=PROGRAM.read_bytes(), timeout_s=duration + 180))

    thread = threading.Thread(target=load, name="callers", daemon=True)
    thread.start()
    time.sleep(CALM_S)
    began = moment(link, how.begin)
    try:
        time.sleep(how.hold_s)
    finally:
        ended = moment(link, how.end)
    thread.join(duration + 180)
    try:
        asked = json.loads(replies[0].text.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise HostFailed("the drill gave no figures", host=link.host.name) from None
    found = figures(how.name, asked, began, ended, round(CALLERS * duration / INTERVAL_S))
    return found if found.recovered_s is not None else replace(found, recovered_s=again(link, url) - ended)


def again(link: Link, url: str) -> float:
    """When on the host's clock (s) the service itself answers well. Raises HostFailed when it does not."""
    reply = link.run(AGAIN, PROJECT_DIR, url, timeout_s=AGAIN_LIMIT_S)
    if reply.exit != 0:
        raise HostFailed(f"{url} does not answer well again", host=link.host.name)
    return float(reply.text)


def moment(link: Link, command: str) -> float:
    """Runs a command, and says when on the host's clock (s) it was done, or begun where it goes on beside."""
    return float(link.run(f"{command}{' ' if command.endswith('&') else '; '}{NOW}", timeout_s=120).text)


def figures(name: str, asked: Sequence[Sequence[float]], began: float, ended: float, expected: int) -> Drill:
    """A drill's figures. `asked`: (when, seconds, status, whether a breaker answered), in order of when."""
    served = [each for each in asked if each[2] == 200 and each[1] <= SOON_S]
    during = [each for each in asked if began <= each[0] < ended]
    after = [each for each in asked if each[0] >= ended]
    failing = [each[1] for each in during if each[2] != 200]
    runs = (after[at : at + IN_A_ROW] for at in range(len(after) - IN_A_ROW + 1))
    recovered = next((run[0][0] + run[0][1] - ended for run in runs if all(own(each) for each in run)), None)
    return Drill(
        name, expected, len(asked), len(served), sum(map(own, served)), sum(bool(each[3]) for each in asked),
        sum(each[1] > SOON_S for each in during), median(failing) if failing else None, recovered,
    )  # fmt: skip


def own(each: Sequence[float]) -> bool:
    """Whether the dependency itself answered, and well."""
    return each[2] == 200 and not each[3]

"""`./inv demo --phase 2`: phase 2 on a practice host, with drills under load before and after, and the way back."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from checks.model import Probe
from checks.probes import round_
from inventory.errors import HostFailed
from inventory.link import Link
from lab import figures_2, hosts, progress
from lab.demo import ENVIRONMENT, FOLDER, MIGRATED, SETTLE_LIMIT_S, never_migrated, quiet, settle, state_of, timed
from lab.figures_2 import Figures, Use
from lab.measure import aggregator, drills
from lab.measure.drills import Drill
from lab.state import PROJECT_DIR
from runbooks import session
from runbooks.commands import migrating, rolling_back
from runbooks.commands.choice import Choice
from runbooks.output import Output

DIRECT, THROUGH = "http://backend:2000/api/reconcile", "http://circuit-breaker:2000/api/reconcile"
"""What callers of the backend are told before and after: itself, and the breaker before it."""
GATE = "{window: 10s, interval: 1s}"
WISHES = f"""\
resource_profile: development
pool_peak: 21
breakers: {{backend: {{limit: 2s, status: 200, body: '{{"status": "degraded", "stale": true}}'}}}}
gate: {GATE}
"""
"""What the inventory says besides: how long a request of the backend may take, and what callers get instead meanwhile."""
USE = "cd \"$1\" && docker stats --no-stream --format '{{.MemUsage}}' $(docker compose ps -q) | awk '{print $1, $3}'"
WELL = 'until [ -z "$(docker ps -q --filter health=starting; docker ps -q --filter health=unhealthy)" ]; do sleep 0.5; done'
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def demo(out: Output, *, scale: float = 1.0, picture: str = "") -> int:
    """Tells the whole story; returns 0 when it went as it should. `scale`: of the stand-ins' start-up times."""
    out.may_picture(picture)
    with progress.bars() as tell:
        hosts.up(tell, scale=scale)
    with out.pictured(picture, "./inv demo --phase 2"), tempfile.TemporaryDirectory(prefix="runbook-demo-") as made:
        (Path(made) / "staging.yml").write_text(wishing((FOLDER / "staging.yml").read_text()))
        return story(out, Path(made))


def wishing(inventory: str) -> str:
    """An inventory's text with the demo's own wishes beside `project_dir`."""
    return re.sub(r"(?m)^( +)(?=project_dir: )", lambda match: "".join(f"{match[1]}{line}\n" for line in WISHES.splitlines()) + match[1], inventory)  # fmt: skip


def story(out: Output, folder: Path) -> int:
    """What happens, on hosts that are up."""
    with host(out, folder) as link:
        never_migrated(link)
        # What is only starting yet is proven by nobody, and would be left for the next run to change.
        link.run(WELL, timeout_s=SETTLE_LIMIT_S)
        original = state_of(link)
    out.show(f"\n[phase 1]  {MIGRATED}: what phase 2 stands on", style="bold")
    code, _ = timed(lambda: migrate("1", out, folder))
    if code:
        return code
    with host(out, folder) as link:
        settle(link)
        between = state_of(link)
        out.show(f"\n[before]  {MIGRATED}: drills under load, without breakers", style="bold")
        use_before, before = use(link), drilled(link, DIRECT, out)
    out.show(f"\n[migrate]  phase 2 on {MIGRATED}", style="bold")
    code, migrate_s = timed(lambda: migrate("2", out, folder))
    if code:
        return code
    with host(out, folder) as link:
        settle(link)
        out.show(f"\n[after]  {MIGRATED}: the same drills, with breakers", style="bold")
        use_after, together, counted = use(link), aggregator.measure(link), trips(link)
        after = drilled(link, THROUGH, out)
        counted = trips(link) - counted
    out.show(f"\n[rollback]  phase 2 on {MIGRATED}", style="bold")
    code, rollback_s = timed(lambda: back(out, folder))
    if code:
        return code
    with host(out, folder) as link:
        settle(link)
        same = state_of(link) == between
    out.show(f"\n[rollback]  phase 1 on {MIGRATED}", style="bold")
    code, _ = timed(lambda: back(out, folder))
    if code:
        return code
    with host(out, folder) as link:
        same = same and state_of(link) == original
    found = Figures(use_before, use_after, before, after, counted, together, migrate_s, rollback_s)
    out.show("", *figures_2.tables(found), f"migrated in {migrate_s:.0f} s, rolled back in {rollback_s:.0f} s")
    told = "after each rollback every file has the bytes, mode and owner of before, every container its image" if same else "the files or images are NOT as before"  # fmt: skip
    out.show(told, style="bold green" if same else "bold red")
    out.document({**asdict(found), "same": same, "table": figures_2.rows(found), "drills": figures_2.drill_rows(found)})
    return 0 if same else 1


@contextmanager
def host(out: Output, folder: Path) -> Iterator[Link]:
    """A link to the host that is migrated. Raises what keeps it from being reached."""
    with session.opened(ENVIRONMENT, folder, MIGRATED, out.mask) as opened:
        for error in opened.errors.values():
            raise error
        yield opened.links[MIGRATED]


def migrate(phase: str, out: Output, folder: Path) -> int:
    return migrating.migrate(quiet(out), Choice(phase, ENVIRONMENT, folder, MIGRATED), migrating.How())


def back(out: Output, folder: Path) -> int:
    return rolling_back.rollback(quiet(out), ENVIRONMENT, folder=folder, limit=MIGRATED)


def drilled(link: Link, url: str, out: Output) -> list[Drill]:
    """Every drill, one after another, each on a stack that is well."""
    found = []
    for how in drills.DISTURBANCES:
        found.append(drills.run(link, url, how))
        link.run(WELL, timeout_s=SETTLE_LIMIT_S)
        out.show(figures_2.drill_line(found[-1]))
    return found


def use(link: Link) -> Use:
    """What all containers use and may use, by the engine's own figures. Raises HostFailed."""
    pairs = [line.split() for line in link.run(USE, PROJECT_DIR, timeout_s=120).text.splitlines()]
    if not pairs or any(len(words) != 2 for words in pairs):
        raise HostFailed("docker stats shows nothing of the project", host=link.host.name)
    return Use(sum(size(words[0]) for words in pairs), sum(size(words[1]) for words in pairs))


def size(text: str) -> int:
    """Bytes of what `docker stats` shows, such as 12.5MiB. Raises HostFailed."""
    match = re.fullmatch(r"([\d.]+)([KMG]?i?B)", text)
    if not match or match[2] not in _UNITS:
        raise HostFailed(f"docker stats shows {text!r}")
    return int(float(match[1]) * _UNITS[match[2]])


def trips(link: Link) -> float:
    """How often breakers opened since HAProxy started, as a soak's probe counts it."""
    (sample,) = round_(link, [Probe("breaker", "breaker:circuit-breaker", "circuit-breaker")], "reconciliation")
    if sample.value is None:
        raise HostFailed(f"the breaker does not say how often it opened: {sample.detail}", host=link.host.name)
    return sample.value

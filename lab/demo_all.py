"""`./inv demo --all`: phases 1 to 3, each on staging, then a shortened soak, then on production; at the end everything goes back."""

from __future__ import annotations

import math
import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from checks.evidence import RunRecord, Soaks, Store
from checks.probes import KINDS
from checks.soak import Soak
from checks.statistics import still_needed
from inventory import fleet
from inventory.errors import HostFailed, Refused
from inventory.secrets import Mask
from inventory.soaks import HOUR_S
from lab import demo_3, hosts, progress
from lab.demo import FOLDER, never_migrated, quiet, timed
from lab.demo_3 import State
from lab.measure import files
from runbooks import session, soak_probes
from runbooks.commands import migrating, rolling_back, soak_starting, soaking
from runbooks.commands.choice import Choice
from runbooks.output import Output
from runbooks.soaking import Ticker, end
from runbooks.survey import survey
from runbooks.who import operator

if TYPE_CHECKING:
    from rich.table import Table

STAGING, PRODUCTION = "staging", "production"
MEMBERS = ((STAGING, "staging-1"), (STAGING, "staging-2"), (PRODUCTION, "production-1"))
PHASES = ("1", "2", "3")
REQUIRED_HOURS = 0.01
"""What production requires here, in place of 48 hours."""
TARGET, SPARE, EVERY_S = 0.999, 1.02, 1.0
"""The share of good samples that a soak must show; so many times the samples that this needs; seconds between two ticks, as the soak counts."""


@dataclass(frozen=True)
class Passed:
    """One phase's way to production, in seconds; `samples` good and measured in its soak, and the soak's verdict."""

    phase: str
    staging_s: float
    soak_s: float
    verdict: str
    production_s: float


@dataclass(frozen=True)
class Figures:
    """The whole way. `different`: bytes of all hosts that differ in the end; `changed`: files that differ in anything, images too."""

    phases: tuple[Passed, ...]
    back_s: Mapping[str, float]
    different: int
    changed: tuple[str, ...]
    seconds: float


def demo(out: Output, *, scale: float = 1.0, picture: str = "") -> int:
    """Tells the whole story; returns 0 when it went as it should. `scale`: of the stand-ins' start-up times."""
    out.may_picture(picture)
    begin = time.monotonic()
    with progress.bars() as tell:
        hosts.up(tell, scale=scale)
    with out.pictured(picture, "./inv demo --all"), tempfile.TemporaryDirectory(prefix="runbook-demo-") as made:
        for name in (STAGING, PRODUCTION):
            (Path(made) / f"{name}.yml").write_text(wishing((FOLDER / f"{name}.yml").read_text()))
        return story(out, Path(made), begin)


def wishing(inventory: str) -> str:
    """An inventory's text with phase 3's wishes, and a soak that is shorter than the one that it requires."""
    shorter = f"requires_soak: {{environment: {STAGING}, hours: {REQUIRED_HOURS}}}"
    return re.sub(r"(?m)(?<=^        )requires_soak: .*$", shorter, demo_3.wishing(inventory))


def story(out: Output, folder: Path, begin: float) -> int:
    """What happens, on hosts that are up."""
    original = everywhere(out, folder, first=True)
    passed = []
    for phase in PHASES:
        out.show(f"\n[phase {phase}]  {STAGING}", style="bold")
        code, staging_s = migrated(phase, STAGING, out, folder)
        if code:
            return code
        out.show(f"\n[phase {phase}]  {PRODUCTION}, before the soak", style="bold")
        if not waits(phase, out, folder):
            return 1
        out.show(f"\n[phase {phase}]  a shortened soak of {STAGING}", style="bold")
        soak, soak_s = soaked(out, folder)
        if soak.outcome != "pass":
            return soaking.CODES[soak.outcome or "inconclusive"]
        out.show(f"\n[phase {phase}]  {PRODUCTION}", style="bold")
        code, production_s = migrated(phase, PRODUCTION, out, folder)
        if code:
            return code
        passed.append(Passed(phase, staging_s, soak_s, soak.reason, production_s))
    back_s = {}
    for environment in (PRODUCTION, STAGING):
        out.show(f"\n[rollback]  all three phases on {environment}", style="bold")
        code, back_s[environment] = taken_back(environment, out, folder)
        if code:
            return code
    last = everywhere(out, folder)
    found = Figures(
        tuple(passed), back_s, sum(files.bytes_different(original[name].files, last[name].files) for name in last),
        tuple(what for name in last for what in differing(name, original[name], last[name])), time.monotonic() - begin,
    )  # fmt: skip
    out.show("", table(found), f"all of it, making the practice hosts included: {found.seconds:.0f} s")
    good = not found.different and not found.changed
    told = "every file has the bytes, mode and owner of before, every container its image" if good else f"NOT as before: {', '.join(found.changed)}"  # fmt: skip
    out.show(f"{found.different} bytes different on {len(last)} hosts: {told}", style="bold green" if good else "bold red")  # fmt: skip
    out.document(asdict(found))
    return 0 if good else 1


def migrate(phase: str, environment: str, out: Output, folder: Path) -> int:
    how = migrating.How(serial="100%", accept_risk="high")
    return migrating.migrate(quiet(out), Choice(phase, environment, folder), how)


def migrated(phase: str, environment: str, out: Output, folder: Path) -> tuple[int, float]:
    return timed(lambda: migrate(phase, environment, out, folder))


def taken_back(environment: str, out: Output, folder: Path) -> tuple[int, float]:
    return timed(lambda: back(environment, out, folder))


def waits(phase: str, out: Output, folder: Path) -> bool:
    """Whether production is refused as long as no soak has passed."""
    try:
        migrate(phase, PRODUCTION, out, folder)
    except Refused as error:
        if "passed soak" not in error.message:
            raise
        out.show(f"refused: {error}")
        return True
    out.show(f"{PRODUCTION} was not refused, although no soak has passed", style="bold red")
    return False


def back(environment: str, out: Output, folder: Path) -> int:
    """Undoes the newest run of phase 1 that changed an environment, and with it all that came after."""
    store = Store()
    try:
        first = newest(store.runs(environment=environment, limit=1000), PHASES[0])
    finally:
        store.close()
    return rolling_back.rollback(quiet(out), environment, folder=folder, run=first, later=True)


def newest(runs: tuple[RunRecord, ...], phase: str) -> str:
    """The id of the newest run of a phase that changed something. Raises HostFailed."""
    for run in runs:
        if run.kind == "migrate" and run.phase == phase and "changed" in run.hosts.values():
            return run.id
    raise HostFailed(f"the store has no run of phase {phase}")


def soaked(out: Output, folder: Path) -> tuple[Soak, float]:
    """A soak of staging from its first tick to its verdict, and how many seconds it took. Raises HostFailed where none could begin."""
    begin = time.monotonic()
    hours, every = f"{seconds_of(samples(out, folder)) / HOUR_S:.6f}", f"{EVERY_S:g}s"
    if soak_starting.start(quiet(out), STAGING, folder=folder, hours=hours, every=every):
        raise HostFailed("no soak could be begun", host=STAGING)
    store = Store()
    try:
        soak = ticked(store, Soaks(store).all(environment=STAGING, running=True)[0], out.mask)
    finally:
        store.close()
    good = soak.outcome == "pass"
    out.show(f"{soak.outcome}: {soak.reason}", style="green" if good else "bold red")
    return soak, time.monotonic() - begin


def ticked(store: Store, soak: Soak, mask: Mask) -> Soak:
    """A soak with all its ticks and its verdict. They follow one another as fast as the hosts answer, each with the time of its slot:
    a machine that is busy is asked as often as one that is not. Raises HostFailed where another program took a tick or the end."""
    ticker = Ticker(store, mask, operator())
    try:
        for number in range(soak.ticks):
            made = ticker.tick(soak, soak.time_of(number) + timedelta(seconds=soak.every_s / 2))
            if made.number != number:
                raise HostFailed(f"tick {number} of {soak.id} was made by another program")
    finally:
        ticker.close()
    # A soak that is not a whole number of ticks long ends within its last one.
    found = made.ended or end(store, soak, soak.end)
    if found is None:
        raise HostFailed(f"{soak.id} was ended by another program")
    return found


def samples(out: Output, folder: Path) -> int:
    """How many answers each tick of a soak of staging gives that are good or bad."""
    with session.opened(STAGING, folder, None, out.mask) as opened:
        surveyed = fleet.each(opened.links, lambda name: survey(opened.links[name], opened.host(name), out.mask))
        found = [soak_probes.probes_of(each.value, out.mask)[0] for each in surveyed.values() if each.value]
    return sum(not KINDS[probe.kind].measures for probes in found for probe in probes)


def seconds_of(samples: int) -> float:
    """How long a soak must be, in seconds of its own, for its claim. `samples`: good or bad ones of each tick."""
    return max(REQUIRED_HOURS * HOUR_S, math.ceil(SPARE * still_needed(0, 0, TARGET) / max(1, samples)) * EVERY_S)


def everywhere(out: Output, folder: Path, *, first: bool = False) -> dict[str, State]:
    """The state of every practice host, by its name. `first`: sees to it that each is one, and as it was made."""
    found = {}
    for environment, name in MEMBERS:
        with demo_3.host(out, folder, environment, name) as (_, link):
            if first:
                never_migrated(link)
            found[name] = demo_3.state_of(link)
    return found


def differing(host: str, before: State, after: State) -> list[str]:
    """What differs on a host: files, and whether images do."""
    changed = [f"{host}:{path}" for path in files.changed(before.files, after.files)]
    return changed if before.images == after.images else [*changed, f"{host}: images"]


def rows(found: Figures) -> list[dict[str, Any]]:
    """Each phase's way, in seconds."""
    return [{"phase": each.phase, "staging": f"{each.staging_s:.0f} s", "soak": f"{each.soak_s:.0f} s", "verdict": each.verdict,
             "production": f"{each.production_s:.0f} s"} for each in found.phases]  # fmt: skip


def table(found: Figures) -> Table:
    """The same, for a screen."""
    from rich.table import Table

    made = Table(title="from staging to production and back", title_justify="left", title_style="bold")
    for name in ("phase", "staging", "soak", "verdict", "production"):
        made.add_column(name, justify="left" if name == "verdict" else "right")
    for each in rows(found):
        made.add_row(*each.values())
    made.add_row("back", f"{found.back_s[STAGING]:.0f} s", "", "", f"{found.back_s[PRODUCTION]:.0f} s")
    return made

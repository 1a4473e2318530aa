"""`./inv demo --phase 3`: phase 3 on a practice host, step by step, each shown at work, and the way back in the reverse order."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inventory.errors import HostFailed
from inventory.link import Link
from lab import figures_3, hosts, progress, wishes
from lab.demo import ENVIRONMENT, FOLDER, IMAGES, MIGRATED, SETTLE_LIMIT_S, never_migrated, quiet, timed
from lab.figures_3 import TARGET, Figures
from lab.measure import cache, files, lease, naming, scaling
from lab.measure.files import File
from lab.state import PROJECT_DIR
from runbooks import scaler, session
from runbooks.commands import discovering, migrating, rolling_back
from runbooks.commands.choice import Choice
from runbooks.output import Output
from runbooks.scaler import Scaled
from runbooks.session import Session

GATE = {"window": "10s", "interval": "1s"}
ASKED, TIMES = 55, 20
"""Keys that the backend reads (the last five nobody warmed), and how often it reads each."""
WARM = "select 'warm:' || n, n from generate_series(1, 50) n"
SCALED, PORT, PATH, MOST = "frontend", 80, "/health", 4
STOPPED = "grafana"
"""The service that is stopped for its lease to end: nothing depends on it."""
WISHES: Mapping[str, Any] = {
    "cache_consumers": {"backend": ["REDIS_URL"]},
    "cache_memory": "64mb",
    "cache_warm": [{"query": WARM, "from": "postgres", "ttl": "1h"}],
    "registry_lease": "6s",
    "autoscale": {SCALED: {"min": 2, "max": MOST, "cpu": TARGET, "drop": ["container_name", "ports"]}},
    "gate": GATE,
}  # fmt: skip
"""What the inventory says besides."""
WELL = 'until [ -z "$(docker ps -q --filter health=starting; docker ps -q --filter health=unhealthy)" ]; do sleep 0.5; done'
STEPS = ("shared cache", "service registry", "where services live", "replicas")


@dataclass(frozen=True)
class State:
    """Every file of the project, and the image of every container."""

    files: Mapping[str, File]
    images: str


def demo(out: Output, *, scale: float = 1.0, picture: str = "") -> int:
    """Tells the whole story; returns 0 when it went as it should. `scale`: of the stand-ins' start-up times."""
    out.may_picture(picture)
    with progress.bars() as tell:
        hosts.up(tell, scale=scale)
    with out.pictured(picture, "./inv demo --phase 3"), tempfile.TemporaryDirectory(prefix="runbook-demo-") as made:
        (Path(made) / "staging.yml").write_text(wishing((FOLDER / "staging.yml").read_text()))
        return story(out, Path(made))


def wishing(inventory: str) -> str:
    """An inventory's text with the demo's own wishes."""
    return wishes.saying(inventory, WISHES)


def story(out: Output, folder: Path) -> int:
    """What happens, on hosts that are up."""
    with host(out, folder) as (_, link):
        never_migrated(link)
        original = state_of(link)
    for phase in ("1", "2"):
        out.show(f"\n[phase {phase}]  {MIGRATED}: what phase 3 stands on", style="bold")
        if code := migrate(phase, out, folder):
            return code
    with host(out, folder) as (_, link):
        between = state_of(link)
        reads_before = cache.reads(link, "warm:", ASKED, TIMES)
    took = 0.0
    shown: dict[str, Any] = {}
    for step in STEPS:
        out.show(f"\n[phase 3: {step}]  {MIGRATED}", style="bold")
        if step == "where services live":
            with host(out, folder) as (_, link):
                shown["named before"] = naming.measure(link)
        code, seconds = carried("3", out, folder, step)
        took += seconds
        if code:
            return code
        with host(out, folder) as (opened, link):
            link.run(WELL, timeout_s=SETTLE_LIMIT_S)
            at_work(step, opened, link, folder, out, shown)
    return ended(out, folder, original, between, reads_before, shown, took)


def at_work(step: str, opened: Session, link: Link, folder: Path, out: Output, shown: dict[str, Any]) -> None:
    """Shows what a step brought, and keeps the figures in `shown`."""
    if step == "shared cache":
        shown["reads"] = found = cache.reads(link, "warm:", ASKED, TIMES)
        shown["cache"] = kept = cache.kept(link)
        out.show(f"  {kept.warm} of {kept.wanted} keys warm; the backend read {found.reads} times, {found.hits} hit")
        out.show(f"  {len(kept.invalidations_s)} invalidations arrived, {kept.lost} did not")
    elif step == "service registry":
        discovering.show(quiet(out), ENVIRONMENT, folder=folder, limit=MIGRATED)
        shown["registered"] = lease.registered(link)
        shown["lease"] = ended_lease = lease.measure(link, STOPPED)
        out.show(f"  {STOPPED} stopped: gone after {ended_lease.gone_s:.1f} s; started: there again after {ended_lease.back_s:.1f} s")  # fmt: skip
    elif step == "where services live":
        shown["named"] = named = naming.measure(link)
        before = shown["named before"]
        same = "the same" if named.rendered == before.rendered else "NOT the same"
        out.show(
            f"  hosts in URLs: {before.hosts}, then {named.hosts}; .env is {named.mode}; what Compose renders is {same}"
        )
    else:
        shown["scaling"] = scaled = scaling.measure(link, SCALED, PORT, PATH, MOST, rounds(opened, link, folder, out))
        out.show(f"  {scaled.asked} requests through HAProxy meanwhile, {scaled.failed} failed; the slowest took {scaled.slowest_s:.2f} s")  # fmt: skip


def rounds(opened: Session, link: Link, folder: Path, out: Output) -> Any:
    """A function that makes one round of scaling at a time (epoch, s), as `scale.tick` does. Rounds like the last one are not told."""
    told: list[Scaled] = []
    wanted = opened.host(MIGRATED).variables["autoscale"]

    def one(at: float) -> Scaled:
        opened.renew()
        (found,) = scaler.round_of(link, opened.writer(MIGRATED), out.mask, wanted, folder / "wishes.json", at)
        used = "" if found.cpu is None else f" at {found.cpu:.0f} % of its limit"
        if (
            found.before != found.after
            or found.note
            or not told
            or told[-1].cpu is None
            or abs(told[-1].cpu - (found.cpu or 0)) > 5
        ):
            out.show(f"  {found.service}: {found.before} -> {found.after} replicas{used} {found.note}".rstrip())
        told.append(found)
        return found

    return one


def ended(out: Output, folder: Path, original: State, between: State, reads_before: cache.Reads, shown: dict[str, Any], took: float) -> int:  # fmt: skip
    """The way back, step by step and phase by phase, and the table."""
    back_s = 0.0
    for step in reversed(STEPS):
        out.show(f"\n[rollback]  {step}", style="bold")
        code, seconds = timed(lambda: back(out, folder))
        back_s += seconds
        if code:
            return code
    with host(out, folder) as (_, link):
        as_between = same(between, state_of(link))
    for phase in ("2", "1"):
        out.show(f"\n[rollback]  phase {phase}", style="bold")
        if code := back(out, folder):
            return code
    with host(out, folder) as (_, link):
        last = state_of(link)
    registered, services = shown["registered"]
    found = Figures(
        reads_before, shown["reads"], shown["cache"], registered, services, shown["lease"], shown["named before"], shown["named"],
        shown["scaling"], took, back_s, files.bytes_different(original.files, last.files), as_between and same(original, last),
    )  # fmt: skip
    out.show("", *figures_3.tables(found), f"phase 3 migrated in {took:.0f} s, rolled back in {back_s:.0f} s")
    missed = figures_3.missed(found)
    for each in missed:
        out.show(each, style="bold red")
    if found.as_before:
        out.show("after phase 3 went back, and at the end: 0 bytes different, every mode, owner and image as before", style="bold green")  # fmt: skip
    out.document({**asdict(found), "missed": missed, "table": figures_3.rows(found)})
    return 1 if missed else 0


@contextmanager
def host(
    out: Output, folder: Path, environment: str = ENVIRONMENT, name: str = MIGRATED
) -> Iterator[tuple[Session, Link]]:
    """A session with one host, and its link. Raises what keeps it from being reached."""
    with session.opened(environment, folder, name, out.mask) as opened:
        for error in opened.errors.values():
            raise error
        yield opened, opened.links[name]


def migrate(phase: str, out: Output, folder: Path, *steps: str) -> int:
    choice = Choice(phase, ENVIRONMENT, folder, MIGRATED, steps)
    return migrating.migrate(quiet(out), choice, migrating.How(accept_risk="high"))


def carried(phase: str, out: Output, folder: Path, step: str) -> tuple[int, float]:
    """Carries one step out: the exit code, and how many seconds it took."""
    return timed(lambda: migrate(phase, out, folder, step))


def back(out: Output, folder: Path) -> int:
    return rolling_back.rollback(quiet(out), ENVIRONMENT, folder=folder, limit=MIGRATED)


def state_of(link: Link) -> State:
    """Every file and every image, when all that runs is well. Raises HostFailed."""
    # What is only starting yet is proven by nobody, and would be left for the next run to change.
    if link.run(WELL, timeout_s=SETTLE_LIMIT_S).exit != 0:
        raise HostFailed("its services do not get well", host=link.host.name)
    return State(files.read(link), link.run(IMAGES, PROJECT_DIR).text)


def same(before: State, after: State) -> bool:
    """Whether every byte, mode, owner and image is as it was."""
    return not files.changed(before.files, after.files) and before.images == after.images

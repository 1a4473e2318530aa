"""A soak of made-up measurements in a store: for pictures of reports and dashboards, and to try them without hosts.

Nothing in it was measured anywhere; its environment is called `sample` so that nobody takes it for more.
"""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from checks.evidence import GateRecord, RunRecord, Soaks, StepRecord, Store, UpRecord
from checks.model import Probe
from checks.report import gather
from checks.soak import Series, Soak
from lab import browser
from runbooks import report_html, screen_soak, soaking, whole
from runbooks.output import Output

BEGIN = datetime(2026, 3, 3, 22, 30, tzinfo=UTC)
STARTS = {
    "postgres": 3.1,
    "pgbouncer": 1.2,
    "redis": 0.9,
    "elasticsearch": 24.0,
    "backend": 6.5,
    "frontend": 3.8,
    "haproxy": 0.7,
}
HOSTS = ("app-1", "app-2")
KINDS = {"postgres": "postgres", "pgbouncer": "pgbouncer", "redis": "redis"}


@dataclass(frozen=True)
class Story:
    """What happens in it. `bad`: every so-manieth answer of the backend fails. `away`: hours in which nobody ticks."""

    hours: float = 48.0
    every_s: float = 30.0
    bad: int = 0
    away: tuple[float, float] = (0.0, 0.0)
    outage: tuple[float, float] = (20.0, 20.03)


def fill(store: Store, story: Story) -> Soak:
    """Writes runs and a soak, ended and judged by whoever reads it next."""
    _runs(store)
    soak = Soak(
        "soak-sample", "sample", "", (), "1", "20260303-221500-5a3d1e", "9f3a77c05b1e", "ops@controller", BEGIN.isoformat(timespec="milliseconds"),
        story.hours * 3600, story.every_s,
    )  # fmt: skip
    series = Soaks(store).start(soak, _probes())
    ticks = [n for n in range(soak.ticks) if not story.away[0] <= n * story.every_s / 3600 < story.away[1]]
    made = [
        {
            "soak": soak.id,
            "number": n,
            "by": "sample",
            "began": soak.time_of(n).isoformat(),
            "made": soak.time_of(n).isoformat(),
        }
        for n in ticks
    ]
    samples = list(_samples(soak, series, ticks, story))
    with store.writing() as connection:
        for name, rows in (("ticks", made), ("samples", samples)):
            for start in range(0, len(rows), 20_000):
                connection.execute(store.table(name).insert(), rows[start : start + 20_000])
    return soak


def _probes() -> list[tuple[str, str, Probe]]:
    found = []
    for service in STARTS:
        found.append(Probe("container", f"container:{service}", service))
        if service in KINDS:
            settings = {"pool": True} if service == "pgbouncer" else {}
            found.append(Probe(KINDS[service], f"{KINDS[service]}:{service}", service, settings))
        else:
            found.append(Probe("command", f"answers:{service}", service, {"command": ["true"]}))
        found.append(Probe("startup", f"startup:{service}", service))
        found += [Probe("resources", f"{of}:{service}", service, {"of": of}) for of in ("cpu", "memory")]
    found.append(Probe("breaker", "breaker:haproxy", "haproxy"))
    found += [Probe("cache", f"cache_{of}:cache-keeper", "cache-keeper", {"of": of}) for of in ("invalidation", "hits")]
    return [(host, "shop", probe) for host in HOSTS for probe in found]


def _samples(soak: Soak, series: Sequence[Series], ticks: Sequence[int], story: Story) -> Iterator[dict[str, Any]]:
    chance = random.Random(7)  # noqa: S311 - made-up figures
    for n in ticks:
        hour = n * soak.every_s / 3600
        day = 0.5 + 0.5 * math.sin((hour - 9) / 24 * 2 * math.pi)
        for each in series:
            probe = each.probe
            row: dict[str, Any] = {
                "series": each.id,
                "tick": n,
                "ok": 1,
                "latency_us": None,
                "value": None,
                "detail": None,
            }
            if probe.kind in ("startup", "resources", "breaker") and n % soak.measured_each:
                continue
            if probe.kind == "startup":
                row["value"] = STARTS[probe.service] * chance.uniform(0.95, 1.1) if n < 4 * soak.measured_each else None
            elif probe.kind == "resources":
                row["value"] = min(
                    99.0, (62 if probe.settings["of"] == "memory" else 45) + 25 * day + chance.gauss(0, 4)
                )
            elif probe.kind == "breaker":
                row["value"] = 1.0 if hour >= story.outage[0] and each.host == HOSTS[0] else 0.0
            elif probe.kind == "cache":
                row["value"] = 0.4 if probe.settings["of"] == "invalidation" else 88 + 6 * day
            elif probe.kind != "container":
                row["latency_us"] = round(chance.lognormvariate(math.log(4 + 6 * day), 0.35) * 1000, -2)
                row["value"] = 55 + 25 * day + chance.gauss(0, 3) if probe.kind == "pgbouncer" else None
            down = (
                story.outage[0] <= hour < story.outage[1] and each.host == HOSTS[0] and probe.name == "answers:backend"
            )
            if down or (story.bad and probe.name == "answers:backend" and n % story.bad == 3):
                row |= {"ok": 0, "detail": "exit 1: connection refused" if down else "exit 22: 502 Bad Gateway"}
            yield row


def _runs(store: Store) -> None:
    """Three runs: phase 1 tried and undone, tried again, and what the soak watches."""
    times = (BEGIN - timedelta(days=6), BEGIN - timedelta(days=5), BEGIN - timedelta(minutes=15))
    for number, began in enumerate(times):
        run = f"{began:%Y%m%d-%H%M%S}-{('1c07aa', '8b94e2', '5a3d1e')[number]}"
        well = number > 0

        def at(seconds: float, began: datetime = began) -> str:
            return (began + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")

        store.start(
            RunRecord(
                run, "migrate", "sample", "1", "ops@controller", "f", "9f3a77c05b1e", at(0), None, "", None, "", {}, ""
            )
        )
        passed = 0.0
        for host in HOSTS if well else HOSTS[:1]:
            for service, seconds in STARTS.items():
                passed += seconds * (1.6, 1.1, 1.0)[number]
                store.up(UpRecord(run, at(passed), host, service, True, seconds * (1.6, 1.1, 1.0)[number]))
            passed += 30
            outcome, reason = (
                ("pass", "420 of 420 samples good") if well else ("fail", "answers:backend on app-1 failed: exit 22")
            )
            store.gate(
                GateRecord(
                    run,
                    at(passed),
                    "health checks, dependency conditions",
                    "change",
                    outcome,
                    reason,
                    420,
                    0 if well else 1,
                    0,
                    30.0,
                )
            )
            store.step(
                StepRecord(
                    run, at(passed), host, "health checks, dependency conditions", "done" if well else "undone", 70.0
                )
            )
        hosts = dict.fromkeys(HOSTS, "changed") if well else {"app-1": "undone", "app-2": "skipped"}
        store.end(run, outcome="done" if well else "gate failed", code=0 if well else 3, message="", hosts=hosts)
        with store.writing() as connection:  # the store itself only knows that it ended now
            runs = store.table("runs")
            connection.execute(runs.update().where(runs.c.id == run).values(ended=at(passed + 20)))


def pictures(out: Output, folder: Path) -> int:
    """Writes the report of such a soak, a picture of it (wide and light, narrow and dark), and one of the terminal's."""
    with tempfile.TemporaryDirectory(prefix="runbook-sample-") as kept:
        store = Store(f"sqlite:///{kept}/evidence.sqlite")
        soak = soaking.ended(store, fill(store, Story()))
        found = soaking.assessed(store, soak)
        page = folder / "soak-report.html"
        text = report_html.page(gather(store, found), (), out.mask, made=soak.end)
        whole.write(page, text, key="--folder", mode=0o666)
        with out.pictured(str(folder / "soak-report.svg"), "./inv soak.report --env sample"):
            out.show(*screen_soak.report(found, ()))
        store.close()
    browser.side_by_side(page, folder / "soak-report.png", ((1100, False), (400, True)), 1500)
    out.show(f"made-up measurements, as a report: {page}, and beside it as pictures")
    return 0

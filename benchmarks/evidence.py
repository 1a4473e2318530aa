"""How large a year of soak becomes, and how long its report takes: 10 hosts, 20 probes each, a tick a minute.

`./inv bench --subject evidence`. The store is the real one, as down-sampling leaves it (`checks.evidence.retention`):
three days of samples one by one, hours before that, days before those. 105 million samples cannot be measured for a
benchmark, so each hour and day is made of latencies drawn anew from a few hundred made ones.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from checks import soak as soaks
from checks.evidence import Soaks, Store, retention
from checks.evidence.points import ALL
from checks.model import Probe
from checks.soak import Soak
from runbooks.output import Output

ROOT = Path(__file__).resolve().parent.parent
HOSTS, PROBES, DAYS, EVERY_S = 10, 20, 365, 60.0
SEED = 20_260_101
SHAPES = 50
"""Different distributions of latencies, for hours and for days."""
AT_ONCE = 20_000
"""Rows in one transaction."""
FAILS = 5_000
"""One sample in so many fails."""


def bench(out: Output) -> int:
    """Makes the year, then asks for its report as an operator would. Returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/evidence.sqlite")
        begin = time.perf_counter()
        samples = fill(store)
        made_s = time.perf_counter() - begin
        store.close()
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        terminal, html = (best(folder, *words) for words in ((), ("--html", f"{folder}/report.html")))
        out.show(
            f"{samples:,} samples of {HOSTS} hosts x {PROBES} probes in {DAYS} days: {size / 1e6:.0f} MB (made in {made_s:.0f} s)",
            f"soak.report, the whole command, the best of {TRIES}: {terminal.clock_s:.2f} s, {terminal.processor_s:.2f} s of a processor; "
            f"with --html: {html.clock_s:.2f} s, {html.processor_s:.2f} s of a processor",
        )
        out.document({
            "samples": samples, "bytes": size, "report_s": terminal.clock_s, "report_processor_s": terminal.processor_s,
            "html_s": html.clock_s, "html_processor_s": html.processor_s,
        })  # fmt: skip
    return 0


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of processors: those say the same on a machine that others keep busy."""

    clock_s: float
    processor_s: float


TRIES = 3


def best(folder: str, *words: str) -> Took:
    """The quickest of a few."""
    return min((asked(folder, *words) for _ in range(TRIES)), key=lambda took: took.processor_s)


def asked(folder: str, *words: str) -> Took:
    """What `soak.report` takes, from typing it to its end."""
    argv = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "soak.report", *words]
    begin, before = time.perf_counter(), _processors_s()
    subprocess.run(
        argv, env=dict(os.environ) | {"RUNBOOK_STATE": folder}, stdout=subprocess.DEVNULL, check=False, timeout=600
    )
    return Took(time.perf_counter() - begin, _processors_s() - before)


def _processors_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fill(store: Store) -> int:
    """Writes the year down and returns how many samples it stands for."""
    begin = soaks.now() - timedelta(days=DAYS)
    soak = Soak("soak-year", "staging", "", (), "1", "", "", "bench", begin.isoformat(), DAYS * 86_400.0, EVERY_S)
    probes = [
        (f"web-{host}", "shop", Probe("command", f"health:service-{probe}", f"service-{probe}"))
        for host in range(HOSTS)
        for probe in range(PROBES)
    ]
    ids = [each.id for each in Soaks(store).start(soak, probes)]
    draw = random.Random(SEED)  # noqa: S311 - made measurements, nothing secret
    days = DAYS - int(retention.HOURS_S // retention.DAY_S)
    hours = range(days * 24, (DAYS - int(retention.SAMPLES_S // retention.DAY_S)) * 24)
    _insert(store, "rollups", _rollups(draw, ids, ALL, range(1), count=int(hours.stop * 3600 / EVERY_S)))
    _insert(store, "rollups", _rollups(draw, ids, retention.DAY_S, range(days)))
    _insert(store, "rollups", _rollups(draw, ids, retention.HOUR_S, hours))
    first, last = int(hours.stop * 3600 / EVERY_S), int(DAYS * 86_400 / EVERY_S)
    _insert(store, "samples", _samples(draw, ids, range(first, last)))
    _insert(store, "ticks", ({"soak": soak.id, "number": n, "by": "bench", "began": begin.isoformat(), "made": begin.isoformat()}
                             for n in range(first, last)))  # fmt: skip
    made = store.table("soaks")
    with store.writing() as connection:
        connection.execute(made.update().values(made=first))
    return last * len(ids)


def _rollups(
    draw: random.Random, ids: list[int], span_s: int, numbers: range, count: int = 0
) -> Iterator[dict[str, Any]]:
    count = count or int(span_s / EVERY_S)
    shapes = [
        json.dumps(_latencies(draw, count), separators=(",", ":")) for _ in range(SHAPES if count < AT_ONCE else 1)
    ]
    for id_ in ids:
        for number in numbers:
            failed = sum(draw.random() < 1 / FAILS for _ in range(count // 60))
            yield {"series": id_, "span_s": span_s, "number": number, "ok": count - failed, "failed": failed, "unknown": 0,
                   "valued": 0, "latencies": draw.choice(shapes), "total": 0.0, "lowest": None, "highest": None,
                   "last": None, "rises": 0.0}  # fmt: skip


def _latencies(draw: random.Random, count: int) -> dict[int, int]:
    """So many answers by microseconds: around 20 ms, with a long tail."""
    return dict(sorted(Counter(retention.two_digits(int(draw.lognormvariate(9.9, 0.5))) for _ in range(count)).items()))


def _samples(draw: random.Random, ids: list[int], ticks: range) -> Iterator[dict[str, Any]]:
    for id_ in ids:
        for tick in ticks:
            bad = draw.random() < 1 / FAILS
            yield {"series": id_, "tick": tick, "ok": 0 if bad else 1, "latency_us": int(draw.lognormvariate(9.9, 0.5)) // 100 * 100,
                   "value": None, "detail": "exit 1" if bad else None}  # fmt: skip


def _insert(store: Store, name: str, rows: Iterator[dict[str, Any]]) -> None:
    table, held = store.table(name), []
    for row in rows:
        held.append(row)
        if len(held) == AT_ONCE:
            with store.writing() as connection:
                connection.execute(table.insert(), held)
            held.clear()
    if held:
        with store.writing() as connection:
            connection.execute(table.insert(), held)

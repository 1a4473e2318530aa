"""What the demo measured, beside what the proposal promises: as values, as rows, and as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from lab.coldstart import ColdStart
from lab.measure.clients import Clients
from lab.measure.rounds import Rounds

if TYPE_CHECKING:
    from rich.table import Table

SLACK_S = 1.0
"""Seconds that a service may be away beyond its own stop and start-up time (the figure that the tool is held to)."""


@dataclass
class Figures:
    """Everything that a demo measures, in seconds and counts. `gaps_s`: the longest time without an answer, by service."""

    clients_before: Clients
    cold_before: Sequence[ColdStart]
    announced_s: Mapping[str, float]
    start_s: Mapping[str, float] = field(default_factory=dict)
    gaps_s: Mapping[str, float] = field(default_factory=dict)
    gaps_plain_s: Mapping[str, float] = field(default_factory=dict)
    cold_after: Sequence[ColdStart] = ()
    clients_after: Clients | None = None
    rounds: Rounds | None = None
    migrate_s: float = 0.0
    rollback_s: float = 0.0
    sha256: str = ""


def rows(figures: Figures) -> list[dict[str, Any]]:
    """What was promised and what was measured, a row each. Shares are percent."""
    before, after = figures.cold_before, figures.cold_after
    old, new = figures.clients_before, figures.clients_after
    assert new is not None and figures.rounds is not None  # noqa: S101 - a demo that ended measured them
    colds = (median(each.seconds for each in before), median(each.seconds for each in after))
    failures = (mean(each.failed_connections for each in before), mean(each.failed_connections for each in after))
    return [
        row("cold start, until every service answers", "-50 %", f"{colds[0]:.0f} s", f"{colds[1]:.0f} s", less(*colds)),
        row("`up` commands that it took", "", f"{mean(e.ups for e in before):g}", f"{mean(e.ups for e in after):g}", ""),
        row("failed connection attempts during it", "-90 %", f"{failures[0]:g}", f"{failures[1]:g}", less(*failures)),
        row("container restarts during it", "", f"{mean(e.restarts for e in before):g}", f"{mean(e.restarts for e in after):g}", ""),
        row(f"of {old.clients} clients at once, besides those connected, served", "500", str(old.served), str(new.served), f"{new.share:.0%}"),
        row("99th percentile of their transactions", "", seconds(old.p99_s), seconds(new.p99_s), ""),
        row(f"round of {figures.rounds.probes} health probes, one by one and at once", "-40 %", seconds(figures.rounds.serial_s),
            seconds(figures.rounds.parallel_s), less(figures.rounds.serial_s, figures.rounds.parallel_s)),
    ]  # fmt: skip


def row(what: str, promised: str, before: str, after: str, measured: str) -> dict[str, Any]:
    return {"what": what, "before": before, "after": after, "promised": promised, "measured": measured}


def promised(found: Iterable[Mapping[str, Any]], *columns: str) -> Table:
    """The rows of what was promised and measured as a table for people, with these of their columns."""
    from rich.table import Table

    whole = Table(title="promised and measured", title_justify="left", title_style="bold")
    for name in ("", *columns):
        whole.add_column(name, justify="right" if name else "left")
    for each in found:
        whole.add_row(each["what"], *(each[name] for name in columns))
    return whole


def mean(values: Any) -> float:
    """The mean of a few counts, to one digit."""
    found = [float(value) for value in values]
    return round(sum(found) / len(found), 1)


def less(before: float, after: float) -> str:
    """How much less, in percent of before."""
    return "none before" if not before else f"{100 * (after - before) / before:+.0f} %"


def seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def gap_rows(figures: Figures) -> list[dict[str, Any]]:
    """How long each service gave no answer, longest first: announced, measured in waves, and by a plain `up -d`."""
    found = []
    for service, gap in sorted(figures.gaps_s.items(), key=lambda pair: -pair[1]):
        announced = figures.announced_s.get(service)
        own = figures.start_s.get(service)
        found.append({
            "service": service, "announced_s": announced, "own_s": own, "waves_s": round(gap, 1),
            "plain_s": round(figures.gaps_plain_s.get(service, 0.0), 1),
            "within": None if own is None else gap <= own + SLACK_S,
        })  # fmt: skip
    return found


def tables(figures: Figures) -> Iterator[Table]:
    """Both tables, for a screen."""
    from rich.table import Table
    from rich.text import Text

    yield promised(rows(figures), "before", "after", "promised", "measured")
    gaps = Table(title="longest time without an answer during the migration", title_justify="left", title_style="bold")
    for name in ("service", "own stop and start", "announced", "in waves", "plain up -d"):
        gaps.add_column(name, justify="left" if name == "service" else "right")
    for each in gap_rows(figures):
        style = "" if each["within"] in (True, None) else "yellow"
        gaps.add_row(
            each["service"], seconds(each["own_s"]) if each["own_s"] is not None else "",
            seconds(each["announced_s"]) if each["announced_s"] is not None else "stays",
            Text(seconds(each["waves_s"]), style), seconds(each["plain_s"]),
        )  # fmt: skip
    yield gaps


def cold_line(found: ColdStart) -> str:
    """One cold start as it is measured."""
    return (
        f"  cold start: {found.seconds:.0f} s, {found.ups} x up, {found.failed_connections} failed connection attempts, "
        f"{found.restarts} restarts"
    )


def clients_line(found: Clients) -> str:
    """Many clients as they are measured."""
    refused = "".join(f"; {count} x {reason}" for reason, count in found.refusals.items())
    return (
        f"  {found.clients} clients at once: {found.served} served, p99 {seconds(found.p99_s)}, "
        f"besides {found.connected_before} connections{refused}"
    )


def rounds_line(found: Rounds) -> str:
    """A health round as it is measured."""
    return (
        f"  health round of {found.probes} probes: {seconds(found.serial_s)} one by one ({found.serial_exchanges} exchanges), "
        f"{seconds(found.parallel_s)} at once ({found.parallel_exchanges})"
    )

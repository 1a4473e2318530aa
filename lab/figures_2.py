"""What the demo of phase 2 measured, beside what the proposal promises: as values, as rows, and as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lab.figures import less, promised, row, seconds
from lab.measure.aggregator import Together
from lab.measure.drills import Drill

if TYPE_CHECKING:
    from rich.table import Table

GIB = 1 << 30


@dataclass(frozen=True)
class Use:
    """Memory of all containers in bytes: what they use, and what they may use (without a limit: all that the host has)."""

    used: int
    limit: int

    @property
    def percent(self) -> float:
        return 100 * self.used / self.limit


@dataclass(frozen=True)
class Figures:
    """All that is measured, before phase 2 and after. `trips`: how often breakers opened in the drills after it."""

    use_before: Use
    use_after: Use
    before: Sequence[Drill]
    after: Sequence[Drill]
    trips: float
    together: Together
    migrate_s: float
    rollback_s: float


def rows(found: Figures) -> list[dict[str, Any]]:
    """What was promised and what was measured. What the fallback answers counts as served, and is told apart."""
    used, then, together = found.use_before, found.use_after, found.together
    served = share(found.before), share(found.after)
    own = [f"{sum(each.own for each in side) / wanted(side):.0%}" for side in (found.before, found.after)]
    hung, lost = counts(found, "hung"), counts(found, "lost")
    told, again = slowest(found, "failing_s"), slowest(found, "recovered_s")
    return [
        row("memory in use, of what may be used", "+30 %", f"{used.percent:.1f} %", f"{then.percent:.1f} %", less(used.percent, then.percent)),
        row("memory that may be used", "", f"{used.limit / GIB:.1f} GiB", f"{then.limit / GIB:.1f} GiB", less(used.limit, then.limit)),
        row("requests of all drills served within a second", "+15 %", f"{served[0]:.0%}", f"{served[1]:.0%}", less(*served)),
        row("of them by the service itself", "", own[0], own[1], ""),
        row("callers that a failure held (over a second)", "none", str(hung[0]), str(hung[1]), less(*hung)),
        row("requests that they could not make meanwhile", "none", str(lost[0]), str(lost[1]), less(*lost)),
        row("until a failure was told, in the slowest drill", "", told[0], told[1], ""),
        row("until the service itself answered again", "", again[0], again[1], ""),
        row("breakers opened in the drills", "", "", f"{found.trips:.0f}", ""),
        row("health of all, one by one and at once", "-40 %", seconds(together.serial_s), seconds(together.together_s),
            less(together.serial_s, together.together_s)),
        row("health of all, as a multiple of its slowest check", "1.2", "", seconds(together.slowest_s), f"{together.times:.2f}"),
    ]  # fmt: skip


def share(side: Sequence[Drill]) -> float:
    """Of all that callers wanted in some drills, what was served within a second."""
    return sum(each.served for each in side) / wanted(side)


def wanted(side: Sequence[Drill]) -> int:
    return max(1, sum(max(each.expected, each.requests) for each in side))


def counts(found: Figures, name: str) -> tuple[int, int]:
    before, after = (sum(getattr(each, name) for each in side) for side in (found.before, found.after))
    return before, after


def slowest(found: Figures, name: str) -> list[str]:
    """The longest such time of all drills, before and after."""
    sides = ([getattr(each, name) for each in side] for side in (found.before, found.after))
    return [seconds(max((value for value in side if value is not None), default=None)) for side in sides]


def drill_rows(found: Figures) -> list[dict[str, Any]]:
    """Each drill, without breakers and with them."""
    return [
        {"breakers": word, **asdict(each), "lost": each.lost, "available": each.available}
        for pair in zip(found.before, found.after, strict=True)
        for word, each in zip(("without", "with"), pair, strict=True)
    ]


HEADINGS = ("drill", "breakers", "wanted", "served in 1 s", "by the fallback", "held callers", "never asked", "told of a failure in", "well again after")  # fmt: skip


def cells(each: dict[str, Any]) -> tuple[str, ...]:
    """One row of the drills' table."""
    return (
        each["name"], each["breakers"], str(each["expected"]), f"{each['available']:.0%}", str(each["fallback"]), str(each["hung"]),
        str(each["lost"]), seconds(each["failing_s"]), "not yet" if each["recovered_s"] is None else seconds(each["recovered_s"]),
    )  # fmt: skip


def drill_line(found: Drill) -> str:
    """One drill as it is measured."""
    return (
        f"  {found.name}: {found.expected} requests wanted, {found.available:.0%} served within a second, {found.fallback} by the "
        f"fallback, {found.hung} callers held"
    )


def tables(found: Figures) -> Iterator[Table]:
    """Both tables, for a screen."""
    from rich.table import Table

    yield promised(rows(found), "before", "after", "promised", "measured")
    drilled = Table(title="drills under load", title_justify="left", title_style="bold")
    for name in HEADINGS:
        drilled.add_column(name, justify="left" if name in HEADINGS[:2] else "right")
    for each in drill_rows(found):
        drilled.add_row(*cells(each))
    yield drilled

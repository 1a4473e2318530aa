"""What a proof found, as values: parts, each a table of counts with whatever did not hold. Pure but for `each`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")
Cell = str | int | float


@dataclass(frozen=True)
class Effort:
    """How much to try. `full` False: every point once, in a form that fits a test run. `workers`: cases at once.

    `stop`, once set, ends a part after the cases that are under way: what was struck until then is its table.
    """

    full: bool = False
    workers: int = 2
    shells: tuple[str, ...] = ("dash", "bash", "busybox")
    tell: Callable[[str], None] = lambda _line: None
    stop: Event = field(default_factory=Event)

    def short_of(self, done: int, every: int, what: str = "cases") -> tuple[str, ...]:
        """What a part says that was stopped before its last case; nothing where all were struck."""
        return (f"stopped after {done} of {every} {what}",) if done < every and self.stop.is_set() else ()


@dataclass(frozen=True)
class Part:
    """One table of a proof. `wrong` names each case that did not hold, so that it can be done again; `cases` counts all.

    `skipped` says what could not be tried on this machine, and why. `lost` counts files whose bytes are nowhere any more,
    `repairs_s` are the seconds that each repair took; `summary` is the part in one line, where it is not about these.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    cases: int
    wrong: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    seconds: float = 0.0
    lost: int = 0
    repairs_s: tuple[float, ...] = ()
    summary: str = ""


OUTCOMES = ("files old", "files new", "repaired", "mixed", "files lost", "other wrongs", "ms to repair")
"""The columns of a tally."""


def columns(*first: str) -> tuple[str, ...]:
    """The columns of a table of outcomes."""
    return (*first, "cases", *OUTCOMES)


def part(
    title: str,
    columns: tuple[str, ...],
    rows: Iterable[tuple[Cell, ...]],
    tallies: Iterable[Tally],
    seconds: float,
    skipped: tuple[str, ...] = (),
) -> Part:
    """A table of outcomes, with all that its tallies counted."""
    every = list(tallies)
    return Part(
        title, columns, tuple(rows), sum(each.cases for each in every), tuple(line for each in every for line in each.wrong), skipped, seconds,
        lost=sum(each.of("lost") for each in every), repairs_s=tuple(s for each in every for s in each.repairs_s),
    )  # fmt: skip


class Outcome(Protocol):
    """What the next command found, as `bed.Outcome` has it."""

    @property
    def ended(self) -> str: ...
    @property
    def repair_s(self) -> float | None: ...
    @property
    def wrong(self) -> str: ...
    @property
    def lost(self) -> int: ...


@dataclass
class Tally:
    """Counts outcomes of one row."""

    cases: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    repairs_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def add(self, *names: str) -> None:
        """Counts one case under each of the names."""
        self.cases += 1
        for name in names:
            self.counts[name] = self.counts.get(name, 0) + 1

    def take(self, outcome: Outcome, told: str) -> None:
        """Counts what the next command found; `told` names the case where something of it is wrong."""
        self.add(outcome.ended, "repaired" if outcome.repair_s is not None else "", "wrong" if outcome.wrong else "")
        self.counts["lost"] = self.of("lost") + outcome.lost
        if outcome.repair_s is not None:
            self.repairs_s.append(outcome.repair_s)
        if outcome.wrong:
            self.wrong.append(f"{told}: {outcome.wrong}")

    def row(self, *first: Cell) -> tuple[Cell, ...]:
        """Its line of a table with `columns`."""
        return (*first, self.cases, self.of("old"), self.of("new"), self.of("repaired"), self.of("between"), self.of("lost"),
                self.of("wrong") - self.of("between"), self.mean_repair_ms)  # fmt: skip

    def of(self, name: str) -> int:
        return self.counts.get(name, 0)

    @property
    def mean_repair_ms(self) -> int | str:
        """Milliseconds that a repair took on average, the lock of the lost run broken first; a dash for none."""
        return round(1000 * sum(self.repairs_s) / len(self.repairs_s)) if self.repairs_s else "-"


def spread(points: Iterable[T], count: int) -> list[T]:
    """`count` of the points, evenly spread; all where there are no more."""
    every = list(points)
    if len(every) <= count:
        return every
    return [every[int(step * len(every) / count)] for step in range(count)]


def each(effort: Effort, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`work` on all items, some at once, in their order; once it is to stop, only on those that are under way."""

    def one(item: T) -> tuple[R] | None:
        return None if effort.stop.is_set() else (work(item),)

    with ThreadPoolExecutor(effort.workers) as pool:
        yield from (done[0] for done in pool.map(one, items) if done)

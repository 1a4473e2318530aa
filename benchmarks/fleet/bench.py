"""`./inv bench`: the same work on a fleet by this tool and its peers, in turns in one run: medians, ratios, counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.fleet import chart, measure
from benchmarks.fleet.measure import PIECES, Cost
from benchmarks.fleet.servers import fleet
from benchmarks.fleet.tools import TOOLS, Tool
from inventory.errors import HostFailed, InputError
from runbooks.output import Output

if TYPE_CHECKING:
    from rich.table import Table

FLOOR = TOOLS[0].name


@dataclass(frozen=True)
class Settings:
    """What is measured. `hosts`: fleets of these sizes, one after another. `latency_s` is added to each round trip.

    `servers`: sshd processes (0: one each). `tools` chooses by the beginnings of names; `picture`: a file for the chart.
    """

    hosts: tuple[int, ...] = (20,)
    turns: int = 3
    latency_s: float = 0.0
    forks: int = 20
    servers: int = 0
    tools: tuple[str, ...] = ()
    picture: str = ""


def bench(out: Output, settings: Settings) -> int:
    """Measures and shows. Everything is on loopback and gone afterwards. Returns the exit code."""
    chosen = choose(settings.tools)
    found = {}
    for count in settings.hosts:
        found[count] = measured(out, settings, chosen, count)
        out.show(*(table(what, count, found[count]) for what in PIECES))
    if settings.picture:
        chart.write(
            settings.picture, {n: {t: c["apply"].seconds for t, c in each.items()} for n, each in found.items()}
        )
    out.document({
        str(count): {tool: {what: asdict(cost) for what, cost in pieces.items()} for tool, pieces in each.items()}
        for count, each in found.items()
    })  # fmt: skip
    return 0


def choose(names: Sequence[str]) -> tuple[Tool, ...]:
    """The tools whose names begin so, the floor always; all without names. Raises InputError for a name of none."""
    for name in names:
        if not any(tool.name.startswith(name) for tool in TOOLS):
            raise InputError(f"{name!r} is no tool", key="--tools", mend=f"tools: {', '.join(t.name for t in TOOLS)}")
    return tuple(t for t in TOOLS if not names or t.name == FLOOR or t.name.startswith(tuple(names)))


def measured(out: Output, settings: Settings, tools: Sequence[Tool], count: int) -> dict[str, dict[str, Cost]]:
    """The median cost of each tool and piece of work, on a fleet of `count` hosts."""
    costs: dict[str, list[dict[str, Cost]]] = {tool.name: [] for tool in tools}
    with fleet(count, servers=settings.servers or None, latency_s=settings.latency_s) as up:
        for tool in TOOLS:
            tool.prepare(up)
        for number in range(1, settings.turns + 1):
            for tool in tools:
                try:
                    costs[tool.name].append(measure.turn(up, tool, settings.forks))
                except HostFailed as error:
                    if tool in TOOLS[:2]:
                        raise
                    out.warn(f"{error}: this turn of it does not count")
            out.show(f"{count} hosts: turn {number} of {settings.turns}", style="dim")
    return {
        name: {what: middle([turn[what] for turn in turns]) for what in PIECES}
        for name, turns in costs.items()
        if turns
    }


def middle(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""

    def of(name: str) -> Any:
        values = [value for cost in costs if (value := getattr(cost, name)) is not None]
        return median(values) if values else None

    return Cost(**{name: of(name) for name in Cost.__dataclass_fields__})


def table(what: str, count: int, found: Mapping[str, Mapping[str, Cost]]) -> Table:
    """One piece of work: each tool's figures, and how it compares with the floor."""
    from rich.table import Table

    made = Table(title=f"{what}, {count} hosts", title_justify="left")
    for name in (
        "tool",
        "seconds",
        "x floor",
        "controller CPU s",
        "memory MiB",
        "connections",
        "sessions",
        "exchanges",
        "processes",
        "KiB to and from",
    ):
        made.add_column(name, justify="left" if name == "tool" else "right")
    for tool, pieces in found.items():
        each, base = pieces[what], found[FLOOR][what].seconds
        made.add_row(
            tool, f"{each.seconds:.2f}", f"{each.seconds / base:.2f}", f"{each.controller_s:.2f}", f"{each.memory_mib:.0f}",
            f"{each.connections:.1f}", f"{each.sessions:.1f}", "-" if each.exchanges is None else f"{each.exchanges:.1f}",
            "-" if each.processes is None else f"{each.processes:.0f}", f"{each.sent_kib:.0f} + {each.received_kib:.0f}",
        )  # fmt: skip
    made.caption = "connections, sessions, exchanges, processes and KiB are per host; exchanges where a tool counts its own; medians"
    return made

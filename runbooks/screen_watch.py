"""What people see of a watch: a live table that fits the terminal, or one line a turn where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING

from runbooks.watch_model import Board, Mark, Status, Turn, Watched

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

STYLES: dict[Status, str] = {
    "healthy": "green", "unhealthy": "bold red", "unknown": "yellow", "connecting": "dim", "no answer": "bold red",
}  # fmt: skip
SIGNS: dict[Status, str] = {"healthy": "●", "unhealthy": "✗", "unknown": "?", "connecting": "…", "no answer": "✗"}
"""So that without colour a status still shows."""
BARS = "▁▂▃▄▅▆▇█"
FRESH_S = 30.0
"""Seconds for which a turn is highlighted."""
TOLD = 5
WIDE = 100
"""Columns from which the history has room."""


def view(
    board: Board, now: datetime, width: int, height: int, every_s: float, *, only_bad: bool = False
) -> RenderableType:
    """The whole screen. Where rows do not fit, healthy ones that did not turn lately give way first."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    with board.lock:
        turns = list(board.turns)[-TOLD:]
        # Of a host that does not answer nothing else is known: one row says so.
        rows = [
            (host, its.own, service)
            for host, its in board.hosts.items()
            for service in ((its.services.values() if its.own.status != "no answer" else ()) or (None,))
        ]
        head = headline(board, now)
        room = max(3, height - len(turns) - 5 - ceil(head.cell_len / width))
        shown, left = chosen(rows, now, room, only_bad=only_bad)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False, expand=True, header_style="dim")
        for title, ratio in (("host", 2), ("service", 2), ("status", 2), ("since", 1), ("answer", 1)):
            table.add_column(title, ratio=ratio, no_wrap=True, overflow="ellipsis", min_width=len(title))
        if width >= WIDE:
            table.add_column(f"the last {HISTORY} rounds", width=HISTORY, no_wrap=True)
        table.add_column("", ratio=3, no_wrap=True, overflow="ellipsis")
        before = ""
        for host, own, service in shown:
            what = service or own
            fresh = (now - what.since).total_seconds() < FRESH_S and turned(what)
            cells = [
                Text("" if host == before else host, "bold" if own.status != "no answer" else STYLES["no answer"]),
                Text(what.name or known(board, host), "bold" if fresh else ""),
                Text(f"{SIGNS[what.status]} {what.status}", STYLES[what.status] + (" reverse" if fresh else "")),
                Text(ago(now, what.since), "bold" if fresh else "dim"),
                Text(latency(what), "dim"),
            ]
            if width >= WIDE:
                cells.append(history(what.marks))
            table.add_row(
                *cells, Text(own.why if service is None else what.why or what.figures, "" if what.why else "dim")
            )
            before = host
        parts: list[RenderableType] = [head, Text(""), table]
        if left:
            parts.append(Text(f"and {left} more {'that are healthy' if only_bad or left else ''}", "dim"))
        parts.append(Text(""))
        parts += [turn_text(turn) for turn in turns]
        keys = "f: all" if only_bad else "f: only what is not healthy"
        parts.append(Text(f"each {every_s:g} s   {keys}   q or Ctrl-C: leave", "dim"))
    return Group(*parts)


Row = tuple[str, Watched, Watched | None]
HISTORY = 24


def chosen(rows: Sequence[Row], now: datetime, room: int, *, only_bad: bool) -> tuple[list[Row], int]:
    """The rows that are shown, in their order, and how many are not: what is not healthy or turned lately comes first."""

    def weight(row: Row) -> int:
        what = row[2] or row[1]
        fresh = turned(what) and (now - what.since).total_seconds() < FRESH_S
        return 0 if what.status in ("unhealthy", "no answer") else 1 if what.status != "healthy" else 2 if fresh else 3

    wanted = [row for row in rows if not only_bad or weight(row) < 3]
    if len(wanted) > room:
        best = sorted(range(len(wanted)), key=lambda number: (weight(wanted[number]), number))[: room - 1]
        wanted = [wanted[number] for number in sorted(best)]
    return wanted, len(rows) - len(wanted)


def known(board: Board, host: str) -> str:
    """What stands for a host's services where it is told as a whole; the caller holds the board's lock."""
    count = len(board.hosts[host].services)
    return f"all {count}" if count else ""


def turned(what: Watched) -> bool:
    """Whether a status is another one than at the first round, or was in between."""
    return len({mark.status for mark in what.marks}) > 1 or what.status == "no answer"


def headline(board: Board, now: datetime) -> Text:
    """Environment, time and the sums; the caller holds the board's lock."""
    from rich.text import Text

    counts = board.counts()
    silent = [name for name, its in board.hosts.items() if its.own.status == "no answer"]
    well = set(counts) <= {"healthy"} and counts and not silent
    text = Text.assemble((f"{board.environment}  ", "bold"), (f"{now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC  ", "dim"))
    told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "connecting"
    text.append(
        f"{sum(counts.values())} services on {len(board.hosts)} host(s): {told}",
        "bold green" if well else "bold yellow",
    )
    if silent:
        text.append(f"; no answer from {', '.join(silent)}", STYLES["no answer"])
    return text


def turn_text(turn: Turn) -> Text:
    from rich.text import Text

    text = Text.assemble(
        (f"{turn.at.astimezone(UTC):%H:%M:%S}  ", "dim"), f"{turn.host} {turn.service}".strip(), "  ",
        (turn.before, STYLES[turn.before]), " -> ", (turn.after, STYLES[turn.after]), (f"  {turn.why}" if turn.why else "", "dim"),
    )  # fmt: skip
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def plain(turn: Turn) -> str:
    """A turn as a line of a log."""
    why = f": {turn.why}" if turn.why else ""
    what = f"{turn.host} {turn.service}".strip()
    return f"{turn.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}  {what}  {turn.before} -> {turn.after}{why}"


def summary(board: Board, now: datetime) -> str:
    """The sums as a line of a log."""
    with board.lock:
        return f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}  {headline(board, now).plain.split('UTC  ', 1)[1]}"


def first_lines(board: Board) -> Iterator[str]:
    """Every service once, as lines of a log."""
    with board.lock:
        for host, its in board.hosts.items():
            if not its.services:
                yield f"{host}  {its.own.status}" + (f": {its.own.why}" if its.own.why else "")
            for service in its.services.values():
                yield f"{host} {service.name}  {service.status}" + (f": {service.why}" if service.why else "")


def ago(now: datetime, since: datetime) -> str:
    """How long ago, in one number."""
    seconds = max(0, int((now - since).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def latency(what: Watched) -> str:
    """The last answer's time."""
    last = what.marks[-1].latency_s if what.marks else None
    return "" if last is None else f"{last * 1000:.0f} ms" if last < 10 else f"{last:.0f} s"


def history(marks: Sequence[Mark]) -> Text:
    """The last rounds: bars of their latency, a cross for each that failed, a dot for each that told nothing."""
    from rich.text import Text

    last = list(marks)[-HISTORY:]
    slowest = max((mark.latency_s for mark in last if mark.latency_s), default=0.0)
    text = Text(" " * (HISTORY - len(last)))
    for mark in last:
        if mark.status == "healthy":
            share = (mark.latency_s or 0.0) / slowest if slowest else 0.0
            text.append(BARS[min(len(BARS) - 1, int(share * (len(BARS) - 1) + 0.5))], STYLES["healthy"])
        else:
            text.append("✗" if mark.status == "unhealthy" else "·", STYLES[mark.status])
    return text

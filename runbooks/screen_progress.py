"""The live screen of a run: how far it is, what failed, and its groups, in as many lines as the terminal has room for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.progress import HostProgress, Progress, State

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

MOST = 16
"""Lines at most: what is printed above must stay in sight."""
ABOVE = 6
"""Lines of the terminal that are left to what is printed above."""
BAR = 24
STYLES: dict[State, str] = {
    "waiting": "dim", "working": "", "written": "", "gated": "green", "done": "green", "failed": "bold red",
}  # fmt: skip


def view(progress: Progress, now: float, width: int, height: int) -> RenderableType:
    """Failures first, then the groups, folded to counts, or the hosts themselves where they have room."""
    from rich.console import Group
    from rich.text import Text

    with progress.lock:
        room = max(3, min(MOST, height - ABOVE))
        lines = [headline(progress, now, width), total(progress, now, width)]
        if progress.gate:
            lines.append(
                Text(f"  {progress.gate}", "red" if " failed" in progress.gate or ": fail" in progress.gate else "dim")
            )
        lines = lines[:room]
        bad = [host for host in progress.hosts.values() if host.state == "failed"]
        lines += failures(bad, (room - len(lines)) // 2 if len(progress.hosts) > len(bad) else room - len(lines))
        lines += others(progress, now, room - len(lines))
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
        line.truncate(width, overflow="ellipsis")
    return Group(*lines)


def headline(progress: Progress, now: float, width: int) -> Text:
    """What runs, since when, and how long it will."""
    from rich.text import Text

    left = progress.left_s(now)
    times = f"{clock(now - progress.begun)} gone" + (f", about {clock(left)} left" if left is not None else "")
    title = "  ".join(part for part in (progress.title, progress.batch) if part)
    title = title if len(title) <= width - len(times) - 2 else f"{title[: max(0, width - len(times) - 3)]}…"
    return Text.assemble((title, "bold"), "  ", (times, "dim"))


def total(progress: Progress, _now: float, width: int) -> Text:
    """All hosts as one bar with its counts."""
    counts = progress.counts()
    words = [f"{len(progress.hosts)} host{'s' if len(progress.hosts) != 1 else ''}: {counts['done']} done"]
    words += [f"{count} {word}" for word, count in (
        ("failed", counts["failed"]), ("at work", counts["working"] + counts["written"] + counts["gated"]), ("waiting", counts["waiting"]),
    ) if count]  # fmt: skip
    return bar(counts["done"], counts["failed"], len(progress.hosts), min(BAR, width // 3)).append(
        f"  {', '.join(words)}"
    )


def failures(bad: list[HostProgress], room: int) -> list[Text]:
    """Hosts that failed, each with why; the last line says how many more there are."""
    from rich.text import Text

    shown = bad if len(bad) <= room else bad[: max(0, room - 1)]
    found = [Text.assemble((f"  ✗ {host.name}", STYLES["failed"]), f"  {host.what}") for host in shown]
    if len(bad) > len(shown) and room > 0:
        found.append(Text(f"  ✗ and {len(bad) - len(shown)} more failed", STYLES["failed"]))
    return found


def others(progress: Progress, now: float, room: int) -> list[Text]:
    """The hosts that did not fail, one a line where they have room, else folded into their groups."""
    from rich.text import Text

    if room <= 0:
        return []
    left = [host for host in progress.hosts.values() if host.state != "failed"]
    if len(left) <= room:
        return [Text.assemble(f"    {host.name}  ", (host.what or host.state, STYLES[host.state])) for host in left]
    names = list(dict.fromkeys(host.group for host in progress.hosts.values()))
    if len(names) == 1:
        return longest(left, now, room)
    counts = {name: progress.counts(name) for name in names}
    # Groups that are through, or not yet begun, give way first.
    busy = sorted(names, key=lambda name: (not _at_work(counts[name]), counts[name]["waiting"] == 0, names.index(name)))
    shown = busy if len(busy) <= room else busy[: max(0, room - 1)]
    wide = min(24, max((len(name) for name in shown), default=0))
    found = []
    for name in sorted(shown, key=names.index):
        its = counts[name]
        failed = f", {its['failed']} failed" if its["failed"] else ""
        line = Text(f"    {name[:wide]:{wide}}  ")
        line.append(bar(its["done"], its["failed"], sum(its.values()), 12))
        found.append(line.append(f"  {its['done']} of {sum(its.values())}{failed}"))
    rest = [name for name in names if name not in shown]
    if rest and len(found) < room:
        done, every = sum(counts[name]["done"] for name in rest), sum(sum(counts[name].values()) for name in rest)
        found.append(Text(f"    and {len(rest)} more groups: {done} of {every}", "dim"))
    return found


def longest(left: list[HostProgress], now: float, room: int) -> list[Text]:
    """Of one large group the hosts that are worked on longest."""
    from rich.text import Text

    busy = sorted((host for host in left if host.state in ("working", "written")), key=lambda host: host.since)
    return [
        Text.assemble(f"    {host.name}  {host.what}  ", (f"for {clock(now - host.since)}", "dim"))
        for host in busy[:room]
    ]


def _at_work(counts: dict[State, int]) -> int:
    return counts["working"] + counts["written"] + counts["gated"]


def bar(done: int, failed: int, of: int, width: int) -> Text:
    """A bar that shows without colour too: `#` is done, `x` failed; one that failed shows however many there are."""
    from rich.text import Text

    bad = max(1, width * failed // of) if failed and of else 0
    good = min(width - bad, width * done // of if of else 0)
    return Text.assemble(
        "[", ("#" * good, STYLES["done"]), ("x" * bad, STYLES["failed"]), ("." * (width - good - bad), "dim"), "]"
    )


def clock(seconds: float) -> str:
    """Minutes and seconds, hours where there are any."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"

"""`health --watch`: rounds of all probes, host by host at once, on a live screen that may stay open during a window."""

from __future__ import annotations

import json
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from checks.model import Probe
from checks.probes import round_
from inventory import connection, fleet, inventory, selection
from inventory.errors import HostFailed, RunbookError, Unreachable
from inventory.link import Link
from inventory.model import Host
from inventory.secrets import Mask
from runbooks import book, screen_watch
from runbooks.lines import PlainConsole
from runbooks.output import Output
from runbooks.survey import survey
from runbooks.watch_model import Board

if TYPE_CHECKING:
    from rich.console import Console

EVERY_S = 5.0
LOOK_AGAIN_S = 60.0
"""Seconds after which a host's services are read anew: a migration may add some."""
REDRAW_S = 0.5
SUM_S = 60.0
"""Seconds between two sums where only turns are printed."""
SILENT, UNWELL = 5, 3
Probes = Callable[[Link, Host, Mask], tuple[tuple[Probe, ...], str]]


def watch(
    out: Output, environment: str, probes: Probes, *, folder: Path | None = None, limit: str | None = None
) -> int:
    """Watches until Ctrl-C or `q`. Returns 0 when all was well at the end, 3 when a service was not, 5 when a host was silent."""
    chosen = selection.limit(inventory.load(environment, folder, book.declared()), limit)
    board = Board(environment, [host.name for host in chosen.hosts], _now(), out.mask)
    stop, bugs = threading.Event(), list[Exception]()
    turns = threading.BoundedSemaphore(fleet.LIMIT)
    threads = [
        threading.Thread(target=_watch_host, args=(host, board, out.mask, probes, stop, turns, bugs), daemon=True)
        for host in chosen.hosts
    ]
    for thread in threads:
        thread.start()
    try:
        if out.as_json or isinstance(out.console, PlainConsole):
            _as_lines(out, board, stop, bugs)
        else:
            _on_screen(out.console, board, stop, bugs)
    except KeyboardInterrupt:
        pass  # the usual way to leave
    finally:
        stop.set()
    if bugs:
        raise bugs[0]
    if not out.as_json:
        out.show(screen_watch.summary(board, _now()))
    return _code(board)


def watched(link: Link, host: Host, mask: Mask) -> tuple[tuple[Probe, ...], str]:
    """What is asked of a host now, and its project's name. Raises RunbookError."""
    from runbooks.commands.looking import all_probes

    found = survey(link, host, mask)
    return all_probes(found.stack, found.facts), found.compose.name


def _watch_host(host: Host, board: Board, mask: Mask, probes: Probes, stop: threading.Event,
                turns: threading.BoundedSemaphore, bugs: list[Exception]) -> None:  # fmt: skip
    """Rounds of one host until the end, each on the link of the last where that still holds."""
    link: Link | None = None
    known: tuple[tuple[Probe, ...], str] = ((), "")
    looked = -LOOK_AGAIN_S
    while not stop.is_set():
        begin = time.monotonic()
        try:
            with turns:
                if link is None:
                    link = connection.connect(host, mask)
                    looked = -LOOK_AGAIN_S
                if begin - looked >= LOOK_AGAIN_S:
                    known, looked = probes(link, host, mask), begin
                samples = round_(link, known[0], known[1])
                if all(sample.ok is None for sample in samples):
                    _answers(link)
            board.seen(host.name, known[0], samples, _now())
        except RunbookError as error:
            board.lost(host.name, error.message, _now())
            _close(link)
            link = None
        except Exception as error:
            bugs.append(error)
            return
        stop.wait(max(0.0, EVERY_S - (time.monotonic() - begin)))
    _close(link)


def _answers(link: Link) -> None:
    """Raises Unreachable or HostFailed where a host itself is silent, not only what is asked there."""
    reply = link.run(":", timeout_s=5.0)
    if reply.exit != 0:
        raise HostFailed(f"its shell does not work (exit {reply.exit})", host=link.host.name)


def _close(link: Link | None) -> None:
    if link is not None:
        try:
            link.close()
        except (Unreachable, OSError):
            return


def _on_screen(console: Console, board: Board, stop: threading.Event, bugs: list[Exception]) -> None:
    """The live screen, redrawn twice a second and at each key."""
    from rich.live import Live

    only_bad = False
    with _keys() as key, Live(console=console, screen=True, auto_refresh=False) as live:
        while not stop.is_set() and not bugs:
            size = console.size
            drawn = screen_watch.view(board, _now(), size.width, size.height, EVERY_S, only_bad=only_bad)
            live.update(drawn, refresh=True)
            pressed = key(REDRAW_S)
            if pressed in ("q", "Q", "\x03", "\x04"):
                return
            only_bad = only_bad != (pressed in ("f", "F"))


def _as_lines(out: Output, board: Board, stop: threading.Event, bugs: list[Exception]) -> None:
    """Without a terminal: every service once, then a line a turn and the sums each minute. `--json`: a document a line."""
    told, summed, first = 0, time.monotonic(), True
    while not stop.wait(EVERY_S if out.as_json else REDRAW_S) and not bugs:
        if out.as_json:
            document = {"at": _now().isoformat(timespec="seconds").replace("+00:00", "Z"), "hosts": board.documents()}
            out.raw(json.dumps(out.mask.hide_in(document), ensure_ascii=False) + "\n")
            continue
        with board.lock:
            met = all(its.own.status != "connecting" for its in board.hosts.values())
            fresh = list(board.turns)[len(board.turns) - min(board.changes - told, len(board.turns)) :]
            told = board.changes
        if first and met:
            out.show(*screen_watch.first_lines(board), screen_watch.summary(board, _now()))
            first = False
        elif not first:
            out.show(*(screen_watch.plain(turn) for turn in fresh))
        if time.monotonic() - summed >= SUM_S:
            out.show(screen_watch.summary(board, _now()))
            summed = time.monotonic()
        sys.stdout.flush()


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """What waits so many seconds for a key, and gives it or nothing. The terminal is as before at the end."""
    try:
        import termios
        import tty

        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
    except (ImportError, OSError, ValueError):
        before = None
    if before is None:
        yield _no_key
        return

    def key(seconds: float) -> str:
        ready, _, _ = select.select([terminal], [], [], seconds)
        return os.read(terminal, 1).decode("latin-1") or "q" if ready else ""

    try:
        tty.setcbreak(terminal)
        yield key
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _no_key(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _code(board: Board) -> int:
    """The exit code: how it stood at the end."""
    with board.lock:
        hosts = [its.own.status for its in board.hosts.values()]
    if "no answer" in hosts:
        return SILENT
    return 0 if all(status == "healthy" for status in hosts) else UNWELL


def _now() -> datetime:
    return datetime.now(UTC)

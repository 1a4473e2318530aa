"""Runs commands against a fleet and measures what each cost: time, processor time, memory, connections, processes."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass

from benchmarks.fleet import ours, work
from benchmarks.fleet.servers import Fleet
from benchmarks.fleet.tools import Tool, end_masters
from inventory.errors import HostFailed

PIECES = ("apply", "nothing", "roll back")
EXPECTED = {"apply": work.AFTER, "nothing": work.AFTER, "roll back": work.BEFORE}


@dataclass(frozen=True)
class Cost:
    """What one command cost. Times in seconds, memory in MiB; `processes` and the like are per host, all tools alike.

    `seconds` is the whole command, from its start to its end. `sessions` are programs that sshd started. `exchanges`: how
    often a program went over and its reply came back, where that is more than a session each (None: not known).
    `sent_kib` and `received_kib` are what went to a host and came from it, encrypted, as sshd counts it.
    """

    seconds: float
    controller_s: float
    memory_mib: float
    connections: float
    sessions: float
    processes: float | None
    exchanges: float | None = None
    sent_kib: float = 0.0
    received_kib: float = 0.0


def cost(up: Fleet, tool: Tool, what: str, forks: int) -> Cost:
    """Does one piece of work, sees that every file is byte for byte what it must be, and returns what it cost.

    Raises HostFailed when the tool failed, or left another file.
    """
    words, environment, folder = tool.command(up, what, forks)
    before, processes, bytes_before = up.sessions(), up.processes(), up.transferred(0)
    begin = time.monotonic()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            words, env=dict(environment), cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begin
        said.seek(0)
        text = said.read().decode("utf-8", "replace")
    if child.returncode != 0:
        raise HostFailed(f"{tool.name} could not {what}: {text.strip()[-400:]}")
    after, started = up.sessions(), up.processes()
    passed = up.transferred(after[0])
    work.check(up, EXPECTED[what], tool.name, what)
    if (up.folder / "ansible").exists():
        end_masters(up)
    count = len(up.names)
    return Cost(
        seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, (after[0] - before[0]) / count,
        (after[1] - before[1]) / count,
        None if processes is None or started is None else (started - processes - 1) / count,
        ours.exchanges(up) / count if tool.counts else None,
        *(round((now - then) / count / 1024, 1) for now, then in zip(passed, bytes_before, strict=True)),
    )  # fmt: skip


def turn(up: Fleet, tool: Tool, forks: int) -> dict[str, Cost]:
    """One turn of a tool: the three pieces of work, on hosts that are as they were."""
    work.reset(up)
    return {what: cost(up, tool, what, forks) for what in PIECES}

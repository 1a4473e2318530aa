"""Runs tests once for each mutant of the shell program, in one process that has collected them once.

`python -m benchmarks.shell_driver FILE TEST...` in a copy of the project: FILE holds JSON, a list of whole programs. For
each of them a fork of this process writes the program where the project has it and runs the tests until one fails. A line
of JSON for each on standard output; number -1 is the program as it is: {"number", "caught", "by", "seconds"}. The tests that caught most in the least time
come first, so that a mutant that is caught costs about a second.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path("rollback/host.sh")
SLOWEST_S = 600.0
"""Seconds after which a mutant counts as caught: all tests together take about a tenth of that."""
CALL_S = 20.0
"""Seconds that one run of the program may take; a mutant that waits for ever is given up then."""


class Driver:
    """A plugin of pytest: in place of the tests, the tests for each program."""

    def __init__(self, programs: list[str], out: int) -> None:
        """`out`: the descriptor that is told of each; pytest has standard output for itself."""
        self.programs, self.out = programs, out
        self.seconds: dict[str, float] = {}
        self.caught: dict[str, int] = defaultdict(int)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed or not session.items:
            raise session.Failed("the tests cannot be collected")
        begin = time.monotonic()
        failed = self._one(session, PROGRAM.read_text(), tell=True)
        _told(self.out, -1, failed, begin)
        for number, program in enumerate(self.programs if not failed else ()):
            begin = time.monotonic()
            failed = self._one(session, program)
            self.caught[failed] += 1
            _told(self.out, number, failed, begin)
        return True

    def _one(self, session: pytest.Session, program: str, *, tell: bool = False) -> str:
        """The name of the first test that fails with a program; empty for none. `tell`: learns how long each takes."""
        items = sorted(
            session.items,
            key=lambda item: -(1 + self.caught[item.nodeid]) / (0.05 + self.seconds.get(item.nodeid, 0.0)),
        )
        before = PROGRAM.read_text()
        PROGRAM.write_text(program)
        answer, heard = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(answer)
            _run(session, items, heard)
        os.close(heard)
        try:
            return self._hear(answer, child, tell=tell)
        finally:
            os.close(answer)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            PROGRAM.write_text(before)

    def _hear(self, answer: int, child: int, *, tell: bool) -> str:
        end, text, now = time.monotonic() + SLOWEST_S, b"", ""
        while True:
            ready, _, _ = select.select([answer], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                return now or "time"
            chunk = os.read(answer, 65536)
            if not chunk:
                return now or "crash"  # it ended without a word
            *lines, text = (text + chunk).split(b"\n")
            for word, name, seconds in (json.loads(line) for line in lines):
                now = name
                if word == "failed":
                    return str(name)
                if word == "passed" and tell:
                    self.seconds[name] = seconds
                if word == "all":
                    return ""


def _told(out: int, number: int, failed: str, begin: float) -> None:
    found = {"number": number, "caught": bool(failed), "by": failed, "seconds": time.monotonic() - begin}
    os.write(out, b"\n" + json.dumps(found).encode() + b"\n")  # after the dots of pytest


def _run(session: pytest.Session, items: list[pytest.Item], heard: int) -> None:
    """In the fork: the tests until one fails; never returns."""
    from lab.proof.shell import ShellLink
    from rollback import door

    door.program.cache_clear()
    plain = ShellLink.run

    def bounded(self: Any, program: str, *args: str, timeout_s: float = CALL_S, **more: Any) -> Any:
        return plain(self, program, *args, timeout_s=min(timeout_s, CALL_S), **more)

    ShellLink.run = bounded  # type: ignore[method-assign]
    code = 1
    try:
        for item, after in zip(items, [*items[1:], None], strict=True):
            begin = time.monotonic()
            _say(heard, "begin", item.nodeid, 0.0)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if session.testsfailed:
                _say(heard, "failed", item.nodeid, 0.0)
                break
            _say(heard, "passed", item.nodeid, time.monotonic() - begin)
        else:
            _say(heard, "all", "", 0.0)
            code = 0
    finally:
        os._exit(code)


def _say(heard: int, word: str, name: str, seconds: float) -> None:
    os.write(heard, json.dumps([word, name, seconds]).encode() + b"\n")


def main(file: str, *tests: str) -> int:
    """Drives the tests; returns pytest's exit code."""
    programs = json.loads(Path(file).read_bytes())
    words = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:faulthandler", *tests]
    return int(pytest.main(words, plugins=[Driver(programs, os.dup(1))]))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

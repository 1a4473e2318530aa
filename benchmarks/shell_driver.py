"""Runs tests once for each mutant of the shell program, in one process that has collected them once.

`python -m benchmarks.shell_driver FILE TEST...` in a copy of the project: FILE holds JSON. "mutants" is a list of {"program",
"function"}: a whole program, and which of its functions is another ("" for all). For each of them a fork of this process writes the
program where the project has it and runs, until one fails, the tests in which that function runs at all. A line of JSON for
each on standard output: {"number", "caught", "by", "seconds", "tests"}. Without mutants the program itself is run, as number
-1, and "learned" is what is learned of each test: [seconds, functions]; that is "learned" of the next FILE. The tests that
caught most of that function, then of all, in the least time come first: a mutant that is caught costs about a second.
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
from hypothesis import HealthCheck, settings

from benchmarks.shell_mutants import traced

PROGRAM = Path("rollback/host.sh")
SLOWEST_S = 600.0
"""Seconds after which a mutant counts as caught: all tests together take about a tenth of that."""
OWN = 10
"""How many times as much a catch in the same function says as one elsewhere."""
CALL_S = 20.0
"""Seconds that one run of the program may take; a mutant that waits for ever is given up then."""


class Driver:
    """A plugin of pytest: in place of the tests, the tests for each program."""

    def __init__(self, mutants: list[dict[str, str]], learned: dict[str, tuple[float, list[str]]], out: int) -> None:
        """`out`: the descriptor that is told of each; pytest has standard output for itself."""
        self.mutants, self.out = mutants, out
        self.trace = Path.cwd() / "trace"
        self.seconds = {name: seconds for name, (seconds, _) in learned.items()}
        self.reached = {name: set(functions) for name, (_, functions) in learned.items()}
        """Which functions of the program run in a test."""
        self.caught: dict[tuple[str, str], int] = defaultdict(int)
        """By function and test."""

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed or not session.items:
            raise session.Failed("the tests cannot be collected")
        self.trace.touch()
        self.trace.chmod(0o666)  # some tests run as a plain user
        begin = time.monotonic()
        if not self.mutants:
            failed = self._one(session, session.items, traced(PROGRAM.read_text(), str(self.trace)), tell=True)
            learned = {name: (self.seconds[name], sorted(self.reached[name])) for name in self.seconds}
            _told(self.out, -1, failed, begin, len(session.items), learned)
        for number, mutant in enumerate(self.mutants):
            begin = time.monotonic()
            items = self._fitting(session, mutant["function"])
            failed = self._one(session, items, mutant["program"]) if items else ""
            self.caught[mutant["function"], failed] += 1
            _told(self.out, number, failed, begin, len(items))
        return True

    def _fitting(self, session: pytest.Session, function: str) -> list[pytest.Item]:
        """The tests in which a function runs, those first that are likely to notice soon."""

        def worth(item: pytest.Item) -> float:
            everywhere = sum(count for (_, name), count in self.caught.items() if name == item.nodeid)
            return (1 + everywhere + OWN * self.caught[function, item.nodeid]) / (0.05 + self.seconds[item.nodeid])

        items = [item for item in session.items if not function or function in self.reached[item.nodeid]]
        return sorted(items, key=worth, reverse=True)

    def _one(self, session: pytest.Session, items: list[pytest.Item], program: str, *, tell: bool = False) -> str:
        """The name of the first test that fails with a program; empty for none. `tell`: learns how long each takes, and
        which functions run in it."""
        before = PROGRAM.read_text()
        PROGRAM.write_text(program)
        answer, heard = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(answer)
            _run(session, items, heard, self.trace)
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
            for word, name, seconds, functions in (json.loads(line) for line in lines):
                now = name
                if word == "failed":
                    return str(name)
                if word == "passed" and tell:
                    self.seconds[name], self.reached[name] = seconds, set(functions)
                if word == "all":
                    return ""


def _told(out: int, number: int, failed: str, begin: float, tests: int, learned: Any = None) -> None:
    seconds = time.monotonic() - begin
    found = {
        "number": number,
        "caught": bool(failed),
        "by": failed,
        "seconds": seconds,
        "tests": tests,
        "learned": learned,
    }
    os.write(out, b"\n" + json.dumps(found).encode() + b"\n")  # after the dots of pytest


def _run(session: pytest.Session, items: list[pytest.Item], heard: int, trace: Path) -> None:
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
            trace.write_text("")
            _say(heard, "begin", item.nodeid)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if session.testsfailed:
                _say(heard, "failed", item.nodeid)
                break
            _say(heard, "passed", item.nodeid, time.monotonic() - begin, *sorted(set(trace.read_text().split())))
        else:
            _say(heard, "all", "")
            code = 0
    finally:
        os._exit(code)


def _say(heard: int, word: str, name: str, seconds: float = 0.0, *functions: str) -> None:
    os.write(heard, json.dumps([word, name, seconds, functions]).encode() + b"\n")


def main(file: str, *tests: str) -> int:
    """Drives the tests; returns pytest's exit code."""
    given = json.loads(Path(file).read_bytes())
    # A machine that is slow for a moment is no mutant that was caught.
    settings.register_profile("driver", deadline=None, suppress_health_check=list(HealthCheck))
    settings.load_profile("driver")
    words = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:faulthandler", *tests]
    return int(pytest.main(words, plugins=[Driver(given["mutants"], given["learned"], os.dup(1))]))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

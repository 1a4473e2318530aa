"""The score of `rollback/host.sh`: each of its mutants meets the tests that are about it, in a copy of the project.

Nothing but the copy can be written meanwhile, as a mutant may well remove what it should not. A run that is stopped scores
the mutants that it has tried, which are a sample too: they come in no order.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from benchmarks import shell_mutants
from benchmarks.copying import ROOT, Score, copied, low
from benchmarks.shell_mutants import Mutant
from inventory.errors import RunbookError
from runbooks import interrupt

T = TypeVar("T")
SHELL = "rollback/host.sh"
QUICK = tuple(
    f"tests/rollback/test_{name}.py"
    for name in (
        "effects",
        "failures",
        "program",
        "commit",
        "refusals",
        "records",
        "together",
        "repair",
        "swapped",
        "owners",
        "commands",
    )
)
SLOW = ("tests/rollback/test_faults.py", "tests/rollback/test_races.py")
ONE_SHELL = "not bash and not busybox"
"""Tests that run once for each shell run once: what a mutant does does not hang on the shell."""
WORKERS = 2
SEED = 6
SAME: Mapping[str, str] = {}
"""Mutants that are the same program in other words, by line's text and what they do: why."""


def shell(*, sample: int | None, tell: Callable[[str], None]) -> Score:
    """The score of all mutants, or of a sample, the same each time. Raises RunbookError when the tests fail without any."""
    program = (ROOT / SHELL).read_text()
    every = [each for each in shell_mutants.mutants(program) if _parses(each.applied(program))]
    chosen = random.Random(SEED).sample(every, min(sample or len(every), len(every)))  # noqa: S311
    tell(f"{SHELL}: {len(chosen)} of {len(every)} mutants")
    stop = Event()
    with interrupt.heeded(stop, tell, "the mutants under way end, and those that were tried are scored"):
        tried, left = _survivors(program, chosen, QUICK, tell, stop)
        if left and not stop.is_set():
            met, still = _survivors(program, left, SLOW, tell, stop)
            left = [each for each in left if each in still or each not in met]
    return Score(SHELL, len(tried), len(tried) - len(left), tuple(f"{each.line}: {each.what}" for each in left))


def _survivors(
    program: str, mutants: Sequence[Mutant], tests: Sequence[str], tell: Callable[[str], None], stop: Event
) -> tuple[list[Mutant], list[Mutant]]:
    """The mutants that were tried until it was to stop, and those of them that no test noticed."""
    begun = time.monotonic()
    tried: list[Mutant] = []
    children: list[subprocess.Popen[str]] = []
    learned = _learned(tests, children, tell)

    def share(number: int) -> list[Mutant]:
        mine, left = mutants[number::WORKERS], []
        programs = [
            {"program": each.applied(program), "function": shell_mutants.function_of(program, each.start)}
            for each in mine
        ]
        for found in until(stop, _driven(programs, learned, tests, children)):
            mutant = mine[found["number"]]
            tried.append(mutant)
            by = found["by"].rpartition("::")[2]
            how = f"caught by {by}" if found["caught"] else f"survived {found['tests']} tests"
            told = f"{len(tried)} of {len(mutants)} ({time.monotonic() - begun:.0f} s)"
            tell(f"{told} {mutant.line}: {mutant.what}: {how}")
            if not found["caught"]:
                left.append(mutant)
        return left

    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            found = [mutant for left in pool.map(share, range(min(WORKERS, len(mutants)))) for mutant in left]
        except KeyboardInterrupt:
            for child in children:
                child.kill()  # what reads from it ends with it
            raise
    return tried, sorted(found, key=lambda each: (each.start, each.end))


def _learned(tests: Sequence[str], children: list[subprocess.Popen[str]], tell: Callable[[str], None]) -> Any:
    """How long each test takes without any mutant, and what it runs of the program. Raises RunbookError where one fails."""
    learned: dict[str, Any] = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        for (found,) in pool.map(lambda file: list(_driven([], {}, [file], children)), tests):
            if found["caught"]:
                raise RunbookError(
                    f"a test fails without any mutant: {found['by']}", mend="see ./inv test --select tests/rollback"
                )
            tell(f"{SHELL}: {found['tests']} tests alone take {found['seconds']:.0f} s")
            learned |= found["learned"]
    return learned


def until(stop: Event, found: Iterable[T]) -> Iterator[T]:
    """What is found, with the last that was under way when it was to stop."""
    for each in found:
        yield each
        if stop.is_set():
            return


def _driven(mutants: Sequence[Mapping[str, str]], learned: Any, tests: Sequence[str], children: list[subprocess.Popen[str]]
            ) -> Iterator[Any]:  # fmt: skip
    """What `shell_driver` says of each mutant, as it says it. Raises RunbookError where it ends before the last."""
    with tempfile.TemporaryDirectory(prefix="runbook-mutation.") as made:
        place = Path(made)
        place.chmod(0o755)  # some tests run as a plain user
        yield from _driven_in(place, mutants, learned, tests, children)


def _driven_in(place: Path, mutants: Sequence[Mapping[str, str]], learned: Any, tests: Sequence[str],
               children: list[subprocess.Popen[str]]) -> Iterator[Any]:  # fmt: skip
    copied(place)
    folder = place / "tmp"
    folder.mkdir()
    (place / "given.json").write_text(json.dumps({"mutants": mutants, "learned": learned}))
    words = [sys.executable, "-m", "benchmarks.shell_driver", "given.json", "-m", "not lab", "-k", ONE_SHELL,
             f"--basetemp={folder / 'tests'}", *tests]  # fmt: skip
    environment = {**os.environ, "RUNBOOK_EXAMPLES": "10", "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    with (place / "driver.log").open("w+") as log, subprocess.Popen(
        low(_boxed(words, place)), cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
    ) as child:  # fmt: skip
        children.append(child)
        heard, last = 0, ""
        try:
            for line in child.stdout or ():
                if line.startswith('{"number"'):
                    heard += 1
                    yield json.loads(line)
                else:
                    last = line.strip() or last
        finally:
            child.kill()
        if heard < max(1, len(mutants)):
            log.seek(0)
            raise RunbookError(f"the mutants' tests ended early: {last} {log.read()[-300:].strip()}")


def _boxed(words: Sequence[str], place: Path) -> list[str]:
    """The words, in a world where only the copy, and memory of their own, can be written.

    Without the right to make such a world (who is not root) a mutant can do no more than its user.
    """
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return list(words)
    box = 'mount --bind "$1" "$1" && mount -o remount,ro,bind / && mount -t tmpfs none /dev/shm && cd "$1" && shift && exec "$@"'
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return ["unshare", "--mount", "sh", "-c", box, "sh", str(place), *words] if probe.returncode == 0 else list(words)


def _parses(program: str) -> bool:
    return subprocess.run(["sh", "-n", "-c", program], capture_output=True, check=False).returncode == 0

"""`./inv fuzz`: how many bad inputs each reader was given, how many it took, refused, or broke on.

atheris has wheels for some versions of Python only; where there is none, inputs are made by changing the seeds by chance.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.fuzz_targets import TARGETS, Target, attempt
from inventory.errors import InputError, RunbookError
from lab import environments
from runbooks.output import Output

ROOT = Path(__file__).resolve().parent.parent
_DONE = re.compile(r"Done (\d+) runs in (\d+) second")
_RUNS = re.compile(r"^#(\d+)\t", re.MULTILINE)
_BROKE = re.compile(r"^\s*=+ Uncaught Python exception: =+\n(.+?)\n(?:Traceback|==)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Fuzzed:
    """What came of one target. `found`: what it broke on, each in one line with the input as Python writes it."""

    target: str
    engine: str
    seconds: float
    cases: int
    found: tuple[str, ...]


def fuzz(out: Output, *, seconds: float, only: str = "") -> int:
    """Fuzzes every target, or one, for `seconds` in all. Returns 1 when something broke."""
    chosen = [each for each in TARGETS if not only or each.name == only]
    if not chosen:
        names = ", ".join(each.name for each in TARGETS)
        raise InputError(f"no reader is called {only!r}", key="--target", mend=f"there are: {names}")
    results = run(chosen, seconds / len(chosen), out.warn)
    out.show(f"{'reader':<14}{'engine':<10}{'seconds':>8}{'cases':>10}  broke on")
    for each in results:
        out.show(
            f"{each.target:<14}{each.engine:<10}{each.seconds:>8.0f}{each.cases:>10}  {len(each.found) or 'nothing'}"
        )
        for found in each.found:
            out.show(f"    {found}", style="red")
    cases, broken = sum(each.cases for each in results), sum(len(each.found) for each in results)
    out.show(f"{cases} cases in {sum(each.seconds for each in results):.0f} s, {broken} broke a reader")
    out.document({"cases": cases, "broken": broken, "targets": [asdict(each) for each in results]})
    return 1 if broken else 0


def run(targets: list[Target], seconds_each: float, warn: Callable[[str], None]) -> list[Fuzzed]:
    """Each target in turn, by atheris where it can be had."""
    try:
        interpreter = environments.python("fuzzing")
    except RunbookError as error:
        warn(f"{error}; inputs are made by chance instead")
        return [by_chance(each, seconds_each) for each in targets]
    return [by_atheris(interpreter, each, seconds_each) for each in targets]


def by_atheris(interpreter: Path, target: Target, seconds: float) -> Fuzzed:
    """One target in a process of its own, guided by coverage."""
    with tempfile.TemporaryDirectory(prefix="runbook-fuzz.") as folder:
        words = [str(interpreter), "-m", "benchmarks.fuzz_one", target.name, folder, str(max(1, round(seconds)))]
        begin = time.monotonic()
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False,
                              timeout=seconds + 300, env={**os.environ, "TMPDIR": folder})  # fmt: skip
        took = time.monotonic() - begin
        inputs = [path for path in sorted(Path(folder).iterdir()) if path.is_file()]
        said = done.stderr + done.stdout
        ended = _DONE.search(said)
        cases = int(ended[1]) if ended else max(map(int, _RUNS.findall(said)), default=0)
        found = tuple(f"{_reason(said)}: {path.read_bytes()[:2000]!r}" for path in inputs)
        if done.returncode != 0 and not found:
            raise RunbookError(f"fuzzing {target.name} did not get through: {said.strip().splitlines()[-1:]}")
        return Fuzzed(target.name, "atheris", took, cases, found)


def _reason(said: str) -> str:
    match = _BROKE.search(said)
    if match:
        return match[1].strip().splitlines()[0]
    kinds = [word for word in ("timeout", "out-of-memory", "deadly signal") if word in said]
    return kinds[0] if kinds else "it broke"


def by_chance(target: Target, seconds: float, seed: int = 1) -> Fuzzed:
    """One target in this process, with seeds that are cut, doubled, joined and changed byte by byte."""
    chance, begin, cases = random.Random(seed), time.monotonic(), 0  # noqa: S311 - inputs, no secrets
    found: dict[str, str] = {}
    while time.monotonic() - begin < seconds:
        data = mutated(target, chance)
        cases += 1
        try:
            attempt(target, data)
        except Exception as error:
            found.setdefault(f"{type(error).__name__}: {error}"[:200], repr(data[:2000]))
    return Fuzzed(
        target.name, "chance", time.monotonic() - begin, cases, tuple(f"{why}: {data}" for why, data in found.items())
    )


PIECES = (b"\0", b"\xff", b"\n", b"\r\n", b"'", b'"', b"$(id)", b"`id`", b"${", b"}", b"[", b"{", b"*a", b"&a ", b"<<: ", b"!!int ", b"-", b"..", b"/",
          b"99999999999999999999", b"9" * 5000, b"\xc2\xb2", b"\xd9\xa3", b"null", b"true", b"[]", b"{}", b"NaN", b"1e999", b": ", b"\t", b" ", b"\x1b[2J")  # fmt: skip


def mutated(target: Target, chance: random.Random) -> bytes:
    """A seed after a few changes."""
    data = bytearray(chance.choice(target.seeds))
    for _ in range(chance.randint(1, 6)):
        at, end = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
        end = min(end, at + chance.choice((1, 4, 16, 64, 4096)))
        kind = chance.randint(0, 5)
        if kind == 0:
            del data[at:end]
        elif kind == 1:
            data[at:at] = chance.choice(PIECES)
        elif kind == 2:
            data[at:end] = chance.choice(PIECES)
        elif kind == 3 and data:
            data[min(at, len(data) - 1)] = chance.randrange(256)
        elif kind == 4:
            data[at:at] = data[at:end]
        else:
            other = chance.choice(target.seeds)
            start = chance.randint(0, len(other))
            data[at:end] = other[start : start + (end - at)]
    return bytes(data[:65536])

"""Mutation testing: whether the tests notice when the planner, the transaction or the gate is wrong. `./inv mutate`.

Python is mutated by mutmut with all of its standard mutations, in an environment and a copy of its own;
`rollback/host.sh` by `shell_mutants`. Both run the tests that are fast and about that code, at the lowest priority.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import shell_mutants
from inventory.errors import InputError, RunbookError
from lab import environments
from runbooks.output import Output

ROOT = Path(__file__).resolve().parent.parent
MODULES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "planner": (
        ("runbooks/plan.py", "runbooks/plan_model.py", "runbooks/draft.py", "runbooks/restarts.py", "runbooks/baseline.py"),
        ("tests/runbooks/test_plan.py", "tests/runbooks/test_draft.py", "tests/runbooks/test_restarts.py",
         "tests/runbooks/test_baseline.py", "tests/runbooks/test_plan_values.py"),
    ),
    "transaction": (
        ("rollback/commit.py", "rollback/journal.py", "rollback/records.py", "rollback/model.py", "rollback/vault.py"),
        ("tests/rollback",),
    ),
    "gate": (
        ("checks/gate.py", "checks/statistics.py"),
        ("tests/checks/test_gate.py", "tests/checks/test_statistics.py"),
    ),
}  # fmt: skip
"""part -> its files and the tests that must notice."""
SHELL = "rollback/host.sh"
SHELL_TESTS = tuple(f"tests/rollback/test_{name}.py" for name in ("commit", "refusals", "records", "faults"))
ONE_SHELL = "not bash and not busybox"
"""Tests that run once for each shell run once: what a mutant does does not hang on the shell."""
CHILDREN = 2
LEAST = 0.85
"""The share of mutants that the tests must catch."""
SLOWEST_S = 400
"""Seconds after which a mutant of the shell program counts as caught: its tests take about 100, most of them for those that survive the first 20."""
SHOW = """
import sys
from mutmut.mutation.diff_apply import get_diff_for_mutant
for name in sys.argv[1:]:
    lines = get_diff_for_mutant(name).splitlines()[2:]
    print(name + "\\0" + "\\n".join(line for line in lines if line[:1] in "+-"), end="\\0")
"""
"""Prints the changed lines of mutants, in mutmut's own environment."""
SURVIVED, NO_TESTS, SKIPPED = 0, 33, 34
"""mutmut's exit codes for a mutant; every other says that it was caught (by a failing test, a crash or a time-out)."""


@dataclass(frozen=True)
class Score:
    """What became of the mutants of one file. `survivors` are their names, or what they do."""

    path: str
    made: int
    caught: int
    survivors: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        return self.caught / self.made if self.made else 1.0


def python(part: str, *, tell: Callable[[str], None], sample: int | None = None) -> list[Score]:
    """The scores of a part's files, by mutmut. `sample`: only about so many mutants, those whose numbers end alike.

    Raises RunbookError when the tests fail without any mutant.
    """
    files, tests = MODULES[part]
    interpreter = environments.python("mutation")
    with tempfile.TemporaryDirectory(prefix="runbook-mutation.") as made:
        place = Path(made)
        _copy(place)
        _configure(place, files, tests)
        tell(f"{part}: mutmut makes mutants of {len(files)} files and runs {len(tests)} sets of tests")
        words = [str(interpreter), "-m", "mutmut", "run", "--max-children", str(CHILDREN)]
        if sample:
            words += [f"*__mutmut_*{digit}" for digit in "37951"[: max(1, sample // 100)]]
        environment = {
            **os.environ,
            "RUNBOOK_EXAMPLES": "20",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(place / ".hypothesis"),
        }
        log = place / "mutmut.log"
        with log.open("wb") as output:
            done = subprocess.run(_low(words), cwd=place, env=environment, stdout=output, stderr=output, check=False)
        scores = [_score(place, file, interpreter) for file in files]
        if done.returncode != 0 or not any(score.made for score in scores):
            last = [line for line in log.read_text(errors="replace").replace("\r", "\n").splitlines() if line.strip()][
                -12:
            ]
            raise RunbookError("mutmut did not get through: " + " | ".join(last))
        return scores


def shell(*, sample: int | None, tell: Callable[[str], None]) -> Score:
    """The score of `host.sh`: each mutant's tests in a process of their own, on a copy of the project."""
    program = (ROOT / SHELL).read_text()
    every = [each for each in shell_mutants.mutants(program) if _parses(each.applied(program))]
    # Evenly spread and the same each time: a sample for a look between two full runs.
    chosen = every[:: max(1, len(every) // sample)] if sample else every
    tell(f"{SHELL}: {len(chosen)} of {len(every)} mutants")
    with tempfile.TemporaryDirectory(prefix="runbook-mutation.") as made:
        places = [Path(made) / str(number) for number in range(CHILDREN)]
        Path(made).chmod(0o755)  # some tests run as a plain user
        for place in places:
            place.mkdir()
            _copy(place)
        free = list(places)
        begun = time.monotonic()
        if _noticed(places[0], program):
            raise RunbookError("the tests fail without any mutant", mend="see ./inv test --select tests/rollback")
        tell(f"{SHELL}: the tests alone take {time.monotonic() - begun:.0f} s")
        survivors: list[str] = []
        ended = 0

        def one(mutant: shell_mutants.Mutant) -> None:
            nonlocal ended
            place = free.pop()
            try:
                caught = _noticed(place, mutant.applied(program))
            finally:
                free.append(place)
            ended += 1
            if not caught:
                survivors.append(f"{mutant.line}: {mutant.what}")
            if not caught or ended % 25 == 0:
                tell(
                    f"{SHELL}: {ended} of {len(chosen)} in {time.monotonic() - begun:.0f} s"
                    + ("" if caught else f", survived {survivors[-1]}")
                )

        with ThreadPoolExecutor(CHILDREN) as pool:
            list(pool.map(one, chosen))
    survivors.sort(key=lambda text: int(text.partition(":")[0]))
    return Score(SHELL, len(chosen), len(chosen) - len(survivors), tuple(survivors))


def _parses(program: str) -> bool:
    return subprocess.run(["sh", "-n", "-c", program], capture_output=True, check=False).returncode == 0


def _noticed(place: Path, program: str) -> bool:
    """Whether a test fails with this text in place of the program. All that it starts ends with it."""
    (place / SHELL).write_text(program)
    folder = place / "tmp"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    words = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist",
             "-m", "not lab", "-k", ONE_SHELL, f"--basetemp={folder / 'tests'}", *SHELL_TESTS]  # fmt: skip
    environment = {**os.environ, "RUNBOOK_EXAMPLES": "20", "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    child = subprocess.Popen(
        _low(_boxed(words, place)), cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        return child.wait(SLOWEST_S) != 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _boxed(words: Sequence[str], place: Path) -> list[str]:
    """The words, in a world where only the copy can be written: a mutant may well remove what it should not.

    Without the right to make such a world (who is not root) a mutant can do no more than its user.
    """
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return list(words)
    box = 'mount --bind "$1" "$1" && mount -o remount,ro,bind / && mount -t tmpfs none /tmp.box 2>/dev/null; shift; exec "$@"'
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return ["unshare", "--mount", "sh", "-c", box, "sh", str(place), *words] if probe.returncode == 0 else list(words)


def _low(words: Sequence[str]) -> list[str]:
    return ["nice", "-n", "15", *words]


def _copy(place: Path) -> None:
    """The checkout's files as they are now, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )  # fmt: skip
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)


def _configure(place: Path, files: Sequence[str], tests: Sequence[str]) -> None:
    """mutmut reads [tool.mutmut]: all packages are there, only the files are mutated."""
    settings = {
        "source_paths": ["."],
        "also_copy": [],
        "only_mutate": list(files),
        "pytest_add_cli_args_test_selection": list(tests),
        "pytest_add_cli_args": ["-m", "not lab", "-k", ONE_SHELL, "-p", "no:xdist"],
        "timeout_multiplier": 8.0,
        "timeout_constant": 5.0,
        "use_git_change_detection": False,
        "track_dependencies": False,
    }
    with (place / "pyproject.toml").open("a") as file:
        file.write("\n[tool.mutmut]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))


def _score(place: Path, file: str, interpreter: Path) -> Score:
    meta = place / "mutants" / f"{file}.meta"
    codes: dict[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"] if meta.exists() else {}
    tried = {name: code for name, code in codes.items() if code not in (SKIPPED, None)}
    alive = [name for name, code in tried.items() if code in (SURVIVED, NO_TESTS)]
    words = [str(interpreter), "-c", SHOW, *alive]
    shown = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False).stdout.split("\0")
    changes = dict(zip(shown[::2], shown[1::2], strict=False))
    survivors = tuple(f"{name.rpartition('.')[2]}: {changes.get(name, '')}" for name in alive)
    return Score(file, len(tried), len(tried) - len(alive), survivors)


def mutate(out: Output, *, part: str = "", sample: int | None = None) -> int:
    """Mutates one part or all, and shows the share that the tests caught. Returns 1 for a share below LEAST."""
    parts = [*MODULES, "shell"]
    if part and part not in parts:
        raise InputError(f"no part is called {part!r}", key="--part", mend=f"there are: {', '.join(parts)}")
    scores: list[Score] = []
    for name in [part] if part else parts:
        scores += (
            [shell(sample=sample, tell=out.warn)] if name == "shell" else python(name, sample=sample, tell=out.warn)
        )
    for score in scores:
        for survivor in score.survivors:
            out.show(f"survived in {score.path}  {survivor}")
    out.show(f"{'file':<28}{'mutants':>8}{'caught':>8}{'share':>8}")
    tried = [score for score in scores if score.made]
    made, caught = sum(score.made for score in tried), sum(score.caught for score in tried)
    for score in (*tried, Score("all", made, caught)):
        out.show(f"{score.path:<28}{score.made:>8}{score.caught:>8}{score.share:>8.1%}")
    out.document({"made": made, "caught": caught, "files": [asdict(score) for score in tried]})
    return 0 if caught >= LEAST * made else 1

"""Mutation testing: whether the tests notice when the planner, the transaction or the gate is wrong. `./inv mutate`.

Python is mutated by mutmut with all of its standard mutations, in an environment and a copy of its own;
`rollback/host.sh` by `shell_mutation`. Both run the tests that are about that code, at the lowest priority.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.copying import Score, copied, low
from benchmarks.shell_mutation import ONE_SHELL, shell
from inventory.errors import InputError, RunbookError
from lab import environments
from runbooks.output import Output

MODULES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "planner": (
        ("runbooks/plan.py", "runbooks/plan_json.py", "runbooks/plan_model.py", "runbooks/draft.py", "runbooks/restarts.py", "runbooks/baseline.py"),
        ("tests/runbooks/test_plan.py", "tests/runbooks/test_draft.py", "tests/runbooks/test_restarts.py",
         "tests/runbooks/test_baseline.py", "tests/runbooks/test_plan_values.py"),
    ),
    "transaction": (
        ("rollback/commit.py", "rollback/door.py", "rollback/locking.py", "rollback/running.py", "rollback/journal.py", "rollback/records.py", "rollback/model.py", "rollback/vault.py"),
        ("tests/rollback",),
    ),
    "gate": (("checks/gate.py",), ("tests/checks/test_gate.py",)),
    "statistics": (("checks/statistics.py",), ("tests/checks/test_statistics.py", "tests/checks/test_assess.py")),
}  # fmt: skip
"""part -> its files and the tests that must notice."""
CHILDREN = 2
LEAST = 0.85
"""The share of mutants that the tests must catch."""
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


def python(part: str, *, tell: Callable[[str], None], sample: int | None = None) -> list[Score]:
    """The scores of a part's files, by mutmut. `sample`: only about so many mutants, those whose numbers end alike.

    Raises RunbookError when the tests fail without any mutant.
    """
    files, tests = MODULES[part]
    interpreter = environments.python("mutation")
    with tempfile.TemporaryDirectory(prefix="runbook-mutation.") as made:
        place = Path(made)
        copied(place)
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
            done = subprocess.run(low(words), cwd=place, env=environment, stdout=output, stderr=output, check=False)
        scores = [_score(place, file, interpreter) for file in files]
        if done.returncode != 0 or not any(score.made for score in scores):
            last = [line for line in log.read_text(errors="replace").replace("\r", "\n").splitlines() if line.strip()][
                -12:
            ]
            raise RunbookError("mutmut did not get through: " + " | ".join(last))
        return scores


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

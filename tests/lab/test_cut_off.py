"""Controllers that are killed while a real host brings services up: the next commands carry the change, and the way back, to their ends."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import GATE, Practice, Ran

pytestmark = pytest.mark.lab
HOST = "staging-1"


def killed(run: subprocess.Popen[str]) -> str:
    """Kills a command once the first of its services is up, while the next one is begun. Returns what it had said."""
    assert run.stdout is not None
    said = []
    for line in run.stdout:
        said.append(line)
        if "healthy after" in line:
            break
    run.kill()
    run.stdout.close()
    assert run.wait(timeout=60) == -9, "".join(said)
    return "".join(said)


def carried_on(inv: Callable[..., Ran], *words: str) -> Ran:
    """The next command; told that a command of the lost run still runs on the host, it comes again, as an operator does."""
    for _ in range(60):
        ran = inv(*words, "--yes")
        if "still runs" not in ran.out + ran.err:
            return ran
    raise AssertionError(ran.out + ran.err)


def test_a_migration_and_a_rollback_that_were_killed_in_the_midst_of_bringing_up_are_carried_to_their_ends(
    inv: Callable[..., Ran],
    started: Callable[..., subprocess.Popen[str]],
    folder: Path,
    staging: dict[str, Practice],
    tmp_path: Path,
) -> None:
    patient = json.dumps({**GATE, "window": "10s", "min_samples": 1})  # of a busy machine, too
    (tmp_path / "staging.yml").write_text((folder / "staging.yml").read_text().replace(json.dumps(GATE), patient))
    host = staging[HOST]
    host.settle()
    before = host.state()
    where = ("--env", "staging", "--inventory", str(tmp_path), "--limit", HOST)
    what = ("--phase", "1", *where, "--tags", "health")

    killed(started("migrate", *what, "--yes"))
    assert host.would_recreate() > 0, "not all of its services are up"
    assert inv("migrate", "--resume", *what, "--yes").code == 4, "the lost run holds the lock"
    assert inv("unlock", *where, "--yes").code == 0
    resumed = carried_on(inv, "migrate", "--resume", *what)
    assert resumed.code == 0, resumed.out + resumed.err
    assert "is carried on: its files are written" in resumed.out
    assert host.would_recreate() == 0
    assert inv("plan", *what).code == 0, "nothing of it is left to do"
    assert host.state() != before

    killed(started("rollback", *where, "--yes"))
    assert host.would_recreate() > 0, "not all of its services are back"
    assert inv("unlock", *where, "--yes").code == 0
    back = carried_on(inv, "rollback", *where)
    assert back.code == 0, back.out + back.err
    assert "an undo was cut off" in back.out
    assert host.state() == before
    assert host.would_recreate() == 0
    assert "nothing to undo" in inv("rollback", *where, "--yes").out

"""A real host that was built anew, with nothing of what was kept on it, gets every byte back from the controller's own copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab import engine
from lab.state import PROJECT_DIR, LabState
from tests.lab.conftest import Practice, Ran

pytestmark = pytest.mark.lab
HOST = "staging-1"
KEPT = "/var/lib/compose-runbook/reconciliation"


def test_a_host_that_was_built_anew_is_rolled_back_from_the_controller(
    inv: Callable[..., Ran], folder: Path, lab: LabState, staging: dict[str, Practice]
) -> None:
    host = staging[HOST]
    host.settle()
    before = host.state()
    where = ("--env", "staging", "--inventory", str(folder), "--limit", HOST)
    ran = inv("migrate", "--phase", "1", *where, "--tags", "conditions", "--yes")
    assert ran.code == 0, ran.out + ran.err
    assert host.state() != before

    container = engine.client().containers.get(lab.container(HOST))
    assert container.exec_run(["rm", "-rf", KEPT]).exit_code == 0
    anew = host.link.run('cd "$1" && docker compose down && docker compose up -d --wait', PROJECT_DIR, timeout_s=300.0)
    assert anew.exit == 0, anew.text
    lost = inv("rollback", *where, "--yes")
    assert lost.code == 4, lost.out + lost.err
    assert f"{HOST}: {KEPT} keeps nothing of " in lost.err
    assert "add --from-controller" in lost.err

    back = inv("rollback", *where, "--from-controller", "--yes")
    assert back.code == 0, back.out + back.err
    assert host.state() == before
    assert host.would_recreate() == 0
    assert inv("health", *where).code == 0

"""A mesh on a real host: planned, judged by Envoy, in force by name and by address, renewed under load, and back byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import mesh
from tests.lab.conftest import GATE, Practice, Ran, wishing
from tests.services import meshes

pytestmark = [
    pytest.mark.lab,
    pytest.mark.drill,
    pytest.mark.skipif(meshes.program() is None, reason="no Envoy for this machine"),
]
Inv = Callable[..., Ran]
WISHES = {
    "mesh_services": {"backend": {"drop": ["ports"]}, "frontend": {"serves": False}},
    "gate": {**GATE, "min_samples": 1},  # of a busy machine, too
}


@pytest.fixture(scope="module")
def words(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The options for one host of an inventory that wishes for a mesh."""
    return wishing(folder, tmp_path_factory.mktemp("inventory-mesh"), WISHES)


def test_a_mesh_lets_callers_through_and_nobody_else_renews_under_load_and_goes_without_a_trace(
    inv: Inv, words: tuple[str, ...], staging: dict[str, Practice]
) -> None:
    host = staging["staging-2"]
    host.settle()
    program = meshes.program()
    assert program is not None
    mesh.images(host, program)
    before = host.state()
    runs = [inv("migrate", "--phase", number, *words, "--yes", "--json") for number in ("1", "2")]
    for ran in runs:
        assert ran.code == 0, ran.err
    host.settle()
    between = host.state()

    only = ("--phase", "3", "--step", "mesh", *words)
    assert inv("migrate", *only, "--yes").code == 4  # high risk
    made = inv("migrate", *only, "--accept-risk", "high", "--yes", "--json")
    assert made.code == 0, made.err + made.out
    assert inv("plan", *only).code == 0
    assert host.would_recreate() == 0
    mesh.is_in_force(host)
    health = inv("health", *words, "--json")
    assert health.code == 0, health.out

    back = inv("rollback", *words, "--yes")
    assert back.code == 0, back.err + back.out
    host.settle()
    assert host.state() == between
    assert mesh.left(host) == ""
    whole = inv("rollback", *words, "--run", runs[0].document["run"], "--with-later", "--yes")
    assert whole.code == 0, whole.err + whole.out
    assert host.state() == before
    assert host.would_recreate() == 0

"""A file that an earlier run made is changed by the next one, and comes back; somebody's own is never written over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from inventory.engine import Compose
from runbooks import book, draft, plan, survey
from runbooks.commands import standing
from runbooks.model import NO_FACTS
from runbooks.plan_model import Plan
from runbooks.survey_files import file_stack
from tests.runbooks.bench import GATE, Bench, make_bench

TEXT = "services:\n  web:\n    image: shop:1\n"
MANIFEST = "kubernetes/web-hpa.yml"
pytestmark = pytest.mark.slow


def every_file(folder: Path) -> dict[str, tuple[bytes, int]]:
    """All files of a folder and below: bytes and mode."""
    return {
        str(each.relative_to(folder)): (each.read_bytes(), each.stat().st_mode)
        for each in sorted(folder.rglob("*"))
        if each.is_file()
    }


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    found = make_bench(tmp_path, monkeypatch)
    (found.host() / "docker-compose.yml").write_text(TEXT)
    return found


def planned(bench: Bench, most: int) -> Plan:
    """Replicas of `web`, up to so many, planned as a command does: with what stands on the host."""
    folder = Path(bench.hosts["web-1"].project.directory)
    phase = book.load("3")
    step = next(replace(each, gate=GATE) for each in phase.steps if each.kind == "autoscaling")
    drawn = draft.walk(
        replace(phase, steps=(step,)), file_stack([folder / "docker-compose.yml"]), NO_FACTS,
        {"autoscale": {"web": {"min": 2, "max": most}}},
    )  # fmt: skip
    paths = [str(folder / each) for each in ("docker-compose.yml", MANIFEST)]
    states = survey.states_of(bench.links["web-1"], bench.hosts["web-1"], paths)
    host = plan.host_plan("web-1", drawn, NO_FACTS, Compose(str(folder), "web-1"), states)
    return standing.looked(bench.session(), plan.make(phase, "staging", [host]))[0]


def test_other_numbers_change_the_file_that_a_run_made_and_each_rollback_takes_one_back(bench: Bench) -> None:
    folder = Path(bench.hosts["web-1"].project.directory)
    before = every_file(folder)
    assert bench.migrate(planned(bench, 4)) == 0
    first = every_file(folder)
    made = planned(bench, 6)
    (host,) = made.hosts
    assert host.blocked == ()
    assert [(file.path, file.data_before) for file in host.files] == [
        (str(folder / MANIFEST), (folder / MANIFEST).read_bytes())
    ]
    assert bench.migrate(made, run="run-2") == 0
    assert "maxReplicas: 6" in (folder / MANIFEST).read_text()
    assert not planned(bench, 6).changed
    assert bench.rollback("run-3", of="run-2") == 0
    assert every_file(folder) == first
    assert bench.rollback("run-4") == 0
    assert every_file(folder) == before


@pytest.mark.parametrize("whose", ["nobody's run", "edited since"])
def test_what_is_not_as_a_run_wrote_it_is_not_written_over(bench: Bench, whose: str) -> None:
    folder = Path(bench.hosts["web-1"].project.directory)
    if whose == "edited since":
        assert bench.migrate(planned(bench, 4)) == 0
    (folder / "kubernetes").mkdir(exist_ok=True)
    (folder / MANIFEST).write_text("mine: true\n")
    (host,) = planned(bench, 6).hosts
    assert any(f"{MANIFEST} would be created and is there already: move it away" in line for line in host.blocked)


def test_who_only_looks_finds_the_state_folder_of_the_account_and_makes_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    monkeypatch.setenv("XDG_STATE_HOME", str(own))
    host = bench.hosts["web-1"]
    shared = replace(host.project, state_dir=str(own / "compose-runbook" / "web-1"))
    bench.hosts["web-1"] = bench.links["web-1"].host = replace(host, project=shared)
    assert bench.migrate(planned(bench, 4)) == 0
    bench.hosts["web-1"] = replace(host, project=replace(host.project, state_dir=None))
    session = bench.session()
    writer = session.writer("web-1")
    writer.state_dir = str(tmp_path / "nothing")
    assert writer.found_own()
    assert [each.step for each in writer.snapshots()]
    assert not (tmp_path / "nothing").exists()

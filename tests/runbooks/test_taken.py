"""A file that an earlier run made is changed by the next one, and comes back; somebody's own is never written over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from checks.model import Probe
from inventory.engine import Compose
from runbooks import book, draft, plan, survey
from runbooks.commands import standing
from runbooks.model import NO_FACTS, Answer
from runbooks.plan_model import NOTHING_MADE, Plan
from runbooks.survey_files import file_stack
from tests.runbooks.bench import GATE, Bench, make_bench
from tests.runbooks.steps.material import live

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


BREAKERS = """\
services:
  cache: {image: "redis:8"}
  api: {image: shop/api, environment: {REDIS_URL: "redis://cache:6379/0"}}
"""
WELL = Probe("command", "answers:web", "web", {"command": ["true"]})
CONFIG = "infrastructure/circuit-breaker/haproxy.cfg"


def broken_off(bench: Bench, opened: str) -> Plan:
    """Breakers that stay open so long, planned as for a host whose file says what it says; the engine is left out."""
    folder = Path(bench.hosts["web-1"].project.directory)
    kinds = [replace(each, gate=GATE, together="all") for each in book.load("2").steps if each.kind in ("health_aggregator", "circuit_breakers")]  # fmt: skip
    phase, settings = replace(book.load("2"), steps=tuple(kinds)), {"breaker_open": opened}
    stack = file_stack([folder / "docker-compose.yml"])
    there = folder / CONFIG
    asked = [each for each in draft.questions(phase, stack, NO_FACTS, settings) if each.argv == ("cat", str(there))]
    assert bool(asked) == there.exists()
    facts = live(stack, answers={each.key: Answer(0, there.read_text(), 0.1) for each in asked}) if asked else NO_FACTS
    drawn = draft.walk(phase, stack, facts, settings)
    states = survey.states_of(bench.links["web-1"], bench.hosts["web-1"], [str(folder / "docker-compose.yml"), str(there)])  # fmt: skip
    host = plan.host_plan("web-1", drawn, facts, Compose(str(folder), "web-1"), states)
    bare = [replace(stage, restarts=(), made=NOTHING_MADE, steps=tuple(replace(step, probes=(WELL,), images=()) for step in stage.steps)) for stage in host.stages]  # fmt: skip
    made = plan.make(phase, "staging", [replace(host, stages=tuple(bare), images={})])
    return standing.looked(bench.session(), made)[0]


def test_breakers_take_other_numbers_by_a_further_run_and_each_rollback_takes_one_back(bench: Bench) -> None:
    folder = Path(bench.hosts["web-1"].project.directory)
    (folder / "docker-compose.yml").write_text(BREAKERS)
    before = every_file(folder)
    assert bench.migrate(broken_off(bench, "30s")) == 0
    first = every_file(folder)
    assert not broken_off(bench, "30s").changed
    made = broken_off(bench, "10s")
    (host,) = made.hosts
    assert host.blocked == ()
    assert {file.path for file in host.files} == {str(folder / "docker-compose.yml"), str(folder / CONFIG)}
    assert bench.migrate(made, run="run-2") == 0
    assert "fastinter 5000ms" in (folder / CONFIG).read_text()
    assert not broken_off(bench, "10s").changed
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

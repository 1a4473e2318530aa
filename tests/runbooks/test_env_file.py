"""`.env` on a host that is a folder: made private, gives back its mode, read by later stages; nothing restarts."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inventory.engine import Compose
from runbooks import book, draft, plan, survey
from runbooks.model import NO_FACTS
from runbooks.plan_model import Plan
from runbooks.survey_files import file_stack
from tests.runbooks.bench import GATE, Bench, content, make_bench

TEXT = """\
services:
  db:
    image: postgres:17
    environment: {POSTGRES_PASSWORD: geheim-7f3a}
  web:
    image: shop:1
    environment:
      DATABASE_URL: postgres://app:geheim-7f3a@db:5432/shop
"""
PHASE = book.load("3")
pytestmark = pytest.mark.slow


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return make_bench(tmp_path, monkeypatch)


def host(bench: Bench, env: tuple[str, int] | None) -> Path:
    """A host with TEXT as its Compose file, and an env file of this text and mode."""
    folder: Path = bench.host()
    (folder / "docker-compose.yml").write_text(TEXT)
    (folder / ".env").unlink()
    if env:
        (folder / ".env").write_text(env[0])
        (folder / ".env").chmod(env[1])
    return folder


def planned(bench: Bench, folder: Path, *phases: tuple[str, dict[str, Any]]) -> Plan:
    """A plan of some stages: the first step of phase 3, once for each set of variables."""
    step = next(each for each in PHASE.steps if each.kind == "discovery_variables")
    stack, made = file_stack([folder / "docker-compose.yml"]), []
    paths = [str(folder / each) for each in (".env", "docker-compose.yml")]
    states = survey.states_of(bench.links["web-1"], bench.hosts["web-1"], paths)
    for number, (name, variables) in enumerate(phases, 1):
        phase = replace(PHASE, steps=(replace(step, name=name, gate=GATE),))
        walked = draft.walk(phase, stack, NO_FACTS, variables).stages[0]
        made.append(replace(walked, number=number))
        stack = walked.after
    drawn = plan.host_plan("web-1", draft.Draft(PHASE, tuple(made)), NO_FACTS, Compose(str(folder), "web-1"), states)
    return plan.make(PHASE, "staging", [drawn])


@pytest.mark.parametrize("env", [None, ("A=1", 0o644), ("A=1\n", 0o600), ("A=1\n", 0o440)], ids=str)
def test_passwords_go_to_a_private_file_without_a_restart_and_come_back_byte_for_byte(bench: Bench, env: Any) -> None:
    folder = host(bench, env)
    before = content(folder)
    made = planned(bench, folder, ("variables", {}))
    assert made.hosts[0].restarts == ()
    assert bench.migrate(made) == 0
    found = (folder / ".env").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, os.getuid())
    assert "geheim" not in (folder / "docker-compose.yml").read_text()
    lines = [*(["A=1"] if env else []), "POSTGRES_PASSWORD=geheim-7f3a", "DB_SERVICE=db"]
    assert (folder / ".env").read_text().splitlines() == lines
    assert bench.docker.ups == []
    assert bench.rollback() == 0
    assert content(folder) == before


def test_a_service_moves_by_a_second_stage_that_reads_the_file_that_the_first_one_made(bench: Bench) -> None:
    folder = host(bench, None)
    before = content(folder)
    made = planned(bench, folder, ("variables", {}), ("move", {"service_locations": {"db": "db.example.net"}}))
    assert [[restart.service for restart in stage.restarts] for stage in made.hosts[0].stages] == [[], ["web"]]
    assert bench.migrate(made) == 0
    assert (folder / ".env").read_text() == "POSTGRES_PASSWORD=geheim-7f3a\nDB_SERVICE=db.example.net\n"
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    assert bench.docker.ups == ["web"]
    assert bench.rollback() == 0
    assert content(folder) == before


def test_the_mode_that_a_file_gets_is_part_of_what_a_kept_plan_promises(bench: Bench) -> None:
    folder = host(bench, ("A=1\n", 0o644))
    one = planned(bench, folder, ("variables", {}))
    other = planned(bench, folder, ("variables", {"env_file_mode": "0640"}))
    assert one.fingerprint != other.fingerprint

"""Steps that wait for the next `up`: planned, written, watched and undone on hosts that have no engine at all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inventory.connection import LocalLink
from inventory.errors import InputError
from inventory.model import Host, Project
from inventory.secrets import Mask
from runbooks import applying, book, propose
from runbooks.commands import migrating, rolling_back
from runbooks.commands.choice import Choice
from runbooks.output import Output

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = """\
services:
  web: # in front
    image: nginx:1.27
    depends_on: [db]
  db:
    image: postgres:17
    healthcheck: {test: [CMD, pg_isready, -h, 127.0.0.1]}
"""
PHASE = "steps:\n  - step: {}\n    apply: {}\n  - step: {}\n    apply: {}\n"


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """An environment of two hosts that are folders, on a machine whose PATH has no docker."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for folder in ("/usr/bin", "/bin"):
        for path in Path(folder).iterdir():
            if not path.name.startswith("docker") and not (programs / path.name).exists():
                (programs / path.name).symlink_to(path)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "controller"))
    hosts = {}
    for name in ("web-1", "web-2"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "compose.yml").write_text(COMPOSE)
        hosts[name] = {"project_dir": str(folder), "state_dir": str(tmp_path / f"{name}.state")}
    whole = {"all": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}
    (tmp_path / "fleet.yml").write_text(json.dumps(whole))
    return tmp_path


def migrate(folder, **how):
    return migrating.migrate(Output(yes=True), Choice("files", "fleet", folder), migrating.How(serial="100%", **how))


def test_a_host_without_an_engine_is_migrated_and_put_back(environment, capsys):
    assert migrate(environment) == 0
    after = COMPOSE.replace("depends_on: [db]", "depends_on: {db: {condition: service_healthy}}")
    texts = {(environment / name / "compose.yml").read_text() for name in ("web-1", "web-2")}
    assert len(texts) == 1 and texts.pop() != COMPOSE
    said = capsys.readouterr().out
    assert "unproven" in said and "proves no more" in said and "gate: pass" in said, said
    assert after  # the exact form is the splicer's affair and has tests of its own
    assert migrate(environment) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert rolling_back.rollback(Output(yes=True), "fleet", folder=environment) == 0
    assert [(environment / name / "compose.yml").read_text() for name in ("web-1", "web-2")] == [COMPOSE, COMPOSE]


def test_a_file_that_changes_before_the_gate_fails_it_and_is_told(environment, monkeypatch, capsys):
    from runbooks.hostrun import HostRun

    round_ = HostRun.round

    def spoilt(self, probes):
        if self.name == "web-2":
            with (environment / "web-2" / "compose.yml").open("a") as file:
                file.write("# somebody was here\n")
        return round_(self, probes)

    monkeypatch.setattr(HostRun, "round", spoilt)
    assert migrate(environment) in (3, 6)
    assert "compose.yml" in capsys.readouterr().out
    assert (environment / "web-1" / "compose.yml").read_text() == COMPOSE


def test_no_engine_is_asked_where_every_step_waits(environment):
    host = Host("web-1", "web-1", Project(str(environment / "web-1")), connection="local")
    link = LocalLink(host)
    asked = []
    run = link.run
    link.run = lambda program, *args, **more: asked.append(program) or run(program, *args, **more)
    planned = propose.of_host(link, host, book.load("files"), Mask(), lambda _event: None)
    assert planned.changed and not planned.restarts and not planned.live and len(asked) == 1
    assert [probe.kind for stage in planned.stages for probe in stage.probes] == ["files"]


def test_the_last_line_of_a_plan_says_that_nothing_restarts(environment):
    words = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "plan", "--phase", "files", "--env", "fleet",
             "--inventory", str(environment)]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=dict(os.environ), check=False)
    assert done.returncode == 2 and "0 restart(s), on 2 of 2 host(s)" in done.stdout, done.stdout + done.stderr


def read(folder, *words):
    (folder / "phase_7.yml").write_text(PHASE.format(*words))
    return book.load("7", folder)


def test_steps_that_wait_stand_last_and_a_phase_with_others_still_asks_the_engine(tmp_path):
    phase = read(tmp_path, "health_checks", "up", "conditions", "on_next_up")
    assert applying.asks_engine(phase.steps)
    assert phase.steps[1].gate == applying.ONCE != phase.steps[0].gate
    assert not applying.asks_engine(read(tmp_path, *["conditions", "on_next_up"] * 2).steps)
    with pytest.raises(InputError, match=r"phase_7\.yml:4: apply: conditions brings services up after health_checks"):
        read(tmp_path, "health_checks", "on_next_up", "conditions", "up")


def test_another_word_for_apply_is_refused_with_those_that_there_are(tmp_path):
    with pytest.raises(InputError, match=r"phase_7\.yml:3: apply: 'later' is no way .* \(write up or on_next_up\)"):
        read(tmp_path, "conditions", "later", "conditions", "up")


def test_steps_that_stand_together_are_applied_in_one_way(tmp_path):
    lines = "steps:\n  - {step: health_checks, together: a}\n  - {step: conditions, together: a, apply: on_next_up}\n"
    (tmp_path / "phase_7.yml").write_text(lines + "gate: {window: 9s, interval: 1s}\n")
    with pytest.raises(InputError, match="applied together"):
        book.load("7", tmp_path)

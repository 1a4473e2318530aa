"""Hosts that are folders, plans for them, and runs of those plans, through the real program that writes files."""

import hashlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag

from checks.model import Gate, Probe
from inventory.connection import LocalLink
from inventory.engine import Compose
from inventory.model import Host, Inventory, Project
from inventory.secrets import Mask
from rollback.commit import HostWriter
from rollback.model import FileState
from runbooks import book, events, resuming, run_model, runner, undo
from runbooks.hostrun import HostRun
from runbooks.plan_model import NOTHING_MADE, HostPlan, Plan, PlannedFile, Restart, Stage, StartupPlan, StepPlan
from runbooks.session import Session
from tests.runbooks.fakes import fake_docker

BEFORE = b"services: {db: {}, web: {}}\r\n# caf\xc3\xa9"
GATE = Gate(window_s=0.1, interval_s=0.1, min_samples=1)
SHORT = {"window": "100ms", "interval": "100ms", "min_samples": 1, "initial_delay": "0s"}
"""The same as an inventory says it, for the gates of a phase file."""


def sha(data):
    return None if data is None else hashlib.sha256(data).hexdigest()


class Bench:
    """Hosts that are folders, plans for them, and runs of those plans."""

    def __init__(self, tmp_path, docker):
        self.tmp_path, self.docker, self.told, self.stop = tmp_path, docker, [], Flag()
        self.hosts, self.links = {}, {}
        self.on = lambda _event: None

    def host(self, name="web-1"):
        folder = self.tmp_path / name
        folder.mkdir()
        (folder / "docker-compose.yml").write_bytes(BEFORE)
        (folder / "docker-compose.yml").chmod(0o640)
        (folder / ".env").write_text("A=1")
        self.docker.project(name, folder)
        state = str(self.tmp_path / f"{name}.state")
        self.hosts[name] = Host(name, name, Project(str(folder), name, state_dir=state), connection="local")
        self.links[name] = LocalLink(self.hosts[name])
        return folder

    def writer(self, name, run="run-1"):
        project = self.hosts[name].project
        return HostWriter(
            self.links[name], project.directory, name, run=run, who="eve@laptop", state_dir=project.state_dir
        )

    def plan(self, *stages, gate=GATE, hooks=(), **first):
        """A plan: each stage is what it puts at the end of the Compose file. The first creates a file besides."""
        made = (replace(self.host_plan(name, stages, gate, **first), hooks=tuple(hooks)) for name in self.hosts)
        return Plan("1", "staging", ("s",), tuple(made), "f", "k")

    def host_plan(self, name, texts, gate, *, makes=NOTHING_MADE, before_undo=(), images=()):
        """`makes`, `before_undo` and `images` are the first stage's."""
        directory = self.hosts[name].project.directory
        uid, gid, now, made = os.getuid(), os.getgid(), BEFORE, []
        env = FileState(
            f"{directory}/.env", sha(b"A=1"), stat.S_IMODE(Path(directory, ".env").stat().st_mode), uid, gid
        )
        for number, text in enumerate(texts, 1):
            after = BEFORE + text.encode()
            state = FileState(f"{directory}/docker-compose.yml", sha(now), 0o640, uid, gid)
            probes = (
                Probe("container", "container:web", "web"),
                Probe("command", "answers:web", "web", {"command": ["true"]}),
            )
            files = [PlannedFile(state, now, after)]
            if number == 1:
                files.append(PlannedFile(FileState(f"{directory}/made.conf", None), None, b"made"))
            made.append(
                Stage(
                    number,
                    (
                        StepPlan(
                            f"step {number}", "conditions", "low", probes=probes,
                            before_undo=before_undo if number == 1 else (), images=images if number == 1 else (),
                        ),
                    ),
                    gate,
                    files=tuple(files), reads=(env,),
                    restarts=(
                        Restart("db", "why", True, 1.0, wait_s=5), Restart("web", "why", False, 1.0, wait_s=5),
                        *(Restart(each, "new", False, 0.0, wait_s=5, created=True) for each in (makes.services if number == 1 else ())),
                    ),
                    made=makes if number == 1 else NOTHING_MADE,
                )
            )  # fmt: skip
            now = after
        compose = Compose(directory, name)
        return HostPlan(
            name, directory, compose, tuple(made), StartupPlan(), images={"db": "sha256:old", "web": "sha256:old"}
        )

    def emit(self, event):
        self.told.append(event)
        self.on(event)

    def migrate(self, plan, *, run="run-1", left=None, closed=lambda _name: None, secrets=None, **options):
        hosts = {}
        for host in plan.hosts:
            writer = self.writer(host.host, run)
            writer.prepare()
            own = (left or {}).get(host.host)
            hosts[host.host] = HostRun(self.links[host.host], writer, host, self.emit, self.stop.is_set, left=own)
        made = run_model.Run(
            run, "eve@laptop", plan, hosts, run_model.Options(**options), self.emit, self.stop, closed=closed, secrets=secrets or {}
        )  # fmt: skip
        return runner.migrate(made)

    def resume(self, run="run-2", of="run-1", **options):
        """Goes on with what a run left half done; None where it left nothing. Repairs first, as a command does."""
        left = {}
        for name in self.hosts:
            writer = self.writer(name, run)
            writer.prepare()
            writer.recover()
            found = resuming.left(writer, of if isinstance(of, tuple) else (of,))
            left |= {name: found} if found else {}
        plan = resuming.plan(book.load("1"), "staging", left, {})
        return self.migrate(plan, run=run, left=left, gate=SHORT, **options) if left else None

    def session(self, run="run-2"):
        inventory = Inventory("staging", "staging.yml", tuple(self.hosts.values()), {})
        return Session(inventory, Mask(), "eve@laptop", run, dict(self.links))

    def rollback(self, run="run-2", **more):
        session = self.session(run)
        what, plans = undo.survey(
            session, run=more.pop("of", None), to=more.pop("to", None), later=more.pop("later", False)
        )
        return undo.rollback(session, plans, what, self.emit, **more) if plans else (what, plans)

    def postdate(self, name, snapshot):
        """Lets a snapshot be of a later second than all others."""
        path = Path(self.hosts[name].project.state_dir, "snapshots", f"{snapshot}.json")
        found = json.loads(path.read_bytes())
        path.write_text(json.dumps({**found, "at": "2999-01-01T00:00:00+00:00"}))

    def of(self, kind):
        return [event for event in self.told if isinstance(event, kind)]

    @property
    def end(self):
        return self.of(events.RunEnded)[-1]


def content(folder):
    return {
        path.name: (path.read_bytes(), stat.S_IMODE(path.stat().st_mode), path.stat().st_uid, path.stat().st_gid)
        for path in folder.iterdir()
    }


def make_bench(tmp_path, monkeypatch):
    """A bench whose controller's state is the test's own, and whose gate after a rollback is short."""
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "controller"))
    monkeypatch.setattr(undo, "GATE", GATE)
    return Bench(tmp_path, fake_docker(tmp_path / "docker", monkeypatch))

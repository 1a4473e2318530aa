"""Practice hosts of the tests' own, with quick stand-ins: brought up once, taken down at the end. Images stay cached.

A machine where no Docker engine answers and none can be installed runs the rest: the reason is shown.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inventory import connection, inventory
from inventory.link import Link
from inventory.secrets import Mask
from lab import engine, hosts, wishes
from lab.state import PROJECT_DIR, LabState
from runbooks import book

ROOT = Path(__file__).resolve().parents[2]
SCALE = 0.1
"""Of the stand-ins' start-up times: the order stays, the waiting goes."""
INTERVAL = "10s"
"""Of the example's own health checks, which have 30 s and no quick first ones until phase 1 is in force: for so long the engine
says nothing of a service that was made anew. Still long enough that phase 1 gives them quick ones (`SLOW_S` of its step)."""
FILES = (
    'cd "$1" && find . -type f | sort | while read -r path; do sha256sum "$path"; stat -c \'%a %U %G\' "$path"; done'
)
IMAGES = "cd \"$1\" && docker inspect -f '{{.Name}} {{.Image}}' $(docker compose ps -aq) | sort"
DRY_RUN = 'cd "$1" && docker compose --progress plain up --dry-run --no-start 2>&1 | grep -c Recreate'
DRILL = 'cd "$1" && docker compose exec -T redis sh -c "redis-cli -a \\"\\$REDIS_PASSWORD\\" set drill:fail_after_s $2" 2>/dev/null'
SETTLED = 'until [ -z "$(docker ps -q --filter health=starting)" ]; do sleep 0.5; done'
INVOKE = (sys.executable, "-m", "invoke", "--search-root", str(ROOT))
GATE = {"window": "6s", "interval": "1s"}


@dataclass(frozen=True)
class Ran:
    """How one command of the command line ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Practice:
    """One practice host: a link as an operator has it, and what a test asks of it."""

    name: str
    link: Link

    def state(self) -> tuple[str, str]:
        """Bytes, mode and owner of every file, and the image of every container."""
        return self.sh(FILES), self.sh(IMAGES)

    def sh(self, program: str, *args: str, data: bytes = b"") -> str:
        return self.link.run(program, PROJECT_DIR, *args, data=data, timeout_s=180.0).text

    def settle(self) -> None:
        """Waits until the engine has a verdict about every service."""
        self.sh(SETTLED)

    def drill(self, seconds: float) -> None:
        """The backend that starts next turns unhealthy after so long."""
        assert self.sh(DRILL, str(seconds)).strip() == "OK"

    def would_recreate(self) -> int:
        """How many containers a plain `up` would recreate."""
        return int(self.sh(DRY_RUN))


@contextmanager
def as_soon_as(host: Practice, there: str, then: str) -> Iterator[None]:
    """Somebody who waits on the host for a container and then does something to it, until the block ends."""
    flag = "/tmp/sabotage"
    host.sh(f"touch {flag}; (while [ -e {flag} ]; do if {there}; then {then}; exit; fi; sleep 0.2; done) >/dev/null 2>&1 &")  # fmt: skip
    try:
        yield
    finally:
        host.sh(f"rm -f {flag}")


def steps_of(ran: Ran) -> list[str]:
    """The steps that a run gated, in their order."""
    gates = [event for event in ran.document["events"] if event["event"] == "gate_started" and event["after"] == "change"]  # fmt: skip
    return [step for event in gates for step in event["steps"]]


def failing(ran: Ran) -> set[str]:
    """The probes that failed in some round of a run."""
    rounds = [event for event in ran.document["events"] if event["event"] == "gate_round"]
    return {each["probe"] for event in rounds for each in event["failing"]}


@pytest.fixture(scope="session")
def lab() -> Iterator[LabState]:
    """All practice hosts, with the platform on them; a checkout's own are left alone."""
    state = LabState(ROOT / ".lab" / "tests")
    try:
        hosts.up(lambda *_: None, scale=SCALE, interval=INTERVAL, state=state)
    except engine.NoEngine as error:
        pytest.skip(f"no practice hosts here: {error}")
    yield state
    hosts.down(lambda *_: None, state=state)
    client = engine.answering()
    if client is not None:
        mine = {"label": f"compose-runbook.lab={state.tag}"}
        assert client.containers.list(all=True, filters=mine) == []
        assert client.volumes.list(filters=mine) == []
    assert not state.folder.exists()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped inventories, for the tests' own hosts, with a short gate."""
    made = tmp_path_factory.mktemp("inventory")
    for name in ("staging", "production", "lab"):
        text = (ROOT / "inventory" / f"{name}.yml").read_text()
        text = text.replace(".lab/ssh_config", str(LabState(ROOT / ".lab" / "tests").ssh_config))
        text = re.sub(r"(?m)^ +requires_soak: .*\n", "", text)
        text = re.sub(r"(?m)^( +)(project_dir: )", rf"\1gate: {json.dumps(GATE)}\n\1\2", text)
        (made / f"{name}.yml").write_text(text)
    return made


def wishing(folder: Path, into: Path, variables: Mapping[str, Any]) -> tuple[str, ...]:
    """The options for one host of staging whose inventory, written to `into`, says these variables instead of its own."""
    (into / "staging.yml").write_text(wishes.saying((folder / "staging.yml").read_text(), variables))
    return ("--env", "staging", "--inventory", str(into), "--limit", "staging-2")


@pytest.fixture(scope="session")
def own_state(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with a store and a state folder of the tests' own."""
    state = str(tmp_path_factory.mktemp("state"))
    return {**os.environ, "RUNBOOK_STATE": state, "XDG_STATE_HOME": state}


@pytest.fixture(scope="session")
def inv(own_state: dict[str, str]) -> Callable[..., Ran]:
    """Runs a task as an operator types it, to its end."""

    def run(*words: str) -> Ran:
        done = subprocess.run(
            [*INVOKE, *words], cwd=ROOT, env=own_state, capture_output=True, text=True, check=False, timeout=600
        )
        for name, secret in secrets().items():
            assert secret not in done.stdout + done.stderr, f"{words[0]} shows {name}"
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


def secrets() -> dict[str, str]:
    """The example platform's passwords by their names: no task may show one, whatever it is asked."""
    lines = (ROOT / "examples" / "reconciliation" / ".env").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    return {
        name: value.strip("\"'")
        for name, _, value in pairs
        if re.search("PASSWORD|SECRET|TOKEN", name) and len(value) >= 8
    }


@pytest.fixture(scope="session")
def started(own_state: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """Starts a task as an operator types it."""

    def start(*words: str) -> subprocess.Popen[str]:
        out, err = subprocess.PIPE, subprocess.STDOUT
        return subprocess.Popen([*INVOKE, *words], cwd=ROOT, env=own_state, stdout=out, stderr=err, text=True)

    return start


@pytest.fixture(scope="session")
def staging(lab: LabState, folder: Path) -> Iterator[dict[str, Practice]]:
    """The practice hosts of staging by their names."""
    found = {}
    for host in inventory.load("staging", folder, book.declared()).hosts:
        found[host.name] = Practice(host.name, connection.connect(host, Mask()))
    for each in found.values():
        each.settle()
    yield found
    for each in found.values():
        each.link.close()

"""This tool as one of the tools that are measured: its whole command, from an inventory of the fleet."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.fleet.servers import Fleet, user

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = "fleet"


def inventory(up: Fleet) -> Path:
    """Writes the fleet's inventory, and returns its folder."""
    made = up.folder / "inventory"
    made.mkdir(exist_ok=True)
    hosts = {
        name: {
            "ansible_port": port,
            "project_dir": up.seen(name, up.project(name)),
            "state_dir": up.seen(name, up.state(name)),
        }
        for name, port in zip(up.names, up.ports, strict=True)
    }
    arguments = f"-F /dev/null -o UserKnownHostsFile={up.known_hosts} -o GlobalKnownHostsFile=/dev/null"
    common = {"ansible_host": "127.0.0.1", "ansible_user": user(), "ansible_ssh_private_key_file": str(up.key),
              "ansible_ssh_common_args": arguments, "compose_files": ["docker-compose.yml"]}  # fmt: skip
    (made / f"{ENVIRONMENT}.yml").write_text(json.dumps({"all": {"hosts": hosts, "vars": common}}))
    return made


def words(up: Fleet, what: str, *more: str) -> list[str]:
    """The command line: `apply` and `nothing` are the same, as they are for an operator."""
    where = ["--env", ENVIRONMENT, "--inventory", str(up.folder / "inventory"), "--yes"]
    command = (
        ["rollback", *where] if what == "roll back" else ["migrate", "--phase", "files", *where, "--serial", "100%"]
    )
    return [
        sys.executable,
        "-m",
        "benchmarks.fleet.counting",
        "--write-pyc",
        "--search-root",
        str(ROOT),
        *command,
        *more,
    ]


def exchanges(up: Fleet) -> int:
    """How many exchanges the last command took on all hosts."""
    return int((up.folder / "exchanges").read_text())


def environment(up: Fleet) -> Mapping[str, str]:
    """The environment of the command: the controller's state is the fleet's own."""
    own = {"RUNBOOK_STATE": str(up.folder / "controller"), "RUNBOOK_COUNTED": str(up.folder / "exchanges")}
    return dict(os.environ) | own

"""A small world for command lines: files, inventories, hosts and phases, most of them bad in one way each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.inventory.conftest import serve, server_keys

__all__ = ["serve", "server_keys"]

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("runbooks", "inventory")
"""Packages that look for their data beside themselves."""
DOCKER = """#!/bin/sh
case "$1 $2" in
    "version --format") {engine} ;;
    "compose version") {compose} ;;
    *) exit 1 ;;
esac
"""
ENGINE, COMPOSE = 'echo \'{"Version": "26.1.5"}\'', "echo 2.26.1"
DOCKERS = {
    "fine": (ENGINE, COMPOSE),
    "old-engine": ('echo \'{"Version": "19.03.15"}\'', COMPOSE),
    "old-compose": (ENGINE, "echo 2.19.1"),
    "no-compose": (ENGINE, "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1"),
    "engine-off": ("echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock.' >&2; exit 1", COMPOSE),
    "not-allowed": (
        "echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1",
        COMPOSE,
    ),
}
"""name of a folder for PATH -> what its `docker` says of the engine, and of Compose."""


@dataclass(frozen=True)
class Ran:
    """How a command line ended, and what it wrote."""

    code: int
    out: str
    err: str


@dataclass
class World:
    """`folder` holds what command lines name as `TMP`; `tool` is the tool with bad phases beside its own."""

    folder: Path
    tool: Path

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def run(self, typed: str, number: int, *, docker: str = "", before: str = "", text: bytes = b"") -> Ran:
        """A command line in a process of its own, with a state of its own.

        `docker`: a folder of DOCKERS. `before`: lines of sh that prepare this command's own view of the file systems.
        """
        own = str(self.folder.parent / f"state-{number}")
        words = [sys.executable, "-m", "invoke", "--search-root", str(self.tool)]
        words += typed.replace("TMP", str(self.folder)).split()
        if before:
            script = before.replace("WORLD", str(self.folder)).replace("STATE", own) + '\nexec "$@"'
            words = ["unshare", "-m", "sh", "-euc", script, "sh", *words]
        path = f"{self.folder.parent}/bin/{docker}:{self.folder.parent}/bin/plain" if docker else os.environ["PATH"]
        environment = {**os.environ, "RUNBOOK_STATE": own, "XDG_STATE_HOME": own, "COLUMNS": "80", "PATH": path}
        for name in ("RUNBOOK_STORE", "RUNBOOK_TRACEBACK"):
            environment.pop(name, None)
        done = subprocess.run(
            words, cwd=self.tool, env=environment, input=text, capture_output=True, check=False, timeout=300
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def bytes(self) -> dict[str, tuple[int, bytes]]:
        """Mode and bytes of every file; of a huge one its size."""
        return {
            str(path.relative_to(self.folder)): (path.lstat().st_mode, content(path))
            for path in sorted(self.folder.rglob("*"))
        }


def content(path: Path) -> bytes:
    if path.is_symlink():
        return str(path.readlink()).encode()
    if not path.is_file():
        return b""
    return path.read_bytes() if path.stat().st_size < 1 << 22 else str(path.stat().st_size).encode()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The tool as it is, beside phases that are not; programs for hosts that are this machine."""
    base = tmp_path_factory.mktemp("world")
    made = World(base / "typed", base / "tool")
    made.folder.mkdir()
    made.tool.mkdir()
    for path in ROOT.iterdir():
        if path.name in COPIED:
            shutil.copytree(path, made.tool / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif not path.name.startswith(".") and path.name != "tests":
            (made.tool / path.name).symlink_to(path)
    plain = base / "bin" / "plain"
    plain.mkdir(parents=True)
    for folder in ("/usr/sbin", "/sbin", "/usr/bin", "/bin"):
        for program in Path(folder).iterdir():
            if not program.name.startswith("docker") and not (plain / program.name).is_symlink():
                (plain / program.name).symlink_to(program)
    for name, (engine, compose) in DOCKERS.items():
        (base / "bin" / name).mkdir()
        program = base / "bin" / name / "docker"
        program.write_text(DOCKER.format(engine=engine, compose=compose))
        program.chmod(0o755)
    (base / "bin" / "none").mkdir()
    yield made


@pytest.fixture(scope="session")
def can_mount() -> bool:
    """Whether this account may have file systems of its own."""
    words = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"]
    return bool(shutil.which("unshare")) and subprocess.run(words, capture_output=True, check=False).returncode == 0

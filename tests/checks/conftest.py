"""A PostgreSQL server of the tests' own on loopback, and stores in both databases."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from checks.evidence import Store

USER = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
LIMIT_S = "120"


@dataclass(frozen=True)
class Postgres:
    """A server, owned by an ordinary user: it refuses to run as root."""

    programs: Path
    folder: Path
    port: int

    def url(self, database: str) -> str:
        return f"postgresql://runbook@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"t_{uuid.uuid4().hex}"
        self.run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "runbook", name)
        return self.url(name)

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=60"
        log = str(self.folder / "log")
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", LIMIT_S, "-l", log, "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", LIMIT_S, "-m", mode, "stop")

    def run(self, program: str, *words: str) -> None:
        own = {"user": USER, "group": pwd.getpwnam(USER).pw_gid} if os.geteuid() == 0 else {}
        done = subprocess.run(
            [str(self.programs / program), *words], capture_output=True, text=True, check=False, cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C"}, stdin=subprocess.DEVNULL, **own,
        )  # fmt: skip
        assert done.returncode == 0, (program, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[4].split(".")[0]))
    if not found:
        pytest.skip("no PostgreSQL server on this machine: apt-get install postgresql")
    # Not pytest's own folder: that one is closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="runbook-pg-"))
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        server = Postgres(found[-1].parent, folder, made.getsockname()[1])
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    server.run("initdb", "-D", str(folder / "data"), "-U", "runbook", "-A", "trust", "-E", "UTF8", "--no-sync")
    server.start()
    yield server
    server.stop("immediate")
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new store is to be: each test that takes it runs on both databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/evidence.sqlite"
    server: Postgres = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    made = Store(url)
    yield made
    made.close()

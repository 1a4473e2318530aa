"""A project folder, and a writer for it on this machine, under each shell that is here."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from inventory.link import Reply
from inventory.model import Host, Project
from rollback.commit import HostWriter

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}


class ShellLink:
    """Runs the program by a named shell on this machine, with `path` first on PATH."""

    def __init__(self, project: Path, shell: str = "dash", path: str = "") -> None:
        self.host = Host("here", "here", Project(str(project)), connection="local")
        self.shell, self.path, self.exchanges = shell, path, 0

    def run(self, program, *args, data=b"", timeout_s=60.0, become=False, limit=1 << 26):
        self.exchanges += 1
        begin = time.monotonic()
        environment = {
            "PATH": (self.path + ":" if self.path else "") + "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": "/nonexistent",
        }
        done = subprocess.run(
            [*SHELLS[self.shell], "-c", program, "sh", *args],
            input=data,
            check=False,
            capture_output=True,
            timeout=timeout_s,
            env=environment,
        )
        code = done.returncode if done.returncode >= 0 else 128 - done.returncode
        return Reply(code, done.stdout, done.stderr, time.monotonic() - begin)


@pytest.fixture(params=SHELLS)
def shell(request):
    if not shutil.which(SHELLS[request.param][0]):
        pytest.skip(f"{request.param} is not on this machine")
    return request.param


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "a project's folder"
    folder.mkdir()
    (folder / "docker-compose.yml").write_text("services: {}\n")
    (folder / ".env").write_text("A=1")
    (folder / ".env").chmod(0o600)
    return folder


@pytest.fixture
def writer(project, tmp_path):
    def make(shell="dash", run="run-1", path=""):
        return HostWriter(
            ShellLink(project, shell, path),
            str(project),
            "shop",
            run=run,
            who="eve@laptop",
            state_dir=str(tmp_path / "state"),
        )

    return make

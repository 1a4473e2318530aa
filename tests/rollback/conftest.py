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
    """Runs the program by a named shell on this machine, with `path` first on PATH, in a process group of its own.

    `more` is put into the environment; `user` is whose rights it has, where this is root; `bounds` are words of `ulimit`.
    """

    def __init__(self, project: Path, shell="dash", path="", more=None, user: int | None = None, bounds="") -> None:
        self.host = Host("here", "here", Project(str(project)), connection="local")
        self.shell, self.path, self.more, self.exchanges = shell, path, dict(more or {}), 0
        self.before = ["sh", "-c", f'ulimit {bounds}; exec "$@"', "sh"] if bounds else []
        self.rights = {"user": user, "group": user, "extra_groups": []} if user is not None else {}

    def run(self, program, *args, data=b"", timeout_s=60.0, become=False, limit=1 << 26):
        self.exchanges += 1
        begin = time.monotonic()
        environment = {
            "PATH": (self.path + ":" if self.path else "") + "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": "/nonexistent",
            **self.more,
        }
        done = subprocess.run(
            [*self.before, *SHELLS[self.shell], "-c", program, "sh", *args],
            input=data,
            check=False,
            capture_output=True,
            timeout=timeout_s,
            env=environment,
            start_new_session=True,
            restore_signals=False,  # SIGXFSZ stays ignored: a file that grows too long is an error, as on a full disk
            **self.rights,
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
    def make(shell="dash", run="run-1", path="", more=None, bounds=""):
        return HostWriter(
            ShellLink(project, shell, path, more, bounds=bounds),
            str(project),
            "shop",
            run=run,
            who="eve@laptop",
            state_dir=str(tmp_path / "state"),
        )

    return make

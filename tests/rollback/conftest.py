"""A project folder, and a writer for it on this machine, under each shell that is here."""

import shutil

import pytest

from lab.proof.shell import SHELLS, ShellLink
from rollback.commit import HostWriter


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

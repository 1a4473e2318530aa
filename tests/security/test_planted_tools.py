"""Programs work from within a project's folder, where a container may write: what stands there is never run as a tool."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab.proof.shell import SHELLS, ShellLink
from rollback.commit import HostWriter, write_of
from rollback.model import Transaction
from runbooks.programs import answers, path_line, program

TOOLS = (
    "cat", "chmod", "cp", "date", "df", "flock", "head", "ln", "mkdir", "mv", "perl", "readlink", "rm", "rmdir", "sha256sum", "stat",
    "sync", "tail", "wc",
)  # fmt: skip


@pytest.mark.parametrize(
    "path", [".:{tools}", ":{tools}", "{tools}:", "/nonexistent::{tools}", "a:{tools}:b", "{tools}"]
)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_path_that_leads_into_the_project_runs_nothing_of_it(tmp_path: Path, shell: str, path: str) -> None:
    if not shutil.which(SHELLS[shell][0]):
        pytest.skip(f"{shell} is not on this machine")
    project, run = tmp_path / "shop", tmp_path / "run"
    for folder in (project, project / "a", project / "b"):
        folder.mkdir()
        for name in TOOLS:
            (folder / name).write_text(f"#!/bin/sh\necho {name} >>{run}\n")
            (folder / name).chmod(0o755)
    file = project / "compose.yml"
    file.write_text("services: {}\n")
    link = ShellLink(project, shell, more={"PATH": path.format(tools="/usr/bin:/bin:/usr/sbin:/sbin")})
    found = answers(link.run(program("survey"), str(project), "--files", data=path_line(str(file)).encode()).out, "h")
    host = HostWriter(link, str(project), "shop", run="run-1", who="eve@laptop", state_dir=str(tmp_path / "state"))
    host.prepare()
    host.lock(wait=False)  # with the commit, which Perl does where there is one
    snapshot = host.commit(
        Transaction("t-1", "run-1", "s", str(project), (write_of(found.states[str(file)], b"services:\n"),))
    )
    host.undo(snapshot)
    host.release()
    assert not run.exists(), run.read_text()
    assert file.read_text() == "services: {}\n"

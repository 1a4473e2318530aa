"""Somebody who may write in the project's folder (a container that mounts it, say) swaps links in while root writes there.

A shim before every command that `host.sh` runs strikes at the n-th call: it puts a link to a file or folder outside the
project in the place of what is about to be written. Whatever the moment, nothing outside changes: no byte, mode or owner.
"""

import contextlib
import os
import stat

import pytest

from inventory.errors import RunbookError
from rollback.model import FileState, FileWrite, Transaction

pytestmark = pytest.mark.slow

EXHAUSTIVE = bool(os.environ.get("RUNBOOK_EXHAUSTIVE"))
EFFECTS = ("cp", "mv", "rm", "chmod", "chown", "sync", "stat", "readlink", "dirname", "mkdir", "cat")
SHIM = r"""#!/bin/sh
name=${0##*/} number=1
PATH=${PATH#"${0%/*}:"}
set -C
until { true >"$RACE_CALLS/$number"; } 2>/dev/null; do number=$((number + 1)); done
set +C
if [ "$number" -ge "$RACE_AT" ]; then
    case $RACE in
        file) rm -f "$RACE_PROJECT/docker-compose.yml"; ln -s "$RACE_OUTSIDE/victim" "$RACE_PROJECT/docker-compose.yml" ;;
        folder) if [ -d "$RACE_PROJECT/sub" ] && [ ! -h "$RACE_PROJECT/sub" ]; then mv "$RACE_PROJECT/sub" "$RACE_PROJECT/away.$$"; ln -s "$RACE_OUTSIDE" "$RACE_PROJECT/sub"; fi ;;
        draft)
            for draft in "$RACE_PROJECT"/.compose-runbook.t-1* "$RACE_PROJECT"/sub/.compose-runbook.t-1*; do
                [ -f "$draft" ] && [ ! -h "$draft" ] && rm -f "$draft" && ln -s "$RACE_OUTSIDE/victim" "$draft"
            done
            for folder in "$RACE_PROJECT" "$RACE_PROJECT/sub"; do
                [ -e "$folder/.compose-runbook.t-1" ] || ln -s "$RACE_OUTSIDE/victim" "$folder/.compose-runbook.t-1" 2>/dev/null
            done ;;
    esac
fi
exec "$name" "$@"
"""


@pytest.fixture
def shims(tmp_path):
    folder = tmp_path / "shims"
    folder.mkdir()
    for name in EFFECTS:
        (folder / name).write_text(SHIM)
        (folder / name).chmod(0o755)
    return folder


def seen(folder):
    """Every entry outside the project: its bytes, mode and owner."""
    return {
        path.name: (path.read_bytes(), stat.S_IMODE(path.lstat().st_mode), path.lstat().st_uid, path.lstat().st_gid)
        for path in folder.iterdir()
    }


@pytest.mark.parametrize("race", ["file", "folder", "draft"])
def test_a_link_that_is_swapped_in_while_files_are_written_leads_nowhere(tmp_path, writer, shims, race):
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("victim", "inner.conf"):
        (outside / name).write_text("precious")
        (outside / name).chmod(0o600)
    before = seen(outside)
    calls = tmp_path / "calls"
    at, struck = 1, 0
    while at == 1 or struck:
        tried = tmp_path / f"project-{at}"
        (tried / "sub").mkdir(parents=True)
        (tried / "docker-compose.yml").write_text("services: {}\n")
        (tried / "sub" / "inner.conf").write_text("old")
        calls.mkdir()
        host = writer()
        host.project_dir, host.state_dir = str(tried), str(tmp_path / f"state-{at}")
        host.prepare()
        host.lock()
        states = [state for state, _ in host.read([f"{tried}/docker-compose.yml", f"{tried}/sub/inner.conf"]).values()]
        writes = tuple(FileWrite(state, b"new", mode=0o666) for state in states)
        made = FileWrite(FileState(f"{tried}/made", None), b"made", mode=0o666, uid=os.getuid(), gid=os.getgid())
        more = {
            "RACE": race,
            "RACE_AT": str(at),
            "RACE_CALLS": str(calls),
            "RACE_PROJECT": str(tried),
            "RACE_OUTSIDE": str(outside),
        }
        attacked = writer(path=str(shims), more=more)
        attacked.project_dir, attacked.state_dir = host.project_dir, host.state_dir
        with contextlib.suppress(RunbookError):
            attacked.commit(Transaction("t-1", "run-1", "s", str(tried), (*writes, made)))
        assert seen(outside) == before, f"struck at call {at}"
        struck = len(list(calls.iterdir())) >= at
        for path in calls.iterdir():
            path.unlink()
        calls.rmdir()
        at += 1 if EXHAUSTIVE else 3
    assert at > 20

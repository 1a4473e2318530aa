"""A controller that was lost leaves its program at work. Whoever breaks its lock then waits for it, and finds the host whole."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.rollback.shims import ready, shims, transaction

__all__ = ["ready", "shims"]

WAITS_S = 30


def until(holds, what):
    end = time.monotonic() + WAITS_S
    while not holds():
        assert time.monotonic() < end, f"{what} did not come about"
        time.sleep(0.01)


def waits_for(folder):
    """Whether some process waits for the lock of a folder, as the kernel lists it."""
    inode = f":{folder.stat().st_ino} "
    return any(inode in line and "->" in line for line in Path("/proc/locks").read_text().splitlines())


@pytest.mark.skipif(not shutil.which("flock"), reason="flock is not on this machine")
def test_what_writes_waits_for_what_still_writes_although_its_lock_was_broken(
    shell, ready, writer, shims, project, tmp_path
):
    there, go = shims.outside / "there", shims.outside / "go"
    shims.at("mv", "*/snapshots/.t-1.json*", 'touch "$OUTSIDE/there"; until [ -e "$OUTSIDE/go" ]; do sleep 0.01; done')
    lost = writer(shell, path=str(shims.folder), more=shims.more)
    change = transaction(ready, project, {"docker-compose.yml": b"services: {web: {}}\n", ".env": b"A=2"})
    other = writer(shell, run="run-2")
    with ThreadPoolExecutor(2) as both:
        try:
            writes = both.submit(lost.commit, change)
            until(there.exists, "the rename of the snapshot")
            other.unlock()
            repairs = both.submit(other.recover)
            until(lambda: repairs.done() or waits_for(tmp_path / "state"), "waiting for what still writes")
            assert not repairs.done()
        finally:
            go.touch()
        writes.result(WAITS_S)
        assert not any(line.startswith("reverted") for line in repairs.result(WAITS_S))
    assert [found.id for found in other.snapshots()] == ["t-1"]
    assert (project / "docker-compose.yml").read_bytes() == b"services: {web: {}}\n"
    other.lock()
    other.undo(other.snapshots()[0])
    assert (project / "docker-compose.yml").read_bytes() == b"services: {}\n"
    assert (project / ".env").read_bytes() == b"A=1"
    other.journal()

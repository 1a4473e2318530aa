"""A project on this machine that is struck again and again: put up, put back, and looked at as the next command would."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from inventory.errors import Locked, RunbookError
from lab.proof.shell import ShellLink
from rollback.commit import HostWriter
from rollback.model import FileState, FileWrite, Snapshot, Transaction
from runbooks.undo import applied

Files = Mapping[str, tuple[bytes | str | None, int, int, int]]
"""name -> (bytes, or what a link says, or None for a folder; mode, uid, gid)."""
FIRST, SECOND, NEXT, AGAIN = "run-1", "run-2", "run-3", "run-4"
"""The runs that are struck, the one that comes next, and one that does again what was struck."""


@dataclass(frozen=True)
class Outcome:
    """What the next command found and did. `stood`: how the files were when it came: old, new or between.

    `ended`: how they are now. `repair_s`: seconds that it took where it had something to repair, else None. `wrong` is
    empty where everything holds; `lost` counts files whose bytes are nowhere any more.
    """

    stood: str
    ended: str
    repair_s: float | None
    wrong: str
    lost: int = 0


class Bed:
    """One project folder and one state folder below `base`. Not shared between threads."""

    def __init__(self, base: Path, shell: str = "dash", user: int | None = None) -> None:
        self.base, self.shell, self.user = base, shell, user
        self.project, self.state, self.calls = base / "a project's folder", base / "state", base / "calls"
        self.before: Files = {}
        self.after: Files = {}
        self.head = ""
        self.standing: dict[str, list[str]] = {}
        """Which snapshots must stand where the files are old, and where they are new."""

    def make(self) -> None:
        """Puts up the project as an operator would have it: a link, a private file, a folder below."""
        (self.project / "conf").mkdir(parents=True)
        for name, text, mode in (
            ("docker-compose.yml", "services: {web: {image: a}}\n" * 30, 0o640),
            ("conf/app.env", "A=1", 0o600),
            ("old.conf", "old\r\n", 0o644),
        ):
            (self.project / name).write_text(text)
            (self.project / name).chmod(mode)
        (self.project / ".env").symlink_to("conf/app.env")
        if self.user is not None:
            for path in (self.base, self.project, *self.project.rglob("*")):
                os.chown(path, self.user, self.user, follow_symlinks=False)

    def writer(
        self, run: str = FIRST, more: Mapping[str, str] | None = None, before: str = "", *, plainly: bool = False
    ) -> HostWriter:
        link = ShellLink(self.project, self.shell, more=more, before=before, user=self.user)
        return HostWriter(
            link, str(self.project), "shop", run=run, who="eve@laptop", state_dir=str(self.state), plainly=plainly
        )

    def keep(self) -> None:
        """What `again` puts back."""
        shutil.rmtree(self.base / "kept", ignore_errors=True)
        for path in (self.project, self.state):
            if path.exists():
                _copied(path, self.base / "kept" / path.name)

    def again(self) -> None:
        for path in (self.project, self.state, self.calls):
            shutil.rmtree(path, ignore_errors=True)
            kept = self.base / "kept" / path.name
            if kept.exists():
                _copied(kept, path)
        self.calls.mkdir()
        (self.calls / "0").touch()
        if self.user is not None:
            os.chown(self.calls, self.user, self.user)

    def change(self, host: HostWriter, name: str = "t-1") -> Transaction:
        """A file changed, one changed through a link, one created in folders of its own, and one removed."""
        names = ("docker-compose.yml", ".env", "made/deep/made.conf", "old.conf")
        states = [state for state, _ in host.read([str(self.project / each) for each in names]).values()]
        compose, env, made, old = states
        uid = os.getuid() if self.user is None else self.user
        writes = (
            FileWrite(compose, b"services: {web: {image: b}}\n" * 40),
            FileWrite(env, b"A=2\n"),
            FileWrite(made, b"x\r\n", mode=0o640, uid=uid, gid=uid),
            FileWrite(old, None),
        )
        return Transaction(name, host.run, "conditions", str(self.project), writes)

    def files(self) -> Files:
        """Every entry of the project but the lock: what is left behind would show."""
        found = {}
        for path in sorted(self.project.rglob("*")):
            if path.name.startswith(".compose-runbook.lock"):
                continue
            was = path.lstat()
            body = str(path.readlink()) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
            found[str(path.relative_to(self.project))] = body, stat.S_IMODE(was.st_mode), was.st_uid, was.st_gid
        return found

    def stands(self) -> str:
        """How the files are: old, new or between."""
        found = {name: entry for name, entry in self.files().items() if ".compose-runbook." not in name}
        return "old" if found == self.before else "new" if found == self.after else "between"

    def next_command(self, error: RunbookError | None) -> Outcome:
        """What the next command of another run finds, repairs and says; checked against all that must hold then.

        `error` is how the struck one ended (None: it said that it was done).
        """
        stood, second = self.stands(), self.writer(NEXT)
        begin = time.monotonic()
        try:
            said = mend(second)
        except RunbookError as found:
            return Outcome(stood, self.stands(), None, f"the next command fails: {found}")
        seconds = time.monotonic() - begin
        repaired = any(line.startswith(("reverted", "finished", "mended")) for line in said)
        ended = self.stands() if self.files() in (self.before, self.after) else "between"
        wrong = ""
        try:
            wrong = self._wrong(second, ended, error)
        except RunbookError as found:
            wrong = f"afterwards: {found}"
        return Outcome(stood, ended, seconds if repaired else None, wrong, self.lost())

    def _wrong(self, second: HostWriter, ended: str, error: RunbookError | None) -> str:
        if ended == "between":
            return f"mixed: {sorted(set(self.files().items()) ^ set(self.before.items()), key=str)}"[:300]
        if error is None and ended != "new" and self.before != self.after:
            return "it said that it was done, and it is not"
        if second.recover() != ():
            return "there is something to repair a second time"
        standing = self.applied(second)
        if standing not in ([self.standing[ended]] if self.before != self.after else self.standing.values()):
            return f"files are {ended}, and of snapshots stand {standing}"
        events = second.journal()
        if self.head not in {"", *(event.hash for event in events)}:
            return "the journal lost what was known of it"
        if second.owner() is not None:
            return "a lock is left"
        return ""

    def applied(self, host: HostWriter) -> list[str]:
        """The snapshots that stand."""
        return [snapshot.id for snapshot in applied(host.snapshots())]

    def lost(self) -> int:
        """How many of the files that were there before have their bytes nowhere: not in the project, not kept."""
        there = {entry[0] for entry in self.files().values()}
        return sum(
            isinstance(body, bytes)
            and body not in there
            and not (self.state / "objects" / sha256(body).hexdigest()).exists()
            for body, *_ in self.before.values()
        )


def mend(host: HostWriter) -> tuple[str, ...]:
    """What a command does first, where a lost run may have left its lock: `unlock`, then the repair."""
    host.prepare()
    try:
        return host.recover()
    except Locked:
        host.unlock()
        return host.recover()


def undone(host: HostWriter, snapshot: str = "t-1") -> Snapshot:
    """Undoes a snapshot that the host lists."""
    for found in host.snapshots():
        if found.id == snapshot:
            return host.undo(found)
    raise RunbookError(f"there is no {snapshot} to undo")


def state(path: Path) -> FileState:
    """A file of this machine as a writer would read it."""
    was = path.stat()
    return FileState(str(path), None, stat.S_IMODE(was.st_mode), was.st_uid, was.st_gid)


@contextmanager
def room(name: str = "proof") -> Iterator[Path]:
    """A folder in memory where there is one, gone afterwards: thousands of cases need no disk."""
    where = next((each for each in ("/dev/shm",) if os.access(each, os.W_OK)), None)  # noqa: S108
    made = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=where))
    try:
        yield made
    finally:
        for path in made.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(made, ignore_errors=True)


def _copied(source: Path, target: Path) -> None:
    """A copy with modes, owners and links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, symlinks=True)
    if os.getuid() == 0:
        for path in (source, *source.rglob("*")):
            was = path.lstat()
            if was.st_uid or was.st_gid:
                os.chown(target / path.relative_to(source), was.st_uid, was.st_gid, follow_symlinks=False)

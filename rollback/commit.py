"""Writing to a host: the one way. Each method is one exchange that runs the constant program `host.sh`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from inventory.errors import Busy, Drift, HostFailed, InputError, Refused
from inventory.link import Call, Reply
from inventory.replies import count
from inventory.values import frozen
from rollback import journal as chain
from rollback import records
from rollback.door import DONE, NO_STATE, SHARED, STALE_S, program
from rollback.locking import Locking
from rollback.model import Event, FileState, FileWrite, Snapshot, Transaction, sha256
from rollback.running import Running

__all__ = ["SHARED", "STALE_S", "HostWriter", "Prepared", "program", "sha256", "write_of"]
_OWN = '"${XDG_STATE_HOME:-$HOME/.local/state}"'
AHEAD = ("prepare", "recover", "snapshots")
_MAKE = '[ -d "$1" ] || { mkdir -p "$1" && { chgrp docker "$1" && chmod 2770 "$1" || chmod 0711 "$1"; }; }'


@frozen
class Prepared:
    """What `prepare` found: the state folder, the host's clock (UTC seconds), free KiB, the journal's head, and the
    transaction that an interruption left pending. `warning` is a line that the operator should read."""

    state_dir: str
    clock: int
    free_kib: int
    head: str
    pending: str | None
    warning: str = ""


class HostWriter(Locking, Running):
    """The state and the files of one project on one host."""

    def opening(self) -> list[Call]:
        """What `prepare`, `recover` and `snapshots` ask, to go ahead of another exchange; its reply is for `heard`."""
        if self.link.host.become:
            return []  # the state folder may have to be made first
        return [self._as_call("opening")]

    def heard(self, replies: Sequence[Reply]) -> bool:
        """Lets `prepare`, `recover` and `snapshots` use what was replied once instead of asking. False where it says that files
        may have changed after it, or anything but that all is well: then they ask anew."""
        found = [replace(reply, out=out) for reply in replies for out in reply.out.split(b"\n--\n")]
        well = len(found) == len(AHEAD) and all(reply.exit == DONE for reply in replies)
        if well:
            self._heard = dict(zip(AHEAD, found, strict=True))
        return well and found[1].text.split() == ["whole"]

    def prepare(self) -> Prepared:
        """Makes the state folder where it is missing. Raises Refused when none can be made or the project is not there."""
        warning = ""
        if self.link.host.become:  # before root makes it for itself alone
            self.link.run(_MAKE, self.state_dir, become=True)
        reply = self._call("prepare", allow=(NO_STATE,))
        if reply.exit == NO_STATE and self._named is None:
            home = self.link.run(f"printf %s {_OWN}", become=self.link.host.become).text.strip()
            self.state_dir = f"{home}/compose-runbook/{self.project_name}"
            warning = f"snapshots are kept in {self.state_dir}, where other accounts of the host do not see them"
            reply = self._call("prepare", allow=(NO_STATE,))
        if reply.exit == NO_STATE:
            raise Refused(self._no_state(), host=self._host, mend="set state_dir, or ansible_become: true")
        found = records.lines(reply.text)
        clock, free, head = (found.get(name, "") for name in ("clock", "free", "head"))
        seconds, kib = count(clock), count(free)
        if seconds is None or kib is None or len(head) != 64:
            raise HostFailed(
                "its answer cannot be understood", host=self._host, mend="see that /bin/sh and coreutils work there"
            )
        self.prepared, self.skew_s = True, seconds - time.time()
        self.free_kib = kib
        return Prepared(self.state_dir, seconds, kib, head, found.get("pending") or None, warning)

    def found_own(self) -> bool:
        """Whether the account has a state folder of its own, which is then used. For who only looks: nothing is made."""
        if self._named is not None or self.link.host.become:
            return False
        there = self.link.run(f'd={_OWN}/compose-runbook/$1; [ ! -d "$d" ] || printf %s "$d"', self.project_name).text
        self.state_dir = there or self.state_dir
        return bool(there)

    def _no_state(self) -> str:
        """Why the state folder is none for this account: it is another's, or cannot be made."""
        program = '[ ! -d "$1" ] || stat -L -c %U "$1"'
        owner = self.link.run(program, self.state_dir, become=self.link.host.become).text.strip()
        return f"{self.state_dir} belongs to {owner}" if owner.isalnum() else f"{self.state_dir} cannot be made"

    def read(self, paths: Sequence[str]) -> dict[str, tuple[FileState, bytes | None]]:
        """The state and bytes of files on the host (bytes None: absent)."""
        reply = self._call("read", records.packed([records.path(path) for path in paths]))
        found = records.files(reply.out, self._host)
        if not found.keys() >= set(paths):
            raise HostFailed("its answer to a read is not about all that was asked for", host=self._host, mend="repeat")
        return {path: found[path] for path in paths}

    def commit(self, transaction: Transaction, keep: Callable[[Snapshot], None] = lambda _snapshot: None) -> Snapshot:
        """Writes all files of a transaction or none, keeping a snapshot. Raises Drift, Locked or Refused before writing.

        `keep` is given the snapshot before anything is written, for a copy elsewhere.
        """
        transaction = self._owned(transaction)
        snapshot = records.snapshot_of(transaction)
        keep(snapshot)
        sources = {write.before.path: write.data for write in transaction.writes}
        self._write(snapshot, transaction.reads, sources)
        return snapshot

    def _owned(self, transaction: Transaction) -> Transaction:
        """A created file belongs to whom the project's folder belongs, unless the transaction says whose it is."""
        if all(write.before.sha256 or write.data is None or write.uid is not None for write in transaction.writes):
            return transaction
        found = self.link.run('stat -L -c "%u %g" "$1"', self.project_dir, become=self.link.host.become).text.split()
        uid, gid = map(count, found) if len(found) == 2 else (None, None)
        if uid is None or gid is None:
            raise HostFailed(f"the owner of {self.project_dir} is not known", host=self._host)
        writes = tuple(
            replace(write, uid=uid, gid=gid) if write.before.sha256 is None and write.uid is None else write
            for write in transaction.writes
        )
        return replace(transaction, writes=writes)

    def undo(self, snapshot: Snapshot, *, force: bool = False) -> Snapshot:
        """Puts back every file of a snapshot, byte for byte, as a transaction of its own.

        A file that was changed since raises Drift; with `force` its bytes go into the new snapshot first.
        """
        present = {state.path: state for state in snapshot.after}
        if force:
            found = {path: state for path, (state, _) in self.read(list(present)).items()}
            for path, state in found.items():
                if state.link != present[path].link:
                    raise Refused(
                        f"{path} is another link now, or no longer one"
                        if present[path].link
                        else f"{path} is a link now",
                        host=self._host,
                        mend="put what was there in its place (the link is not followed), then repeat",
                    )
            present = found
        undone = Snapshot(
            id=f"{self.run}-undo-{snapshot.id}"[-100:],
            run=self.run,
            step=snapshot.step,
            at=records.now(),
            project_dir=snapshot.project_dir,
            before=tuple(present[state.path] for state in snapshot.before),
            after=snapshot.before,
            images=snapshot.images,
            note={"undoes": snapshot.id},
        )
        self._write(undone, (), None)
        return undone

    def abandon(self) -> None:
        """Lets go of an unfinished transaction that nothing on the host can repair, journalled: `restore` comes next."""
        self._call("abandon")

    def restore(
        self, snapshot: Snapshot, data: Mapping[str, bytes], known: Iterable[FileState] = (), *, force: bool = False
    ) -> bool:
        """Puts back every file of a snapshot from bytes that were kept elsewhere, for a host that lost its own. False where
        all is as it was already.

        Raises Drift for a file that is neither as before the transaction nor as after it, nor one of `known`, unless `force`.
        """
        expected = {(each.path, each.sha256, each.link) for each in (*snapshot.before, *snapshot.after, *known)}
        found = {path: state for path, (state, _) in self.read([each.path for each in snapshot.before]).items()}
        for path, state in found.items():
            if (path, state.sha256, state.link) not in expected and (state.link or not force):
                raise Drift(
                    f"{path} was changed since", host=self._host, mend="restore it, or add --force (keeps a copy)"
                )
        writes = tuple(
            FileWrite(found[state.path], data.get(state.path), state.mode, state.uid, state.gid)
            for state in snapshot.before
            if found[state.path] != state and (found[state.path].sha256 or state.sha256)
        )
        if writes:
            self.commit(Transaction(
                f"{self.run}-vault-{snapshot.id}"[-100:], self.run, snapshot.step, snapshot.project_dir, writes,
                images=snapshot.images, note={"undoes": snapshot.id},
            ))  # fmt: skip
        return bool(writes)

    def _write(
        self, snapshot: Snapshot, reads: Iterable[FileState], sources: Mapping[str, bytes | None] | None
    ) -> None:
        """One exchange: header, the snapshot's own text, then the new bytes (None: the host's kept objects)."""
        story = json.dumps(records.to_json(snapshot), ensure_ascii=True).encode()
        header = [
            f"id {records.word(snapshot.id, 'snapshot')}",
            f"story {len(story)}",
            f"note {json.dumps(dict(snapshot.note))}",
        ]
        blobs = [story]
        for before, after in zip(snapshot.before, snapshot.after, strict=True):
            where = "object 0"
            if sources is not None:
                data = sources[before.path]
                where = f"{sum(map(len, blobs))} {len(data or b'')}"
                blobs.append(data or b"")
            header.append(f"write {records.line(before)} {records.line(after)} {where} {records.path(before.path)}")
        header += [f"read {records.line(state)} {records.path(state.path)}" for state in reads]
        self._call("commit", records.packed(header, b"".join(blobs)), timeout_s=120)

    def recover(self) -> tuple[str, ...]:
        """Finishes or reverts what an interruption left, and says so, a line each; empty when all was whole.

        Also says how the commands ended whose end nobody was told. Raises Busy while one of them still runs.
        """
        lines = self._call("recover", timeout_s=120).text.splitlines()
        running = [line.removeprefix("command running: ") for line in lines if line.startswith("command running: ")]
        if running:
            raise Busy(
                f"a command of an earlier run still runs: {running[0]}",
                host=self._host,
                mend="it goes on by itself: wait for its end (./inv status shows it), then repeat",
            )
        return tuple(line for line in lines if line != "whole" and not line.startswith(("head ", "last ")))

    def note(self, kind: str, data: Mapping[str, object], about: str = "-", *, wait: bool = True) -> str:
        """Adds an event to the journal and returns its new head; without `wait` in the exchange of the next call, and
        then nobody hears whether it could be written."""
        header = records.packed([records.word(kind, "kind"), records.word(about, "id"), json.dumps(dict(data))])
        return self._ask("note", header, wait)

    def journal(self, head: str | None = None) -> tuple[Event, ...]:
        """The events of the journal, oldest first. Raises Refused when its chain is broken, or when the line whose hash is
        `head` is not in it."""
        return chain.read(self._call("journal").out, self._host, head)

    def snapshots(self) -> tuple[Snapshot, ...]:
        """What can be restored, oldest first."""
        return records.snapshots(self._call("snapshots").text, self._host)

    def prune(self, ids: Sequence[str]) -> None:
        """Removes snapshots, and the objects that no other needs."""
        self._call("prune", records.packed([records.word(name, "snapshot") for name in ids]))


def write_of(before: FileState, data: bytes | None) -> FileWrite:
    """A write that keeps mode and owner. Raises InputError when nothing would change."""
    if before.sha256 == sha256(data):
        raise InputError("nothing would change", path=before.path)
    return FileWrite(before, data)

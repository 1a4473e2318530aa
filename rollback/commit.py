"""Writing to a host: the one door. Each method is one exchange that runs the constant program `host.sh`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from inventory.errors import Drift, HostFailed, InputError, Locked, Refused, RunbookError
from inventory.link import Call, Link, Reply
from inventory.replies import count
from rollback import journal as chain
from rollback import records
from rollback.model import Event, FileState, FileWrite, Owner, Snapshot, Transaction, sha256

SHARED = "/var/lib/compose-runbook"
STALE_S = 120
"""Seconds without a heartbeat after which a lock is called stale: twelve that the runner sends every 10 s."""
DONE, DRIFT, LOCKED, REFUSED, NO_STATE, PENDING = 0, 10, 11, 12, 13, 14
AHEAD = ("prepare", "recover", "snapshots")
_WORD = re.compile(r"[A-Za-z0-9._@:+-]+\Z")
_OWNER = re.compile(r"locked ([0-9]{1,12}) run=(\S+) who=(\S+) since=([0-9]{1,11}) renewed=([0-9]{1,11})(?![0-9])")
_MAKE = '[ -d "$1" ] || { mkdir -p "$1" && { chgrp docker "$1" && chmod 2770 "$1" || chmod 0711 "$1"; }; }'


@cache
def program() -> str:
    """The text of `host.sh`."""
    return (Path(__file__).parent / "host.sh").read_text()


@dataclass(frozen=True)
class Prepared:
    """What `prepare` found: the state folder, the host's clock (UTC seconds), free KiB, the journal's head, and the
    transaction that an interruption left pending. `warning` is a line that the operator should read."""

    state_dir: str
    clock: int
    free_kib: int
    head: str
    pending: str | None
    warning: str = ""


class HostWriter:
    """The state and the files of one project on one host. `run` is the run's id, `who` the operator (user@machine)."""

    def __init__(
        self, link: Link, project_dir: str, project_name: str, *, run: str, who: str, state_dir: str | None = None
    ) -> None:
        self.link, self.project_dir, self.run = link, project_dir, records.word(run, "run")
        self.who = re.sub(r"[^A-Za-z0-9._@:+-]", "_", who)
        self._named = state_dir
        self.state_dir = state_dir or f"{SHARED}/{records.word(project_name, 'project name')}"
        self.project_name, self.head = project_name, ""
        self._queued: list[tuple[str, bytes]] = []
        self._heard: dict[str, Reply] = {}
        self.prepared, self.skew_s, self.free_kib = False, 0.0, 0

    def opening(self) -> list[Call]:
        """What `prepare`, `recover` and `snapshots` ask, to go ahead of another exchange; its replies are for `heard`."""
        if self.link.host.become:
            return []  # the state folder may have to be made first
        return [self._as_call(verb) for verb in AHEAD]

    def heard(self, replies: Sequence[Reply]) -> bool:
        """Lets `prepare`, `recover` and `snapshots` use these replies once instead of asking. False where they say that files
        may have changed after them, or anything but that all is well: then they ask anew."""
        well = len(replies) == len(AHEAD) and all(reply.exit == DONE for reply in replies)
        if well:
            self._heard = dict(zip(AHEAD, replies, strict=True))
        return well and replies[1].text.split() == ["whole"]

    def prepare(self) -> Prepared:
        """Makes the state folder where it is missing. Raises Refused when none can be made or the project is not there."""
        warning = ""
        if self.link.host.become:  # before root makes it for itself alone
            self.link.run(_MAKE, self.state_dir, become=True)
        reply = self._call("prepare", allow=(NO_STATE,))
        if reply.exit == NO_STATE and self._named is None:
            home = self.link.run(
                'printf %s "${XDG_STATE_HOME:-$HOME/.local/state}"', become=self.link.host.become
            ).text.strip()
            self.state_dir = f"{home}/compose-runbook/{self.project_name}"
            warning = f"snapshots are kept in {self.state_dir}, where other accounts of the host do not see them"
            reply = self._call("prepare", allow=(NO_STATE,))
        if reply.exit == NO_STATE:
            raise Refused(
                f"{self.state_dir} cannot be made", host=self._host, mend="set state_dir, or ansible_become: true"
            )
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

    def lock(self, *, wait: bool = True) -> None:
        """Takes the host's lock for this run. Raises Locked, naming who holds it since when.

        Without `wait` it is taken in the exchange of the next call, which then raises Locked and does nothing else.
        """
        self._ask("lock", b"0\n", wait)

    def renew(self) -> None:
        """The heartbeat. Raises Locked when the lock is another's or gone."""
        self._call("renew")

    def release(self) -> str:
        """Gives the lock back, if this run holds it. Returns the journal's head as the run leaves it."""
        self.head = records.lines(self._call("release").text).get("head", "")
        return self.head

    def owner(self) -> Owner | None:
        """Who holds the lock."""
        return self._owner(self._call("owner").text)

    def unlock(self, run: str = "") -> str:
        """Breaks the lock of a run, or whoever holds it; says what it found. Raises Locked when another run holds it now."""
        header = records.packed([records.word(run, "run")] if run else [])
        return self._call("unlock", header).text.strip().removeprefix("released ")

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

        Also says how the commands ended whose end nobody was told. Raises Refused while one of them still runs.
        """
        lines = self._call("recover", timeout_s=120).text.splitlines()
        running = [line.removeprefix("command running: ") for line in lines if line.startswith("command running: ")]
        if running:
            raise Refused(
                f"a command of an earlier run still runs: {running[0]}",
                host=self._host,
                mend="it goes on by itself: wait for its end (./inv status shows it), then repeat",
            )
        return tuple(line for line in lines if line != "whole" and not line.startswith("head "))

    def execute(self, argv: Sequence[str], timeout_s: float, about: str = "") -> Reply:
        """Runs a command in the project folder, journalled; it goes on when the link is lost.

        `about` is what the command is, in a few words, for whoever has to know how it ended.
        """
        data = json.dumps({"argv": list(argv)})
        header = records.packed([data, records.path(about or argv[0]), *(records.path(word) for word in argv)])
        reply = self._call("execute", header, timeout_s=timeout_s)
        text, _, code = reply.out.rstrip(b"\n").rpartition(b"\nexit ")
        ended = count(code.decode("ascii", "replace"))
        if ended is None:
            raise HostFailed(
                f"the end of {argv[0]} is not known", host=self._host, mend="the next command will see how it ended"
            )
        return Reply(ended, text, b"", reply.seconds)

    def last_command(self) -> tuple[str, str]:
        """How the last executed command ended (`exit N`, `running`, `lost` or `none`) and what it was.

        `lost`: it was killed, or the host went down.
        """
        first, _, rest = self._call("last").text.partition("\n")
        return first.strip(), rest.strip()

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

    @property
    def _host(self) -> str:
        return self.link.host.name

    def _ask(self, verb: str, data: bytes, wait: bool) -> str:
        """Calls now, or with the next call. Returns the journal's head where the answer has it."""
        if wait:
            return records.lines(self._call(verb, data).text).get("head", "")
        self._queued.append((verb, data))
        return ""

    def _as_call(self, verb: str, data: bytes = b"0\n") -> Call:
        words = (verb, self.state_dir, self.project_dir, self.run, self.who)
        return Call(program(), words, data, self.link.host.become)

    def _exchange(self, verb: str, data: bytes, timeout_s: float) -> Reply:
        """One exchange: what was put off, then this. Raises Locked when the lock that was to be taken is another's."""
        if verb in self._heard:
            return self._heard.pop(verb)
        if verb in ("commit", "recover", "prune", "abandon"):
            self._heard.pop("snapshots", None)
        last, queued = self._as_call(verb, data), []
        if verb != "renew":  # the heartbeat is of another thread, and comes when it wants
            queued, self._queued = self._queued, []
        if not queued:
            return self.link.run(last.program, *last.args, data=data, timeout_s=timeout_s, become=last.become)
        *before, reply = self.link.together([*(self._as_call(*each) for each in queued), last], timeout_s=timeout_s)
        for (earlier, _), found in zip(queued, before, strict=True):
            if earlier == "lock" and found.exit != DONE:
                raise self._failed(found)
        return reply

    def _call(self, verb: str, data: bytes = b"0\n", *, timeout_s: float = 60.0, allow: tuple[int, ...] = ()) -> Reply:
        reply = self._exchange(verb, data, timeout_s)
        if reply.exit == DONE or reply.exit in allow:
            return reply
        raise self._failed(reply)

    def _failed(self, reply: Reply) -> RunbookError:
        said = reply.text.strip().splitlines()
        return self._error(reply.exit, said[-1] if said else reply.err.decode("utf-8", "replace").strip()[-300:])

    def _error(self, code: int, said: str) -> RunbookError:
        if code == DRIFT:
            what = said.removeprefix("drift ")
            return Drift(
                f"{what} was changed since it was read", host=self._host, mend="plan again, or restore the file"
            )
        if code == LOCKED:
            owner = self._owner(said)
            if owner:
                return Locked(records.describe(owner), host=self._host, mend=records.advice(owner))
            return Locked("this run no longer holds the lock", host=self._host, mend="see ./inv status, then repeat")
        if code == REFUSED:
            return Refused(said.removeprefix("refused "), host=self._host)
        if code == PENDING:
            return Refused(
                f"an interrupted transaction is pending: {said.removeprefix('pending ')}",
                host=self._host,
                mend="repeat: the next run mends it first",
            )
        return HostFailed(f"writing ended with {code}: {said}", host=self._host)

    def _owner(self, said: str) -> Owner | None:
        match = _OWNER.search(said)
        if not match:
            return None
        clock, run, who, since, renewed = match.groups()
        return Owner(run, who, records.utc(since), records.utc(renewed), int(clock) - int(renewed) > STALE_S)


def write_of(before: FileState, data: bytes | None) -> FileWrite:
    """A write that keeps mode and owner. Raises InputError when nothing would change."""
    if before.sha256 == sha256(data):
        raise InputError("nothing would change", path=before.path)
    return FileWrite(before, data)

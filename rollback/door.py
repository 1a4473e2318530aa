"""The door to a host's files and state: each call is one exchange that runs the constant program `host.sh`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from inventory.errors import Drift, HostFailed, Locked, Refused, RunbookError
from inventory.link import Call, Link, Reply
from rollback import records
from rollback.model import Owner

SHARED = "/var/lib/compose-runbook"
STALE_S = 120
"""Seconds without a heartbeat after which a lock is called stale: twelve that the runner sends every 10 s."""
DONE, DRIFT, LOCKED, REFUSED, NO_STATE, PENDING = 0, 10, 11, 12, 13, 14
JOINED = {("lock", "commit"), ("note", "release")}
"""Verbs that one start of the program does, where one follows the other: a start costs a host as much as two other programs."""
PLAIN = {"lock+commit": "commit.pl", "note+release": "end.pl"}
"""Verbs whose plain case one process does, where the host has Perl (decision 0024)."""
OWN = ("execute", "renew")
"""Verbs that are a process of their own: the number of one stands in a name that is made once, or is never written over."""
_OWNER = re.compile(r"locked ([0-9]{1,12}) run=(\S+) who=(\S+) since=([0-9]{1,11}) renewed=([0-9]{1,11})(?![0-9])")


@cache
def program() -> str:
    """The text of `host.sh`."""
    return (Path(__file__).parent / "host.sh").read_text()


@cache
def common() -> str:
    """What the programs in Perl share, each of which goes on after it."""
    return (Path(__file__).parent / "plain" / "common.pl").read_text()


@cache
def plain(verb: str) -> str:
    """The program in Perl that does the plain case of a verb of `PLAIN`."""
    return common() + (Path(__file__).parent / "plain" / PLAIN[verb]).read_text()


class Door:
    """One project on one host. `run` is the run's id, `who` the operator (user@machine).

    `holder`: the name under which it locks and journals, where several may do a run's work on this host one after another
    (the run's id, a dot, and a word of its own); else the run's id. `plainly`: whether a plain case may be done by Perl.
    """

    def __init__(
        self, link: Link, project_dir: str, project_name: str, *, run: str, who: str, state_dir: str | None = None,
        holder: str = "", plainly: bool = True,
    ) -> None:  # fmt: skip
        self.link, self.project_dir, self.run = link, project_dir, records.word(run, "run")
        self._holder = records.word(holder or run, "run")
        self.who = re.sub(r"[^A-Za-z0-9._@:+-]", "_", who)
        self._named, self.plainly = state_dir, plainly
        self.state_dir = state_dir or f"{SHARED}/{records.word(project_name, 'project name')}"
        self.project_name, self.head = project_name, ""
        self._queued: list[tuple[str, bytes]] = []
        self._heard: dict[str, Reply] = {}
        self.prepared, self.skew_s, self.free_kib = False, 0.0, 0

    @property
    def _host(self) -> str:
        return self.link.host.name

    def _ask(self, verb: str, data: bytes, wait: bool) -> str:
        """Calls now, or with the next call. Returns the journal's head where the answer has it."""
        if wait:
            return records.lines(self._call(verb, data).text).get("head", "")
        self._queued.append((verb, data))
        return ""

    def _as_call(self, verb: str, data: bytes = b"") -> Call:
        more = (plain(verb),) if self.plainly and verb in PLAIN else ()
        words = (verb, self.state_dir, self.project_dir, self._holder, self.who, *more)
        # Whether a holder that is one of several is gone is told by the words of its processes (`runbooks.commands.errands`).
        own = verb in OWN or self._holder != self.run
        return Call(program(), words, data, self.link.host.become, own)

    def _exchange(self, verb: str, data: bytes, timeout_s: float) -> Reply:
        """One exchange: what was put off, then this. Raises Locked when the lock that was to be taken is another's."""
        if verb in self._heard:
            return self._heard.pop(verb)
        if verb in ("commit", "recover", "prune", "abandon"):
            self._heard.pop("snapshots", None)
        queued: list[tuple[str, bytes]] = []
        if verb != "renew":  # the heartbeat is of another thread, and comes when it wants
            queued, self._queued = self._queued, []
        if queued and (queued[-1][0], verb) in JOINED:
            first, ahead = queued.pop()
            verb, data = f"{first}+{verb}", ahead or data
        last = self._as_call(verb, data)
        if not queued and not last.own:
            return self.link.run(last.program, *last.args, data=data, timeout_s=timeout_s, become=last.become)
        *before, reply = self.link.together([*(self._as_call(*each) for each in queued), last], timeout_s=timeout_s)
        for (earlier, _), found in zip(queued, before, strict=True):
            if earlier == "lock" and found.exit != DONE:
                raise self._failed(found)
        return reply

    def _call(self, verb: str, data: bytes = b"", *, timeout_s: float = 60.0, allow: tuple[int, ...] = ()) -> Reply:
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
        silent = int(clock) - int(renewed)
        return Owner(run, who, records.utc(since), records.utc(renewed), silent > STALE_S, silent)

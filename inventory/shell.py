"""One shell on one channel of a link, kept for all exchanges: frames of POSIX sh go in, marked replies come out.

A session of its own for every program would cost the host a process of sshd and a login shell each time (four cost 1.8
times one: FACTS). A frame is one compound command, so a frame that arrives cut off is a syntax error and does nothing;
a reply ends with a mark that no program can know. A long program is a function of the shell, which reads its text once.
"""

from __future__ import annotations

import base64
import secrets
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from inventory.errors import HostFailed

if TYPE_CHECKING:
    from paramiko import Channel

CHUNK = 1 << 15
LARGEST = 1 << 20
"""Bytes of a frame's data; a shell holds a frame in memory while it reads it."""
INLINE = 1 << 9
"""Characters of a word that is sent anew each time; a longer one is kept by the shell under a name."""
KEPT = 24
"""Programs and words that a shell keeps."""
SLACK = 1 << 12
"""Bytes that an exchange's marks may take beside its replies."""
WAIT_S = 0.5


@dataclass(frozen=True)
class Command:
    """One program of an exchange: its words, what stands on its standard input, whether it is a process of its own."""

    words: Sequence[str]
    data: bytes = b""
    own: bool = False


@dataclass(frozen=True)
class Ended:
    """How a program of an exchange ended."""

    exit: int
    out: bytes
    err: bytes


class ShellLost(Exception):
    """The shell ended in the midst of an exchange, its `first` one or a later.

    `exit` is its own exit code (None: not known), with what it said.
    """

    def __init__(self, exit_code: int | None, out: bytes, err: bytes) -> None:
        super().__init__("the shell ended")
        self.exit, self.out, self.err, self.first = exit_code, out, err, False


class Shell:
    """A shell that runs on `channel`. Not safe for several threads: a link gives each exchange a shell of its own."""

    def __init__(self, channel: Channel) -> None:
        self._channel, self._kept = channel, set[str]()
        self._used = 0

    @property
    def usable(self) -> bool:
        """Whether the shell still waits for a frame, as far as one can know."""
        channel = self._channel
        return not (channel.closed or channel.eof_received or channel.exit_status_ready())

    def exchange(
        self, commands: Sequence[Command], deadline: float, timeout_s: float, limit: int, host: str
    ) -> list[Ended]:
        """Runs programs one after another. Raises HostFailed for too slow and too long, ShellLost, OSError, EOFError.

        After anything that is raised, the shell must be closed: what it would say next belongs to this exchange.
        """
        marks = [secrets.token_hex(16) for _ in commands]
        frames = "".join(self._frame(command, mark) for command, mark in zip(commands, marks, strict=True))
        self._used += 1
        self._channel.sendall(frames.encode("utf-8", "surrogateescape"))
        reader = _Reader(self._channel, deadline, timeout_s, limit, host)
        try:
            return [reader.reply(mark.encode()) for mark in marks]
        except ShellLost as lost:
            lost.first = self._used == 1
            raise

    def _frame(self, command: Command, mark: str) -> str:
        """A program as one compound command; before it, the long texts of it that the shell does not have yet."""
        ahead: list[str] = []
        text = "" if command.own else self._called(command.words, ahead)
        text = text or self._words(command.words, ahead)
        source, nothing = _piped(command.data), "" if command.data else " </dev/null"
        begin = f"printf '%s\\n' {mark}; printf '%s\\n' {mark} >&2"
        end = f"printf '\\n%s %s\\n' {mark} $?; printf '\\n%s\\n' {mark} >&2"
        return f"{''.join(ahead)}{{ {begin}; {source}{text}{nothing}\n{end}; }}\n"

    def _called(self, words: Sequence[str], ahead: list[str]) -> str:
        """A long program as the call of a function, in a subshell, so that its end and all that it sets stay its own.

        A shell of its own would have to start and to read all of the text each time. "": the words are none of these.
        """
        if len(words) < 4 or (words[0], words[1], words[3]) != ("sh", "-c", "sh"):
            return ""
        name = self._name("f", words[2], lambda name, text: f"{name}() {{\n{text}\n}}\n", ahead)
        return f"({name} {self._words(words[4:], ahead)})" if name else ""

    def _words(self, words: Sequence[str], ahead: list[str]) -> str:
        texts = []
        for word in words:
            name = self._name("p", word, lambda name, text: f"{name}={shlex.quote(text)}\n", ahead)
            texts.append(f'"${name}"' if name else shlex.quote(word))
        return " ".join(texts)

    def _name(self, kind: str, text: str, told: Callable[[str, str], str], ahead: list[str]) -> str:
        """Under which name the shell keeps a text, after what goes ahead. "": it is short, or the shell keeps enough."""
        if len(text) <= INLINE:
            return ""
        name = kind + _sum(text)
        if name not in self._kept:
            if len(self._kept) >= KEPT:
                return ""
            self._kept.add(name)
            ahead.append(told(name, text))
        return name

    def close(self) -> None:
        """Ends the shell; a program that still runs loses its outputs."""
        self._channel.close()


@lru_cache(64)
def _sum(text: str) -> str:
    """Tells texts apart, in few letters: those of all hosts of a fleet are the same."""
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _piped(data: bytes) -> str:
    """What writes `data` to a pipe. By `printf`, which is the shell's own: nothing stands in a process list or a file."""
    if not data:
        return ""
    if data.isascii() and b"\0" not in data:
        return f"printf %s {shlex.quote(data.decode())} | "
    return f"printf %s {base64.b64encode(data).decode()} | base64 -d | "


class _Reader:
    """Reads both outputs of a shell up to their marks, bounded in time and size."""

    def __init__(self, channel: Channel, deadline: float, timeout_s: float, limit: int, host: str) -> None:
        self._channel, self._deadline, self._timeout_s, self._limit, self._host = (
            channel,
            deadline,
            timeout_s,
            limit,
            host,
        )
        self._out, self._err = bytearray(), bytearray()
        channel.settimeout(WAIT_S)

    def reply(self, mark: bytes) -> Ended:
        """The reply that stands between marks on both outputs. Before the first is what an earlier program's leftovers said."""
        begin, end = mark + b"\n", b"\n" + mark + b" "
        del self._out[: self._until(self._out, begin) + len(begin)]
        at, line = self._until(self._out, end), -1
        while line < 0:
            line = self._out.find(b"\n", at + len(end))
            if line < 0:
                self._read()
        out, code = bytes(self._out[:at]), int(self._out[at + len(end) : line])
        del self._out[: line + 1]
        del self._err[: self._until(self._err, begin) + len(begin)]
        last = b"\n" + mark + b"\n"
        at = self._until(self._err, last)
        err = bytes(self._err[:at])
        del self._err[: at + len(last)]
        if len(out) + len(err) > self._limit:
            raise self._too_long()
        return Ended(code, out, err)

    def _until(self, buffer: bytearray, mark: bytes) -> int:
        """Where `mark` stands in `buffer`; reads on until it does."""
        start = 0
        while (at := buffer.find(mark, start)) < 0:
            if len(self._out) + len(self._err) > self._limit + SLACK:
                raise self._too_long()
            start = max(0, len(buffer) - len(mark))
            self._read(errors=buffer is self._err)
        return at

    def _too_long(self) -> HostFailed:
        return HostFailed(f"a program's answer is longer than {self._limit} bytes", host=self._host)

    def _read(self, *, errors: bool = False) -> None:
        """Takes what has come; waits for more of one output, at most a moment, so that the other is not forgotten."""
        channel = self._channel
        if time.monotonic() > self._deadline:
            raise HostFailed(f"a program took longer than {self._timeout_s:g} s", host=self._host)
        channel.settimeout(max(0.01, min(WAIT_S, self._deadline - time.monotonic())))
        waited, other = (channel.recv_stderr, channel.recv) if errors else (channel.recv, channel.recv_stderr)
        ready = channel.recv_ready if errors else channel.recv_stderr_ready
        one, two = (self._err, self._out) if errors else (self._out, self._err)
        while ready() and len(two) <= self._limit + SLACK:
            two += other(CHUNK)
        try:
            part = waited(CHUNK)
        except TimeoutError:
            transport = channel.get_transport()
            if transport is None or not transport.is_active():
                raise EOFError("connection closed") from None
            return
        one += part
        if not part:
            raise self._lost()

    def _lost(self) -> Exception:
        """Why the shell's output has ended: the shell, or the whole link."""
        channel = self._channel
        channel.settimeout(WAIT_S)
        while part := channel.recv_stderr(CHUNK):
            self._err += part
        if not channel.status_event.wait(max(0.1, self._deadline - time.monotonic())):
            return EOFError("no exit status")
        code = channel.recv_exit_status()
        transport = channel.get_transport()
        if code < 0 and transport is not None:
            # A signal ended the shell, or the link was lost: paramiko closes channels before it says the latter.
            transport.join(0.2)
        if transport is None or not transport.is_active():
            return EOFError("connection closed")
        return ShellLost(code if code >= 0 else None, bytes(self._out), bytes(self._err))

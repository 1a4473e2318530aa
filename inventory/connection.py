"""One kept connection to one host: programs, the Docker API and HTTP all ride on it. SSH through Fabric, or local."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inventory import become as become_
from inventory import channels, transport
from inventory.errors import HostFailed, Unreachable
from inventory.link import Call, Link, Reply
from inventory.local import LocalLink, check_words
from inventory.model import Host
from inventory.secrets import Mask
from inventory.shell import LARGEST, Command, Ended, Shell, ShellLost

if TYPE_CHECKING:
    import docker
    import requests
    from paramiko import Channel

SESSIONS = 8
"""Sessions at once on one connection: sshd allows 10 (MaxSessions), two are left for the operator (DESIGN)."""
SHELL = "sh"
IDLE = 2
"""Shells that a link keeps between exchanges: a run seldom asks more at once."""
CONNECT_LIMIT_S = 15.0
CHUNK = 1 << 15
DIAL_DOCKER = "exec docker system dial-stdio"


def connect(host: Host, mask: Mask) -> Link:
    """A link to `host`, connected. Raises Unreachable with one clear line, InputError for options that do not fit."""
    if host.connection == "local":
        return LocalLink(host, mask)
    return SshLink(host, mask)


class SshLink:
    """A host over SSH, by one Fabric connection that is made at once and kept until `close`."""

    def __init__(self, host: Host, mask: Mask) -> None:
        self.host, self.exchanges = host, 0
        self._sessions = threading.BoundedSemaphore(SESSIONS)
        self._lock = threading.Lock()
        self._idle: list[Shell] = []
        self._docker: docker.APIClient | None = None
        self._http: requests.Session | None = None
        self._become_password = become_.password(host, mask) if host.become else None
        self._connection = transport.open_connection(host, CONNECT_LIMIT_S)

    def run(self, program: str, *args: str, data: bytes = b"", timeout_s: float = 60.0, become: bool = False,
            limit: int = 64 << 20, alone: bool = False) -> Reply:  # fmt: skip
        call = Call(program, args, data, become)
        return (
            self._alone(call, timeout_s, limit) if alone else self.together([call], timeout_s=timeout_s, limit=limit)[0]
        )

    def _alone(self, call: Call, timeout_s: float, limit: int) -> Reply:
        """Runs a program in a session of its own."""
        words, data = self._words(call)
        with self._lock:
            self.exchanges += 1
        with self._sessions:
            begin = time.monotonic()
            try:
                channel = self._transport().open_session(timeout=CONNECT_LIMIT_S)
                try:
                    channel.exec_command(shlex.join(words))
                    exit_code, out, err = self._converse(channel, data, begin + timeout_s, timeout_s, limit)
                finally:
                    channel.close()
            except (OSError, EOFError, transport.ssh_error()) as error:
                raise Unreachable(f"the link was lost: {error or type(error).__name__}", host=self.host.name) from None
        reply = Reply(exit_code, out, err, time.monotonic() - begin)
        if call.become:
            become_.check(reply, self.host)
        return reply

    def together(self, calls: Sequence[Call], *, timeout_s: float = 60.0, limit: int = 64 << 20) -> list[Reply]:
        if len(calls) == 1 and len(calls[0].data) > LARGEST:
            return [self._alone(calls[0], timeout_s, limit)]
        commands = [Command(*self._words(call), call.own) for call in calls]
        with self._lock:
            self.exchanges += 1
        with self._sessions:
            begin = time.monotonic()
            ended = self._exchange(commands, begin + timeout_s, timeout_s, limit)
            replies = [Reply(each.exit, each.out, each.err, time.monotonic() - begin) for each in ended]
        for call, reply in zip(calls, replies, strict=True):
            if call.become:
                become_.check(reply, self.host)
        return replies

    def _words(self, call: Call) -> tuple[list[str], bytes]:
        """The words that run a program, and its standard input. Raises InputError for words that no program can have."""
        words, data = ["sh", "-c", call.program, "sh", *call.args], call.data
        if call.become:
            is_root = self._connection.user == "root"
            words, data = become_.words(call.program, call.args, data, self._become_password, root=is_root)
        check_words(words, self.host)
        return words, data

    def _exchange(self, commands: Sequence[Command], deadline: float, timeout_s: float, limit: int) -> list[Ended]:
        """Runs commands by a shell that is kept afterwards, unless anything was raised: then it may still say something."""
        try:
            shell = self._shell()
            try:
                ended = shell.exchange(commands, deadline, timeout_s, limit, self.host.name)
            except BaseException:
                shell.close()
                raise
        except ShellLost as lost:
            if lost.first and lost.exit:  # it never ran anything: there is no such program
                return [Ended(lost.exit, lost.out, lost.err)] * len(commands)
            raise HostFailed(
                "its shell ended in the midst of an exchange", host=self.host.name, mend="repeat"
            ) from None
        except (OSError, EOFError, transport.ssh_error()) as error:
            raise Unreachable(f"the link was lost: {error or type(error).__name__}", host=self.host.name) from None
        with self._lock:
            if len(self._idle) < IDLE:
                self._idle.append(shell)
                return ended
        shell.close()
        return ended

    def _shell(self) -> Shell:
        """A shell that waits for a frame: one that is kept, else a new one."""
        with self._lock:
            while self._idle:
                kept = self._idle.pop()
                if kept.usable:
                    return kept
                kept.close()
        channel = self._transport().open_session(timeout=CONNECT_LIMIT_S)
        channel.exec_command(f"exec {SHELL}")
        return Shell(channel)

    def _converse(self, channel: Channel, data: bytes, deadline: float, timeout_s: float, limit: int
                  ) -> tuple[int, bytes, bytes]:  # fmt: skip
        """Writes `data`, reads both outputs until the program ends, bounded in time and size."""
        sender = threading.Thread(target=_send, args=(channel, data), daemon=True)
        sender.start()
        out, err = bytearray(), bytearray()
        channel.settimeout(0.5)
        while True:
            if time.monotonic() > deadline:
                raise HostFailed(f"a program took longer than {timeout_s:g} s", host=self.host.name)
            if len(out) + len(err) > limit:
                raise HostFailed(f"a program's answer is longer than {limit} bytes", host=self.host.name)
            while channel.recv_stderr_ready():
                err += channel.recv_stderr(CHUNK)
            try:
                part = channel.recv(CHUNK)
            except TimeoutError:
                if not self._transport().is_active():
                    raise EOFError("connection closed") from None
                continue
            out += part
            if not part:
                break
        while part := channel.recv_stderr(CHUNK):
            err += part
        if len(out) + len(err) > limit:
            raise HostFailed(f"a program's answer is longer than {limit} bytes", host=self.host.name)
        if not channel.status_event.wait(max(0.1, deadline - time.monotonic())):
            raise EOFError("no exit status")
        code = channel.recv_exit_status()
        if code < 0:
            # A signal ended the program, or the link was lost: paramiko closes channels before it says the latter.
            self._transport().join(0.2)
            self._transport()
        return (code if code >= 0 else 255), bytes(out), bytes(err)

    def docker(self) -> docker.APIClient:
        with self._lock:
            if self._docker is None:
                words, data = self._words(Call(DIAL_DOCKER, (), b"", self.host.become))
                self._docker = channels.docker_client(channels.Sessions(self._connection.client, words, data))
            return self._docker

    def http(self) -> requests.Session:
        with self._lock:
            if self._http is None:
                self._http = channels.http_session(self._dialled)
            return self._http

    def dial(self, address: str, port: int, timeout_s: float) -> float:
        begin = time.monotonic()
        self._dialled(address, port, timeout_s).close()
        return time.monotonic() - begin

    def _dialled(self, address: str, port: int, timeout_s: float) -> Channel:
        """A `direct-tcpip` channel. Raises OSError when the host cannot reach the port, Unreachable without a link."""
        from paramiko.ssh_exception import ChannelException, SSHException

        try:
            channel: Channel = self._transport().open_channel(
                "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=timeout_s
            )
            return channel
        except ChannelException as error:
            if error.code == 1:
                raise HostFailed(
                    "the SSH server forbids forwarding, which http and tcp probes need", host=self.host.name,
                    mend="set AllowTcpForwarding local, or use command probes",
                ) from None  # fmt: skip
            raise ConnectionRefusedError(f"{address}:{port}: {error.text}") from None
        except SSHException as error:
            if self._transport().is_active():
                raise TimeoutError(f"{address}:{port}: {error}") from None
            raise Unreachable(f"the link was lost: {error}", host=self.host.name) from None

    def _transport(self) -> Any:
        found = self._connection.transport
        if found is None or not found.is_active():
            raise Unreachable("the link was lost", host=self.host.name)
        return found

    def close(self) -> None:
        for kept in (self._docker, self._http):
            if kept is not None:
                kept.close()
        transport.close(self._connection)


def _send(channel: Channel, data: bytes) -> None:
    """Writes all data and ends standard input; a program that does not read it is not an error."""
    quiet: Callable[[], None] = channel.shutdown_write
    try:
        if data:
            channel.sendall(data)
        quiet()
    except OSError:
        return


def config_path(name: str) -> Path:
    """A file named in an inventory: relative to the working folder, else to the checkout."""
    path = Path(name).expanduser()
    if path.is_absolute() or path.exists():
        return path
    return Path(__file__).resolve().parent.parent / path

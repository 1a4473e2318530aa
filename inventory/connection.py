"""One kept connection to one host: programs, the Docker API and HTTP all ride on it. SSH through Fabric, or local."""

from __future__ import annotations

import os
import selectors
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inventory import become as become_
from inventory import channels, transport
from inventory.errors import HostFailed, InputError, Unreachable
from inventory.link import Link, Reply
from inventory.model import Host
from inventory.secrets import Mask

if TYPE_CHECKING:
    import docker
    import requests
    from paramiko import Channel

SESSIONS = 8
"""Sessions at once on one connection: sshd allows 10 (MaxSessions), two are left for the operator (DESIGN)."""
CONNECT_LIMIT_S = 15.0
CHUNK = 1 << 15


def connect(host: Host, mask: Mask) -> Link:
    """A link to `host`, connected. Raises Unreachable with one clear line, InputError for options that do not fit."""
    if host.connection == "local":
        return LocalLink(host, mask)
    return SshLink(host, mask)


class LocalLink:
    """The controller's own machine as a host (`ansible_connection: local`)."""

    def __init__(self, host: Host, mask: Mask | None = None) -> None:
        self.host, self.exchanges = host, 0
        self._lock = threading.Lock()
        self._become_password = become_.password(host, mask or Mask()) if host.become else None

    def run(self, program: str, *args: str, data: bytes = b"", timeout_s: float = 60.0, become: bool = False,
            limit: int = 64 << 20) -> Reply:  # fmt: skip
        words = ["sh", "-c", program, "sh", *args]
        if become:
            words, data = become_.words(program, args, data, self._become_password, root=os.geteuid() == 0)
        check_words(words, self.host)
        with self._lock:
            self.exchanges += 1
        begin = time.monotonic()
        pipe = subprocess.PIPE
        try:
            # A session of its own, so that what the program started ends with it and nothing holds the pipes.
            child = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        except OSError as error:
            raise HostFailed(f"a program could not be started: {error}", host=self.host.name) from None
        with child:
            try:
                out, err = self._converse(child, data, begin + timeout_s, timeout_s, limit)
                code = child.wait(max(0.1, begin + timeout_s - time.monotonic()))
            except BaseException as error:
                with suppress(OSError):
                    os.killpg(child.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise HostFailed(f"a program took longer than {timeout_s:g} s", host=self.host.name) from None
                raise
        reply = Reply(code if code >= 0 else 128 - code, out, err, time.monotonic() - begin)
        if become:
            become_.check(reply, self.host)
        return reply

    def _converse(self, child: subprocess.Popen[bytes], data: bytes, deadline: float, timeout_s: float, limit: int
                  ) -> tuple[bytes, bytes]:  # fmt: skip
        """Writes `data`, reads both outputs until they end, bounded in time and size."""
        assert child.stdin and child.stdout and child.stderr  # noqa: S101 - all three are pipes
        out, err, left = bytearray(), bytearray(), memoryview(data)
        os.set_blocking(child.stdin.fileno(), False)
        with selectors.DefaultSelector() as chooser:
            chooser.register(child.stdout, selectors.EVENT_READ, out)
            chooser.register(child.stderr, selectors.EVENT_READ, err)
            chooser.register(child.stdin, selectors.EVENT_WRITE)
            while chooser.get_map():
                ready = chooser.select(max(0.0, deadline - time.monotonic()))
                if time.monotonic() > deadline:
                    raise HostFailed(f"a program took longer than {timeout_s:g} s", host=self.host.name)
                for key, _ in ready:
                    if key.fileobj is child.stdin:
                        try:
                            left = left[os.write(key.fd, left[:CHUNK]) :]
                        except BlockingIOError:
                            continue
                        except OSError:
                            left = left[:0]  # a program that does not read its input is not an error
                        if not left:
                            chooser.unregister(child.stdin)
                            with suppress(OSError):
                                child.stdin.close()
                    elif part := os.read(key.fd, CHUNK):
                        key.data.extend(part)
                    else:
                        chooser.unregister(key.fileobj)
                    if len(out) + len(err) > limit:
                        raise HostFailed(f"a program's answer is longer than {limit} bytes", host=self.host.name)
        return bytes(out), bytes(err)

    def docker(self) -> docker.APIClient:
        import docker

        return docker.APIClient(version="auto", timeout=60)

    def http(self) -> requests.Session:
        return channels.http_session(lambda address, port, limit_s: socket.create_connection((address, port), limit_s))

    def dial(self, address: str, port: int, timeout_s: float) -> float:
        begin = time.monotonic()
        socket.create_connection((address, port), timeout_s).close()
        return time.monotonic() - begin

    def close(self) -> None:
        """Nothing is kept open."""


class SshLink:
    """A host over SSH, by one Fabric connection that is made at once and kept until `close`."""

    def __init__(self, host: Host, mask: Mask) -> None:
        self.host, self.exchanges = host, 0
        self._sessions = threading.BoundedSemaphore(SESSIONS)
        self._lock = threading.Lock()
        self._docker: docker.APIClient | None = None
        self._http: requests.Session | None = None
        self._become_password = become_.password(host, mask) if host.become else None
        self._connection = transport.open_connection(host, CONNECT_LIMIT_S)

    def run(self, program: str, *args: str, data: bytes = b"", timeout_s: float = 60.0, become: bool = False,
            limit: int = 64 << 20) -> Reply:  # fmt: skip
        words = ["sh", "-c", program, "sh", *args]
        if become:
            is_root = self._connection.user == "root"
            words, data = become_.words(program, args, data, self._become_password, root=is_root)
        check_words(words, self.host)
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
        if become:
            become_.check(reply, self.host)
        return reply

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
                self._docker = channels.docker_client(self._connection.client)
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


def check_words(words: list[str], host: Host) -> None:
    """Refuses a NUL byte, which no program's arguments can hold."""
    if any("\0" in word for word in words):
        raise InputError("a word for a host has a NUL byte in it", host=host.name, mend="take it out")


def config_path(name: str) -> Path:
    """A file named in an inventory: relative to the working folder, else to the checkout."""
    path = Path(name).expanduser()
    if path.is_absolute() or path.exists():
        return path
    return Path(__file__).resolve().parent.parent / path

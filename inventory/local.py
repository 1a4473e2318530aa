"""The controller's own machine as a host: programs are its own children, and HTTP and TCP go out directly."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from inventory import become as become_
from inventory import channels
from inventory.errors import HostFailed, InputError
from inventory.link import Call, Reply
from inventory.model import Host
from inventory.secrets import Mask

if TYPE_CHECKING:
    import docker
    import requests

CHUNK = 1 << 15


class LocalLink:
    """The controller's own machine as a host (`ansible_connection: local`)."""

    def __init__(self, host: Host, mask: Mask | None = None) -> None:
        self.host, self.exchanges = host, 0
        self._lock = threading.Lock()
        self._become_password = become_.password(host, mask or Mask()) if host.become else None

    def run(self, program: str, *args: str, data: bytes = b"", timeout_s: float = 60.0, become: bool = False,
            limit: int = 64 << 20, alone: bool = False) -> Reply:  # fmt: skip
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

    def together(self, calls: Sequence[Call], *, timeout_s: float = 60.0, limit: int = 64 << 20) -> list[Reply]:
        def run(call: Call) -> Reply:
            return self.run(
                call.program, *call.args, data=call.data, timeout_s=timeout_s, become=call.become, limit=limit
            )

        found = [run(call) for call in calls]
        with self._lock:
            self.exchanges -= len(calls) - 1
        return found

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


def check_words(words: list[str], host: Host) -> None:
    """Refuses a NUL byte, which no program's arguments can hold."""
    if any("\0" in word for word in words):
        raise InputError("a word for a host has a NUL byte in it", host=host.name, mend="take it out")

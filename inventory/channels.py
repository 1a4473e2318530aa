"""What rides on an SSH connection besides programs: the Docker API and HTTP."""

from __future__ import annotations

import io
import shlex
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from inventory.values import frozen

if TYPE_CHECKING:
    import docker
    import paramiko
    import requests

DOCKER_POOL = 4
"""Connections of the Docker API on one link: with more, sshd's MaxSessions of 10 is soon reached (FACTS)."""
LONGEST_S = 60.0
"""Seconds of an answer for which no limit was named."""


@frozen
class Sessions:
    """What the docker SDK takes for its SSH client: sessions of the link that is there, each of which runs `words`.

    `data` is what the program's standard input begins with, as for one that becomes root's by a password.
    """

    client: paramiko.SSHClient
    words: Sequence[str]
    data: bytes = b""

    def get_transport(self) -> Sessions | None:
        return self if self.client.get_transport() else None

    def open_session(self) -> paramiko.Channel:
        transport = self.client.get_transport()
        if transport is None:
            raise EOFError("the link was lost")
        channel = transport.open_session()
        start = channel.exec_command

        def started(_command: Any) -> None:
            start(shlex.join(self.words))
            channel.sendall(self.data)

        channel.exec_command = started  # type: ignore[method-assign, assignment]
        return channel


def docker_client(sessions: Sessions) -> docker.APIClient:
    """The host's Docker API, each of its connections a channel of the link that is there."""
    import docker
    from docker.transport.sshconn import SSHHTTPAdapter

    class ChannelAdapter(SSHHTTPAdapter):  # type: ignore[misc, unused-ignore]
        def __init__(self, link: Sessions) -> None:
            super().__init__("ssh://link", timeout=60, max_pool_size=DOCKER_POOL, shell_out=True)
            self.ssh_client = link

        def close(self) -> None:
            """Closes its channels; the link is not its own."""
            self.pools.clear()

    api = docker.APIClient(base_url="http://link:2375", version="1.41", timeout=60)
    api.mount(api.base_url, ChannelAdapter(sessions))
    api._version = api.version(api_version=False)["ApiVersion"]
    return api


def http_session(dialled: Callable[[str, int, float], Any]) -> requests.Session:
    """A requests session whose connections are dialled from the host, over the link."""
    import ssl

    import requests
    import urllib3
    from requests.adapters import HTTPAdapter
    from urllib3.util.ssl_ import resolve_cert_reqs
    from urllib3.util.ssltransport import SSLTransport

    class Through(ssl.SSLContext):
        """TLS over what is no socket of the system, as a channel is none."""

        def wrap_socket(self, sock: Any, server_hostname: str | None = None, **_: Any) -> Any:  # type: ignore[override]
            return SSLTransport(sock, self, server_hostname)

    def connection_class(kind: Any) -> Any:
        class Dialled(kind):  # type: ignore[misc]
            def connect(self) -> None:
                if hasattr(self, "ssl_context"):
                    self.ssl_context = Through(ssl.PROTOCOL_TLS_CLIENT)
                    self.ssl_context.check_hostname = resolve_cert_reqs(self.cert_reqs) != ssl.CERT_NONE
                super().connect()

            def _new_conn(self) -> Any:
                limit = self.timeout if isinstance(self.timeout, (int, float)) else 10.0
                return Timed(dialled(self._dns_host.strip("[]"), self.port, limit), limit)

        return Dialled

    class DialledAdapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            plain, secure = urllib3.HTTPConnectionPool, urllib3.HTTPSConnectionPool
            pools = {
                "http": type("Pool", (plain,), {"ConnectionCls": connection_class(plain.ConnectionCls)}),
                "https": type("TlsPool", (secure,), {"ConnectionCls": connection_class(secure.ConnectionCls)}),
            }
            self.poolmanager.pool_classes_by_scheme = pools

    session = requests.Session()
    session.trust_env = False
    for prefix in ("http://", "https://"):
        session.mount(prefix, DialledAdapter(pool_maxsize=DOCKER_POOL))
    return session


class Timed:
    """What was dialled, as a socket whose time limit holds for a whole answer: from when it is set, not anew for each byte.

    A host that sends a byte now and then would else keep a probe for ever.
    """

    def __init__(self, inner: Any, limit_s: float) -> None:
        self._inner, self._io_refs, self._closed = inner, 0, False
        self.settimeout(limit_s)

    def settimeout(self, seconds: float | None) -> None:
        self._limit = LONGEST_S if seconds is None else seconds
        self._end = time.monotonic() + self._limit

    def gettimeout(self) -> float:
        return self._limit

    def recv(self, size: int, _flags: int = 0) -> bytes:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._inner.settimeout(left)
        found: bytes = self._inner.recv(size)
        return found

    def recv_into(self, buffer: Any, size: int | None = None, _flags: int = 0) -> int:
        data = self.recv(size or len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def sendall(self, data: bytes, _flags: int = 0) -> None:
        self._inner.settimeout(self._limit)
        self._inner.sendall(data)

    def makefile(self, _mode: str, *_: Any, **__: Any) -> io.BufferedReader:
        self._io_refs += 1
        return io.BufferedReader(socket.SocketIO(self, "r"))  # type: ignore[arg-type]

    def setsockopt(self, *_: Any) -> None:
        """A channel has no options; those that are asked for only save a packet."""

    def fileno(self) -> int:
        return int(self._inner.fileno())

    def _decref_socketios(self) -> None:
        self._io_refs -= 1
        if self._closed and self._io_refs <= 0:
            self._inner.close()

    def close(self) -> None:
        """As a socket's: what still reads of it may end first."""
        self._closed = True
        if self._io_refs <= 0:
            self._inner.close()

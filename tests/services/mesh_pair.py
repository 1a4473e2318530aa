"""A service and its caller, each with its sidecar, and the authority of both: real Envoys with the step's configuration."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from checks.model import Probe
from checks.probes import mesh as kind
from checks.probes.kind import Answer, Judgement
from runbooks.steps import envoy
from runbooks.steps.envoy import Port, Sidecar, Target
from tests.services import meshes, servers
from tests.services.meshes import DOMAIN, Authority, Change

HTTP = Port(8000, "http")


CALLERS = ("caller", "mesh-authority")


SAYS = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        data = (self.headers.get("x-forwarded-client-cert") or "nobody").encode()
        self.send_response(int(sys.argv[2] if len(sys.argv) > 2 else self.path.strip("/") or 200)); self.send_header("Content-Length", str(len(data))); self.end_headers()
        self.wfile.write(data)
    def log_message(self, *_): pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
"""A service that says who calls, with the status that the path names, or always the same one."""


def got(port: int, path: str = "/", host: str = "app:8000") -> tuple[int, str]:
    """A request of its own connection, as the caller sends it."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Host": host, "X-Forwarded-Client-Cert": "URI=spiffe://shop/liar"})  # fmt: skip
    try:
        with urllib.request.urlopen(asked, timeout=60) as reply:
            return reply.status, reply.read().decode().rpartition(";")[2]
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Mesh:
    """A service and its caller, each with its sidecar. `inbound`: where mutual TLS is taken; `outbound`: where the caller asks."""

    def __init__(
        self,
        folder: Path,
        held: ExitStack,
        port: Port = HTTP,
        renew_s: int = 3600,
        twin: int = 0,
        inbound_of: Change = str,
    ) -> None:
        self.folder, self.held = folder, held
        self.inbound, self.outbound, self.app = (meshes.port() for _ in range(3))
        asks = {"app": f"127.0.0.1:{self.inbound} 127.0.0.1:{meshes.port()}"}
        self.authority: Authority = held.enter_context(meshes.authority(folder, "app", "caller", "other", renew_s=renew_s, **asks))  # fmt: skip
        own = Sidecar("app", DOMAIN, "10.0.0.2", (port,), CALLERS)
        called = Target("app", ("app",), port, "app-mesh", envoy.FIRST)
        here = {("app", 8000): ("127.0.0.1", self.app), ("0.0.0.0", envoy.FIRST): ("127.0.0.1", self.inbound)}
        there = {("app-mesh", envoy.FIRST): ("127.0.0.1", self.inbound), ("10.0.1.2", 8000): ("127.0.0.1", self.outbound)}  # fmt: skip
        certificates = self.authority.certificates
        other = ("127.0.0.1", twin) if twin else None
        self.metrics = held.enter_context(meshes.sidecar(own, folder, certificates, here, other, inbound_of))
        caller = Sidecar("caller", DOMAIN, "10.0.1.2", calls=(called,))
        self.caller_metrics = held.enter_context(meshes.sidecar(caller, folder, certificates, there))

    def serve(self) -> subprocess.Popen[bytes]:
        words: list[str | Path] = [sys.executable, "-c", SAYS, str(self.app)]
        return self.held.enter_context(servers.running(words, self.app))

    def serving(self) -> Mesh:
        self.serve()
        servers.until(lambda: got(self.outbound)[0] == 200)
        return self

    def context(self, member: str = "") -> ssl.SSLContext:
        """A client that trusts the authority, and shows a member's certificate."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        made.load_verify_locations(self.authority.certificates / "caller" / "current" / "authority.pem")
        if member:
            folder = (self.authority.certificates / member / "current").resolve()  # the two of one renewal
            made.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
        return made

    def answer(self, context: ssl.SSLContext | None) -> bytes:
        """What the sidecar answers to a request that comes so (None: in plain text); nothing where it refuses."""
        try:
            with socket.create_connection(("127.0.0.1", self.inbound), 60) as plain:
                found = context.wrap_socket(plain) if context else plain
                found.sendall(b"GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n")
                return found.recv(4096)
        except OSError as error:
            assert not isinstance(error, TimeoutError)
            return b""


def probed(mesh: Mesh, more: str = "") -> Judgement:
    """What the gate's probe makes of the authority's word."""
    return kind.judge(Probe("mesh", "m", "mesh-authority", {}), Answer(0, servers.get(mesh.authority.port, f"/mesh{more}").text, 0.1))  # fmt: skip


@dataclass
class Asked:
    """What the caller's requests came to, which go one after another all the while: how many, and those that failed."""

    done: int = 0
    failed: list[tuple[int, str]] = field(default_factory=list)


@contextmanager
def asking(mesh: Mesh) -> Iterator[Asked]:
    """Requests through both sidecars, without a pause, until the block ends."""
    ended, asked = threading.Event(), Asked()

    def ask() -> None:
        while not ended.is_set():
            found = got(mesh.outbound)
            asked.done += 1
            if found != (200, "URI=spiffe://shop/caller"):
                asked.failed.append(found)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield asked
    finally:
        ended.set()
        thread.join()

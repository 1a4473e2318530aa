"""Real servers on loopback for the tests of what asks them: started for a test, ended with it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
INITDB = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
USER: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": [], "cwd": "/"}
LIMIT_S = 120


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def until(holds: Callable[[], Any], what: str = "it") -> Any:
    """Waits for something as long as a busy machine may need for it."""
    end = time.monotonic() + LIMIT_S
    while not (found := holds()):
        assert time.monotonic() < end, f"{what} never came to be"
        time.sleep(0.05)
    return found


def accepts(port: int, *, process: subprocess.Popen[bytes] | None = None) -> None:
    """Waits until a port of this machine accepts."""
    for _ in range(LIMIT_S * 20):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process is None or process.poll() is None, f"it ended with {process.returncode}"
        time.sleep(0.05)
    raise AssertionError(f"port {port} does not answer")


@contextmanager
def running(words: list[str | Path], port: int, ends: signal.Signals = signal.SIGTERM, **more: Any) -> Iterator[subprocess.Popen[bytes]]:  # fmt: skip
    """A server until the end of the block; one that was stopped by SIGSTOP goes on for its end."""
    process = subprocess.Popen(list(map(str, words)), **{**QUIET, **more})
    try:
        accepts(port, process=process)
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.send_signal(ends)
        process.wait(60)


def freeze(database: subprocess.Popen[bytes], *, on: bool = True) -> None:
    """Stops every process of a database where it stands, or lets it go on: ports accept, and nobody answers."""
    signal_ = signal.SIGSTOP if on else signal.SIGCONT
    database.send_signal(signal_)  # first, so that none is born meanwhile; each child is in a group of its own
    for child in Path(f"/proc/{database.pid}/task/{database.pid}/children").read_text().split():
        with suppress(ProcessLookupError):  # a worker may end meanwhile
            os.kill(int(child), signal_)


@contextmanager
def postgres(password: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A PostgreSQL of its own whose superuser is `app`, and its port."""
    # Not below pytest's own folder, which no other user may enter.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    folder.chmod(0o755)
    shutil.chown(folder, "postgres", "postgres")
    (folder / "password").write_text(f"{password}\n")
    port, binaries = free_port(), INITDB[-1].parent
    made: list[str | Path] = [binaries / "initdb", "-N", "-D", folder / "data", "-U", "app", f"--pwfile={folder}/password", "-A", "scram-sha-256"]  # fmt: skip
    subprocess.run(made, check=True, **USER, **QUIET)
    options: list[str | Path] = ["-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    try:
        with running([binaries / "postgres", "-D", folder / "data", *options], port, signal.SIGINT, **USER) as process:
            yield port, process
    finally:
        shutil.rmtree(folder)


@contextmanager
def redis(password: str, *more: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A Redis that keeps nothing, and its port."""
    port = free_port()
    words: list[str | Path] = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", password, *more]  # fmt: skip
    with running(words, port, cwd="/tmp") as process:
        yield port, process


WEB = """
import sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        _, code, wait, *_ = self.path.split("/")
        time.sleep(float(wait))
        self.send_response(int(code)); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@contextmanager
def web() -> Iterator[int]:
    """A web server that answers `/CODE/SECONDS` with that status after so long, and its port."""
    with web_server() as (port, _):
        yield port


@contextmanager
def web_server() -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The same, and its process."""
    port = free_port()
    with running([sys.executable, "-c", WEB, str(port)], port) as process:
        yield port, process


@dataclass(frozen=True)
class Reply:
    status: int
    text: str
    seconds: float

    @property
    def document(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Aggregator:
    """A running aggregator. `log`: what it wrote so far."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> Reply:
        return get(self.port, path)


def get(port: int, path: str) -> Reply:
    """What a service on loopback answers, whatever its status."""
    begin = time.monotonic()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as reply:
            return Reply(reply.status, reply.read().decode(), time.monotonic() - begin)
    except urllib.error.HTTPError as error:
        return Reply(error.code, error.read().decode(), time.monotonic() - begin)


@contextmanager
def aggregator(environment: Mapping[str, str], folder: Path) -> Iterator[Aggregator]:
    """The real program with these variables."""
    port, log = free_port(), folder / "aggregator.log"
    own = {"PATH": os.environ["PATH"], "PORT": str(port), **environment}
    with log.open("wb") as out, running(
        [sys.executable, "-m", "services.aggregator"], port, env=own, cwd=ROOT, stdout=out, stderr=out
    ) as process:  # fmt: skip
        yield Aggregator(port, log, process)


@contextmanager
def pgbouncer(database: int, password: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A PgBouncer before a database of this machine, whose user is `app`, and its port."""
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    folder.chmod(0o755)
    port = free_port()
    (folder / "users").write_text(f'"app" "{password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\npostgres = host=127.0.0.1 port={database}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"auth_type = plain\nauth_file = {folder}/users\npool_mode = transaction\nunix_socket_dir =\nserver_connect_timeout = 2\n"
        "server_login_retry = 1\n"
    )
    try:
        with running(["/usr/sbin/pgbouncer", folder / "pgbouncer.ini"], port, signal.SIGINT, **USER) as process:
            yield port, process
    finally:
        shutil.rmtree(folder)


@contextmanager
def haproxy(configuration: str, folder: Path, ready: int) -> Iterator[subprocess.Popen[bytes]]:
    """A HAProxy with a configuration, when its port `ready` accepts."""
    path = folder / "haproxy.cfg"
    path.write_text(configuration)
    with running(["/usr/sbin/haproxy", "-db", "-f", path], ready) as process:
        yield process

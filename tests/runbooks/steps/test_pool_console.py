"""The console of a real PgBouncer before a real PostgreSQL, as the step asks it: what it says is what was in use."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbooks.steps import pool_tuning
from tests.services.servers import free_port

pytestmark = pytest.mark.slow

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
needs_servers = pytest.mark.skipif(
    not BINARIES or not shutil.which("pgbouncer") or os.getuid() != 0,
    reason="no PostgreSQL and PgBouncer here, or not root",
)
HELD_S = 240


def answers(port: int) -> None:
    """Waits until a port of this machine accepts."""
    for _ in range(1200):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"port {port} does not answer")


@pytest.fixture(scope="module")
def pooler() -> Iterator[int]:
    """A pooler with two server connections a pool, and its port; both servers end with the tests."""
    # Not below pytest's own folder, which no other user may enter.
    folder = Path(tempfile.mkdtemp(prefix="pool-"))
    folder.chmod(0o755)
    shutil.chown(folder, "postgres", "postgres")
    (folder / "password").write_text("geheim\n")
    own, front = free_port(), free_port()
    (folder / "users").write_text('"app" "geheim"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\nshop = host=127.0.0.1 port={own} dbname=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {front}\nauth_type = plain\nauth_file = {folder}/users\nadmin_users = app\n"
        "pool_mode = transaction\ndefault_pool_size = 2\nunix_socket_dir =\n"
    )
    binaries = BINARIES[-1].parent
    user = {"user": "postgres", "group": "postgres", "extra_groups": [], "cwd": "/"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    made = [binaries / "initdb", "-N", "-D", folder / "data", "-U", "app", f"--pwfile={folder}/password", "-A", "scram-sha-256"]  # fmt: skip
    subprocess.run(made, check=True, **user, **quiet)  # type: ignore[call-overload]
    options = ["-p", str(own), "-k", str(folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    database = subprocess.Popen([binaries / "postgres", "-D", folder / "data", *options], **user, **quiet)  # type: ignore[call-overload]
    bouncer = subprocess.Popen(["pgbouncer", str(folder / "pgbouncer.ini")], **user, **quiet)  # type: ignore[call-overload]
    try:
        answers(own)
        answers(front)
        yield front
    finally:
        for each in (bouncer, database):
            each.send_signal(signal.SIGINT)  # a fast end: nobody's query is waited for
            each.wait(30)
        shutil.rmtree(folder)


@needs_servers
def test_connections_at_work_and_clients_that_wait_are_counted(pooler: int) -> None:
    environment = {**os.environ, "PGPASSWORD": "geheim"}
    to = ["psql", "-X", "-h", "127.0.0.1", "-p", str(pooler), "-U", "app", "-d", "shop", "-qtAc", f"select pg_sleep({HELD_S})"]  # fmt: skip
    clients = [subprocess.Popen(to, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(5)]  # fmt: skip
    try:
        words = ["sh", "-c", pool_tuning.SHOW_POOLS, "sh", "127.0.0.1", str(pooler), "app"]
        for _ in range(20):
            said = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
            assert said.returncode == 0, said.stderr
            found = pool_tuning.demand(said.stdout)
            if found == {("shop", "app"): 5}:
                break
        assert found == {("shop", "app"): 5}
    finally:
        for each in clients:
            each.terminate()
            each.wait(30)


@needs_servers
def test_a_login_that_the_console_refuses_is_an_answer_that_is_no_use(pooler: int) -> None:
    environment = {**os.environ, "PGPASSWORD": "wrong", "PGCONNECT_TIMEOUT": "5"}
    words = ["sh", "-c", pool_tuning.SHOW_POOLS, "sh", "127.0.0.1", str(pooler), "app"]
    said = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert said.returncode != 0
    assert pool_tuning.demand(said.stdout) == {}

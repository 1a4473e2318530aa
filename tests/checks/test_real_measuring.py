"""What real servers measure: a breaker's trips by HAProxy, a pool's use by PgBouncer."""

import http.server
import os
import pwd
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from checks.model import Probe
from checks.probes import round_
from inventory.connection import LocalLink
from tests.checks.judging import HOST, judged
from tests.services import servers

pytestmark = pytest.mark.slow


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """A `docker` that has one container of each service, which is this machine itself."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\ncase $1 in ps) printf "haproxy h\\npgbouncer p\\n" ;; exec) shift 2; exec "$@" ;; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


class Fickle(http.server.BaseHTTPRequestHandler):
    """A service that can be told to be unwell."""

    well = True

    def do_GET(self):
        self.send_response(200 if Fickle.well else 503)
        self.end_headers()

    def log_message(self, *_words):
        """Quiet."""


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_words):
        """A check that was hung up on is no news."""


@pytest.fixture
def breaker(tmp_path):
    """A real HAProxy before a service that may turn unwell, with a fallback; its statistics' address."""
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
    if not program:
        pytest.skip("no HAProxy on this machine: apt-get install haproxy")
    server = Server(("127.0.0.1", 0), Fickle)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    port, stats = server.server_address[1], servers.free_port()
    (tmp_path / "haproxy.cfg").write_text(f"""
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend stats
    bind 127.0.0.1:{stats}
    stats enable
    stats uri /stats
backend service
    option httpchk GET /
    server main 127.0.0.1:{port} check inter 100ms fall 2 rise 2
    server fallback 127.0.0.1:{port} backup
""")
    child = subprocess.Popen(
        [program, "-W", "-db", "-f", str(tmp_path / "haproxy.cfg")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"127.0.0.1:{stats}/stats"
    Fickle.well = True
    child.terminate()
    child.wait(20)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("client", ["curl", "wget", "bash"])
def test_each_opening_of_a_real_breaker_is_counted_with_whatever_the_image_has(
    docker, breaker, tmp_path, monkeypatch, client
):
    if not shutil.which(client):
        pytest.skip(f"no {client} on this machine")
    only = tmp_path / "only"
    only.mkdir()
    tools = {"sh", "cat", "base64", "sed", "date", "timeout", "tail", "tr", "env", "printf", "sleep", client}
    for name in tools:
        found = shutil.which(name)
        if found:
            (only / name).symlink_to(found)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{only}")
    probe = Probe("breaker", "breaker:haproxy", "haproxy", {"address": breaker})

    def asked():
        (sample,) = round_(LocalLink(HOST), [probe], "shop")
        return sample

    assert servers.until(lambda: (sample := asked()).ok and sample).value == 0.0
    for trips in (1.0, 2.0):
        Fickle.well = False
        found = servers.until(lambda: (sample := asked()).detail.startswith("open: ") and sample)
        assert (found.value, found.detail) == (trips, "open: service/main")
        Fickle.well = True
        assert servers.until(lambda: not (sample := asked()).detail and sample).value == trips


def test_what_is_no_breaker_measures_nothing(docker):
    probe = Probe("breaker", "breaker:haproxy", "haproxy", {"address": f"127.0.0.1:{servers.free_port()}/stats"})
    (sample,) = round_(LocalLink(HOST), [probe], "shop")
    assert sample.ok is None
    assert judged("breaker", "<html>")[2] == "these are no statistics of HAProxy"
    assert judged("breaker", "# pxname,svname,bck,chkdown,status\nweb,BACKEND,0,0,UP\n")[2] == "it watches no server"


@pytest.fixture
def pooler(tmp_path_factory, postgres, monkeypatch):
    """A real PgBouncer before the tests' PostgreSQL, asked as in its container; its port."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
    if not program or not shutil.which("psql"):
        pytest.skip("no PgBouncer or psql on this machine: apt-get install pgbouncer postgresql-client")
    folder, port, name = postgres.folder / "pooler", servers.free_port(), postgres.database().rpartition("/")[2]
    folder.mkdir(exist_ok=True)
    (folder / "users").write_text('"runbook" "hunter22"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\nshop = host=127.0.0.1 port={postgres.port} dbname={name} user=runbook pool_size=4\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = plain\n"
        f"auth_file = {folder}/users\nadmin_users = runbook\npool_mode = transaction\n"
    )
    own = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    child = subprocess.Popen(
        [program, str(folder / "pgbouncer.ini")], stderr=(folder / "log").open("wb"), stdin=subprocess.DEVNULL, **own
    )
    monkeypatch.setenv("DATABASE_URL", "postgresql://runbook:hunter22@db:5432/shop")
    monkeypatch.setenv("LISTEN_PORT", str(port))
    yield port, folder / "log"
    child.terminate()
    child.wait(20)


def test_a_real_pooler_tells_how_full_it_is(docker, pooler):
    import psycopg

    port, log = pooler
    probe = Probe("pgbouncer", "pgbouncer:pgbouncer", "pgbouncer", {"pool": True}, 30.0)

    def asked():
        (sample,) = round_(LocalLink(HOST), [probe], "shop")
        return sample

    found = servers.until(lambda: (sample := asked()).ok and sample)
    assert (found.value, found.detail) == (0.0, ""), Path(log).read_text()
    held = []
    for number in range(3):
        connection = psycopg.connect(
            f"host=127.0.0.1 port={port} user=runbook password=hunter22 dbname=shop", prepare_threshold=None
        )
        connection.execute("select 1")  # within a transaction, which holds a server connection
        held.append(connection)
        assert asked().value == 25.0 * (number + 1)
    for connection in held:
        connection.close()

"""What measures: start-up, resources, a pool's use and a breaker's trips, by what real programs say."""

import http.server
import json
import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from checks.model import Probe
from checks.probes import KINDS, round_
from checks.probes.kind import Answer
from checks.probes.pgbouncer import utilisation
from inventory.connection import LocalLink
from inventory.model import Host, Project

pytestmark = pytest.mark.slow

HOST = Host("here", "here", Project("/srv/shop"), connection="local")
LIMIT_S = 120.0


def judged(kind, output, code=0, service="web", **settings):
    found = KINDS[kind].judge(Probe(kind, f"{kind}:{service}", service, settings), Answer(code, output, 0.2))
    return found.ok, found.value, found.detail


def started(
    service="web",
    at="10:00:00.123456789",
    status="healthy",
    period=60,
    interval=30,
    first="10:00:01",
    passed="10:00:04.5",
):
    """A line as the engine gives it."""
    times = [f'"2026-01-01T{time}Z"' if time else "" for time in (first, passed)]
    return "|".join([service, f"2026-01-01T{at}Z", status, str(period * 10**9), str(interval * 10**9), *times])


CLOCK = "2026-01-01T10:02:00Z"
STARTUPS = [
    # lines, settings, ok, value, detail
    ([started()], {}, True, pytest.approx(4.376544), ""),
    ([started(at="10:00:00"), started(at="09:59:58")], {}, True, 6.5, ""),
    ([started("db"), started(at="10:00:00", passed="10:00:02")], {}, True, 2.0, ""),
    ([started(status="", period=0, interval=0, first="", passed="")], {}, True, None, ""),
    ([started(first="11:30:00", passed="11:30:01")], {}, True, None, ""),
    ([started(status="starting", passed="")], {}, True, None, ""),
    ([started(status="starting", passed="")], {"limit_s": 100}, False, pytest.approx(119.876, abs=0.01), "not healthy 100 s after its start"),
    ([started("db")], {}, True, None, ""),
    (["web|nonsense"], {}, None, None, "the engine's answer cannot be understood"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "settings", "ok", "value", "detail"), STARTUPS)
def test_a_start_is_measured_where_the_engine_still_knows_its_first_check(lines, settings, ok, value, detail):
    assert judged("startup", "\n".join([CLOCK, *lines]), **settings) == (ok, value, detail)


def test_an_engine_that_is_away_measures_nothing():
    away = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock"
    for kind in ("startup", "resources"):
        assert judged(kind, away, 125)[0] is None


USED = """\
cpus 4
limit aaa 2000000000 0 0 web
limit bbb 0 50000 100000 web
limit ccc 0 0 0 db
used aaa 50.00% 75.50%
used bbb 30.00% 24.50%
used ccc 100.00% 10.00%
"""


@pytest.mark.parametrize(
    ("service", "of", "output", "found"),
    [
        ("web", "cpu", USED, (True, (25 + 60) / 2, "")),
        ("web", "memory", USED, (True, 50.0, "")),
        ("db", "cpu", USED, (True, 25.0, "")),
        ("db", "memory", USED, (True, 10.0, "")),
        ("gone", "cpu", USED, (None, None, "gone: no running container")),
        ("db", "cpu", USED.replace("100.00%", "--"), (None, None, "db: no running container")),
        ("web", "cpu", "", (None, None, "web: no running container")),
    ],
)
def test_use_is_measured_against_the_limit_or_else_the_host(service, of, output, found):
    assert judged("resources", output, service=service, of=of) == found


POOLS = [
    "database|user|cl_active|cl_waiting|sv_active|sv_idle|pool_mode",
    "pgbouncer|pgbouncer|1|0|0|0|statement",
    "shop|eve|30|5|15|0|transaction",
    "shop|bob|1|0|1|4|transaction",
    "blog|eve|1|0|3|1|transaction",
    "name|host|port|database|force_user|pool_size|min_pool_size|reserve_pool_size",
    "blog|db|5432|blog||5|0|0",
    "pgbouncer||6432|pgbouncer|pgbouncer|2|0|0",
    "shop|db|5432|shop||20|0|5",
]


@pytest.mark.parametrize(
    ("lines", "used"), [(POOLS, 75.0), (POOLS[:2] + POOLS[5:], 0.0), (["ERROR:  not allowed"], None), ([], None)]
)
def test_a_pools_use_is_that_of_the_fullest(lines, used):
    assert utilisation(lines) == used


def test_a_pooler_that_does_not_tell_its_use_is_well_all_the_same():
    assert judged("pgbouncer", "1\nERROR:  not allowed", pool=True) == (
        True,
        None,
        "its console does not say how full it is",
    )
    assert judged("pgbouncer", "1\n" + "\n".join(POOLS), pool=True) == (True, 75.0, "")
    assert judged("pgbouncer", "no connection", 2, pool=True) == (False, None, "no connection")


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


def free_port():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


def until(holds):
    end = time.monotonic() + LIMIT_S
    while not (found := holds()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


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
    port, stats = server.server_address[1], free_port()
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

    assert until(lambda: (sample := asked()).ok and sample).value == 0.0
    for trips in (1.0, 2.0):
        Fickle.well = False
        found = until(lambda: (sample := asked()).detail.startswith("open: ") and sample)
        assert (found.value, found.detail) == (trips, "open: service/main")
        Fickle.well = True
        assert until(lambda: not (sample := asked()).detail and sample).value == trips


def test_what_is_no_breaker_measures_nothing(docker):
    probe = Probe("breaker", "breaker:haproxy", "haproxy", {"address": f"127.0.0.1:{free_port()}/stats"})
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
    folder, port, name = postgres.folder / "pooler", free_port(), postgres.database().rpartition("/")[2]
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

    found = until(lambda: (sample := asked()).ok and sample)
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


STATE = '{"hits": 1, "misses": 1, "hit_ratio": %s, "invalidation_ms": %s, "invalidation_reason": "no event in 5 s", "warmed": %s}'
WELL = '{"ended": true, "present": 9, "wanted": 10, "failed": {}}'


@pytest.mark.parametrize(
    ("output", "settings", "found"),
    [
        (STATE % (0.5, 2.5, WELL), {"of": "invalidation"}, (True, 2.5, "")),
        (STATE % (0.5, "null", WELL), {"of": "invalidation"}, (False, None, "an invalidation does not arrive: no event in 5 s")),
        (STATE % (0.5, 900, WELL), {"of": "invalidation"}, (False, 900.0, "an invalidation took 900 ms, more than 500")),
        (STATE % (0.5, 2.5, WELL), {"of": "warm"}, (True, 9.0, "")),
        (STATE % (0.5, 2.5, WELL), {"of": "warm", "share": 1}, (False, 9.0, "only 9 of 10 warmed keys are there")),
        (STATE % (0.5, 2.5, WELL.replace("true", "false")), {"of": "warm"}, (False, 0.0, "warming has not ended")),
        (STATE % (0.5, 2.5, WELL.replace("{}", '{"q": "why"}')), {"of": "warm"}, (False, 0.0, "not warmed: q (why)")),
        (STATE % (0.5, 2.5, WELL), {"of": "hits"}, (True, 50.0, "")),
        (STATE % (0.5, 2.5, WELL), {"of": "hits", "least": 60}, (False, 50.0, "50 % of reads hit, less than 60")),
        (STATE % ("null", 2.5, WELL), {"of": "hits"}, (True, None, "nobody reads")),
        ('{"reason": "ConnectionError"}', {"of": "hits"}, (False, None, "the cache does not answer: ConnectionError")),
        ("<html>", {"of": "hits"}, (None, None, "this is no answer of the cache keeper")),
        ("[]", {"of": "warm"}, (None, None, "this is no answer of the cache keeper")),
        ('{"hits": 1}', {"of": "warm"}, (None, None, "this is no answer of the cache keeper")),
    ],
)  # fmt: skip
def test_a_shared_cache_is_judged_by_what_its_keeper_measured(output, settings, found):
    assert judged("cache", output, **settings) == found


def listed(db, web, **more):
    """What a registrar answers: what the registry says of two services (None: nothing), and what their health is."""
    entries = [{"service": name, "instance": "shop", "health": health} for name, health in (("db", db), ("web", web)) if health]  # fmt: skip
    return json.dumps({"entries": entries, "instance": "shop", "health": {"db": "healthy", "web": "unhealthy"}, "reason": "", **more})  # fmt: skip


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (listed("healthy", "unhealthy"), (True, 1.0, "")),
        (listed("healthy", None), (True, 1.0, "")),
        (listed(None, None), (False, 0.0, "not registered: db")),
        (listed("unhealthy", "healthy"), (False, 1.0, "not registered: db; registered as well: web")),
        (listed("healthy", None, instance="other"), (False, 1.0, "not registered: db")),
        (listed("healthy", None, health={}), (False, 1.0, "no health is known: ")),
        (listed("healthy", None, reason="etcd: X"), (False, 1.0, "no health is known: etcd: X")),
        ('{"reason": "etcd: X"}', (False, None, "the registry does not answer: etcd: X")),
        ("<html>", (None, None, "this is no answer of the registrar")),
        ('{"entries": [1], "instance": "a"}', (None, None, "this is no answer of the registrar")),
    ],
)
def test_a_registry_is_held_against_what_the_aggregator_says(output, found):
    assert judged("registry", output) == found


def in_force(**more):
    """What a mesh's authority answers of one service."""
    each = {
        "service": "api",
        "plain": "refused",
        "direct": "unreachable",
        "mutual": "accepted",
        "expires_s": 600,
        **more,
    }
    return json.dumps({"services": [each], "failed": {}})


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (in_force(), (True, 600.0, "")),
        (in_force(plain="accepted"), (False, 600.0, "api: plain text at its sidecar: accepted")),
        (in_force(plain="away: X"), (False, 600.0, "api: plain text at its sidecar: away: X")),
        (in_force(direct="reachable"), (False, 600.0, "api is reachable past its sidecar")),
        (in_force(mutual="refused: X"), (False, None, "api: mutual TLS: refused: X")),
        (in_force(expires_s=0), (False, 0.0, "api: its certificate has ended")),
        (in_force().replace('"failed": {}', '"failed": {"web": "why"}'), (False, 600.0, "no certificate for web: why")),
        ('{"services": []}', (None, None, "this is no answer of the mesh's authority")),
        ("<html>", (None, None, "this is no answer of the mesh's authority")),
        ('{"failed": 1, "services": 2}', (None, None, "this is no answer of the mesh's authority")),
    ],
)
def test_a_mesh_is_well_when_all_that_should_be_refused_is(output, found):
    assert judged("mesh", output) == found


ENGINE = """#!/bin/sh
case $1 in
    inspect) [ "$4" = two ] && echo "10.0.0.17 10.1.0.3 " || echo "10.0.0.18 " ;;
    exec) shift 5; echo "$*" ;;
esac
"""


def test_a_mesh_is_tried_at_every_address_that_the_engine_gives_its_containers_now(tmp_path):
    (tmp_path / "docker").write_text(ENGINE)
    (tmp_path / "docker").chmod(0o755)
    asked = Probe("mesh", "m", "mesh-authority", {"services": {"api": [8000, 9000], "away": [1]}})
    running = "api two\nweb one\nmesh-authority three\napi four"
    own = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "RUNBOOK_RUNNING": running}
    said = subprocess.run(KINDS["mesh"].command(asked, "shop"), env=own, capture_output=True, text=True, check=True)
    places = [f"at=api={host}:{port}" for port in (8000, 9000) for host in ("10.0.0.17", "10.1.0.3", "10.0.0.18")]
    assert said.stdout.strip().rpartition(" ")[2] == "http://127.0.0.1:8080/mesh?" + "".join(
        f"{each}&" for each in places
    )

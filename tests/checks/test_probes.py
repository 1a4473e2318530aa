"""Each kind of probe: the words that it runs, how it judges answers, and rounds with real programs over a local link."""

import http.server
import os
import shutil
import socket
import subprocess
import threading

import pytest

from checks.model import Probe
from checks.probes import KINDS, round_, validate
from checks.probes.kind import IN_SERVICE, Answer
from inventory.connection import LocalLink
from inventory.errors import InputError
from tests.checks.judging import HOST


def probe(kind, **settings):
    return Probe(kind, f"{kind}:s", "s", settings)


@pytest.mark.parametrize("kind", ["postgres", "pgbouncer", "redis"])
def test_a_clients_probe_runs_in_the_service_and_carries_no_password(kind):
    words = KINDS[kind].command(probe(kind), "shop")
    assert words[:6] == ("sh", "-c", IN_SERVICE, "sh", "shop", "s")
    assert words[6:8] == ("sh", "-c")
    assert len(words) == 9
    assert "PASSWORD" in words[8], "the container's own variable is what knows it"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["pg_isready", "-h", "a b"], ("pg_isready", "-h", "a b")),
        (("one", 2), ("one", "2")),
        ("curl -f 'http://x/a b'", ("curl", "-f", "http://x/a b")),
    ],
)
def test_a_command_is_words_in_each_form(given, words):
    made = KINDS["command"].command
    assert made(probe("command", command=given), "shop") == ("sh", "-c", IN_SERVICE, "sh", "shop", "s", *words)
    assert made(probe("command", command=given, on_host=True), "shop") == words


@pytest.mark.parametrize("given", [[], "", None])
def test_a_command_probe_without_a_command_is_refused(given):
    settings = {} if given is None else {"command": given}
    with pytest.raises(InputError, match="needs a command"):
        KINDS["command"].command(probe("command", **settings), "shop")


def test_one_question_to_the_engine_serves_every_service_of_a_project():
    words = KINDS["container"].command
    assert words(Probe("container", "a", "web"), "shop") == words(Probe("container", "b", "db"), "shop")


ENGINE_DOWN = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
JUDGED = [
    # kind, settings, exit, output, ok, value, detail
    ("command", {}, 0, "fine", True, None, ""),
    ("command", {}, 1, "one\ntwo\n", False, None, "two"),
    ("command", {}, 7, "", False, None, "exit 7"),
    ("command", {}, 124, "", False, None, "no answer in 0.2 s"),
    ("command", {}, 125, "no such thing", None, None, "no such thing"),
    ("command", {}, 1, ENGINE_DOWN, None, None, ENGINE_DOWN),
    ("command", {}, 1, "x" * 900, False, None, "x" * 200),
    ("container", {}, 0, "s running healthy 0 false 0", True, 0, ""),
    ("container", {}, 0, "s running none 3 false 0", True, 3, ""),
    ("container", {}, 0, "other running unhealthy 0 false 0\ns running healthy 0 false 0", True, 0, ""),
    ("container", {}, 0, "other running healthy 0 false 0", False, None, "no container"),
    ("container", {}, 0, "", False, None, "no container"),
    ("container", {}, 0, "s running unhealthy 0 false 0", False, 0, "unhealthy"),
    ("container", {}, 0, "s running starting 0 false 0", False, 0, "still starting"),
    ("container", {"may_start": True}, 0, "s running starting 0 false 0", True, 0, ""),
    ("container", {"may_start": True}, 0, "s running unhealthy 0 false 0", False, 0, "unhealthy"),
    ("container", {"runs_only": True}, 0, "s running unhealthy 0 false 0", True, 0, ""),
    ("container", {"runs_only": True}, 0, "s restarting unhealthy 3 false 1", False, 3, "restarting, exit 1"),
    ("container", {}, 0, "s exited none 0 true 137", False, 0, "exited, exit 137, out of memory"),
    ("container", {}, 0, "s restarting none 5 false 1", False, 5, "restarting, exit 1"),
    ("container", {}, 0, "s running healthy 0 false 0\ns exited none 0 false 2", False, 0, "exited, exit 2"),
    ("container", {"restarts": 0}, 0, "s running healthy 1 false 0", False, 1, "restarted 1 times, 0 before"),
    ("container", {"restarts": 2}, 0, "s running healthy 1 false 0\ns running healthy 1 false 0", True, 2, ""),
    ("container", {}, 0, "Warning: something else", None, None, "the engine's answer cannot be understood"),
    ("container", {}, 125, ENGINE_DOWN, None, None, ENGINE_DOWN),
    ("postgres", {}, 0, "12\n", True, 12.0, ""),
    ("postgres", {}, 0, "", True, None, ""),
    ("postgres", {}, 2, "psql: error: connection refused", False, None, "psql: error: connection refused"),
    ("pgbouncer", {}, 0, "1\n", True, None, ""),
    ("pgbouncer", {}, 0, "", False, None, "the query gave no answer"),
    ("pgbouncer", {}, 2, "FATAL: no such database", False, None, "FATAL: no such database"),
    ("redis", {}, 0, "PONG\nused_memory:1048576\n", True, 1048576.0, ""),
    ("redis", {}, 0, "PONG\r\nused_memory:12\r\n", True, 12.0, ""),
    ("redis", {}, 0, "PONG\n", True, None, ""),
    ("redis", {}, 0, "NOAUTH Authentication required.", False, None, "NOAUTH: the probe knows no password (REDIS_PASSWORD)"),
    ("redis", {}, 0, "LOADING Redis is loading", False, None, "LOADING"),
    ("redis", {}, 0, "", False, None, "no answer"),
    ("redis", {}, 1, "Could not connect", False, None, "Could not connect"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "settings", "code", "output", "ok", "value", "detail"), JUDGED)
def test_an_answer_is_judged(kind, settings, code, output, ok, value, detail):
    found = KINDS[kind].judge(probe(kind, **settings), Answer(code, output, 0.2))
    assert (found.ok, found.value, found.detail) == (ok, value, detail)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Probe("htp", "p", "s"), r"phase.yml:3: p: htp is no kind of probe \(did you mean http\?\)"),
        (Probe("zzz", "p", "s"), r"zzz is no kind of probe \(kinds: aggregator, breaker, cache, command, container"),
        (Probe("http", "p", "s", {"urll": 1}), r"urll is no setting of a http probe \(did you mean url\?\)"),
        (Probe("redis", "p", "s", {"x": 1}), r"x is no setting of a redis probe \(settings: none\)"),
    ],
)
def test_an_unknown_kind_or_setting_is_one_line_with_the_mend(given, words):
    with pytest.raises(InputError, match=words):
        validate(given, "phase.yml", 3)


@pytest.fixture
def server():
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(int(self.path[1:4]))
            if self.path.startswith("/302"):
                self.send_header("Location", "/500")
            self.end_headers()
            self.wfile.write(b'{"status": "green"}')

        def log_message(self, *_words):
            """Quiet."""

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    yield made.server_address[1]
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize(
    ("path", "settings", "ok", "detail"),
    [
        ("/200", {}, True, ""),
        ("/302", {}, True, ""),
        ("/404", {}, False, "status 404"),
        ("/500", {}, False, "status 500"),
        ("/200", {"status": 204}, False, "status 200"),
        ("/503", {"status": 503}, True, ""),
        ("/200", {"contains": '"green"'}, True, ""),
        ("/200", {"contains": '"red"'}, False, "the expected text is not in the answer"),
    ],
)
def test_an_http_probe_judges_status_and_text(server, path, settings, ok, detail):
    given = probe("http", url=f"http://127.0.0.1:{server}{path}", **settings)
    (sample,) = round_(LocalLink(HOST), [given], "shop")
    assert (sample.ok, sample.detail) == (ok, detail)
    assert sample.latency_s > 0


def test_a_tcp_probe_connects_and_nothing_listening_is_a_failure(server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = taken.getsockname()[1]
        samples = round_(
            LocalLink(HOST),
            [Probe("tcp", "a", "s", {"port": server}), Probe("tcp", "b", "s", {"port": closed}),
             Probe("http", "c", "s", {"url": f"http://127.0.0.1:{closed}/"})],
            "shop",
        )  # fmt: skip
    assert [sample.ok for sample in samples] == [True, False, False]
    assert "refused" in samples[1].detail


@pytest.mark.parametrize(
    "given",
    [probe("tcp"), probe("tcp", port=0), probe("tcp", port="80"), probe("tcp", port=65536), probe("http"), probe("http", url="ftp://x")],
)  # fmt: skip
def test_a_probe_without_its_address_measures_nothing_and_says_what_it_needs(given):
    (sample,) = round_(LocalLink(HOST), [given], "shop")
    assert sample.ok is None
    assert "needs a" in sample.detail


@pytest.mark.parametrize("shell", [["dash"], ["bash", "--posix"], ["busybox", "sh"]])
@pytest.mark.parametrize(
    ("url", "words", "password"),
    [
        (
            "postgres://app:p%40ss%2fw%3Ard%25@db:5432/shop?sslmode=disable",
            "postgresql://app@127.0.0.1:6432/shop",
            "p@ss/w:rd%",
        ),
        ("postgres://app:plain@db/shop", "postgresql://app@127.0.0.1:6432/shop", "plain"),
        ("postgres://app:100%@db/shop", "postgresql://app@127.0.0.1:6432/shop", "100%"),
        ("postgres://app@db/shop", "postgresql://app@127.0.0.1:6432/shop", "none"),
    ],
)
def test_the_poolers_password_reaches_psql_and_stands_in_no_process_list(tmp_path, shell, url, words, password):
    from checks.probes.pgbouncer import QUERY

    if not shutil.which(shell[0]):
        pytest.skip(f"{shell[0]} is not on this machine")
    psql = tmp_path / "psql"
    psql.write_text('#!/bin/sh\nprintf "%s\\n" "$PGPASSWORD"; tr "\\0" "\\n" </proc/$$/cmdline\n')
    psql.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "DATABASE_URL": url, "LISTEN_PORT": "6432", "PGPASSWORD": "none"}  # fmt: skip
    done = subprocess.run([*shell, "-c", QUERY], env=environment, capture_output=True, text=True, check=True)
    seen, *rest = done.stdout.splitlines()
    assert seen == password
    assert words in rest
    assert not any(password in word for word in rest)

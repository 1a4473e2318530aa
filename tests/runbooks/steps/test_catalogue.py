"""The catalogue of health checks: what it covers, and that every check in it can fail. Clients run for real."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from runbooks.model import NO_FACTS
from runbooks.steps import health_checks
from runbooks.steps.catalogue import ENTRIES, RUNTIMES, UNKNOWN, WRONG_PORT, Check
from runbooks.steps.common import argv
from tests.runbooks.compose.material import stack_of

KINDS = {
    "databases": "postgres mysql mariadb mongo cockroach clickhouse-server influxdb neo4j couchdb cassandra mssql/server",
    "caches": "redis valkey memcached keydb dragonfly",
    "queues": "rabbitmq kafka cp-kafka redpanda nats zookeeper eclipse-mosquitto emqx pulsar",
    "proxies": "nginx httpd caddy traefik haproxy envoy kong varnish squid",
    "search": "elasticsearch opensearch solr meilisearch typesense qdrant weaviate",
    "monitoring": "prometheus alertmanager grafana loki node-exporter cadvisor jaeger zipkin logstash kibana apm-server",
    "object stores": "minio registry nexus3",
    "identity": "keycloak authelia hydra kratos dex oauth2-proxy openldap vault",
    "poolers": "pgbouncer",
}
SETTINGS = {name: usual for name, (_, usual, _) in health_checks.SETTINGS.items()}
CHECKS = {
    f"{name}: {check.client} {number}": check
    for name, checks in {
        **{name: entry.checks for name, entry in ENTRIES.items()},
        **RUNTIMES,
        "unknown": UNKNOWN,
    }.items()
    for number, check in enumerate(checks)
}
RUNNABLE = [check for check in {check.test: check for check in CHECKS.values()}.values() if shutil.which(check.client)]
ASKING = [check for check in RUNNABLE if check.client in ("curl", "wget")]


def offline(image: str, more: str = "") -> tuple[str, str]:
    """The check that an offline plan writes for an image, and where it is from; else nothing and the reason."""
    stack = stack_of({"compose.yml": f"services:\n  it:\n    image: {image}\n{more}"})
    chosen, reason = health_checks.choose(stack.services["it"], NO_FACTS, SETTINGS)
    return (" ".join(chosen.test), reason) if chosen else ("", reason)


@pytest.fixture(scope="module")
def answers() -> Iterator[tuple[int, int]]:
    """Two loopback servers: one answers everything with 200, the other with 500."""

    class Fine(http.server.BaseHTTPRequestHandler):
        code = 200

        def do_GET(self) -> None:
            self.send_response(self.code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Broken(Fine):
        code = 500

    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in (Fine, Broken)]
    for server in servers:
        server.request_queue_size = 64
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield servers[0].server_port, servers[1].server_port
    for server in servers:
        server.shutdown()
        server.server_close()


def exits(checks: list[Check], port: int) -> dict[tuple[str, ...], int]:
    """How each check ends when it is asked of a port, as the engine would run it."""

    def run(check: Check) -> int:
        words = argv(check.at(port))
        return subprocess.run(words, capture_output=True, timeout=20, check=False).returncode

    with ThreadPoolExecutor(8) as pool:
        return dict(zip([check.test for check in checks], pool.map(run, checks), strict=True))


def test_at_least_sixty_images_are_known_by_name() -> None:
    assert len(ENTRIES) >= 60


@pytest.mark.parametrize(("kind", "names"), KINDS.items())
def test_each_kind_of_service_that_people_run_is_covered(kind: str, names: str) -> None:
    assert set(names.split()) <= ENTRIES.keys()


@pytest.mark.parametrize("name", CHECKS)
def test_each_check_names_its_port_and_its_source(name: str) -> None:
    check = CHECKS[name]
    assert check.at(5000) != check.at(WRONG_PORT), "asked of a wrong port it would ask the same"
    assert check.source.strip()
    assert check.test[0] in ("CMD", "CMD-SHELL")
    assert check.test[0] == "CMD" or len(check.test) == 2


@pytest.mark.slow
def test_each_check_that_this_machine_can_run_fails_against_a_wrong_port() -> None:
    assert len(RUNNABLE) > 60, "curl is needed"
    passed = [test for test, code in exits(RUNNABLE, WRONG_PORT).items() if code == 0]
    assert passed == []


def test_each_http_check_passes_where_its_path_is_answered(answers: tuple[int, int]) -> None:
    asked = [check for check in ASKING if "https://" not in check.test[1]]
    assert {test: code for test, code in exits(asked, answers[0]).items() if code} == {}


def test_each_http_check_fails_where_its_path_is_answered_with_an_error(answers: tuple[int, int]) -> None:
    passed = [test for test, code in exits(ASKING, answers[1]).items() if code == 0]
    assert passed == []


@pytest.mark.parametrize(
    "image",
    [
        "postgres", "postgres:17", "library/postgres:17-alpine", "docker.io/library/postgres:17", "registry.example:5000/mirror/postgres:17",
        "postgres@sha256:" + "a" * 64, "ghcr.io/team/mirror/postgres:17@sha256:" + "b" * 64, "${REGISTRY:-docker.io}/postgres:${TAG:-17}",
        "public.ecr.aws/docker/library/postgres:17", "bitnami/postgresql:17", "timescale/timescaledb:latest-pg17", "postgis/postgis:17-3.5",
    ],
)  # fmt: skip
def test_an_image_is_known_behind_registries_mirrors_digests_and_variables(image: str) -> None:
    assert "pg_isready -q -h 127.0.0.1 -p 5432" in offline(image)[0]


@pytest.mark.parametrize(
    ("image", "client"),
    [
        ("prom/prometheus", "wget"), ("grafana/grafana:11.2.0", "wget"), ("nginx:1.27", "curl"), ("nginx:alpine", "wget"),
        ("httpd:2.4", "bash"), ("httpd:2.4-alpine", "wget"), ("haproxy:3.0", "bash"), ("haproxy:3.0-alpine", "nc"),
        ("qdrant/qdrant", "bash"), ("docker.elastic.co/elasticsearch/elasticsearch:8.15.0", "curl"), ("mongo:4.4", "mongo --quiet"),
        ("mongo:7", "mongosh"), ("ghost:5", "node"), ("ghost:5-alpine", "node"), ("wordpress:php8.3-fpm", "php"),
        ("oliver006/redis_exporter:v1.62.0-alpine", "wget"), ("quay.io/minio/minio", "mc ready"), ("adminer", "php"),
    ],
)  # fmt: skip
def test_a_check_begins_with_the_client_that_the_image_really_ships(image: str, client: str) -> None:
    assert client in offline(image)[0]


@pytest.mark.parametrize("image", ["grafana/loki:3.7.0", "otel/opentelemetry-collector-contrib", "oliver006/redis_exporter", "nats:2",
                                   "envoyproxy/envoy:distroless-v1.31.0"])  # fmt: skip
def test_an_image_without_any_client_is_kept_with_that_reason(image: str) -> None:
    assert offline(image) == ("", "its image ships no program that could ask it: plan against the live host to be sure")


@pytest.mark.parametrize(
    ("image", "more", "port"),
    [
        ("edoburu/pgbouncer", "", 5432),
        ("edoburu/pgbouncer", "    environment: {LISTEN_PORT: 6432}\n", 6432),
        ("bitnami/pgbouncer", "", 6432),
        ("bitnami/openldap", "", 1389),
        ("redis:7", "    command: redis-server --port 6380\n", 6380),
        ("redis:7", "    command: [redis-server, --port, '6381']\n", 6381),
        ("redis:7", "    command: redis-sentinel /etc/sentinel.conf\n", 26379),
        ("mysql:8", "    command: --port=3307\n", 3307),
        ("postgres:17", "    environment: [PGPORT=5433]\n", 5433),
        ("haproxy:3.0", "    ports: ['8404:8404']\n", 8404),
        ("nginx", "    ports: ['443:443', '8081:8080']\n", 8080),
        ("nginx", "    ports: ['443:443']\n", 80),
        ("minio/minio", "    ports: ['9001:9001']\n", 9000),
    ],
)  # fmt: skip
def test_a_check_asks_the_port_that_the_image_was_told(image: str, more: str, port: int) -> None:
    assert str(port) in offline(image, more)[0].replace("{", " ").split("127.0.0.1")[-1]


def test_an_image_with_several_roles_gets_a_check_only_where_it_declares_the_port() -> None:
    assert offline("apache/airflow:2.10.0", "    command: scheduler\n")[0] == ""
    assert ":8080/health" in offline("apache/airflow:2.10.0", "    command: webserver\n    ports: ['8080:8080']\n")[0]


@pytest.mark.parametrize(
    "name", ["node:22", "python:3.13-slim", "ruby:3.3", "php:8.3-cli", "oven/bun:1", "denoland/deno:2.0"]
)
def test_a_language_image_is_asked_by_its_own_runtime_at_its_declared_port(name: str) -> None:
    stack = stack_of({"compose.yml": f"services:\n  it:\n    image: {name}\n    expose: [3000]\n"})
    first = next(health_checks.candidates(stack.services["it"], NO_FACTS, SETTINGS))
    assert first.test[0] == "CMD"
    assert first.wrong is not None
    assert any("3000" in word for word in first.test)


IDLE = {
    "a client": "psql -h db -c 'select 1'",
    "an endless wait": "sleep infinity",
    "a loop that waits": "sh -c 'while true; do sleep 60; done'",
    "a client and a wait": 'bash -c "redis-cli -h cache ping; while true; do sleep 60; done"',
    "a client behind variables": "sh -c 'PGPASSWORD=x psql -h db && echo done'",
    "a timer": "/cron.sh",
}
SERVING = {
    "options": "-c shared_buffers=1GB",
    "its server": "docker-entrypoint.sh postgres",
    "a server in a shell": 'sh -c "exec postgres -c fsync=off"',
    "a server and a client in a shell": "sh -c 'postgres & sleep 2; psql -c x; wait'",
    "a script": "bash /start.sh",
    "a script of the image in a shell": "bash -c 'bash /tmp/start_db.sh'",
    "a server behind a wait": "sh -c 'until nc -z other 1; do sleep 1; done; exec postgres'",
}


@pytest.mark.parametrize("case", IDLE)
def test_a_service_whose_command_only_asks_or_waits_gets_no_check_of_its_images_server(case: str) -> None:
    found, reason = offline("postgres:17", f"    command: {IDLE[case]}\n")
    assert found == ""
    assert "only clients" in reason


@pytest.mark.parametrize("case", SERVING)
def test_a_service_whose_command_runs_a_server_gets_its_images_check(case: str) -> None:
    assert "pg_isready" in offline("postgres:17", f"    command: {SERVING[case]}\n")[0]


def test_an_entrypoint_that_only_asks_counts_with_its_command() -> None:
    assert offline("postgres:17", '    entrypoint: [sh, -c]\n    command: ["pg_dump -h db app"]\n')[0] == ""
    assert offline("postgres:17", '    entrypoint: [sh, -c]\n    command: ["postgres"]\n')[0] != ""

"""How long services take from their start to their first answer: measured where the host still knows it, else typical.

Typical times are round figures of the right size for one small node with little data, from the start-up times that the
programs' own documentation and logs show; they order services and size an outage, and a run measures the truth.
"""

from __future__ import annotations

from collections.abc import Mapping

from inventory.values import frozen
from runbooks.compose.model import Service, Stack
from runbooks.steps.images import repository

TYPICAL_S: Mapping[str, float] = {
    "postgres": 2, "postgresql": 3, "timescaledb": 3, "postgis": 3, "mysql": 8, "mariadb": 5, "mongo": 3, "redis": 1,
    "valkey": 1, "memcached": 1, "pgbouncer": 1, "rabbitmq": 10, "kafka": 12, "zookeeper": 4, "nats": 1, "etcd": 2,
    "elasticsearch": 20, "opensearch": 20, "kibana": 20, "logstash": 20, "apm-server": 3, "filebeat": 2, "solr": 10,
    "prometheus": 2, "grafana": 5, "loki": 3, "promtail": 1, "alertmanager": 1, "jaeger": 2, "tempo": 2, "influxdb": 3,
    "clickhouse-server": 4, "cassandra": 30, "neo4j": 15, "minio": 2, "nginx": 1, "httpd": 1, "caddy": 1, "traefik": 1,
    "haproxy": 1, "envoy": 1, "keycloak": 20, "sonarqube": 40, "jenkins": 30, "gitlab-ce": 120, "vault": 2, "consul": 3,
}  # fmt: skip
UNKNOWN_S = 5.0
"""For an image that the table does not have."""
HOLDS_DATA = frozenset({
    "postgres", "postgresql", "timescaledb", "postgis", "mysql", "mariadb", "mongo", "redis", "valkey", "rabbitmq",
    "kafka", "zookeeper", "nats", "etcd", "elasticsearch", "opensearch", "solr", "prometheus", "loki", "tempo", "influxdb",
    "clickhouse-server", "cassandra", "neo4j", "minio", "vault", "consul", "couchdb", "cockroach", "mssql",
})  # fmt: skip
"""Images whose whole purpose is to keep data."""


@frozen
class Ready:
    """Seconds to the first answer, and where the figure is from."""

    seconds: float
    basis: str


def ready(service: Service, measured: Mapping[str, float]) -> Ready:
    """One service's start-up time. `measured`: seconds by service, where known."""
    if service.name in measured:
        return Ready(measured[service.name], "measured on this host")
    name = repository(service.image)
    if name in TYPICAL_S:
        return Ready(float(TYPICAL_S[name]), f"typical for {name}")
    return Ready(UNKNOWN_S, "assumed")


def ready_s(stack: Stack, measured: Mapping[str, float]) -> dict[str, float]:
    """Every service's start-up time in seconds."""
    return {name: ready(service, measured).seconds for name, service in stack.services.items()}

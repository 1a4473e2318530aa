"""The service images that the lab puts into each practice host's engine, tagged with their upstream names."""

from __future__ import annotations

from dataclasses import dataclass

from runbooks import shipped


@dataclass(frozen=True)
class ServiceImage:
    """`tag` as the example's Compose file names it, `target` in lab/images/services/Dockerfile, `what` runs in it."""

    tag: str
    target: str
    stand_in: bool
    what: str


ELASTIC = "8.15.3"
IMAGES = (
    ServiceImage("postgres:17-alpine", "postgres", False, "PostgreSQL 17"),
    ServiceImage("edoburu/pgbouncer:v1.24.1-p1", "pgbouncer", False, "PgBouncer 1.24"),
    ServiceImage("redis:8-alpine", "redis", False, "Redis 8"),
    ServiceImage("haproxy:3.2-alpine", "haproxy", False, "HAProxy 3.0"),
    ServiceImage(
        shipped.image("health-aggregator", shipped.aggregator()), "aggregator", False, "the health aggregator"
    ),
    ServiceImage(shipped.image("cache-keeper", shipped.program("cache")), "cache-keeper", False, "the cache keeper"),
    ServiceImage(
        shipped.image("service-registrar", shipped.program("registrar")),
        "service-registrar",
        False,
        "the service registrar",
    ),
    ServiceImage("quay.io/coreos/etcd:v3.5.17", "etcd", False, "etcd 3.5"),
    ServiceImage("prom/prometheus:v2.53.3", "prometheus", False, "Prometheus 2.53"),
    ServiceImage(f"docker.elastic.co/elasticsearch/elasticsearch:{ELASTIC}", "elasticsearch", True, "a stand-in"),
    ServiceImage(f"docker.elastic.co/logstash/logstash:{ELASTIC}", "logstash", True, "a stand-in"),
    ServiceImage(f"docker.elastic.co/kibana/kibana:{ELASTIC}", "kibana", True, "a stand-in"),
    ServiceImage(f"docker.elastic.co/apm/apm-server:{ELASTIC}", "apm-server", True, "a stand-in"),
    ServiceImage("grafana/grafana:11.2.2", "grafana", True, "a stand-in"),
    ServiceImage("reconciliation/backend:1.4.2", "backend", True, "a stand-in that really uses PostgreSQL and Redis"),
    ServiceImage("reconciliation/frontend:1.4.2", "frontend", True, "a stand-in"),
)

"""What phase 1 must change in a Compose file, counted by ruamel.yaml alone: none of the tool's own code.

The list of images is the test's own, shorter than the tool's catalogue on purpose: what stands in it must get a check.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import ComposerError

KNOWN = frozenset((
    "postgres", "postgresql", "postgis", "timescaledb", "pgbouncer", "mysql", "mariadb", "mongo", "redis",
    "valkey", "memcached", "rabbitmq", "kafka", "zookeeper", "elasticsearch", "opensearch", "logstash", "kibana",
    "apm-server", "solr", "meilisearch", "qdrant", "nginx", "httpd", "caddy", "traefik", "haproxy", "wordpress",
    "nextcloud", "prometheus", "alertmanager", "pushgateway", "grafana", "node-exporter", "cadvisor", "zipkin",
    "all-in-one", "cassandra", "neo4j", "influxdb", "clickhouse-server", "cockroach", "couchdb", "minio",
    "registry", "vault", "consul", "etcd", "keycloak", "gitea", "jenkins", "mailpit",
))  # fmt: skip
Found = tuple[str, str, str]
_URL = re.compile(r"(?:jdbc:)?postgres(?:ql)?(?:\+\w+)?://(?:[^@/\s]*@)?([\w.-]+)(?::(\d+))?(?:/|$)")
_JOBS = re.compile(r"(?:^|[-_])(?:migrat|init|setup|seed|bootstrap|job|once|provision|createbucket)")


def eligible(data: bytes) -> set[Found]:
    """(service, what, dependency or variable) for each thing that must change in a file that stands alone."""
    model = read(data.decode("utf-8-sig"))
    services: Mapping[str, Any] = {
        str(name): service or {} for name, service in ((model or {}).get("services") or {}).items()
    }
    active = {name for name, service in services.items() if not service.get("profiles")}
    jobs = {name for name in services if is_job(name, services)}
    checked = {name for name in active - jobs if has_check(services[name])}
    gained = {
        name
        for name in active - jobs - checked
        if image(services[name]) in KNOWN and not has_check(services[name], disabled=True)
    }
    found: set[Found] = {(name, "health_check", "") for name in gained}
    for name in active:
        for dependency, condition in edges(services[name]).items():
            if condition == "service_started" and dependency in checked | gained:
                found.add((name, "condition", dependency))
    return found | {(name, "database_url", variable) for name, variable in urls(services, active)}


def read(text: str) -> Any:
    """A file as plain data. ruamel.yaml's C reader takes no anchor that stands twice; its own does."""
    try:
        return YAML(typ="safe", pure=False).load(text)
    except ComposerError:
        yaml = YAML(typ="safe", pure=True)
        yaml.composer.warn_double_anchors = False
        return yaml.load(text)


def edges(service: Mapping[str, Any]) -> dict[str, str]:
    """dependency -> condition."""
    given = service.get("depends_on") or {}
    if isinstance(given, list):
        return dict.fromkeys(map(str, given), "service_started")
    return {str(name): (edge or {}).get("condition", "service_started") for name, edge in given.items()}


def is_job(name: str, services: Mapping[str, Any]) -> bool:
    """Whether others wait for its end, or its name says that it ends."""
    if any(edges(each).get(name) == "service_completed_successfully" for each in services.values()):
        return True
    restart = str(services[name].get("restart", "no"))
    return bool(_JOBS.search(name)) and (restart in ("no", "False") or restart.startswith("on-failure"))


def has_check(service: Mapping[str, Any], *, disabled: bool = False) -> bool:
    """Whether a service has a check of its own (`disabled`: one that is switched off)."""
    check = service.get("healthcheck") or {}
    off = bool(check.get("disable")) or check.get("test") in (["NONE"], "NONE")
    return off if disabled else bool(check.get("test")) and not off


def image(service: Mapping[str, Any]) -> str:
    """The last part of an image's name, with the defaults of its variables."""
    name = str(service.get("image") or "")
    while (plain := re.sub(r"\$\{\w+(?::?-([^${}]*))?\}", lambda found: found[1] or "", name)) != name:
        name = plain
    return name.partition("@")[0].rpartition("/")[2].partition(":")[0].lower()


def urls(services: Mapping[str, Any], active: set[str]) -> set[tuple[str, str]]:
    """Variables of plain services whose PostgreSQL URL names the database behind the one pooler."""
    poolers = [name for name in active if image(services[name]) == "pgbouncer"]
    if len(poolers) != 1:
        return set()
    upstream = next((host(value) for value in environment(services[poolers[0]]).values() if host(value)), None)
    found = set()
    for name in active - {upstream, poolers[0]}:
        kept = re.search(r"export|backup|admin|migrat|replica", f"{image(services[name])} {name}")
        for variable, value in environment(services[name]).items():
            if upstream and host(value) == upstream and not kept and not _JOBS.search(name):
                found.add((name, variable))
    return found


def host(value: str) -> str | None:
    """The one host of a PostgreSQL URL on the usual port, where no variable stands in it."""
    found = _URL.match(value)
    return found[1] if found and found[2] in (None, "5432") and "$" not in value else None


def environment(service: Mapping[str, Any]) -> dict[str, str]:
    """A service's variables as they are written."""
    given = service.get("environment") or {}
    if isinstance(given, list):
        return {str(each).partition("=")[0]: str(each).partition("=")[2] for each in given}
    return {str(name): str(value) for name, value in given.items()}

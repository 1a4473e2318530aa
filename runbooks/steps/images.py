"""What an image or a service is, told from its name: for rules that treat databases, telemetry or jobs differently. Pure."""

from __future__ import annotations

import re

from runbooks.compose.model import Service, Stack
from runbooks.model import Facts, Image

TELEMETRY = re.compile(
    r"logstash|fluent-?(?:d|bit)|filebeat|metricbeat|promtail|apm-server|jaeger|zipkin|otel|opentelemetry|"
    r"(?<![a-z])(?:vector|loki|tempo)(?![a-z])|graylog|telegraf|statsd|datadog|newrelic|sentry|collector"
)
"""Logs, traces and metrics: what a service that answers users can do without. (`pgvector` and `temporal` are none.)"""
JOB = re.compile(
    r"(?:^|[-_])(?:migrat\w*|init\w*|setup|seed\w*|bootstrap|createbuckets?|job|once|provision\w*)(?:$|[-_])"
)
NOT_POOLED = re.compile(
    r"export(?:er)?|backup|dump|pgadmin|adminer|pghero|pgweb|migrat|flyway|liquibase|alembic|debezium|wal-?g|barman|replica|repmgr|patroni"
)
"""Services that need their own connection: exporters, backups, administration, migrations, replication."""


def repository(image: str | None) -> str:
    """The last part of an image's repository name: `postgres` for `mirror.example/library/postgres:17@sha256:...`."""
    if not image:
        return ""
    name = image.split("@", 1)[0].rsplit("/", 1)[-1]
    return name.split(":", 1)[0].lower()


def owner(image: str | None) -> str:
    """The part of the repository name before the last: `bitnami` for `docker.io/bitnami/pgbouncer`; else empty."""
    parts = (image or "").split("@", 1)[0].split("/")
    return parts[-2].lower() if len(parts) > 1 else ""


def is_telemetry(service: Service) -> bool:
    return bool(TELEMETRY.search(f"{repository(service.image)} {service.name}"))


def is_one_shot(stack: Stack, service: Service, facts: Facts) -> bool:
    """Whether a service runs once and ends: others wait for its end, it ended well, or its name says so."""
    waited_for = any(
        edge.condition == "service_completed_successfully"
        for other in stack.services.values()
        for name, edge in other.edges.items()
        if name == service.name
    )
    if waited_for:
        return True
    if service.restart not in (None, "no") and not str(service.restart).startswith("on-failure"):
        return False
    containers = facts.containers.get(service.name, ())
    if containers:
        return all(container.state == "exited" and container.exit_code == 0 for container in containers)
    return bool(JOB.search(service.name))


def image_of(service: Service, facts: Facts) -> Image | None:
    """The image of a service; one that is built and has no name in the file is known by what its container runs."""
    if service.image:
        return facts.images.get(service.image)
    ids = (container.image_id for container in facts.containers.get(service.name, ()))
    return next((facts.images[each] for each in ids if each in facts.images), None)


def image_has_check(service: Service, facts: Facts) -> bool:
    """Whether the image that a service runs brings its own HEALTHCHECK, as far as the facts tell."""
    image = image_of(service, facts)
    return image is not None and image.has_health_check


def has_check(service: Service, facts: Facts) -> bool:
    """Whether Compose can wait for a service's health: its own check, or the image's when none disables it."""
    if service.health_check is not None and service.health_check.disabled:
        return False
    own = service.health_check is not None and bool(service.health_check.test)
    return own or image_has_check(service, facts)

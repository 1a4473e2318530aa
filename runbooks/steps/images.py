"""What an image or a service is, told from its name: for rules that treat databases, telemetry or jobs differently. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from runbooks.compose.model import Service, Stack
from runbooks.model import Facts, Image

TELEMETRY = re.compile(
    r"logstash|fluent-?(?:d|bit)|filebeat|metricbeat|promtail|apm-server|jaeger|zipkin|otel|opentelemetry|"
    r"(?<![a-z])(?:vector|loki|tempo)(?![a-z])|graylog|telegraf|statsd|datadog|newrelic|sentry|collector"
)
"""Logs, traces and metrics: what a service that answers users can do without. (`pgvector` and `temporal` are none.)"""
JOB = re.compile(
    r"(?:^|[-_])(?:migrat\w*|init\w*|setup|seed\w*|bootstrap|create(?:buckets?|topics?|db)?|creator|job|once|provision\w*)(?:$|[-_])"
)
NOT_POOLED = re.compile(
    r"export(?:er)?|backup|dump|pgadmin|adminer|pghero|pgweb|migrat|flyway|liquibase|alembic|debezium|wal-?g|barman|replica|repmgr|patroni"
)
"""Services that need their own connection: exporters, backups, administration, migrations, replication."""


CLIENTS = frozenset((
    "psql", "pg_dump", "pg_dumpall", "pg_restore", "pg_isready", "createdb", "createuser", "dropdb", "mysql", "mysqldump",
    "mysqladmin", "mariadb", "mariadb-dump", "mariadb-admin", "mongo", "mongosh", "mongodump", "mongorestore", "mongoimport",
    "redis-cli", "valkey-cli", "kafka-topics", "kafka-configs", "kafka-acls", "kafka-console-consumer",
    "kafka-console-producer", "cub", "mc", "cqlsh", "cypher-shell", "clickhouse-client", "influx", "etcdctl", "rabbitmqadmin",
    "rabbitmqctl", "nc", "curl", "wget", "crond", "cron", "cron.sh",
))  # fmt: skip
"""Programs that server images ship to ask a server with, or to keep time: a service that runs only these serves nothing."""
_IDLE = frozenset(
    ("sleep", "tail", "true", "echo", "printf", "exit", "wait", "set", "export", "cd", "until", "while", "do", "done",
     "if", "then", "else", "fi", "for", "trap", "[", "test", ":", "sh", "bash", "/bin/sh", "/bin/bash", "exec", "!", "")
)  # fmt: skip
_SHELLS = ("sh", "bash", "ash")
_PARTS = re.compile(r"&&|\|\||[;|&\n]")
_KEYWORDS = re.compile(r"(?:(?:until|while|do|if|then|else|exec|!)\s+|\w+=\S*\s+)*")


@lru_cache(4096)
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


def serves(service: Service) -> bool:
    """Whether a service may run what its image is there for: its command is not made of clients and waiting alone."""
    given = service.value.get("entrypoint")
    entry = [str(word) for word in given] if isinstance(given, list) else str(given or "").split()
    words = [*entry, *(service.command or ())]
    if not words:
        return True
    shell = words[0].rsplit("/", 1)[-1] in _SHELLS and len(words) > 1
    options = [word for word in words[1:] if word.startswith("-") and not word.startswith("--")]
    if not shell:
        programs = {words[0]}
    elif any("c" in word for word in options):
        text = " ".join(word for word in words[1:] if word not in options)
        programs = {_program(_KEYWORDS.sub("", part.strip(), count=1).split()) for part in _PARTS.split(text)}
    else:
        return True
    names = {program.strip("\"'()").rsplit("/", 1)[-1].removesuffix(".sh") for program in programs}
    clients = {client.removesuffix(".sh") for client in CLIENTS}
    return not (names <= clients | _IDLE and names - {"exit", ""})


def _program(words: list[str]) -> str:
    """What a part of a shell's text runs: of `bash /start.sh` the script, which is not the shell's but the image's own."""
    if len(words) > 1 and words[0].rsplit("/", 1)[-1] in _SHELLS and not words[1].startswith("-"):
        return words[1]
    return words[0] if words else ""


def is_telemetry(service: Service) -> bool:
    return bool(TELEMETRY.search(f"{repository(service.image)} {service.name}"))


def is_one_shot(stack: Stack, service: Service, facts: Facts) -> bool:
    """Whether a service runs once and ends: others wait for its end, it ended well, or its name says so."""
    if service.name in stack.jobs:
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


ADDED = "compose-runbook.step"
"""The label of a service that a step added; its value is the step. Other steps leave such a service as it is."""


def added(service: Service) -> str:
    """The step that added a service; empty for one of the stack's own."""
    labels = service.value.get("labels")
    if isinstance(labels, Mapping):
        return str(labels.get(ADDED) or "")
    return next((str(each).partition("=")[2] for each in labels or () if str(each).startswith(f"{ADDED}=")), "")


CONTENT = "compose-runbook.content"
"""The label of a service that a step added with a file of its own; its value tells the file's content. Compose makes a
container anew for what stands in the Compose files alone, and one that mounts a single file keeps the old one."""


STANDS_FOR = "compose-runbook.stands-for"
"""The label of a front that a step added; its value is the service whose clients it has."""


def stands_for(service: Service) -> str:
    """The service whose clients a front has; empty for any other service."""
    labels = service.value.get("labels")
    return str(labels.get(STANDS_FOR) or "") if isinstance(labels, Mapping) else ""


def networks(services: Iterable[Service]) -> list[str]:
    """The networks that services are on, each once, in their order: who is on all of them reaches each service."""
    found: dict[str, None] = {}
    for service in services:
        found |= dict.fromkeys(map(str, service.value.get("networks") or ("default",)))
    return list(found)

"""Which Redis can have a replica, as its files and its own answers tell: the image, its command, its password, what it keeps. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbooks.compose import units
from runbooks.compose.model import Service, Stack
from runbooks.model import Answer, Facts, Question
from runbooks.steps import asked, images, templates

SINCE = (7, 0)
"""Sentinels of 6.2 know names, but look an address up once only; since 7.0 they follow a container that is made anew."""
SERVERS = ("redis-server", "valkey-server")
OWNERS = ("", "library", "docker.io", "valkey")
"""Whose images start in the way that is built on here: any command, given to `docker-entrypoint.sh`."""
SENTINEL_BYTES = 32 << 20
SPARE_BYTES = 64 << 20
"""What a Sentinel takes (10 MiB measured), and a node with nothing in it, with room for its copy while it writes to disk."""
INFO = 'redis-cli -p "$1" info && echo "# Save" && redis-cli -p "$1" config get save'


@dataclass(frozen=True)
class Node:
    """A Redis as it stands. `command` starts with the server's name; `password` is a text of a Compose file that refers to it."""

    service: Service
    port: int
    command: tuple[str, ...]
    locked: bool
    password: str = ""
    secret: str = ""

    @property
    def bare(self) -> tuple[str, ...]:
        """The command without what holds the password."""
        found, skip = [], False
        for word in self.command:
            if not skip and word not in _LOGIN:
                found.append(word)
            skip = not skip and word in _LOGIN
        return tuple(found)

    def option(self, name: str) -> str | None:
        """The last value of an option of the command."""
        at = [number for number, word in enumerate(self.command[:-1]) if word == f"--{name}"]
        return self.command[at[-1] + 1] if at else None


_LOGIN = ("--requirepass", "--masterauth")


def node(stack: Stack, service: Service, facts: Facts) -> tuple[Node | None, str]:
    """A Redis that can have a replica as far as the files tell, or why not."""
    image = images.image_of(service, facts)
    words = service.command or (image.command if image else ()) or _usual(service)
    words = (_usual(service)[0], *words) if words[0].startswith("-") else words
    found = Node(service, asked.port_of(service) or 6379, words, "--requirepass" in words)
    why = _unlike(service, found)
    if why or not found.locked:
        return (None, why) if why else (found, "")
    secret = found.option("requirepass") or ""
    text = _password(stack, service, secret)
    if text is None:
        return (
            None,
            "its password stands in no variable by reference (${...}): put it in .env, and REDIS_PASSWORD: ${...} beside it",
        )
    held = any(secret in word for word in found.bare)
    return (None, "its password stands in more than one place of its command") if held else (
        Node(service, found.port, words, True, text, secret), ""
    )  # fmt: skip


def _usual(service: Service) -> tuple[str, ...]:
    return ("valkey-server",) if images.repository(service.image) == "valkey" else ("redis-server",)


def _unlike(service: Service, found: Node) -> str:
    """What of a service is not as it must be; empty where all is."""
    configs = service.value.get("configs")
    options = {word for word in found.command if word.startswith("--")}
    if images.repository(service.image) not in ("redis", "valkey") or images.owner(service.image) not in OWNERS:
        return "how its image starts is not known: only redis and valkey/valkey are"
    if service.builds:
        return "its image is built here, so how it starts is not known"
    if service.value.get("entrypoint"):
        return "has an entrypoint of its own"
    if found.command[0] not in SERVERS or not all(word.startswith("--") for word in found.command[1:2]):
        return (
            "its command is not redis-server with options: what a file or a shell says about replication cannot be seen"
        )
    if options & {"--replicaof", "--slaveof"}:
        return "is a replica already"
    if "--sentinel" in options or found.option("cluster-enabled") == "yes":
        return "runs as a cluster or a Sentinel: it has replicas in its own way"
    if "--tls-port" in options or found.option("port") == "0":
        return "is spoken to with TLS, which the front and the Sentinels would need certificates for"
    if options & {"--aclfile", "--user"} or "--rename-command" in options:
        return "has users or commands of its own, so what a replica may do cannot be seen"
    if service.value.get("network_mode"):
        return "is on no network of the project, so a replica could not reach it"
    if str((service.value.get("deploy") or {}).get("replicas", 1)) != "1" or str(service.value.get("scale", 1)) != "1":
        return "runs more than once"
    if configs is not None and not (isinstance(configs, list) and all(isinstance(each, str) for each in configs)):
        return "has configs in long form: write them as names"
    if found.option("save") == "" and found.option("appendonly") != "yes":
        return NOTHING_KEPT
    return ""


NOTHING_KEPT = "keeps nothing on disk: it would come back empty, and its replica would follow it: turn appendonly on"


def _password(stack: Stack, service: Service, secret: str) -> str | None:
    """The text that refers to a password: of its own variable, else of a client's URL."""
    for name in asked.CACHE_PASSWORDS:
        variable = service.environment.get(name)
        if variable and variable.value == secret and (text := templates.by_reference(variable, secret)):
            return text
    for match, variable in asked.clients(stack, service):
        text = templates.by_reference(variable, secret)
        login = text.partition("://")[2].rpartition("@")[0] if text else ""
        if (match["login"] or "").rpartition(":")[2] == secret and ":" in login:
            return login.partition(":")[2]
    return None


def question(found: Node, step: str) -> Question:
    """Everything that a Redis says of itself."""
    environment = {"REDISCLI_AUTH": found.secret} if found.secret else {}
    return Question(f"{step}/{found.service.name}", found.service.name, ("sh", "-c", INFO, "sh", str(found.port)), environment)  # fmt: skip


def said(answer: Answer | None) -> Mapping[str, str]:
    """What it said, by the names of INFO; `save` is its save points. Nothing where it did not answer."""
    if answer is None or answer.exit != 0 or "redis_version:" not in answer.output:
        return {}
    info, _, save = answer.output.replace("\r", "").partition("# Save\n")
    lines = save.splitlines()
    found = dict(line.split(":", 1) for line in info.splitlines() if ":" in line and not line.startswith("#"))
    return found | ({"save": lines[1].strip() if len(lines) > 1 else ""} if lines[:1] == ["save"] else {})


def why_not(found: Node, answer: Answer | None) -> str:
    """Why a live Redis cannot have a replica; empty where it can."""
    told = said(answer)
    if not told:
        lines = answer.output.strip().splitlines() if answer else []
        return f"does not say what it is: {lines[-1][:200] if lines else 'no answer'}"
    parts = [int(part) for part in told["redis_version"].split(".")[:2] if part.isdigit()]
    if tuple(parts) < SINCE:
        return f"is Redis {told['redis_version']}, whose Sentinels would not find a container that is made anew: 7.0 or later does"
    if told.get("redis_mode", "standalone") != "standalone" or told.get("cluster_enabled") == "1":
        return "runs as a cluster: it has replicas in its own way"
    if told.get("role") != "master":
        return f"is a replica already, of {told.get('master_host', '?')}"
    if told.get("connected_slaves", "0") != "0":
        return f"has {told['connected_slaves']} replica(s) already"
    if told.get("aof_enabled") != "1" and not told.get("save"):
        return NOTHING_KEPT
    return ""


def memory(found: Node, answer: Answer | None, host: Answer | None, sentinels: int) -> tuple[int, int | None]:
    """Bytes that a replica and the Sentinels need, and what the host has left (None: not known)."""
    told = said(answer)
    most = units.size(found.option("maxmemory") or "0") or 0
    sizes = [most, *(int(told[key]) for key in ("used_memory", "maxmemory") if told.get(key, "").isdigit())]
    need = max(sizes) + SPARE_BYTES + sentinels * SENTINEL_BYTES
    for line in host.output.splitlines() if host and host.exit == 0 else ():
        words = line.split()
        if words[:1] == ["MemAvailable:"] and len(words) > 1 and words[1].isdigit():
            return need, int(words[1]) << 10
    return need, None

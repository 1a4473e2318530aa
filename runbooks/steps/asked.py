"""How each service of a stack can be asked for its health from beside it: by its own check's URL, a query, or its port. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from runbooks.compose.model import Service, Stack, Variable
from runbooks.model import Facts, Kept, Question
from runbooks.steps import catalogue, images, pooling, templates, urls

POSTGRES = re.compile(r"postgres(?:ql)?|postgis|pgvector|timescaledb(?:-ha)?")
REDIS = re.compile(r"redis|valkey|keydb|dragonfly|redis-stack(?:-server)?")
OBSERVERS = re.compile(r"grafana|prometheus|alertmanager|kibana|exporter|adminer|pgadmin|cadvisor|pgweb|redisinsight|redis-commander|uptime-kuma|portainer")  # fmt: skip
"""What only watches or shows: who is served does not notice when it is away."""
_URL = re.compile(
    r"(https?)://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::(\d{1,5}))?(/[^\s'\"|;&)$]*)?(?=[\s'\"|;&)]|\Z)"
)
_REDIS_URL = re.compile(r"rediss?://(?:(?P<login>[^@/\s]*)@)?(?P<host>[A-Za-z0-9_.-]+)(?::(?P<port>\d+))?")
USERS = ("POSTGRES_USER", "POSTGRESQL_USERNAME")
PASSWORDS = ("POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD", "POSTGRESQL_POSTGRES_PASSWORD")
DATABASES = ("POSTGRES_DB", "POSTGRESQL_DATABASE")
CACHE_PASSWORDS = ("REDIS_PASSWORD", "VALKEY_PASSWORD", "KEYDB_PASSWORD")
# Whatever the image has to ask with. 127: nothing.
GET = (
    'if command -v curl >/dev/null; then exec curl -fsSk -m 4 -o /dev/null "$1"; fi; '
    'if command -v wget >/dev/null; then exec wget -q -T 4 -O /dev/null "$1"; fi; exit 127'
)
CONNECT = (
    'if command -v nc >/dev/null; then exec nc -z -w 4 "$1" "$2"; fi; '
    'if command -v bash >/dev/null; then exec bash -c \'exec 3<>"/dev/tcp/$0/$1"\' "$1" "$2"; fi; exit 127'
)
NOTHING_TO_ASK_WITH = 127


@dataclass(frozen=True)
class Asked:
    """One service. `url` and `more` (variables beside it) are texts of a Compose file; `shown` has no login."""

    service: Service
    url: str
    shown: str
    optional: bool
    more: Mapping[str, str] = field(default_factory=dict, repr=False)
    question: Question | None = None

    def proof(self, facts: Facts) -> tuple[str, str]:
        """proven, unproven, or failed with what was said."""
        answer = facts.answers.get(self.question.key) if self.question else None
        if answer is None or answer.exit in (None, 126, NOTHING_TO_ASK_WITH):
            return "unproven", ""
        output = answer.output.strip()
        if answer.exit == 0 and "NOAUTH" not in output and "WRONGPASS" not in output:
            return "proven", ""
        return "failed", (output.splitlines() or [f"exit {answer.exit}"])[-1][:200]


def find(
    stack: Stack, facts: Facts, own: Mapping[str, str], optional: Sequence[str], needed: Sequence[str]
) -> tuple[list[Asked], list[Kept]]:
    """Every service that can be asked, and the others with the reason. `own`: what the inventory says: a URL, or skip."""
    found, kept = [], []
    without = can_do_without(stack, optional, needed)
    for service in stack.services.values():
        if not service.active or (images.added(service) and not images.stands_for(service)):
            continue
        given = own.get(service.name)
        if given == "skip":
            kept.append(Kept(service.name, "aggregator", "aggregator_checks says skip"))
        elif images.is_one_shot(stack, service, facts):
            kept.append(Kept(service.name, "aggregator", "runs once and ends"))
        elif service.value.get("network_mode"):
            kept.append(Kept(service.name, "aggregator", "is on no network of the project"))
        elif given:
            shown = urls_without_login(given)
            found.append(Asked(service, given, shown, service.name in without))
        else:
            made = _asked(stack, service, service.name in without, kept)
            if made is None:
                kept.append(Kept(service.name, "aggregator", "no port of it is known: name a URL in aggregator_checks"))
            else:
                found.append(made)
    return found, kept


def urls_without_login(url: str) -> str:
    scheme, slashes, rest = url.partition("://")
    return scheme + slashes + rest.rpartition("@")[2]


def can_do_without(stack: Stack, optional: Sequence[str], needed: Sequence[str]) -> frozenset[str]:
    """Services that the rest can do without: telemetry, what only watches, what a front stands for, and what only those need."""
    found = {
        service.name
        for service in stack.services.values()
        if images.is_telemetry(service) or OBSERVERS.search(f"{images.repository(service.image)} {service.name}")
    } | set(optional)
    found |= {images.stands_for(service) for service in stack.services.values()} - {""}
    found -= set(needed)
    grown = True
    while grown:
        grown = False
        for name in stack.services:
            users = [other.name for other in stack.services.values() if name in other.edges]
            if name not in found and name not in needed and users and set(users) <= found:
                found.add(name)
                grown = True
    return frozenset(found)


def _asked(stack: Stack, service: Service, optional: bool, kept: list[Kept]) -> Asked | None:
    pooler, _ = pooling.find(stack)
    behind = stack.services.get(images.stands_for(service))
    if behind is not None:
        # As its clients ask it: with the login and at the port of the service behind it.
        made = _cache(stack, replace(behind, name=service.name, container_name=None, value=service.value), optional)
        made = replace(made, service=service) if made else None
    elif pooler is not None and pooler.service.name == service.name:
        made = _pooler(stack, pooler, optional)
    elif POSTGRES.fullmatch(images.repository(service.image)):
        made = _database(service, service.name, port_of(service) or 5432, optional)
    elif REDIS.fullmatch(images.repository(service.image)):
        made = _cache(stack, service, optional)
    else:
        return _web(service, optional) or _socket(service, optional)
    if made is None:
        kept.append(Kept(service.name, "aggregator", "only its port is asked: its password stands in no variable by "
                         "reference (${...}): put it in .env, or name a URL in aggregator_checks", True))  # fmt: skip
        return _socket(service, optional, pooler.port if pooler and pooler.service.name == service.name else None)
    return made


def _database(service: Service, host: str, port: int, optional: bool, asked_in: Service | None = None) -> Asked | None:
    """`service`: whose variables hold the login."""
    user, database = templates.first(service, USERS), templates.first(service, DATABASES)
    password = templates.first(service, PASSWORDS)
    text = templates.by_reference(password, password.value or "") if password else None
    if password is None or text is None:
        return None
    name = asked_in or service
    login = user.value if user and user.value else "postgres"
    into = database.value if database and database.value else login
    template = database.raw if database and database.source == "environment" else into.replace("$", "$$")
    more = {
        f"LOGIN_{host}": user.raw if user and user.source == "environment" else login.replace("$", "$$"),
        f"PASSWORD_{host}": text,
    }
    return Asked(
        name, f"postgresql://{host}:{port}/{template}", f"postgresql://{host}:{port}/{into}", optional, more,
        _query(service.name, host, port, urls.Login(login, password.value or "", into)),
    )  # fmt: skip


def _pooler(stack: Stack, pooler: pooling.Pooler, optional: bool) -> Asked | None:
    """A query through the pooler, with the login that it has at its database itself."""
    name, variable = pooler.service.name, pooler.service.environment.get("DATABASE_URL")
    aimed = urls.target(variable.value) if variable and variable.value else None
    if variable and aimed and not aimed.apart and len(aimed.addresses) == 1 and aimed.login.user:
        text = templates.by_reference(variable, aimed.login.password)
        address = aimed.addresses[0]
        written = (variable.value or "")[address.start : address.end]
        if text is not None and text.count(f"@{written}/") == 1:
            moved = text.replace(f"@{written}/", f"@{name}:{pooler.port}/").partition("?")[0]
            login = aimed.login if aimed.login.database else urls.Login(aimed.login.user, aimed.login.password, aimed.login.user)  # fmt: skip
            scheme = moved.partition("://")[0]
            if scheme in ("postgres", "postgresql"):
                question = _query(pooler.database.name, name, pooler.port, login)
                return Asked(pooler.service, moved, f"postgresql://{name}:{pooler.port}/{login.database}", optional, {}, question)  # fmt: skip
    return _database(pooler.database, name, pooler.port, optional, pooler.service)


def _query(inside: str, host: str, port: int, login: urls.Login) -> Question:
    words = ("psql", "-X", "-q", "-t", "-A", "-w", "-h", host, "-p", str(port), "-U", login.user, "-d", login.database, "-c", "select 1")  # fmt: skip
    return Question(f"health_aggregator/{host}", inside, words, {"PGPASSWORD": login.password, "PGCONNECT_TIMEOUT": "4"})  # fmt: skip


def _cache(stack: Stack, service: Service, optional: bool) -> Asked | None:
    """With the password of its own variable, else as one of its clients has it; without one where none is needed."""
    name, port = service.name, port_of(service) or 6379
    secret = templates.first(service, CACHE_PASSWORDS)
    text = templates.by_reference(secret, secret.value or "") if secret else None
    if secret is not None and text is not None:
        return _cache_asked(service, port, optional, secret.value or "", {f"PASSWORD_{name}": text})
    for match, variable in clients(stack, service):
        login = match["login"] or ""
        password = login.rpartition(":")[2]
        text = templates.by_reference(variable, password)
        if password and text is not None and text.count("://") == 1 and "?" not in text:
            own = text.strip()
            question = _ping(service, port, password)
            return Asked(service, own, f"redis://{name}:{port}", optional, {}, question)
    locked = "requirepass" in " ".join(service.command or ()) or secret is not None
    return None if locked else _cache_asked(service, port, optional, "", {})


def clients(stack: Stack, cache: Service) -> Iterator[tuple[re.Match[str], Variable]]:
    """Every variable of other services that points at a cache."""
    names = pooling.names_of(cache)
    for other in stack.services.values():
        for variable in other.environment.values():
            match = _REDIS_URL.match((variable.value or "").strip())
            if match and match["host"] in names and other.name != cache.name:
                yield match, variable


def _cache_asked(service: Service, port: int, optional: bool, password: str, more: Mapping[str, str]) -> Asked:
    url = f"redis://{service.name}:{port}"
    return Asked(service, url, url, optional, more, _ping(service, port, password))


def _ping(service: Service, port: int, password: str) -> Question:
    environment = {"REDISCLI_AUTH": password} if password else {}
    words = ("redis-cli", "-h", service.name, "-p", str(port), "ping")
    return Question(f"health_aggregator/{service.name}", service.name, words, environment)


def _web(service: Service, optional: bool) -> Asked | None:
    """The URL of its own check, asked from outside."""
    check = service.health_check
    if check is None or check.disabled:
        return None
    match = _URL.search(" ".join(check.test))
    if match is None:
        return None
    port = int(match[2]) if match[2] else {"http": 80, "https": 443}[match[1]]
    url = f"{match[1]}://{service.name}:{port}{match[3] or '/'}"
    if urlsplit(url).hostname is None:
        return None
    question = Question(f"health_aggregator/{service.name}", service.name, ("sh", "-c", GET, "sh", url))
    return Asked(service, url, url, optional, {}, question)


def _socket(service: Service, optional: bool, port: int | None = None) -> Asked | None:
    port = port or port_of(service)
    if port is None:
        return None
    url = f"tcp://{service.name}:{port}"
    question = Question(f"health_aggregator/{service.name}", service.name, ("sh", "-c", CONNECT, "sh", service.name, str(port)))  # fmt: skip
    return Asked(service, url, url, optional, {}, question)


def port_of(service: Service) -> int | None:
    """The port that a service listens on: the catalogue's for its image, else the first that it declares."""
    entry = catalogue.find(service)
    if entry is not None:
        likely = catalogue.ports(entry, service, service.ports, live=True)
        if likely:
            return likely[0]
    return service.ports[0] if service.ports else None

"""Which service is the pooler, which database stands behind it, and which variables of others point at that. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from runbooks.compose.model import Service, Stack, Variable
from runbooks.model import Facts
from runbooks.steps import images, urls

_HOST_NAME = re.compile(r"(?i)^(?P<prefix>.*?)_?(?:HOST|HOSTNAME|SERVER|ADDR|ADDRESS|HOST_NAME|SERVICE_HOST)$")
_URL_NAME = re.compile(r"(?i)_?(?:JDBC|R2DBC|CONNECTION|DATABASE)?_?(?:URL|URI|DSN|STRING)$")


@dataclass(frozen=True)
class Pooler:
    """The pooler and what it pools. `names` maps each setting of PgBouncer to this image's variable for it."""

    service: Service
    port: int
    database: Service
    database_port: int
    names: Mapping[str, str]

    def setting(self, name: str) -> str | None:
        """A setting's value as the pooler's environment has it."""
        variable = self.service.environment.get(self.names[name])
        return variable.value if variable else None


@dataclass(frozen=True)
class Pointer:
    """One place where a consumer names the database: `start:end` of a variable's value is to become `text`."""

    service: str
    variable: str
    start: int
    end: int
    text: str
    login: urls.Login | None
    problem: str = ""


SETTINGS = (
    "max_client_conn",
    "default_pool_size",
    "reserve_pool_size",
    "pool_mode",
    "ignore_startup_parameters",
    "max_prepared_statements",
)


def find(stack: Stack) -> tuple[Pooler | None, str]:
    """The stack's pooler, or why there is none to use."""
    found = [
        service
        for service in stack.services.values()
        if service.active
        and "pgbouncer" in images.repository(service.image)
        and "exporter" not in images.repository(service.image)
    ]
    if not found:
        return None, "the stack has no pooler"
    if len(found) > 1:
        return None, f"the stack has {len(found)} poolers: {', '.join(service.name for service in found)}"
    service = found[0]
    bitnami = any(name.startswith("PGBOUNCER_") for name in service.environment) or images.owner(
        service.image
    ).startswith("bitnami")
    names = {name: ("PGBOUNCER_" if bitnami else "") + name.upper() for name in SETTINGS}
    port_name, usual = ("PGBOUNCER_PORT", 6432) if bitnami else ("LISTEN_PORT", 5432)
    listen = service.environment.get(port_name)
    port = int(listen.value) if listen and listen.value and listen.value.isdigit() else usual
    upstream = upstream_of(stack, service)
    if upstream is None:
        aimed = [urls.target(variable.value or "") for variable in service.environment.values()]
        if any(address.host in names_of(service) for each in aimed if each for address in each.addresses):
            return None, f"{service.name} names itself as its database: point it at the database first"
        return None, f"the database behind {service.name} is not a service of this stack"
    return Pooler(service, port, upstream[0], upstream[1], names), ""


def upstream_of(stack: Stack, pooler: Service) -> tuple[Service, int] | None:
    """The database service that a pooler's own variables name, and its port."""
    for name in ("DATABASE_URL", "DB_HOST", "POSTGRESQL_HOST", "PGBOUNCER_DB_HOST", "DATABASES_HOST"):
        variable = pooler.environment.get(name)
        if variable is None or not variable.value:
            continue
        aimed = urls.target(variable.value)
        host, port = (
            (aimed.addresses[0].host, aimed.addresses[0].port) if aimed and aimed.addresses else (variable.value, None)
        )
        beside = pooler.environment.get(name.replace("HOST", "PORT")) if name.endswith("HOST") else None
        if port is None and beside and beside.value and beside.value.isdigit():
            port = int(beside.value)
        for service in stack.services.values():
            if host in names_of(service) and service.name != pooler.name:
                return service, port or 5432
    return None


def names_of(service: Service) -> frozenset[str]:
    """The names under which other containers of the project reach a service."""
    names = {service.name, service.container_name or service.name, str(service.value.get("hostname") or service.name)}
    networks = service.value.get("networks")
    if isinstance(networks, Mapping):
        for entry in networks.values():
            if isinstance(entry, Mapping):
                names.update(str(alias) for alias in entry.get("aliases") or ())
    return frozenset(names)


def why_direct(stack: Stack, service: Service, facts: Facts, excluded: frozenset[str]) -> str:
    """Why a service keeps its own connection to the database; empty when it may go through the pooler."""
    if service.name in excluded:
        return "is in pool_exclude"
    if images.added(service):
        return "was added by a step of this tool, which knows whom it asks"
    name = f"{images.owner(service.image)} {images.repository(service.image)} {service.name}"
    if images.NOT_POOLED.search(name):
        return "needs its own connection (exporter, backup, administration, migration or replication)"
    if images.JOB.search(service.name) or images.is_one_shot(stack, service, facts):
        return "is a job that may migrate the schema"
    return ""


def pointers(service: Service, pooler: Pooler) -> Iterator[Pointer]:
    """Every place in a service's environment that names the pooler's database."""
    database = names_of(pooler.database)
    for variable in service.environment.values():
        if variable.value:
            yield from _in_text(service, variable, pooler, database)
            yield from _split(service, variable, pooler, database)


def pooled(stack: Stack, pooler: Pooler) -> list[urls.Login]:
    """The logins that go through the pooler already."""
    itself = replace(pooler, database=pooler.service, database_port=pooler.port)
    return [
        pointer.login
        for service in stack.services.values()
        if service.active and service.name != pooler.service.name
        for pointer in pointers(service, itself)
        if pointer.login
    ]


def _in_text(service: Service, variable: Variable, pooler: Pooler, database: frozenset[str]) -> Iterator[Pointer]:
    """A URL or DSN that names the database as its host."""
    aimed = urls.target(variable.value or "")
    if aimed is None:
        return
    for address in aimed.addresses:
        if address.host not in database or (address.port or 5432) != pooler.database_port:
            continue
        problem = "it names several hosts, and a pooler stands for one" if len(aimed.addresses) > 1 else ""
        text = pooler.service.name
        if not aimed.apart and (address.port is not None or pooler.port != 5432):
            text += f":{pooler.port}"
        if aimed.apart and (address.port or 5432) != pooler.port:
            problem = problem or f"its port would have to become {pooler.port}: change it by hand"
        login = aimed.login
        if not login.user:  # as JDBC has it: the login stands in variables beside the URL
            own = login_beside(service, _URL_NAME.sub("", variable.name))
            login = replace(own, database=login.database or own.database, tls=login.tls or own.tls)
        yield Pointer(service.name, variable.name, address.start, address.end, text, login, problem)


def _split(service: Service, variable: Variable, pooler: Pooler, database: frozenset[str]) -> Iterator[Pointer]:
    """PGHOST, DB_HOST and their like whose whole value is the database's name, with their port beside them."""
    match = _HOST_NAME.match(variable.name)
    value = variable.value or ""
    host, colon, port = value.partition(":")
    if not match or host not in database or (colon and not port.isdigit()):
        return
    prefix = match["prefix"]
    login = login_beside(service, prefix)
    beside = service.environment.get(f"{prefix}_PORT") or service.environment.get(f"{prefix}PORT")
    own_port = port or (beside.value if beside and beside.value else "5432")
    if own_port != str(pooler.database_port):
        return
    end = len(value) if colon else len(host)
    yield Pointer(
        service.name, variable.name, 0, end, pooler.service.name + (f":{pooler.port}" if colon else ""), login
    )
    if not colon and own_port != str(pooler.port):
        if beside is None or beside.value is None:
            problem = f"it needs a variable for the port, {pooler.port}, beside it"
            yield Pointer(service.name, variable.name, 0, 0, "", login, problem)
        else:
            yield Pointer(service.name, beside.name, 0, len(beside.value), str(pooler.port), login)


def login_beside(service: Service, prefix: str) -> urls.Login:
    """The login in the variables that share a prefix with a host variable."""

    def value(*endings: str) -> str:
        for ending in endings:
            for joint in ("_", ""):
                variable = service.environment.get(f"{prefix}{joint}{ending}")
                if variable and variable.value:
                    return variable.value
        return ""

    return urls.Login(
        value("USER", "USERNAME", "USER_NAME"),
        value("PASSWORD", "PASS", "PASSWD", "PWD"),
        value("DATABASE", "DB", "NAME", "DBNAME", "DB_NAME", "DATABASE_NAME"),
        value("SSLMODE", "SSL_MODE").startswith(("require", "verify")),
    )

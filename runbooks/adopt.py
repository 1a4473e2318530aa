"""Finds the Compose projects that run on a host, from their containers' labels, and makes their inventory entry."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from inventory import connection, inventory
from inventory.engine import Compose
from inventory.errors import InputError
from inventory.link import Link
from inventory.model import Host, Project
from inventory.replies import understood
from inventory.secrets import Mask
from inventory.values import frozen
from runbooks import book
from runbooks.survey_files import COMPOSE_FILES, OVERRIDES, project_name

LABELS = ("project", "service", "project.working_dir", "project.config_files", "project.environment_file")
_TARGET = re.compile(r"(?:(?P<user>[^@\s]+)@)?(?P<host>[^@:\s]+)(?::(?P<port>\d+))?\Z")


@frozen
class Found:
    """One project that runs on a host. `unsure`: what an operator should look at."""

    host: Host
    name: str
    directory: str
    files: tuple[str, ...]
    env_files: tuple[str, ...]
    profiles: tuple[str, ...]
    services: tuple[str, ...]
    unsure: tuple[str, ...] = ()


def find(target: str, environment: str, folder: Path | None, mask: Mask) -> tuple[Found, ...]:
    """The projects on a host: of an inventory, or `[user@]host[:port]` as ssh knows it. Raises InputError for none."""
    host = _host(target, environment, folder)
    link = connection.connect(host, mask)
    try:
        rows = _rows(link)
        names = list(dict.fromkeys(row[0] for row in rows))
        if not names:
            raise InputError("no Compose project runs on it", host=host.name, mend="bring it up first")
        return tuple(_project(link, host, [row for row in rows if row[0] == name]) for name in names)
    finally:
        link.close()


def _host(target: str, environment: str, folder: Path | None) -> Host:
    if environment:
        try:
            known = inventory.load(environment, folder, book.declared()).hosts
        except InputError:
            known = ()
        for host in known:
            if host.name == target:
                return host
    if target in ("localhost", "local"):
        return Host(target, target, Project("/"), connection="local")
    match = _TARGET.match(target)
    if not match:
        raise InputError(f"{target!r} is no host", key="HOST", mend="write [user@]host[:port]")
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 1 <= port <= 65535:
        raise InputError(f"{port} is not a port", key="HOST", mend="write 1 to 65535")
    return Host(match["host"], match["host"], Project("/"), port=port, user=match["user"])


def _rows(link: Link) -> list[list[str]]:
    """The labels of every container that Compose made."""
    form = "\t".join(f'{{{{.Label "com.docker.compose.{label}"}}}}' for label in LABELS)
    reply = link.run('docker ps --filter label=com.docker.compose.project --format "$1"', form, become=link.host.become)
    if reply.exit != 0:
        raise InputError(
            f"its containers cannot be listed: {reply.complaint}", host=link.host.name,
            mend="see that this user may use Docker",
        )  # fmt: skip
    return sorted(line.split("\t") for line in reply.text.splitlines() if line.count("\t") == len(LABELS) - 1)


def _project(link: Link, host: Host, rows: Sequence[Sequence[str]]) -> Found:
    """One project: what its first container's labels say, and the profiles that its services need."""
    name, _, directory, files, env_files = rows[0]
    services = tuple(dict.fromkeys(row[1] for row in rows))
    chosen = tuple(filter(None, files.split(",")))
    envs = tuple(filter(None, env_files.split(",")))
    unsure = tuple(
        f"its containers were made with different {what}: bring it up once with the right ones"
        for what, at in (("folders", 2), ("files", 3))
        if len({row[at] for row in rows}) > 1
    )
    profiles, remarks = _profiles(link, Compose(directory, name, chosen, envs, ("*",)), services)
    return Found(host, name, directory, chosen, envs, profiles, services, (*unsure, *remarks))


def _profiles(link: Link, compose: Compose, services: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The profiles that must be on for these services; labels do not say it, so the files are asked."""
    argv = compose.argv("config", "--format", "json")
    reply = link.run('cd "$1" && shift && "$@"', compose.directory, *argv, become=link.host.become)
    if reply.exit != 0:
        return (), ("Compose cannot read its files now, so its profiles are not known",)
    with understood(link.host.name, "Compose's model of a project"):
        known = json.loads(reply.out).get("services") or {}
        profiles = {
            service: [str(each) for each in (known.get(service) or {}).get("profiles") or []] for service in services
        }
    wanted: list[str] = []
    remarks = []
    for service in services:
        own = profiles[service]
        if own and not set(own) & set(wanted):
            wanted.append(own[0])
            if len(own) > 1:
                remarks.append(f"{service} is in the profiles {', '.join(own)}: the first was taken")
    return tuple(wanted), tuple(remarks)


def entry(found: Sequence[Found], group: str) -> str:
    """The inventory file for what was found. A host with several projects gets an alias for each but the first."""
    lines = ["all:", "  children:", f"    {group}:", "      hosts:"]
    for number, each in enumerate(found):
        host = each.host
        lines.append(f"        {host.name if not number else f'{host.name}-{each.name}'}:")
        pairs: list[tuple[str, object]] = []
        if number:
            pairs.append(("ansible_host", host.address))
        if host.connection != "ssh":
            pairs.append(("ansible_connection", host.connection))
        for name, value in (("ansible_port", host.port), ("ansible_user", host.user)):
            if value is not None:
                pairs.append((name, value))
        pairs.append(("project_dir", each.directory))
        if project_name(posixpath.basename(each.directory)) != each.name:
            pairs.append(("project_name", each.name))
        if not _usual(each):
            pairs.append(("compose_files", [posixpath.relpath(path, each.directory) for path in each.files]))
        if [posixpath.normpath(path) for path in each.env_files] not in ([], [f"{each.directory}/.env"]):
            pairs.append(("env_files", [posixpath.relpath(path, each.directory) for path in each.env_files]))
        if each.profiles:
            pairs.append(("profiles", list(each.profiles)))
        lines += [f"          {name}: {_yaml(value)}" for name, value in pairs]
    return "\n".join(lines) + "\n"


def _usual(found: Found) -> bool:
    """Whether Compose would choose these files by itself."""
    names = [path.removeprefix(found.directory + "/") for path in found.files]
    return (len(names) == 1 and names[0] in COMPOSE_FILES) or (
        len(names) == 2 and names[0] in COMPOSE_FILES and names[1] in OVERRIDES
    )  # fmt: skip


def _yaml(value: object) -> str:
    """A value as YAML writes it in one line; JSON is YAML."""
    text = json.dumps(value, ensure_ascii=False)
    plain = isinstance(value, str) and re.fullmatch(r"[/A-Za-z][\w./-]*", value)
    return str(value) if plain and value not in ("yes", "no", "on", "off", "true", "false", "null") else text


def remarks(found: Sequence[Found]) -> Iterator[str]:
    """What an operator should look at."""
    for each in found:
        yield f"{each.name}: {len(each.services)} service(s) run: {', '.join(each.services)}"
        yield from (f"{each.name}: {line}" for line in each.unsure)


def write(text: str, environment: str, folder: Path | None) -> Path:
    """Writes a new environment's file. Raises InputError where there is one already."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", environment):
        raise InputError("needs a name for the new environment", key="--env", mend="add --env NAME")
    path = (folder or inventory.FOLDER) / f"{environment}.yml"
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(
            "is there already", path=str(path), key="--write", mend="leave --write out, and add the entry by hand"
        ) from None
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", path=str(path), key="--write") from None
    return path

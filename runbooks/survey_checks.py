"""What a survey makes sure of before anything is planned."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from inventory.errors import InputError, Refused
from inventory.model import Host
from runbooks import survey_facts
from runbooks.compose.model import Stack
from runbooks.programs import Answers, Part

OLDEST_ENGINE, OLDEST_COMPOSE = (20, 10), (2, 20)
"""Compose 2.20 is the first with `required` edges and `up --dry-run`, which the baseline needs."""


def check_folder(host: Host, found: Answers) -> None:
    """Raises InputError where there is no folder that can be entered."""
    folder = found.parts.get("folder")
    if folder is not None:
        raise InputError(
            f"the project's folder {host.project.directory} cannot be entered", host=host.name,
            mend="mend project_dir in the inventory or the folder's rights, or set ansible_become: true",
        )  # fmt: skip


def check(host: Host, found: Answers) -> None:
    """Whether engine and Compose are there and new enough."""
    engine, compose = found.parts["engine"], found.parts["compose"]
    version = survey_facts.version(str(parsed(found, "engine", {}).get("Version", "")))
    if not version:
        raise _no_engine(host, engine)
    if compose.exit != 0:
        raise InputError(
            "there is no `docker compose` on it", host=host.name, mend="install the Compose plugin (v2.20 or later)"
        )
    have = survey_facts.version(compose.out.decode("utf-8", "replace"))
    for what, found_version, oldest in (("Engine", version, OLDEST_ENGINE), ("Compose", have, OLDEST_COMPOSE)):
        if found_version < oldest:
            raise Refused(
                f"{what} {dotted(found_version)} is too old",
                host=host.name,
                mend=f"{dotted(oldest)} or later is needed",
            )


def _no_engine(host: Host, engine: Part) -> InputError:
    complaint = engine.complaint
    if engine.exit == 127 or "not found" in complaint:
        return InputError("there is no docker command on it", host=host.name, mend="install Docker")
    if "permission denied" in complaint.lower():
        return InputError(
            "this user may not use Docker", host=host.name,
            mend="add it to the group docker and log in again, or set ansible_become: true",
        )  # fmt: skip
    return InputError(f"its Docker engine does not answer: {complaint}", host=host.name, mend="start the engine")


def check_rendered(host: Host, found: Answers) -> None:
    """Raises InputError when Compose itself refuses the project that we could read."""
    config = found.parts["config"]
    if config.exit != 0:
        raise InputError(
            f"Compose cannot read the project: {config.complaint}", host=host.name,
            mend=f"try `docker compose config` in {host.project.directory}",
        )  # fmt: skip


def parsed(found: Answers, part: str, default: Any) -> Any:
    """A part's JSON, also when the command failed for some of what it was asked (an image that is not there)."""
    try:
        return json.loads(found.parts[part].out) or default
    except (KeyError, ValueError):
        return default


def agree(stack: Stack, rendered: Mapping[str, Any] | None, host: str) -> None:
    """Raises Refused where our reading of the project is not Compose's own: nothing is planned on a misreading."""
    if rendered is None:
        return
    services = rendered.get("services") or {}
    ours = {name for name, service in stack.services.items() if service.active}
    for name in sorted(ours ^ set(services)):
        raise _misread(host, f"whether service {name} is part of the project")
    for name, seen in services.items():
        service = stack.services[name]
        edges = {other: edge.get("condition") for other, edge in (seen.get("depends_on") or {}).items()}
        for other, edge in service.edges.items():
            if stack.services[other].active and edges.get(other) != edge.condition:
                raise _misread(host, f"how service {name} depends on {other}")
        values = seen.get("environment") or {}
        for variable in service.environment.values():
            theirs = values.get(variable.name)
            if variable.value is not None and theirs is not None and theirs.replace("$$", "$") != variable.value:
                raise _misread(host, f"variable {variable.name} of service {name}")


def _misread(host: str, what: str) -> Refused:
    return Refused(
        f"Compose and this tool do not read the same: {what}", host=host,
        mend="the shell there may set a variable that the files use: put it in .env; else report this file",
    )  # fmt: skip


def dotted(version: Iterable[int]) -> str:
    """A version as people write it."""
    return ".".join(map(str, version))

"""Hosts, groups and variables: the values that an inventory is read into. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from inventory.values import frozen


@frozen
class Project:
    """One Compose project as the inventory names it; what is None is found on the host."""

    directory: str
    name: str | None = None
    compose_files: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    state_dir: str | None = None


@frozen
class Host:
    """One machine of an environment. `variables` holds everything that applies to it, after precedence."""

    name: str
    address: str
    project: Project
    port: int | None = None
    user: str | None = None
    key_file: str | None = None
    ssh_config: str | None = None
    connection: str = "ssh"
    become: bool = False
    groups: tuple[str, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, tuple[str, int | None]] = field(default_factory=dict, repr=False, compare=False)
    """variable -> the file and line where the value that holds stands"""


@frozen
class Inventory:
    """A named environment. `groups` maps a group to its direct child groups and hosts, in the file's order."""

    environment: str
    path: str
    hosts: tuple[Host, ...]
    groups: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    variables: Mapping[str, Any] = field(default_factory=dict)

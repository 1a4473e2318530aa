"""A command's hold on its environment: the inventory, one link a host, the Mask, and who gave the command."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from inventory import fleet, inventory, selection
from inventory.errors import RunbookError
from inventory.link import Link
from inventory.model import Host, Inventory
from inventory.pool import Pool
from inventory.secrets import Mask
from rollback.commit import HostWriter
from runbooks import book, secret_text
from runbooks.book import Phase
from runbooks.who import operator


@dataclass
class Session:
    """Hosts that answer have a link; the others an error. `run` names what this command writes.

    `forks`: hosts that are worked on, and connected, at once. `holder` is `rollback.door.Door`'s.
    """

    inventory: Inventory
    mask: Mask
    who: str
    run: str
    links: dict[str, Link] = field(default_factory=dict)
    errors: dict[str, RunbookError] = field(default_factory=dict)
    forks: int = fleet.LIMIT
    holder: str = ""
    _writers: dict[str, HostWriter] = field(default_factory=dict)

    def host(self, name: str) -> Host:
        return self._hosts[name]

    @cached_property
    def _hosts(self) -> dict[str, Host]:
        return {host.name: host for host in self.inventory.hosts}

    def writer(self, name: str) -> HostWriter:
        """The one door to a host's files and state; the same one for the whole command."""
        if name not in self._writers:
            project = self.host(name).project
            self._writers[name] = HostWriter(
                self.links[name],
                project.directory,
                state_name(self.host(name)),
                run=self.run,
                who=self.who,
                state_dir=project.state_dir,
                holder=self.holder,
            )
        return self._writers[name]

    def renew(self) -> None:
        """From now on it is another run's."""
        self.run = run_id()
        self._writers.clear()

    def drop(self, errors: Mapping[str, RunbookError]) -> None:
        """Takes hosts out of the command, each with why."""
        for name, error in errors.items():
            self.errors[name] = error
            link = self.links.pop(name, None)
            if link is not None:
                link.close()


@contextmanager
def opened(
    environment: str,
    folder: Path | None,
    pattern: str | None,
    mask: Mask,
    *,
    forks: int = fleet.LIMIT,
    at_once: bool = True,
    phase: Phase | None = None,
) -> Iterator[Session]:
    """Reads an environment and connects to its hosts in parallel; the links are closed at the end.

    `at_once` False: a host is connected when it is first used. `phase`: what the inventory wishes of it is read first.
    """
    chosen = selection.limit(inventory.load(environment, folder, book.declared()), pattern)
    if phase is not None:
        from runbooks import wishes  # only who plans needs it

        wishes.check(phase, chosen)
    session = Session(chosen, mask, operator(), run_id(), forks=forks)
    for host in chosen.hosts:
        teach(mask, host.variables)
    pool = Pool(session.forks, mask)
    links = {host.name: pool.link(host) for host in chosen.hosts}
    session.links.update(links)
    try:
        # Of a fleet that cannot all be connected at once, each host is when it is its turn.
        if at_once and len(links) <= session.forks:
            results = fleet.each(links, lambda name: links[name].open(), limit=session.forks)
            session.drop({name: result.error for name, result in results.items() if result.error})
        yield session
    finally:
        pool.close()


def teach(mask: Mask, found: Any, name: str = "") -> None:
    """Teaches the mask what an inventory's variables, at any depth, say is secret; a secret's source is none."""
    if isinstance(found, Mapping):
        if set(found) not in ({"from_env"}, {"from_command"}):
            for key, value in found.items():
                teach(mask, value, str(key))
    elif isinstance(found, (list, tuple)):
        text = " ".join(map(str, found))
        for each in found:
            teach(mask, each, name)
        for secret in secret_text.bare(text):
            mask.add(secret)
    else:
        mask.learn(name, str(found))
        for secret in secret_text.bare(str(found)):
            mask.add(secret)


def run_id() -> str:
    """A run's name: when it began, and three random bytes so that two never share one."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def state_name(host: Host) -> str:
    """The name of a project's state folder: the project's where the inventory names it, else its folder's as Compose has it."""
    if host.project.name:
        return host.project.name
    return re.sub(r"[^a-z0-9_-]", "", Path(host.project.directory).name.lower()).lstrip("_-") or "project"

"""Receivers: who is told when a gate fails, a run is rolled back, a soak has its verdict. Values.

A receiver's URL is mostly a secret itself (whoever has a webhook's may write there), so it comes from where secrets do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

from inventory.entries import chosen, fields
from inventory.errors import InputError
from inventory.model import Host
from inventory.secrets import Mask, resolve
from inventory.values import frozen

ABOUT = ("gate", "rollback", "soak", "run")
USUAL = ("gate", "rollback", "soak")
FORMS = ("json", "slack")
KEYS = ("name", "url", "form", "about")
SOURCES = ("from_env", "from_command")


@frozen
class Receiver:
    """One receiver. `form` is what an http(s) address is sent: this program's JSON, or what Slack and its like read.

    `about` are the kinds of news that it wants. `source` is its URL, or where that comes from (see `inventory.secrets`).
    """

    name: str
    source: Any = field(repr=False, hash=False)
    form: str = "json"
    about: tuple[str, ...] = USUAL

    def url(self, mask: Mask) -> str:
        """Its URL, which the mask learns. Raises InputError when its source gives none."""
        return resolve(self.source, mask, key=f"notify.{self.name}.url").strip()


def parse(given: Sequence[Any], path: str = "", line: int | None = None) -> tuple[Receiver, ...]:
    """The variable `notify`. Raises InputError, with "did you mean"."""
    found = []
    for number, entry in enumerate(given, 1):
        key = f"notify.{number}"
        own = fields(entry, KEYS, ("url",), key, path, line)
        source = own["url"]
        if isinstance(source, Mapping):
            fields(source, SOURCES, (), f"{key}.url", path, line)
        if not source or not isinstance(source, (str, Mapping)) or (isinstance(source, Mapping) and len(source) != 1):
            raise InputError("is no address", path=path, line=line, key=f"{key}.url",
                             mend="write {from_env: NAME}, {from_command: COMMAND} or a URL")  # fmt: skip
        about = own.get("about", list(USUAL))
        words = about if isinstance(about, list) else str(about).split(",")
        found.append(Receiver(
            name=" ".join(str(own.get("name", f"receiver {number}")).split())[:60],
            source=source,
            form=chosen(own.get("form", "json"), FORMS, f"{key}.form", path, line),
            about=tuple(chosen(str(word).strip(), ABOUT, f"{key}.about", path, line) for word in words),
        ))  # fmt: skip
    return tuple(found)


def of(hosts: Iterable[Host]) -> tuple[Receiver, ...]:
    """The receivers of an environment: those of all its hosts, each once."""
    found: list[Receiver] = []
    for host in hosts:
        found += [each for each in parse(host.variables.get("notify") or ()) if each not in found]
    return tuple(found)

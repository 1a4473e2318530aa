"""What the registrar asks of a registry, whichever it is: entries that live on a lease, a listing, and changes since a revision.

etcd.py is the one that there is. Consul's words for the same: a lease is a session with a TTL, an entry a key that the
session holds, a revision its ModifyIndex, and changes a blocking query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

Health = Literal["healthy", "unhealthy"]


class Unreachable(Exception):
    """The registry does not answer, or says what cannot be understood: one line."""


@dataclass(frozen=True)
class Entry:
    """Where one instance of a service is."""

    service: str
    instance: str
    address: str
    port: int
    health: Health

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Changed:
    """One change: the entry as it is now, or None where it ended."""

    service: str
    instance: str
    entry: Entry | None


@dataclass(frozen=True)
class Changes:
    """What happened up to `revision`. `lost`: more happened than the registry still knows; list anew."""

    revision: int
    changes: tuple[Changed, ...] = ()
    lost: bool = False


class Registry(Protocol):
    """All methods raise Unreachable."""

    async def lease(self, seconds: int) -> str:
        """A new lease, that ends unless it is renewed."""
        ...

    async def renew(self, lease: str) -> bool:
        """Whether the lease lives on; False: it had ended, and all its entries with it."""
        ...

    async def end(self, lease: str) -> None:
        """Ends a lease, and its entries."""
        ...

    async def put(self, entry: Entry, lease: str) -> None:
        """Registers an entry, or says it anew."""
        ...

    async def entries(self, service: str = "") -> tuple[int, tuple[Entry, ...]]:
        """The revision, and all entries then; of one service, or of all."""
        ...

    async def changes(self, since: int, wait_s: float) -> Changes:
        """What happened after a revision; waits so long (s) for the first."""
        ...


def entry_of(service: str, instance: str, document: Mapping[str, Any]) -> Entry:
    """An entry from what stands in a registry. Raises KeyError, TypeError or ValueError for what is none."""
    health: Health = "healthy" if document["health"] == "healthy" else "unhealthy"
    return Entry(service, instance, str(document["address"]), int(document["port"]), health)

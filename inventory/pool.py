"""Links to a fleet of which only so many are connected at once: the one that was idle longest makes room for another."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from inventory.connection import connect
from inventory.link import Call, Link, Reply
from inventory.model import Host
from inventory.secrets import Mask

if TYPE_CHECKING:
    import docker
    import requests

Connect = Callable[[Host, Mask], Link]


class Pool:
    """At most `most` connections. Safe for several threads; a thread that finds no room waits until a link is idle."""

    def __init__(self, most: int, mask: Mask, how: Connect = connect) -> None:
        self._most, self._mask, self._how = max(1, most), mask, how
        self._free = threading.Condition()
        self._connected: OrderedDict[str, Link] = OrderedDict()
        self._used: dict[str, int] = {}
        self._opening: set[str] = set()
        self.peak = 0

    def link(self, host: Host) -> PooledLink:
        """A link that is connected when it is first used. Two links of one host share its connection."""
        return PooledLink(self, host)

    @contextmanager
    def leased(self, host: Host) -> Iterator[Link]:
        """The host's own link, connected, which nobody closes meanwhile. Raises what connecting raises."""
        name = host.name
        with self._free:
            self._used[name] = self._used.get(name, 0) + 1
            while name not in self._connected and (name in self._opening or not self._room()):
                self._free.wait()
            found = self._connected.get(name)
            if found is None:
                self._opening.add(name)
                self.peak = max(self.peak, len(self._connected) + len(self._opening))
        try:
            yield found if found is not None else self._open(host)
        finally:
            with self._free:
                self._used[name] -= 1
                if name in self._connected:
                    self._connected.move_to_end(name)
                self._free.notify_all()

    def _room(self) -> bool:
        """Whether one more may be connected, after closing one that nobody uses where that is needed."""
        if len(self._connected) + len(self._opening) < self._most:
            return True
        idle = next((name for name in self._connected if not self._used.get(name)), None)
        if idle is None:
            return False
        self._connected.pop(idle).close()
        return True

    def _open(self, host: Host) -> Link:
        link: Link | None = None
        try:
            link = self._how(host, self._mask)
            return link
        finally:
            with self._free:
                self._opening.discard(host.name)
                if link is not None:
                    self._connected[host.name] = link
                self._free.notify_all()

    def drop(self, name: str) -> None:
        """Closes the connection of a host."""
        with self._free:
            link = self._connected.pop(name, None)
            self._free.notify_all()
        if link is not None:
            link.close()

    def close(self) -> None:
        """Closes all."""
        for name in list(self._connected):
            self.drop(name)


class PooledLink:
    """A host's link as the rest of the program sees it. `exchanges` counts over all of its connections."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self.host, self.exchanges, self._pool = host, 0, pool
        self._lock = threading.Lock()

    def run(self, program: str, *args: str, data: bytes = b"", timeout_s: float = 60.0, become: bool = False,
            limit: int = 64 << 20, alone: bool = False) -> Reply:  # fmt: skip
        with self._counted() as link:
            return link.run(program, *args, data=data, timeout_s=timeout_s, become=become, limit=limit, alone=alone)

    def together(self, calls: Sequence[Call], *, timeout_s: float = 60.0, limit: int = 64 << 20) -> list[Reply]:
        with self._counted() as link:
            return link.together(calls, timeout_s=timeout_s, limit=limit)

    def docker(self) -> docker.APIClient:
        with self._pool.leased(self.host) as link:
            return link.docker()

    def http(self) -> requests.Session:
        with self._pool.leased(self.host) as link:
            return link.http()

    def dial(self, address: str, port: int, timeout_s: float) -> float:
        with self._pool.leased(self.host) as link:
            return link.dial(address, port, timeout_s)

    def open(self) -> None:
        """Connects, if that is not so yet. Raises Unreachable, InputError."""
        with self._pool.leased(self.host):
            pass

    def close(self) -> None:
        self._pool.drop(self.host.name)

    @contextmanager
    def _counted(self) -> Iterator[Link]:
        with self._pool.leased(self.host) as link:
            with self._lock:
                self.exchanges += 1
            yield link

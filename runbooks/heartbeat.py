"""Keeps hosts' locks fresh for as long as something is done on them: an old lock is one whose owner is taken for lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from inventory.errors import RunbookError
from rollback.commit import HostWriter

HEARTBEAT_S = 10.0


class Holds(Protocol):
    """Whoever holds a host's lock."""

    @property
    def writer(self) -> HostWriter: ...


@contextmanager
def heartbeat(hosts: Sequence[Holds]) -> Iterator[None]:
    """Renews the hosts' locks until the end. A lock that was lost is noticed by the next commit, which checks it."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_S):
            for host in hosts:
                try:
                    host.writer.renew()
                except RunbookError:
                    continue

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()

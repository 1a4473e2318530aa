"""The same work on many hosts at once: bounded, in order, and no host's failure stops the others."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from inventory.errors import RunbookError

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)
LIMIT = 50
"""Hosts worked on and connected at once (`--forks`). Ansible's default is 5; one controller kept 50 busy on 2 cores (FACTS)."""


@dataclass(frozen=True)
class Result(Generic[T]):
    """What one host's work came to: a value, or the error that ended it."""

    value: T | None = None
    error: RunbookError | None = None


def each(hosts: Iterable[H], work: Callable[[H], T], *, limit: int = LIMIT) -> dict[H, Result[T]]:
    """Runs `work(host)` for each host in threads and returns the results in the hosts' order.

    A RunbookError is a result; anything else is a bug and is raised after all have ended. When the operator interrupts,
    what has not begun is not begun.
    """
    names = list(hosts)
    with ThreadPoolExecutor(max_workers=max(1, min(limit, len(names)))) as pool:
        futures = {name: pool.submit(_attempt, work, name) for name in names}
        try:
            return {name: future.result() for name, future in futures.items()}
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _attempt(work: Callable[[H], T], host: H) -> Result[T]:
    try:
        return Result(value=work(host))
    except RunbookError as error:
        return Result(error=error)

"""The same work on many hosts at once: bounded, in order, and no host's failure stops the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from typing import Generic, TypeVar

from inventory.errors import HostFailed, RunbookError
from inventory.values import frozen

T = TypeVar("T")
G = TypeVar("G")
H = TypeVar("H", bound=Hashable)
LIMIT = 50
"""Hosts worked on and connected at once (`--forks`). Ansible's default is 5; one controller kept 50 busy on 2 cores (FACTS)."""
LOOK_S = 0.5
"""Seconds after which a wait looks again whether the operator wants to stop."""


@frozen
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


def sent(executor: Executor, work: Callable[[G], T], given: Mapping[str, G], *, limit: int = LIMIT,
         stopped: Callable[[], bool] = lambda: False,
         ended: Callable[[str, Result[T]], None] = lambda _name, _result: None) -> dict[str, Result[T]]:  # fmt: skip
    """Submits `work(given[host])` for each host, at most `limit` at once, and returns the results in the hosts' order.

    All of it may be done on another machine: `work` is a module's own function, and `given` and its result are data. A worker
    that is lost with a host's work in its hands is that host's HostFailed; a bug there is raised here after all have ended.
    Once `stopped`, what was not submitted yet is not, and has no result. `ended` is told of each host when it is done.
    """
    waiting, running, bugs = deque(given), dict[Future[Result[T]], str](), list[BaseException]()
    found: dict[str, Result[T]] = {}
    while running or (waiting and not stopped()):
        while waiting and len(running) < max(1, limit) and not stopped():
            name = waiting.popleft()
            running[_submitted(executor, work, given[name])] = name
        for future in wait(running, timeout=LOOK_S, return_when=FIRST_COMPLETED).done:
            name = running.pop(future)
            try:
                found[name] = future.result()
            except (Exception, CancelledError) as error:
                if not _lost(error):
                    bugs.append(error)
                    continue
                found[name] = Result(error=HostFailed(
                    f"its work was lost with whoever did it: {_first_line(error)}", host=name,
                    mend="./inv status shows what stands there, ./inv migrate --resume carries it on",
                ))  # fmt: skip
            ended(name, found[name])
    if bugs:
        raise bugs[0]
    return {name: found[name] for name in given if name in found}


def _submitted(executor: Executor, work: Callable[[G], T], given: G) -> Future[Result[T]]:
    """The future of a host's work, which an executor that is broken already gives no more."""
    try:
        return executor.submit(_attempt, work, given)
    except Exception as error:
        failed: Future[Result[T]] = Future()
        failed.set_exception(error)
        return failed


def _lost(error: BaseException) -> bool:
    """Whether not the work itself failed, but who was to do it."""
    return isinstance(error, (BrokenExecutor, CancelledError)) or type(error).__module__.startswith("distributed.")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _attempt(work: Callable[[H], T], host: H) -> Result[T]:
    try:
        return Result(value=work(host))
    except RunbookError as error:
        return Result(error=error)

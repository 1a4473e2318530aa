"""Ctrl-C and SIGTERM: the first asks the run to stop, so that it leaves every host whole; the second ends the program."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def heeded(stop: Event, tell: Callable[[str], None], what: str) -> Iterator[None]:
    """Within it, the first signal sets `stop` and tells `what` happens first; another one raises KeyboardInterrupt."""

    def hear(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        tell(f"stopping: {what}; once more to leave at once")

    before = {number: signal.signal(number, hear) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

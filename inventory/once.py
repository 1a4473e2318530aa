"""Work whose result only depends on its key is done once, whichever threads ask for it: hosts with the same stack share it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Keeps the results of the last `most` keys. What a piece of work raises is raised to all who wait for it, and not kept."""

    def __init__(self, most: int = 64) -> None:
        self._most, self._lock = most, threading.Lock()
        self._found: OrderedDict[Hashable, Future[T]] = OrderedDict()

    def get(self, key: Hashable, work: Callable[[], T]) -> T:
        """The result of `work` for this key; a thread that comes while another works on it waits."""
        with self._lock:
            future = self._found.get(key)
            mine = future is None
            if future is None:
                future = self._found[key] = Future()
                if len(self._found) > self._most:
                    self._found.popitem(last=False)
            self._found.move_to_end(key)
        if mine:
            try:
                future.set_result(work())
            except BaseException as error:
                with self._lock:
                    self._found.pop(key, None)
                future.set_exception(error)
        return future.result()

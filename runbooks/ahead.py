"""A link on which some programs go ahead of the first exchange, within it: what opens a host costs no exchange of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inventory.link import Call, Link, Reply
from inventory.model import Host

Hear = Callable[[Sequence[Reply]], bool]


class Ahead:
    """`link` with `calls` ahead of its first program. `hear` is given their replies before anybody gets the program's;
    it returns False where the program has to be run again, as the host may have changed after it. It may raise."""

    def __init__(self, link: Link, calls: Sequence[Call], hear: Hear) -> None:
        self.host: Host = link.host
        self._link, self._calls, self._hear = link, list(calls), hear

    @property
    def exchanges(self) -> int:
        """Those of the link."""
        return self._link.exchanges

    def run(self, program: str, *args: str, data: bytes = b"", timeout_s: float = 60.0, become: bool = False,
            limit: int = 64 << 20, alone: bool = False) -> Reply:  # fmt: skip
        calls, self._calls = self._calls, []
        if calls:
            *before, reply = self._link.together(
                [*calls, Call(program, args, data, become)], timeout_s=timeout_s, limit=limit
            )
            if self._hear(before):
                return reply
        return self._link.run(program, *args, data=data, timeout_s=timeout_s, become=become, limit=limit, alone=alone)

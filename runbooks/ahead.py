"""A link on which some programs go ahead of the first exchange, within it: what opens a host costs no exchange of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inventory.link import Call, Link, Reply
from inventory.model import Host

Hear = Callable[[Sequence[Reply]], bool]
Joined = Callable[[Call, float, int], Sequence[Reply]]


class Ahead:
    """`link` with `calls` ahead of its first program. `hear` is given their replies before anybody gets the program's;
    it returns False where the program has to be run again, as the host may have changed after it. It may raise.

    `joined` may do all of it in another way: it is given the program, its time limit and the limit of its replies, and returns the
    replies of all, or none where it has not."""

    def __init__(self, link: Link, calls: Sequence[Call], hear: Hear, joined: Joined = lambda *_: ()) -> None:
        self.host: Host = link.host
        self._link, self._calls, self._hear, self._joined = link, list(calls), hear, joined

    @property
    def exchanges(self) -> int:
        """Those of the link."""
        return self._link.exchanges

    def run(self, program: str, *args: str, data: bytes = b"", timeout_s: float = 60.0, become: bool = False,
            limit: int = 64 << 20, alone: bool = False) -> Reply:  # fmt: skip
        calls, self._calls = self._calls, []
        if calls:
            last = Call(program, args, data, become)
            *before, reply = self._joined(last, timeout_s, limit) or self._link.together(
                [*calls, last], timeout_s=timeout_s, limit=limit
            )
            if self._hear(before):
                return reply
        return self._link.run(program, *args, data=data, timeout_s=timeout_s, become=become, limit=limit, alone=alone)

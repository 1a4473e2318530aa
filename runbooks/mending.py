"""What an interrupted run left on a host is mended before anything is read there, in the exchange that reads."""

from __future__ import annotations

from collections.abc import Sequence

from inventory.link import Call, Link, Reply
from runbooks import events, look, propose
from runbooks.ahead import Ahead
from runbooks.session import Session


def mending(opened: Session, emit: events.Sink) -> propose.Opening:
    """What gives the link on which a host is first read, and says what was mended there."""

    def mend(name: str) -> None:
        writer = opened.writer(name)
        found = writer.prepare()
        if found.warning:
            emit(events.Noted(host=name, text=found.warning, attention=True))
        for line in writer.recover():
            emit(events.Noted(host=name, text=f"an interrupted run was mended: {line}", attention=True))

    def opening(name: str, link: Link) -> Link:
        writer = opened.writer(name)
        calls = writer.opening()
        if not calls:
            mend(name)
            return link

        def hear(replies: Sequence[Reply]) -> bool:
            whole = writer.heard(replies)
            mend(name)
            return whole

        def joined(reading: Call, timeout_s: float, limit: int) -> Sequence[Reply]:
            if not writer.plainly:
                return ()
            return look.plainly(link, calls[0], reading, timeout_s=timeout_s, limit=limit)

        return Ahead(link, calls, hear, joined)  # type: ignore[return-value]

    return opening

"""The journal's chain: each line holds the hash of the line before, so that a change or a cut shows. Pure."""

from __future__ import annotations

import hashlib
import json

from inventory.errors import Refused
from rollback.model import Event

FIRST = "0" * 64
"""What the first line names as the hash before it."""


def read(data: bytes, host: str = "", head: str | None = None) -> tuple[Event, ...]:
    """The events of a journal, oldest first. Raises Refused, naming the line, when the chain is broken.

    `head` is the hash that the controller keeps of the last line it saw: without that line the journal was cut off.
    """
    events: list[Event] = []
    previous = FIRST
    seen = {FIRST}
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line:
            continue
        try:
            found = json.loads(line)
            event = Event(
                at=str(found["at"]), kind=str(found["kind"]), run=str(found["run"]),
                data={"id": found["id"], "who": found["who"], **found["data"]}, previous=str(found["previous"]),
                hash=hashlib.sha256(line + b"\n").hexdigest(),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Refused(
                f"the journal's line {number} is damaged",
                host=host,
                mend="see with ./inv status whether the files are as they should be",
            ) from None
        if event.previous != previous:
            raise Refused(
                f"the journal was altered before line {number}",
                host=host,
                mend="see with ./inv status whether the files are as they should be",
            )
        previous = event.hash
        seen.add(previous)
        events.append(event)
    if head is not None and head not in seen:
        raise Refused(
            "the journal was cut off or rewritten: the last known line is not in it",
            host=host,
            mend="see with ./inv status whether the files are as they should be",
        )
    return tuple(events)

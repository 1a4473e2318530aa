"""`notify`: tells every receiver of an environment a word, to see beforehand that news arrives."""

from __future__ import annotations

from pathlib import Path

from inventory import inventory, receivers, selection
from inventory.errors import InputError
from runbooks import book, events
from runbooks.notices import Notice
from runbooks.notifier import BOUND_S, Notifier
from runbooks.output import Output
from runbooks.who import operator

NOT_TOLD = 1


def notify(out: Output, environment: str, *, folder: Path | None = None, limit: str | None = None) -> int:
    """Sends a trial message to each receiver. Returns 0 when all took it, else 1. Raises InputError without receivers."""
    chosen = selection.limit(inventory.load(environment, folder, book.declared()), limit)
    found = receivers.of(chosen.hosts)
    if not found:
        raise InputError(f"{environment} names no receiver", path=chosen.path, key="notify",
                         mend="write notify: with a list of - url: {from_env: NAME}")  # fmt: skip
    failed: list[str] = []

    def warn(text: str) -> None:
        failed.append(text)
        out.warn(text)

    told = Notifier(found, out.mask, warn)
    told.tell(Notice("trial", "note", f"a trial message about {environment}", "it arrived, so news of gates and rollbacks will",
                     environment, "trial", events.now(), who=operator()))  # fmt: skip
    told.close(2 * BOUND_S)
    if not failed:
        out.show(f"{len(found)} receiver(s) were told: {', '.join(each.name for each in found)}", style="green")
    out.document({"environment": environment, "receivers": [each.name for each in found], "failed": failed})
    return NOT_TOLD if failed else 0

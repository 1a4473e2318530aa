"""What steps share: how what the splicer could not do is told. Pure."""

from __future__ import annotations

from runbooks.compose.model import Applied, Operation
from runbooks.model import Refusal


def refusals(applied: Applied, what: str) -> tuple[tuple[Refusal, ...], tuple[Operation, ...]]:
    """The refusals of a step, and the operations that were not carried out."""
    failed = tuple(entry.operation for entry in applied.refused)
    told = tuple(
        Refusal(entry.operation.service, entry.place.path, entry.place.line, what, entry.reason, entry.mend)
        for entry in applied.refused
    )
    return told, failed

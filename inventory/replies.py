"""What a host says is read with care: an answer that makes no sense is the host's failure, never a bug or a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from inventory.errors import HostFailed, RunbookError


@contextmanager
def understood(
    host: str, what: str = "its answer", mend: str = "see what docker and /bin/sh are on it"
) -> Iterator[None]:
    """Raises HostFailed where the answer that is read within has another shape than the real programs give."""
    try:
        yield
    except RunbookError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise HostFailed(f"{what} cannot be understood", host=host, mend=mend) from error


def count(text: str) -> int | None:
    """A number of things in plain digits, as programs print one; None for anything else, however much like a number."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None

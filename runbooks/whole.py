"""Files on the operator's machine that are written whole or not at all, whoever else writes the same one just then."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from inventory.errors import InputError


def write(
    path: Path, text: str, *, key: str, mend: str = "name a file in a folder of yours", mode: int = 0o600
) -> None:
    """Writes a file with these permission bits (the account's umask takes from them). Raises InputError, which names `key`."""
    draft = path.with_name(f".{path.name}.{os.urandom(16).hex()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise InputError(f"cannot be written: {error.strerror}", path=str(path), key=key, mend=mend) from None


def keep(path: Path, text: str) -> None:
    """Writes a file of the tool's own state, and makes its folder for this account alone. Raises InputError."""
    key, mend = "RUNBOOK_STATE", "name a folder of yours"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", path=str(path), key=key, mend=mend) from None
    write(path, text, key=key, mend=mend)

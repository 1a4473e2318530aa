"""What a run writes down and looks up, on a SQLite store that is up to date, by Python's own driver.

To import SQLAlchemy takes more processor time than all that a run does on twenty hosts, so only what needs it waits for it:
a PostgreSQL store, one that has to be made or upgraded, and soaks.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from inventory.errors import RunbookError

Rows = Sequence[Mapping[str, Any]]


class Plain:
    """An open store. Safe for several threads; each call is a transaction of its own. Raises RunbookError in one line."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def insert(self, table: str, rows: Rows) -> None:
        """Adds rows, all of the same columns."""
        with self._transaction("BEGIN IMMEDIATE"):
            self._insert(table, rows)

    def end(self, run: str, values: Mapping[str, Any], hosts: Rows) -> None:
        """Writes down how a run ended, and how it left each host."""
        names = ", ".join(f"{name} = :{name}" for name in values)
        with self._transaction("BEGIN IMMEDIATE"):
            self._connection.execute(f"UPDATE runs SET {names} WHERE id = :id", {**values, "id": run})  # noqa: S608 - names are our own
            self._insert("run_hosts", hosts)

    def heads(self, rows: Rows) -> None:
        """Keeps the hash of each journal's last line in the place of an earlier one."""
        with self._transaction("BEGIN IMMEDIATE"):
            self._insert("heads", rows, "INSERT OR REPLACE")

    def rows(
        self, table: str, where: Mapping[str, Any], newest: Sequence[str] = (), limit: int | None = None
    ) -> list[dict[str, Any]]:
        """The rows of a table that have these values (one of them, for a list). `newest`: by these columns, downwards."""
        wanted, values = ["1"], []
        for name, value in where.items():
            given = value if isinstance(value, list) else [value]
            wanted.append(f"{name} IN ({', '.join('?' * len(given))})")
            values += given
        order = f" ORDER BY {', '.join(f'{name} DESC' for name in newest)}" if newest else ""
        words = f"SELECT * FROM {table} WHERE {' AND '.join(wanted)}{order} LIMIT ?"  # noqa: S608 - names are our own
        with (
            self._transaction("BEGIN"),
            closing(self._connection.execute(words, [*values, -1 if limit is None else limit])) as found,
        ):
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found]

    def close(self) -> None:
        self._connection.close()

    def _insert(self, table: str, rows: Rows, how: str = "INSERT") -> None:
        if rows:
            names = list(rows[0])
            marks = ", ".join(f":{name}" for name in names)
            self._connection.executemany(f"{how} INTO {table} ({', '.join(names)}) VALUES ({marks})", rows)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        with self._lock, told():
            self._connection.execute(begin)
            try:
                yield
            except BaseException:
                self._connection.rollback()
                raise
            self._connection.execute("COMMIT")


def opened(path: Path, version: int, ready: Callable[[sqlite3.Connection, Any], None], wait_s: float) -> Plain | None:
    """The store in a file where that has this schema; None where it has to be made, upgraded or refused first.

    `ready` makes a connection as every one of the store is. Raises RunbookError.
    """
    if not path.is_file() or not path.stat().st_size:
        return None
    with told():
        connection = sqlite3.connect(path, timeout=wait_s, check_same_thread=False)
        try:
            ready(connection, None)
            there = connection.execute(
                "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema'"
            ).fetchone()
            if there and connection.execute("SELECT version FROM schema").fetchone() == (version,):
                return Plain(connection)
        except BaseException:
            connection.close()
            raise
        connection.close()
        return None


@contextmanager
def told() -> Iterator[None]:
    """What SQLite says is wrong, in the store's words."""
    try:
        yield
    except sqlite3.Error as error:
        lines = str(error).splitlines() or [""]
        raise RunbookError(
            f"the evidence store cannot be used: {type(error).__name__}: {lines[0][:160]}",
            mend="see RUNBOOK_STORE and its folder",
        ) from None

"""An open store, and what it holds of runs. Soaks are in `soaks`, which works on the same store."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from checks.evidence import plain, schema
from checks.evidence.records import GateRecord, RunRecord, StepRecord, UpRecord
from inventory.errors import InputError, RunbookError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, MetaData, Table

WAIT_S = 30
"""Seconds that a store waits for another program that writes to it."""
STARTS = "postgresql://", "postgres://"
LONGEST = 2000
"""Characters of a message that are kept."""


def folder() -> Path:
    """Where the controller keeps what is its own: RUNBOOK_STATE, else the user's state folder."""
    named = os.environ.get("RUNBOOK_STATE")
    return (
        Path(named)
        if named
        else Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "compose-runbook"
    )


class Store:
    """An open store. Safe for several programs at once: each call is a transaction of its own, SQLite is in WAL mode.

    Every method raises RunbookError, in one line, when the store cannot be read or written.
    """

    def __init__(self, url: str | None = None) -> None:
        """Opens or makes the store, and upgrades an older one. Raises InputError for one that is not ours or newer."""
        self._url = _driver(url or os.environ.get("RUNBOOK_STORE") or _own_file())
        self.sqlite = self._url.startswith("sqlite")
        named = self._url.removeprefix("sqlite:///")
        usual = named != self._url and not set(named) & set("?:")
        self._plain = plain.opened(Path(named), schema.SCHEMA, _wal, WAIT_S) if usual else None
        if self._plain is None:
            self._engine  # noqa: B018 - made now, so that what is wrong with it is said now

    @cached_property
    def _tables(self) -> MetaData:
        return schema.tables()

    @cached_property
    def _engine(self) -> Engine:
        """SQLAlchemy's engine, with the store made and up to date; `_plain` does without it."""
        from sqlalchemy import create_engine, event
        from sqlalchemy.exc import ArgumentError

        try:
            options: dict[str, Any] = {"timeout": WAIT_S} if self.sqlite else {"connect_timeout": WAIT_S}
            engine: Engine = create_engine(self._url, connect_args=options, pool_pre_ping=not self.sqlite)
        except (ArgumentError, ModuleNotFoundError, TypeError) as error:
            raise InputError(
                f"is no store: {str(error).splitlines()[0][:120]}", key="RUNBOOK_STORE", mend="write a SQLAlchemy URL"
            ) from None
        if self.sqlite:
            event.listen(engine, "connect", _wal)
            event.listen(engine, "begin", _begin)
        try:
            with self._transaction(engine, writes=False) as connection:
                made = schema.ready(connection, self._tables)
            if not made:
                with self._transaction(engine, writes=True) as connection:
                    if not self.sqlite:
                        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7282)")
                    schema.bring_up_to_date(connection, self._tables)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def table(self, name: str) -> Table:
        return self._tables.tables[name]

    def start(self, record: RunRecord) -> None:
        """Writes down that a run began."""
        self._add("runs", [{name: value for name, value in record.__dict__.items() if name != "hosts"}])

    def end(self, run: str, *, outcome: str, code: int, message: str, hosts: Mapping[str, str]) -> None:
        """Writes down how a run ended, and how it left each host."""
        values = {"ended": now(), "outcome": outcome, "code": code, "message": message[:LONGEST]}
        rows = [{"run": run, "host": host, "ending": ending} for host, ending in hosts.items()]
        if self._plain:
            self._plain.end(run, values, rows)
            return
        runs, ends = self.table("runs"), self.table("run_hosts")
        with self.writing() as connection:
            connection.execute(runs.update().where(runs.c.id == run).values(**values))
            if rows:
                connection.execute(ends.insert(), rows)

    def gate(self, record: GateRecord) -> None:
        """Writes down one gate."""
        self._add("gates", [record.__dict__])

    def step(self, *records: StepRecord) -> None:
        """Writes down what became of steps on hosts."""
        self._add("steps", [record.__dict__ for record in records])

    def up(self, record: UpRecord) -> None:
        """Writes down that a service was brought up, or did not come up."""
        self._add("ups", [record.__dict__])

    def head(self, host: str, project: str, head: str) -> None:
        """Keeps the hash of the last line of a host's journal, so that a cut-off journal shows."""
        self.heads([(host, project, head)])

    def heads(self, found: Sequence[tuple[str, str, str]]) -> None:
        """Keeps the hashes of journals' last lines: (host, project, hash)."""
        rows = [dict(zip(("host", "project", "head"), each, strict=True)) for each in found]
        if self._plain:
            self._plain.heads(rows)
            return
        heads = self.table("heads")
        with self.writing() as connection:
            for row in rows:
                same = (heads.c.host == row["host"], heads.c.project == row["project"])
                connection.execute(heads.delete().where(*same))
                connection.execute(heads.insert(), row)

    def known_head(self, host: str, project: str) -> str | None:
        """The hash that the last line of a host's journal had; None where nobody kept it."""
        found = self._rows("heads", {"host": host, "project": project})
        return str(found[0]["head"]) if found else None

    def runs(self, *, environment: str | None = None, limit: int = 50) -> tuple[RunRecord, ...]:
        """The runs, the newest first."""
        rows = self._rows("runs", {"environment": environment} if environment else {}, ("started", "id"), limit)
        hosts: dict[str, dict[str, str]] = {}
        for end in self._rows("run_hosts", {"run": [row["id"] for row in rows]}):
            hosts.setdefault(end["run"], {})[end["host"]] = end["ending"]
        return tuple(RunRecord(**row, hosts=hosts.get(row["id"], {})) for row in rows)

    def watched(self, environment: str) -> bool:
        """Whether a soak of an environment runs."""
        return bool(self._rows("soaks", {"environment": environment, "state": "running"}, limit=1))

    def gates(self, run: str) -> Sequence[GateRecord]:
        return [GateRecord(**row) for row in self._of_run("gates", run)]

    def steps(self, run: str) -> Sequence[StepRecord]:
        return [StepRecord(**row) for row in self._of_run("steps", run)]

    def ups(self, run: str) -> Sequence[UpRecord]:
        return [UpRecord(**row) for row in self._of_run("ups", run)]

    def close(self) -> None:
        if self._plain:
            self._plain.close()
        if "_engine" in self.__dict__:
            self._engine.dispose()

    def _add(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if self._plain:
            self._plain.insert(table, rows)
        elif rows:
            with self.writing() as connection:
                connection.execute(self.table(table).insert(), list(rows))

    def _rows(
        self, name: str, where: Mapping[str, Any], newest: Sequence[str] = (), limit: int | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """The rows of a table that have these values (one of them, for a list). `newest`: by these columns, downwards."""
        if self._plain:
            return self._plain.rows(name, where, newest, limit)
        table = self.table(name)
        query = table.select().order_by(*(table.c[column].desc() for column in newest)).limit(limit)
        for column, value in where.items():
            own = table.c[column]
            query = query.where(own.in_(value) if isinstance(value, list) else own == value)
        with self.reading() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def _of_run(self, name: str, run: str) -> list[dict[str, Any]]:
        table = self.table(name)
        with self.reading() as connection:
            rows = connection.execute(table.select().where(table.c.run == run).order_by(table.c.id)).all()
        return [{name: value for name, value in row._mapping.items() if name != "id"} for row in rows]

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads: it waits for no writer."""
        with self._transaction(self._engine, writes=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes: all of it or nothing, and kept once this returns."""
        with self._transaction(self._engine, writes=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, engine: Engine, *, writes: bool) -> Iterator[Connection]:
        from sqlalchemy.exc import IntegrityError, SQLAlchemyError

        try:
            options: dict[str, Any] = {"writes": writes}
            if not (writes or self.sqlite):
                # All statements see the store as of one moment, as SQLite's always do.
                options["isolation_level"] = "REPEATABLE READ"
            with engine.connect().execution_options(**options) as connection, connection.begin():
                yield connection
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise RunbookError(
                f"the evidence store cannot be used: {_reason(error)}", mend="see RUNBOOK_STORE and its folder"
            ) from None


def now() -> str:
    """The time as the store holds it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _own_file() -> str:
    """The SQLite file of this user, its owner's alone. Raises InputError."""
    path = folder() / "evidence.sqlite"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError as error:
        raise InputError(
            f"cannot be made: {error.strerror}", path=str(path), key="RUNBOOK_STATE", mend="name a folder of yours"
        ) from None
    return f"sqlite:///{path}"


def _driver(url: str) -> str:
    """A PostgreSQL URL as everybody writes it, with the driver that is installed here."""
    start = next((start for start in STARTS if url.startswith(start)), None)
    return url if start is None else "postgresql+psycopg://" + url.removeprefix(start)


def _reason(error: Exception) -> str:
    """What the database itself says, in one line. The URL, which may hold a password, is not in it."""
    own = getattr(error, "orig", None)
    lines = [line.strip() for line in str(own or "").splitlines() if line.strip()]
    # psycopg's words about a connection name host and user, never the password.
    return f"{type(own or error).__name__}: {lines[0][:160]}" if lines else type(error).__name__


def _wal(connection: Any, _record: Any) -> None:
    """Readers and a writer at once, and nothing acknowledged is lost. Transactions are begun by `_begin`."""
    import sqlite3

    connection.isolation_level = None
    cursor = connection.cursor()
    for setting in (f"busy_timeout={WAIT_S * 1000}", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {setting}")
    # Many that make the file at once: the change to WAL is the one lock that SQLite itself does not wait for.
    until = time.monotonic() + WAIT_S
    while cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.05)
    cursor.close()


def _begin(connection: Connection) -> None:
    """A transaction that will write says so at its begin: then it waits for its turn, where later it would be refused."""
    writes = connection.get_execution_options().get("writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

"""An open store, and what it holds of runs. Soaks are in `soaks`, which works on the same store."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from checks.evidence import schema
from checks.evidence.records import GateRecord, RunRecord, StepRecord, UpRecord
from inventory.errors import InputError, RunbookError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table

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
        from sqlalchemy import create_engine, event
        from sqlalchemy.exc import ArgumentError

        url = _driver(url or os.environ.get("RUNBOOK_STORE") or _own_file())
        self.sqlite = url.startswith("sqlite")
        try:
            options: dict[str, Any] = {"timeout": WAIT_S} if self.sqlite else {"connect_timeout": WAIT_S}
            self._engine: Engine = create_engine(url, connect_args=options, pool_pre_ping=not self.sqlite)
        except (ArgumentError, ModuleNotFoundError, TypeError) as error:
            raise InputError(
                f"is no store: {str(error).splitlines()[0][:120]}", key="RUNBOOK_STORE", mend="write a SQLAlchemy URL"
            ) from None
        if self.sqlite:
            event.listen(self._engine, "connect", _wal)
            event.listen(self._engine, "begin", _begin)
        self._tables = schema.tables()
        try:
            with self.reading() as connection:
                made = schema.ready(connection, self._tables)
            if not made:
                with self.writing() as connection:
                    if not self.sqlite:
                        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7282)")
                    schema.bring_up_to_date(connection, self._tables)
        except BaseException:
            self.close()
            raise

    def table(self, name: str) -> Table:
        return self._tables.tables[name]

    def start(self, record: RunRecord) -> None:
        """Writes down that a run began."""
        row = {name: value for name, value in record.__dict__.items() if name != "hosts"}
        with self.writing() as connection:
            connection.execute(self.table("runs").insert(), row)

    def end(self, run: str, *, outcome: str, code: int, message: str, hosts: Mapping[str, str]) -> None:
        """Writes down how a run ended, and how it left each host."""
        runs, ends = self.table("runs"), self.table("run_hosts")
        with self.writing() as connection:
            connection.execute(
                runs.update()
                .where(runs.c.id == run)
                .values(ended=now(), outcome=outcome, code=code, message=message[:LONGEST])
            )
            if hosts:
                connection.execute(
                    ends.insert(), [{"run": run, "host": host, "ending": ending} for host, ending in hosts.items()]
                )

    def gate(self, record: GateRecord) -> None:
        """Writes down one gate."""
        self._add("gates", record)

    def step(self, record: StepRecord) -> None:
        """Writes down what became of steps on a host."""
        self._add("steps", record)

    def up(self, record: UpRecord) -> None:
        """Writes down that a service was brought up, or did not come up."""
        self._add("ups", record)

    def head(self, host: str, project: str, head: str) -> None:
        """Keeps the hash of the last line of a host's journal, so that a cut-off journal shows."""
        heads = self.table("heads")
        with self.writing() as connection:
            connection.execute(heads.delete().where(heads.c.host == host, heads.c.project == project))
            connection.execute(heads.insert(), {"host": host, "project": project, "head": head})

    def known_head(self, host: str, project: str) -> str | None:
        heads = self.table("heads")
        with self.reading() as connection:
            found = connection.execute(heads.select().where(heads.c.host == host, heads.c.project == project)).first()
            return str(found.head) if found else None

    def runs(self, *, environment: str | None = None, limit: int = 50) -> tuple[RunRecord, ...]:
        """The runs, the newest first."""
        runs, ends = self.table("runs"), self.table("run_hosts")
        query = runs.select().order_by(runs.c.started.desc(), runs.c.id.desc()).limit(limit)
        if environment:
            query = query.where(runs.c.environment == environment)
        with self.reading() as connection:
            rows = connection.execute(query).all()
            hosts: dict[str, dict[str, str]] = {}
            for end in connection.execute(ends.select().where(ends.c.run.in_([row.id for row in rows]))):
                hosts.setdefault(end.run, {})[end.host] = end.ending
        return tuple(RunRecord(**row._mapping, hosts=hosts.get(row.id, {})) for row in rows)

    def gates(self, run: str) -> Sequence[GateRecord]:
        return [GateRecord(**row) for row in self._of_run("gates", run)]

    def steps(self, run: str) -> Sequence[StepRecord]:
        return [StepRecord(**row) for row in self._of_run("steps", run)]

    def ups(self, run: str) -> Sequence[UpRecord]:
        return [UpRecord(**row) for row in self._of_run("ups", run)]

    def close(self) -> None:
        self._engine.dispose()

    def _add(self, table: str, record: GateRecord | StepRecord | UpRecord) -> None:
        with self.writing() as connection:
            connection.execute(self.table(table).insert(), record.__dict__)

    def _of_run(self, name: str, run: str) -> list[dict[str, Any]]:
        table = self.table(name)
        with self.reading() as connection:
            rows = connection.execute(table.select().where(table.c.run == run).order_by(table.c.id)).all()
        return [{name: value for name, value in row._mapping.items() if name != "id"} for row in rows]

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads: it waits for no writer."""
        with self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes: all of it or nothing, and kept once this returns."""
        with self._transaction(writes=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        from sqlalchemy.exc import IntegrityError, SQLAlchemyError

        try:
            options: dict[str, Any] = {"writes": writes}
            if not (writes or self.sqlite):
                # All statements see the store as of one moment, as SQLite's always do.
                options["isolation_level"] = "REPEATABLE READ"
            with self._engine.connect().execution_options(**options) as connection, connection.begin():
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

"""The evidence store: what runs did, how gates judged, how each host was left, and where each journal stood.

A SQLite file by default, readable by its owner alone; `RUNBOOK_STORE` names another database for SQLAlchemy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inventory.errors import InputError, RunbookError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, MetaData

SCHEMA = 1


@dataclass(frozen=True)
class RunRecord:
    """One run as the store holds it. Times are UTC, RFC 3339. `ended` None: it was cut off, or goes on."""

    id: str
    kind: str
    environment: str
    phase: str
    who: str
    fingerprint: str
    promotion_key: str
    started: str
    ended: str | None
    outcome: str
    code: int | None
    message: str
    hosts: Mapping[str, str]
    undoes: str


@dataclass(frozen=True)
class GateRecord:
    """One gate of a run."""

    run: str
    at: str
    steps: str
    side: str
    outcome: str
    reason: str
    ok: int
    failed: int
    unknown: int
    seconds: float


def folder() -> Path:
    """Where the controller keeps what is its own: RUNBOOK_STATE, else the user's state folder."""
    named = os.environ.get("RUNBOOK_STATE")
    return (
        Path(named)
        if named
        else Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "compose-runbook"
    )


class Store:
    """An open store. Safe for several processes: SQLite in WAL mode, each call its own transaction."""

    def __init__(self, url: str | None = None) -> None:
        """Opens or makes the store. Raises InputError for one that is not ours or newer than this program."""
        from sqlalchemy import create_engine, event
        from sqlalchemy.exc import ArgumentError, SQLAlchemyError

        url = url or os.environ.get("RUNBOOK_STORE")
        if not url:
            path = folder() / "evidence.sqlite"
            try:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.touch(mode=0o600)
            except OSError as error:
                raise InputError(
                    f"cannot be made: {error.strerror}",
                    path=str(path),
                    key="RUNBOOK_STATE",
                    mend="name a folder of yours",
                ) from None
            url = f"sqlite:///{path}"
        try:
            self._engine: Engine = create_engine(url, connect_args={"timeout": 30} if url.startswith("sqlite") else {})
            if url.startswith("sqlite"):
                event.listen(self._engine, "connect", _wal)
            self._tables = tables()
            with self._begin() as connection:
                self._tables.create_all(connection)
                self._check_schema(connection)
        except (ArgumentError, ModuleNotFoundError) as error:
            raise InputError(
                f"is no store: {str(error).splitlines()[0][:120]}", key="RUNBOOK_STORE", mend="write a SQLAlchemy URL"
            ) from None
        except SQLAlchemyError as error:
            raise RunbookError(
                f"the evidence store cannot be used: {type(error).__name__}", mend="see RUNBOOK_STORE and its folder"
            ) from None

    def start(self, record: RunRecord) -> None:
        """Writes down that a run began."""
        with self._begin() as connection:
            connection.execute(self._tables.tables["runs"].insert(), _row(record))

    def end(self, run: str, *, outcome: str, code: int, message: str, hosts: Mapping[str, str]) -> None:
        """Writes down how a run ended, and how it left each host."""
        runs, ends = self._tables.tables["runs"], self._tables.tables["run_hosts"]
        with self._begin() as connection:
            connection.execute(
                runs.update()
                .where(runs.c.id == run)
                .values(ended=_now(), outcome=outcome, code=code, message=message[:2000])
            )
            if hosts:
                connection.execute(
                    ends.insert(), [{"run": run, "host": host, "ending": ending} for host, ending in hosts.items()]
                )

    def gate(self, record: GateRecord) -> None:
        """Writes down one gate."""
        with self._begin() as connection:
            connection.execute(self._tables.tables["gates"].insert(), record.__dict__)

    def head(self, host: str, project: str, head: str) -> None:
        """Keeps the hash of the last line of a host's journal, so that a cut-off journal shows."""
        heads = self._tables.tables["heads"]
        with self._begin() as connection:
            connection.execute(heads.delete().where(heads.c.host == host, heads.c.project == project))
            connection.execute(heads.insert(), {"host": host, "project": project, "head": head})

    def known_head(self, host: str, project: str) -> str | None:
        heads = self._tables.tables["heads"]
        with self._begin() as connection:
            found = connection.execute(heads.select().where(heads.c.host == host, heads.c.project == project)).first()
            return str(found.head) if found else None

    def runs(self, *, environment: str | None = None, limit: int = 50) -> tuple[RunRecord, ...]:
        """The runs, the newest first."""
        runs, ends = self._tables.tables["runs"], self._tables.tables["run_hosts"]
        query = runs.select().order_by(runs.c.started.desc(), runs.c.id.desc()).limit(limit)
        if environment:
            query = query.where(runs.c.environment == environment)
        with self._begin() as connection:
            rows = connection.execute(query).all()
            hosts: dict[str, dict[str, str]] = {}
            for end in connection.execute(ends.select().where(ends.c.run.in_([row.id for row in rows]))):
                hosts.setdefault(end.run, {})[end.host] = end.ending
        return tuple(RunRecord(**row._mapping, hosts=hosts.get(row.id, {})) for row in rows)

    def gates(self, run: str) -> Sequence[GateRecord]:
        gates = self._tables.tables["gates"]
        with self._begin() as connection:
            rows = connection.execute(gates.select().where(gates.c.run == run).order_by(gates.c.id)).all()
        return [GateRecord(**{name: value for name, value in row._mapping.items() if name != "id"}) for row in rows]

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    def _check_schema(self, connection: Connection) -> None:
        schema = self._tables.tables["schema"]
        found = connection.execute(schema.select()).first()
        if found is None:
            connection.execute(schema.insert(), {"version": SCHEMA})
        elif found.version > SCHEMA:
            raise InputError(
                f"the evidence store has schema {found.version}, newer than {SCHEMA}",
                key="RUNBOOK_STORE",
                mend="use the newer program",
            )


def tables() -> MetaData:
    """The store's tables."""
    from sqlalchemy import Column, Float, ForeignKey, Integer, MetaData, String, Table

    found = MetaData()
    Table("schema", found, Column("version", Integer, nullable=False))
    texts = (
        "kind",
        "environment",
        "phase",
        "who",
        "fingerprint",
        "promotion_key",
        "started",
        "outcome",
        "message",
        "undoes",
    )
    Table(
        "runs", found, Column("id", String, primary_key=True), *(Column(name, String, nullable=False) for name in texts),
        Column("ended", String), Column("code", Integer),
    )  # fmt: skip
    Table(
        "run_hosts", found, Column("run", ForeignKey("runs.id"), primary_key=True), Column("host", String, primary_key=True),
        Column("ending", String, nullable=False),
    )  # fmt: skip
    words = ("at", "steps", "side", "outcome", "reason")
    Table(
        "gates", found, Column("id", Integer, primary_key=True, autoincrement=True), Column("run", ForeignKey("runs.id"), nullable=False),
        *(Column(name, String, nullable=False) for name in words), *(Column(name, Integer, nullable=False) for name in ("ok", "failed", "unknown")),
        Column("seconds", Float, nullable=False),
    )  # fmt: skip
    Table(
        "heads",
        found,
        *(Column(name, String, primary_key=True) for name in ("host", "project")),
        Column("head", String, nullable=False),
    )
    return found


def _row(record: RunRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name != "hosts"}


def _wal(connection: Any, _record: Any) -> None:
    """Readers and a writer at once, and nothing acknowledged is lost."""
    cursor = connection.cursor()
    for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

"""The store's tables, and how a store of an earlier schema becomes one of this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from inventory.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy import Column, Connection, MetaData

SCHEMA = 2


def tables() -> MetaData:
    """All tables. A time in a text is UTC, RFC 3339; durations are in seconds unless a name says otherwise."""
    from sqlalchemy import Column, Integer, MetaData, Table

    found = MetaData()
    Table("schema", found, Column("version", Integer, nullable=False))
    _runs(found)
    _soaks(found)
    return found


def ready(connection: Connection, found: MetaData) -> bool:
    """Whether the store has this schema. Raises InputError for one of a newer program."""
    from sqlalchemy import inspect

    if not inspect(connection).has_table("schema"):
        return False
    row = connection.execute(found.tables["schema"].select()).first()
    if row is not None and row.version > SCHEMA:
        raise InputError(
            f"the evidence store has schema {row.version}, newer than {SCHEMA}",
            key="RUNBOOK_STORE",
            mend="use the newer program",
        )
    return row is not None and row.version == SCHEMA


def bring_up_to_date(connection: Connection, found: MetaData) -> None:
    """Makes what is absent, and upgrades an earlier schema step by step, all in the caller's transaction."""
    if ready(connection, found):
        return
    schema = found.tables["schema"]
    from sqlalchemy import inspect

    earlier = connection.execute(schema.select()).first() if inspect(connection).has_table("schema") else None
    for version in range(earlier.version if earlier else SCHEMA, SCHEMA):
        UPGRADES[version](connection, found)
    found.create_all(connection)
    connection.execute(schema.delete())
    connection.execute(schema.insert(), {"version": SCHEMA})


def _to_2(connection: Connection, found: MetaData) -> None:
    """Runs say which steps they were of, and why they went on without a soak. The tables of soaks are new."""
    from sqlalchemy.schema import CreateColumn

    for name in ("steps", "override"):
        column = CreateColumn(found.tables["runs"].c[name]).compile(connection)
        connection.exec_driver_sql(f"ALTER TABLE runs ADD COLUMN {column}")


UPGRADES: Mapping[int, Callable[[Any, Any], None]] = {1: _to_2}
"""schema -> what makes the next one of it, beside the tables that are new."""


def _runs(found: MetaData) -> None:
    from sqlalchemy import Boolean, Column, Float, ForeignKey, Integer, String, Table

    def number() -> Column[int]:
        return Column("id", Integer, primary_key=True, autoincrement=True)

    def run() -> Column[str]:
        return Column("run", ForeignKey("runs.id"), nullable=False)

    Table(
        "runs", found, Column("id", String, primary_key=True),
        *_texts("kind", "environment", "phase", "who", "fingerprint", "promotion_key", "started", "outcome", "message", "undoes"),
        Column("ended", String), Column("code", Integer),
        *(Column(name, String, nullable=False, server_default="") for name in ("steps", "override")),
    )  # fmt: skip
    Table(
        "run_hosts", found, Column("run", ForeignKey("runs.id"), primary_key=True), Column("host", String, primary_key=True),
        *_texts("ending"),
    )  # fmt: skip
    Table(
        "gates", found, number(), run(), *_texts("at", "steps", "side", "outcome", "reason"), *_counts("ok", "failed", "unknown"),
        Column("seconds", Float, nullable=False),
    )  # fmt: skip
    Table(
        "steps", found, number(), run(), *_texts("at", "host", "steps", "outcome", "detail"),
        Column("seconds", Float, nullable=False),
    )  # fmt: skip
    Table(
        "ups", found, number(), run(), *_texts("at", "host", "service"), Column("ok", Boolean, nullable=False),
        Column("seconds", Float, nullable=False),
    )  # fmt: skip
    Table("heads", found, *(Column(name, String, primary_key=True) for name in ("host", "project")), *_texts("head"))


def _soaks(found: MetaData) -> None:
    """A sample's key is its series (soak, host and probe) and the number of its tick: none can be counted twice."""
    from sqlalchemy import Column, Float, ForeignKey, Index, Integer, SmallInteger, String, Table, UniqueConstraint

    Table(
        "soaks", found, Column("id", String, primary_key=True),
        *_texts("environment", "folder", "declared", "phase", "run", "promotion_key", "who", "started", "state", "outcome", "reason"),
        Column("ended", String), *(Column(name, Float, nullable=False) for name in ("seconds", "every_s", "target")),
        Column("made", Integer, nullable=False, server_default="0"),
    )  # fmt: skip
    Table(
        "series", found, Column("id", Integer, primary_key=True, autoincrement=True),
        Column("soak", ForeignKey("soaks.id"), nullable=False),
        *_texts("host", "project", "kind", "name", "service", "settings"), Column("timeout_s", Float, nullable=False),
        UniqueConstraint("soak", "host", "name"),
    )  # fmt: skip
    Table(
        "ticks", found, Column("soak", ForeignKey("soaks.id"), primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False), *_texts("by", "began"), Column("made", String),
        sqlite_with_rowid=False,
    )  # fmt: skip
    key: tuple[Column[int], ...] = (
        Column("series", ForeignKey("series.id"), primary_key=True),
        Column("tick", Integer, primary_key=True, autoincrement=False),
    )
    Table(
        "samples", found, *key, Column("ok", SmallInteger), Column("latency_us", Integer), Column("value", Float),
        Column("detail", String), sqlite_with_rowid=False,
    )  # fmt: skip
    Index("bad_samples", found.tables["samples"].c.series, found.tables["samples"].c.tick,
          sqlite_where=found.tables["samples"].c.ok == 0, postgresql_where=found.tables["samples"].c.ok == 0)  # fmt: skip
    Table(
        "rollups", found, Column("series", ForeignKey("series.id"), primary_key=True),
        *(Column(name, Integer, primary_key=True, autoincrement=False) for name in ("span_s", "number")),
        *_counts("ok", "failed", "unknown", "valued"), *_texts("latencies"),
        *(Column(name, Float) for name in ("total", "lowest", "highest", "last", "rises")), sqlite_with_rowid=False,
    )  # fmt: skip
    Table(
        "incidents", found, Column("series", ForeignKey("series.id"), primary_key=True),
        Column("first", Integer, primary_key=True, autoincrement=False), *_counts("last", "failures"), Column("good", Integer),
        *_texts("detail"), sqlite_with_rowid=False,
    )  # fmt: skip


def _texts(*names: str) -> list[Column[str]]:
    from sqlalchemy import Column, String

    return [Column(name, String, nullable=False) for name in names]


def _counts(*names: str) -> list[Column[int]]:
    from sqlalchemy import Column, Integer

    return [Column(name, Integer, nullable=False) for name in names]

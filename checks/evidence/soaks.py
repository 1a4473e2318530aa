"""Soaks in the store: begun, ticked, ended. What a tick measured is written in one transaction, once."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from checks.evidence.store import LONGEST, Store, now
from checks.model import Outcome, Probe, Sample
from checks.soak import Series, Soak, State, Tick, due
from inventory.values import frozen

if TYPE_CHECKING:
    from sqlalchemy import Connection

TICK_LIMIT_S = 120.0
"""Seconds after which a tick that was begun and not made is taken to be dead: its slot is free again."""
DETAIL = 200
"""Characters of a sample's detail that are kept."""
MICRO = 1_000_000


@frozen
class Claim:
    """One tick that the holder makes, and nobody else. `token` says whose it is."""

    soak: Soak
    tick: int
    began: str
    token: str


class Soaks:
    """The soaks of a store. Safe for several programs at once, as the store is."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def start(self, soak: Soak, probes: Iterable[tuple[str, str, Probe]]) -> tuple[Series, ...]:
        """Writes down a soak and its probes: (host, project, probe) each. Returns its series."""
        rows = [
            {"soak": soak.id, "host": host, "project": project, "kind": probe.kind, "name": probe.name, "service": probe.service,
             "settings": json.dumps(dict(probe.settings)), "timeout_s": probe.timeout_s}
            for host, project, probe in probes
        ]  # fmt: skip
        with self._store.writing() as connection:
            row = {**soak.__dict__, "declared": " ".join(soak.declared)}
            connection.execute(self._store.table("soaks").insert(), row)
            if rows:
                connection.execute(self._store.table("series").insert(), rows)
        return self.series(soak.id)

    def all(self, *, environment: str | None = None, running: bool = False, limit: int = 1000) -> tuple[Soak, ...]:
        """Soaks, the newest first."""
        soaks = self._store.table("soaks")
        query = soaks.select().order_by(soaks.c.started.desc(), soaks.c.id.desc()).limit(limit)
        if environment:
            query = query.where(soaks.c.environment == environment)
        if running:
            query = query.where(soaks.c.state == "running")
        with self._store.reading() as connection:
            return tuple(_soak(row._mapping) for row in connection.execute(query))

    def get(self, soak: str) -> Soak | None:
        soaks = self._store.table("soaks")
        with self._store.reading() as connection:
            row = connection.execute(soaks.select().where(soaks.c.id == soak)).first()
        return _soak(row._mapping) if row else None

    def series(self, soak: str) -> tuple[Series, ...]:
        """A soak's probes on its hosts, in the order in which they were given."""
        series = self._store.table("series")
        with self._store.reading() as connection:
            rows = connection.execute(series.select().where(series.c.soak == soak).order_by(series.c.id)).all()
        return tuple(
            Series(row.id, row.soak, row.host, row.project,
                   Probe(row.kind, row.name, row.service, json.loads(row.settings), row.timeout_s))
            for row in rows
        )  # fmt: skip

    def ticks(self, soak: str, *, newest: int | None = None) -> tuple[Tick, ...]:
        """A soak's ticks by their numbers; only the `newest` so many where that is given."""
        ticks = self._store.table("ticks")
        query = ticks.select().where(ticks.c.soak == soak).order_by(ticks.c.number.desc())
        with self._store.reading() as connection:
            rows = connection.execute(query.limit(newest) if newest is not None else query).all()
        return tuple(Tick(row.soak, row.number, row.began, row.made, row.by) for row in reversed(rows))

    def made(self, soak: str) -> int:
        """How many of a soak's ticks were made, those whose rows were rolled up too."""
        from sqlalchemy import func, select

        ticks, soaks = self._store.table("ticks"), self._store.table("soaks")
        query = select(func.count()).where(ticks.c.soak == soak, ticks.c.made.is_not(None))
        with self._store.reading() as connection:
            before = connection.execute(select(soaks.c.made).where(soaks.c.id == soak)).scalar() or 0
            return int(before) + int(connection.execute(query).scalar_one())

    def claim(self, soak: Soak, at: datetime, by: str) -> Claim | None:
        """Takes the tick that is due at a time; None: none is, or another program makes it."""
        ticks = self._store.table("ticks")
        token = f"{by} {secrets.token_hex(8)}"
        with self._store.writing() as connection:
            near = ticks.c.soak == soak.id, ticks.c.number >= int(soak.slot(at)) - 1
            last = ticks.select().where(ticks.c.soak == soak.id).order_by(ticks.c.number.desc()).limit(1)
            rows = [*connection.execute(ticks.select().where(*near)), *connection.execute(last)]
            alive = [row for row in rows if row.made or _fresh(row.began, at)]
            began = max((datetime.fromisoformat(row.began) for row in alive), default=None)
            number = due(soak, at, frozenset(row.number for row in alive), began)
            if number is None:
                return None
            for dead in (row for row in rows if row.number == number):
                connection.execute(ticks.delete().where(*near, ticks.c.number == number, ticks.c.by == dead.by))
            row = {
                "soak": soak.id,
                "number": number,
                "by": token,
                "began": at.isoformat(timespec="milliseconds"),
                "made": None,
            }
            # SQLite lets one writer in at a time; PostgreSQL refuses the key of the second.
            if not _insert_new(connection, ticks, row):
                return None
            return Claim(soak, number, str(row["began"]), token)

    def record(self, claim: Claim, series: Mapping[tuple[str, str], int], samples: Sequence[Sample]) -> bool:
        """Writes a tick's samples, by (host, probe) in `series`, and that it was made. All or nothing, and once.

        False: another program has taken the tick over meanwhile, and nothing was written.
        """
        ticks, table = self._store.table("ticks"), self._store.table("samples")
        rows = [
            {"series": series[sample.host, sample.probe], "tick": claim.tick, "ok": None if sample.ok is None else int(sample.ok),
             "latency_us": None if sample.latency_s is None or sample.ok is None else rounded(sample.latency_s),
             "value": sample.value, "detail": sample.detail[:DETAIL] if sample.ok is not True and sample.detail else None}
            for sample in samples
            if (sample.host, sample.probe) in series
        ]  # fmt: skip
        with self._store.writing() as connection:
            mine = connection.execute(
                ticks.update()
                .where(ticks.c.soak == claim.soak.id, ticks.c.number == claim.tick, ticks.c.by == claim.token)
                .values(made=now())
            )
            if mine.rowcount != 1:
                return False
            if rows:
                connection.execute(table.insert(), rows)
            return True

    def end(self, soak: Soak, *, state: State, outcome: Outcome, reason: str, at: str | None = None) -> Soak | None:
        """Ends a running soak with its verdict. None: it had been ended already, so that each end is told once."""
        soaks = self._store.table("soaks")
        ended = at or now()
        with self._store.writing() as connection:
            done = connection.execute(
                soaks.update()
                .where(soaks.c.id == soak.id, soaks.c.state == "running")
                .values(state=state, outcome=outcome, reason=reason[:LONGEST], ended=ended)
            )
            if done.rowcount != 1:
                return None
        return replace(soak, state=state, outcome=outcome, reason=reason[:LONGEST], ended=ended)


def rounded(seconds: float) -> int:
    """Microseconds to three digits: within 0.5 %, and few enough that equal ones can be counted."""
    micro = max(0, round(seconds * MICRO))
    unit = int(10 ** max(0, len(str(micro)) - 3))
    return min(round(micro / unit) * unit, 2_000_000_000)


def _soak(row: Any) -> Soak:
    values = {name: value for name, value in row.items() if name != "made"}
    return Soak(**{**values, "declared": tuple(str(row["declared"]).split())})


def _fresh(began: str, at: datetime) -> bool:
    return abs(at - datetime.fromisoformat(began)) < timedelta(seconds=TICK_LIMIT_S)


def _insert_new(connection: Connection, table: Any, row: dict[str, Any]) -> bool:
    """Inserts a row whose key is not there yet; whether it was not."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        statement: Any = postgresql_insert(table).values(row).on_conflict_do_nothing()
    else:
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        statement = sqlite_insert(table).values(row).on_conflict_do_nothing()
    key = next(iter(table.primary_key))
    return connection.execute(statement.returning(key)).first() is not None

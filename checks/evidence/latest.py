"""The newest sample of each series, and the newest value that it measured: what a monitoring system wants to know now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from checks.soak import Series
from inventory.values import frozen

if TYPE_CHECKING:
    from checks.evidence.store import Store


@frozen
class Latest:
    """`ok` is the newest sample's; `value` the newest that was measured, which may be older. None: there is none."""

    tick: int
    ok: bool | None
    value: float | None


def latest(store: Store, series: Sequence[Series]) -> dict[int, Latest]:
    """By series; those without a sample that is kept are left out."""
    from sqlalchemy import func, select

    samples = store.table("samples")
    ids = [each.id for each in series]

    def newest(*conditions: object) -> object:
        grouped = (
            select(samples.c.series, func.max(samples.c.tick).label("tick"))
            .where(samples.c.series.in_(ids), *conditions)  # type: ignore[arg-type]
            .group_by(samples.c.series)
            .subquery()
        )
        return select(samples).join(
            grouped, (samples.c.series == grouped.c.series) & (samples.c.tick == grouped.c.tick)
        )

    with store.reading() as connection:
        last = connection.execute(newest()).all()  # type: ignore[call-overload]
        valued = connection.execute(newest(samples.c.value.is_not(None))).all()  # type: ignore[call-overload]
    values = {row.series: row.value for row in valued}
    return {
        row.series: Latest(row.tick, None if row.ok is None else bool(row.ok), values.get(row.series)) for row in last
    }

"""The proof's part about bad input: each reader of what others wrote is given changed seeds; it refuses them or takes them."""

from __future__ import annotations

import random
import time

from benchmarks.fuzz_targets import TARGETS, attempt
from benchmarks.fuzzing import mutated
from lab.proof.table import Effort, Part

FEW, MANY = 60, 3000
COLUMNS = ("reader", "inputs", "refused", "taken", "crashed")


def prove(effort: Effort) -> Part:
    """Every reader with the same inputs each time; guided by coverage they are given more by `./inv fuzz`."""
    begin = time.monotonic()
    rows: list[tuple[str, int, int, int, int]] = []
    wrong: list[str] = []
    for target in TARGETS:
        if effort.stop.is_set():
            break
        chance, taken, crashed = random.Random(target.name), 0, 0  # noqa: S311 - inputs, no secrets
        count = MANY if effort.full else FEW
        for _ in range(count):
            data = mutated(target, chance)
            try:
                taken += attempt(target, data)
            except Exception as error:
                crashed += 1
                wrong.append(f"{target.name} broke with {type(error).__name__} on {data[:300]!r}")
        rows.append((target.name, count, count - taken - crashed, taken, crashed))
        effort.tell(f"bad input, {target.name}: {count} inputs, {crashed} crashed")
    inputs, refused, took = (sum(int(row[column]) for row in rows) for column in (1, 2, 3))
    return Part(
        "Bad input", COLUMNS, tuple(rows), inputs, tuple(wrong), effort.short_of(len(rows), len(TARGETS), "readers"), time.monotonic() - begin,
        summary=f"{inputs} bad inputs tried, {refused} refused, {took} taken as good, {len(wrong)} crashed",
    )  # fmt: skip

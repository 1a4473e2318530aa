"""The autoscaler's formula: what Kubernetes documents, for any number of replicas and any use of the processor."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runbooks.scaling import WINDOW_S, Limits, Wish, kept, settled, wanted

LIMITS = Limits()
CPUS = st.integers(0, 40000).map(lambda tenths: tenths / 10)
COUNTS = st.integers(1, 12)


@pytest.mark.parametrize(
    ("current", "cpu", "count"),
    [(2, 70, 2), (2, 77, 2), (2, 77.1, 3), (2, 63, 2), (3, 62.9, 3), (4, 35, 2), (2, 140, 4), (4, 100, 6), (3, 400, 10), (5, 0, 2), (1, 70, 2), (12, 70, 10)],
)  # fmt: skip
def test_the_formula_gives_what_kubernetes_documents(current: int, cpu: float, count: int) -> None:
    assert wanted(current, cpu, LIMITS) == count


@given(COUNTS, CPUS)
def test_the_number_is_the_ceiling_within_the_limits_or_stays_within_the_tolerance(current: int, cpu: float) -> None:
    share = Fraction(str(cpu)) / 70
    assume(abs(abs(share - 1) - Fraction(1, 10)) > Fraction(1, 10**6))
    exact = current if abs(share - 1) < Fraction(1, 10) else math.ceil(current * share)
    assert wanted(current, cpu, LIMITS) == min(10, max(2, exact))


@given(COUNTS, CPUS, CPUS)
def test_more_use_never_asks_for_fewer(current: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert wanted(current, low, LIMITS) <= wanted(current, high, LIMITS)


@given(st.integers(1, 8), st.floats(0.1, 8), st.integers(10, 100))
def test_replicas_that_share_the_same_load_come_to_rest(start: int, load: float, target: int) -> None:
    limits, count, seen = Limits(2, 10, target), start, []
    for _ in range(12):
        count = wanted(count, 100 * load / count, limits)
        seen.append(count)
    assert len(set(seen[-3:])) == 1


@given(COUNTS, st.integers(1, 12), st.lists(st.tuples(st.integers(-100, 900), st.integers(1, 12)), max_size=20))
def test_a_lower_number_is_taken_only_when_the_whole_window_allows_it(current: int, now: int, past: list[tuple[int, int]]) -> None:  # fmt: skip
    wishes = [Wish(1000.0 - age, replicas) for age, replicas in past]
    found = settled(current, Wish(1000.0, now), wishes, LIMITS)
    recent = [wish.replicas for wish in wishes if 1000 - WINDOW_S < wish.at <= 1000]
    assert 2 <= found <= 10
    if now >= current:
        assert found == min(10, max(2, now))
    else:
        assert found == min(10, max(2, min(current, max([now, *recent]))))
    assert settled(current, Wish(1000.0, now), kept(wishes, 1000.0), LIMITS) == found


def test_a_peak_holds_its_replicas_for_five_minutes_and_no_longer() -> None:
    wishes: list[Wish] = []
    count, seen = 2, []
    for tick in range(0, 700, 30):
        asked = 6 if tick == 60 else 2
        count = settled(count, Wish(tick, asked), wishes, LIMITS)
        wishes.append(Wish(tick, asked))
        seen.append((tick, count))
    assert [tick for tick, count in seen if count == 6] == list(range(60, 360, 30))
    assert seen[-1] == (690, 2)

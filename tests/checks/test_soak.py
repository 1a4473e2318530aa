"""Which tick is due when: whatever starts ticks, a slot is filled once or missed, by UTC."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.soak import Soak, due

BEGIN = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # half an hour before Europe's clocks are set forward
SOAK = Soak("s", "staging", "", (), "1", "r", "k", "eve@laptop", BEGIN.isoformat(), 3600.0, 30.0)


def at(seconds):
    return BEGIN + timedelta(seconds=seconds)


def played(times, soak=SOAK):
    """The slots that calls at these times fill, each with when."""
    filled, last = {}, None
    for seconds in times:
        number = due(soak, at(seconds), frozenset(filled), last)
        if number is not None:
            filled[number], last = seconds, at(seconds)
    return filled


@pytest.mark.parametrize(
    ("seconds", "taken", "last", "slot"),
    [
        (0, (), None, 0),
        (29.9, (), None, 0),
        (29.9, (0,), 0, 1),
        (30.1, (0,), 0, 1),
        (60.1, (0,), 29.9, 1),
        (90.1, (0,), 0, 2),
        (100, (0,), 0, 3),
        (20, (0,), 0, None),
        (14, (), 0, None),
        (-31, (), None, None),
        (3599, (), None, 119),
        (3601, (119,), 3570, None),
        (3601, (), 3500, 119),
        (3700, (), None, None),
    ],
)
def test_a_call_fills_the_slot_of_its_time_or_a_free_one_beside_it(seconds, taken, last, slot):
    assert due(SOAK, at(seconds), frozenset(taken), at(last) if last is not None else None) == slot


@given(st.floats(0, 30), st.lists(st.floats(-3, 3), min_size=118, max_size=118))
def test_a_timer_that_is_a_little_early_or_late_leaves_no_slot_empty(phase, jitters):
    times = [phase + number * 30 + jitter for number, jitter in enumerate(jitters)]
    filled = played(sorted(time for time in times if time >= 0))
    assert len(filled) >= 117


@given(st.lists(st.floats(-100, 4000), max_size=300))
def test_no_slot_is_filled_twice_nor_far_from_its_time_nor_two_at_once(times):
    filled = played(times)
    for number, seconds in filled.items():
        assert 0 <= number < SOAK.ticks
        assert number * 30 - 7.5 <= seconds <= (number + 1) * 30 + 7.5
    ordered = sorted(filled.values())
    assert all(later - earlier >= 15 for earlier, later in pairwise(ordered))


def test_a_machine_that_slept_misses_ticks_and_no_more():
    awake = [*range(1, 600, 30), *range(2401, 3600, 30)]
    # The first call after it comes at a slot's begin, and fills the one before, as all that follow do.
    assert sorted(played(awake)) == [*range(20), *range(79, 119)]


def test_a_clock_that_is_set_back_measures_nothing_twice():
    forth = list(range(1, 1800, 30))
    again = list(range(901, 3600, 30))
    filled = played([*forth, *again])
    assert sorted(filled) == list(range(120))
    assert [filled[number] for number in range(30, 60)] == forth[30:]


@pytest.mark.parametrize("zone", [0, 2, -11, 14])
def test_a_time_zone_changes_nothing(zone):
    here = at(95).astimezone(timezone(timedelta(hours=zone)))
    assert due(SOAK, here, frozenset(), None) == due(SOAK, at(95), frozenset(), None) == 2


def test_what_is_expected_grows_with_time_and_ends_with_the_soak():
    assert [SOAK.expected(at(seconds)) for seconds in (-5, 0, 29, 30, 95, 3600, 9999)] == [0, 0, 0, 1, 3, 120, 120]
    stopped = Soak(**{**SOAK.__dict__, "ended": at(300).isoformat()})
    assert stopped.expected(at(9999)) == 10


@pytest.mark.parametrize(("every_s", "each"), [(30.0, 1), (60.0, 1), (15.0, 2), (7.0, 5), (0.5, 60)])
def test_what_measures_is_asked_at_most_twice_a_minute(every_s, each):
    assert Soak(**{**SOAK.__dict__, "every_s": every_s}).measured_each == each

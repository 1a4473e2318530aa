"""The worked example of a breaker inside an application does what its page says, with a clock of the test's own."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "examples" / "breaker" / "breaker.py"
_spec = importlib.util.spec_from_file_location("breaker_example", PATH)
assert _spec
assert _spec.loader
example = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(example)


class Service:
    """A dependency that is well or not; it counts who asks."""

    def __init__(self) -> None:
        self.well, self.asked, self.now = True, 0, 0.0
        self.breaker = example.Breaker((OSError,), clock=lambda: self.now)

    def answer(self) -> str:
        self.asked += 1
        if not self.well:
            raise OSError("away")
        return "fresh"

    def got(self) -> str:
        """With the proposal's fallback."""
        try:
            return str(self.breaker.call(self.answer))
        except example.Open:
            return "cached"
        except OSError:
            return "failed"


def test_five_failures_in_a_row_open_it_and_the_dependency_is_left_in_peace() -> None:
    service = Service()
    service.well = False
    assert [service.got() for _ in range(7)] == ["failed"] * 5 + ["cached"] * 2
    assert (service.asked, service.breaker.trips) == (5, 1)


def test_a_good_answer_in_between_starts_the_count_anew() -> None:
    service = Service()
    for well in (False, False, False, False, True, False, False, False, False):
        service.well = well
        service.got()
    service.well = True
    assert service.got() == "fresh"
    assert service.breaker.trips == 0


def test_after_thirty_seconds_three_good_trials_close_it_and_a_bad_one_opens_it_again() -> None:
    service = Service()
    service.well = False
    for _ in range(5):
        service.got()
    service.now = 29.9
    assert service.got() == "cached"
    service.now = 30.0
    assert [service.got(), service.got()] == ["failed", "cached"]
    service.now, service.well = 60.0, True
    assert [service.got() for _ in range(4)] == ["fresh"] * 4
    service.well = False
    assert [service.got() for _ in range(5)] == ["failed"] * 5
    assert service.breaker.trips == 2


def test_no_more_trials_at_once_than_are_needed() -> None:
    service = Service()
    service.well = False
    for _ in range(5):
        service.got()
    service.now, service.well = 30.0, True
    said: list[str] = []

    def slow() -> str:
        said.append(nested())  # another caller, while this one still waits
        return "fresh"

    def nested() -> str:
        try:
            return str(service.breaker.call(slow))
        except example.Open:
            return "cached"

    assert nested() == "fresh"
    assert said == ["cached", "fresh", "fresh"]


def test_a_caller_s_own_mistake_says_nothing_about_the_dependency() -> None:
    service = Service()
    for _ in range(9):
        with pytest.raises(KeyError):
            service.breaker.call(lambda: {}["no"])
    assert service.got() == "fresh"

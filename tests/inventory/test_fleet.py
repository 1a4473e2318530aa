"""The same work on many hosts: in order, bounded, and no host's failure stops the others."""

from __future__ import annotations

import threading

import pytest

from inventory.errors import HostFailed, Unreachable
from inventory.fleet import each


def test_results_stand_in_the_order_of_the_hosts_whichever_ends_first() -> None:
    last = threading.Event()

    def work(host: str) -> str:
        if host == "d":
            last.set()
        assert host != "a" or last.wait(10)
        return host.upper()

    found = each("abcd", work)
    assert list(found) == list("abcd") and [result.value for result in found.values()] == list("ABCD")


def test_an_error_of_one_host_is_its_result_and_the_others_go_on() -> None:
    def work(host: str) -> int:
        if host == "b":
            raise Unreachable("no answer", host=host)
        if host == "c":
            raise HostFailed("exit 1", host=host)
        return 1

    found = each("abcd", work)
    assert [result.value for result in found.values()] == [1, None, None, 1]
    assert {host: type(result.error) for host, result in found.items() if result.error} == {
        "b": Unreachable,
        "c": HostFailed,
    }


def test_a_bug_is_raised_after_all_have_ended() -> None:
    done = []

    def work(host: int) -> None:
        if host == 0:
            raise ZeroDivisionError("a bug")
        done.append(host)

    with pytest.raises(ZeroDivisionError):
        each(range(6), work, limit=2)
    assert sorted(done) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_no_more_hosts_than_the_limit_are_worked_on_at_once(limit: int) -> None:
    """Each waits until as many as may are there: more would be counted, fewer would never meet."""
    meeting, lock, there, most = threading.Barrier(limit), threading.Lock(), 0, 0

    def work(_host: int) -> None:
        nonlocal there, most
        with lock:
            there += 1
            most = max(most, there)
        meeting.wait(10)
        with lock:
            there -= 1

    each(range(limit * 3), work, limit=limit)
    assert most == limit


def test_no_hosts_are_no_work() -> None:
    assert each([], lambda host: host) == {}


def test_an_interrupt_begins_nothing_new() -> None:
    begun = []

    def work(host: int) -> None:
        begun.append(host)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        each(range(50), work, limit=1)
    assert len(begun) < 50

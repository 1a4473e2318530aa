"""Batches cover every host once, in order, and a bad size is one clear line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.errors import InputError
from runbooks.batches import DEFAULT, check_abreast, sizes, split
from runbooks.screen_run import some


def test_the_default_is_one_canary_then_a_quarter_then_the_rest() -> None:
    batches = split(list(range(8)), sizes(None))
    assert [len(batch) for batch in batches] == [1, 2, 5]
    assert sizes(None) == DEFAULT


def test_the_last_size_is_repeated_until_no_host_is_left() -> None:
    assert split("abcdefg", sizes("1,3")) == (("a",), ("b", "c", "d"), ("e", "f", "g"))


def test_a_list_is_read_as_its_text_form_is() -> None:
    assert sizes([1, "25%"]) == sizes("1, 25%")


@given(st.integers(0, 200), st.lists(st.sampled_from(["1", "2", "7", "1%", "25%", "100%"]), min_size=1, max_size=4))
def test_every_host_stands_in_exactly_one_batch(count: int, serial: list[str]) -> None:
    hosts = list(range(count))
    batches = split(hosts, sizes(serial))
    assert [host for batch in batches for host in batch] == hosts
    assert all(batches)


@pytest.mark.parametrize("word", ["0", "-1", "101%", "many", "", "1,,2", "2.5"])
def test_a_size_that_is_none_is_refused_with_the_mend(word: str) -> None:
    with pytest.raises(InputError, match="write a number from 1"):
        sizes(word)


def test_a_batch_that_is_larger_than_may_be_connected_is_several() -> None:
    assert split(range(10), ("1", "100%"), 4) == ((0,), (1, 2, 3, 4), (5, 6, 7, 8), (9,))


def test_a_fleet_is_told_in_one_line_that_can_be_read() -> None:
    assert some(("web-1", "web-2")) == "web-1, web-2"
    assert some([f"web-{number}" for number in range(990)]) == "web-0, web-1, web-2 ... web-989 (990 hosts)"


def test_hosts_that_begin_together_are_in_one_batch_or_refused() -> None:
    parts = [("a", "one registry"), ("b", "one registry"), ("c", "another")]
    check_abreast([("a", "b"), ("c",)], parts)
    check_abreast([("a",), ("c",)], parts)  # the other is not part of this run
    with pytest.raises(InputError) as caught:
        check_abreast([("a",), ("b", "c")], parts)
    assert str(caught.value) == (
        "--serial: a, b must begin together (one registry), and are in different batches (put them into one, such as --serial 100%)"
    )

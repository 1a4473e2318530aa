"""What the demo measured stands beside what was promised, whatever it is."""

from __future__ import annotations

import pytest

from inventory.errors import HostFailed
from lab import coldstart, figures
from lab.coldstart import ColdStart
from lab.figures import Figures
from lab.measure.clients import Clients
from lab.measure.rounds import Rounds


def measured(after: float = 34.0, gap: float = 3.0) -> Figures:
    return Figures(
        Clients(500, 98, 1.5, 9.0, 2, {"too many": 402}),
        [ColdStart(60.0, 5, 20, 18), ColdStart(80.0, 5, 10, 12), ColdStart(50.0, 2, 0, 0)],
        {"web": 6.8},
        {"web": 2.5},
        {"web": gap, "db": 1.0},
        {"web": 33.0, "db": 5.0},
        [ColdStart(after, 1, 1, 0)],
        Clients(500, 450, None, 12.0, 0, {}),
        Rounds(25, 4.0, 1.0, 25, 1),
    )


@pytest.mark.parametrize(("after", "share"), [(30.0, "-50 %"), (45.0, "-25 %"), (90.0, "+50 %")])
def test_the_median_cold_start_is_compared_with_the_one_before_however_bad_it_is(after: float, share: str) -> None:
    row = figures.rows(measured(after))[0]
    assert (row["promised"], row["before"], row["after"], row["measured"]) == ("-50 %", "60 s", f"{after:.0f} s", share)


def test_counts_are_means_and_shares_are_of_what_was_before() -> None:
    found = {row["what"]: row for row in figures.rows(measured())}
    assert found["failed connection attempts during it"]["before"] == "10"
    assert found["failed connection attempts during it"]["measured"] == "-90 %"
    assert found["`up` commands that it took"]["before"] == "4"
    clients = found["of 500 clients at once, besides those connected, served"]
    assert (clients["before"], clients["after"], clients["measured"]) == ("98", "450", "90%")
    assert found["round of 25 health probes, one by one and at once"]["measured"] == "-75 %"


@pytest.mark.parametrize(("gap", "within"), [(3.0, True), (3.5, True), (3.6, False)])
def test_a_service_that_was_away_longer_than_its_own_time_and_a_second_is_marked(gap: float, within: bool) -> None:
    longest, other = figures.gap_rows(measured(gap=gap))
    assert (longest["service"], longest["within"], longest["plain_s"]) == ("web", within, 33.0)
    assert (other["service"], other["announced_s"], other["within"]) == ("db", None, None)


def test_a_cold_start_is_read_and_one_that_failed_is_an_error() -> None:
    assert coldstart.read("65123 5 20 18\n") == ColdStart(65.123, 5, 20, 18)
    with pytest.raises(HostFailed, match="the platform did not come up: backend does not answer"):
        coldstart.read("600000 30 99 99 backend does not answer")
    with pytest.raises(HostFailed, match="gave no figures"):
        coldstart.read("sh: docker: not found")

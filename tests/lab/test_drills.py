"""What a drill's raw answers come to: who was served, who was held, what nobody could ask, and when all was well again."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from inventory.errors import HostFailed, InputError
from inventory.secrets import Mask
from inventory.text import load
from lab import demo, demo_2, figures_2
from lab.figures_2 import Figures, Use
from lab.measure import drills
from lab.measure.aggregator import Together
from lab.measure.drills import Drill, figures
from runbooks.output import Output
from tests.services import servers

GOOD, FAILED, LATE, OPEN, STALE = (0.01, 200, False), (5.0, 503, False), (3.0, 200, False), (0.01, 503, True), (0.01, 200, True)  # fmt: skip


def asked(*answers: tuple[float, int, bool]) -> list[list[float]]:
    """One answer a second from second 0 on."""
    return [[float(at), *each] for at, each in enumerate(answers)]


def test_a_drill_counts_who_was_served_by_whom_who_was_held_and_what_nobody_could_ask() -> None:
    found = figures(
        "x", asked(GOOD, GOOD, FAILED, LATE, OPEN, STALE, STALE, GOOD, GOOD, GOOD, GOOD, GOOD), 2.0, 6.0, 20
    )
    assert (found.requests, found.served, found.own, found.fallback) == (12, 9, 7, 3)
    assert (found.hung, found.lost) == (2, 8)
    assert (found.available, found.available_own) == (9 / 20, 7 / 20)
    assert found.failing_s == (0.01 + 5.0) / 2
    # The first of five good answers in a row was asked at 7, one second after the end; the fallback's are none of them.
    assert found.recovered_s == pytest.approx(1.01)


def test_a_drill_that_never_recovers_says_so_and_one_without_failures_has_no_time_to_fail() -> None:
    assert figures("x", asked(GOOD, FAILED, STALE, STALE, STALE, STALE, STALE), 1.0, 2.0, 7).recovered_s is None
    assert figures("x", asked(GOOD, GOOD, GOOD), 1.0, 2.0, 3).failing_s is None


@pytest.mark.parametrize(("path", "status", "made"), [("/200/0", 200, 10), ("/503/0", 503, 10), ("/200/1", 200, 2)])
def test_callers_ask_in_their_slots_and_lose_those_in_which_they_wait(path: str, status: int, made: int) -> None:
    with servers.web() as web:
        words = [sys.executable, str(drills.PROGRAM), f"http://127.0.0.1:{web}{path}", "2", "0.2", "1"]
        said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    found = json.loads(said.stdout)
    assert {each[2] for each in found} == {status}
    assert {each[3] for each in found} == {False}
    # On a machine that stalls, slots are lost too; none is made up for.
    assert len(found) == made if made == 2 else 2 <= len(found) <= made


def test_sizes_are_read_as_the_engine_shows_them_and_nothing_else() -> None:
    assert demo_2.size("1.5MiB") == 3 << 19
    assert demo_2.size("2GiB") == 2 << 30
    with pytest.raises(HostFailed, match="docker stats shows"):
        demo_2.size("--")


def test_rows_stand_side_by_side_with_what_was_promised() -> None:
    old, new = Drill("x", 200, 100, 100, 100, 0, 40, 5.0, 1.0), Drill("x", 200, 200, 150, 50, 100, 10, 0.01, None)
    found = Figures(Use(1 << 30, 5 << 30), Use(1 << 30, 4 << 30), [old], [new], 2.0, Together(0.10, 0.055, 0.05, 1.1), 60.0, 20.0)  # fmt: skip
    rows = {each["what"]: each for each in figures_2.rows(found)}
    assert rows["requests of all drills served within a second"]["measured"] == "+50 %"
    assert rows["of them by the service itself"]["after"] == "25%"
    assert rows["callers that a failure held (over a second)"]["measured"] == "-75 %"
    assert rows["requests that they could not make meanwhile"]["before"] == "100"
    assert rows["memory in use, of what may be used"]["measured"] == "+25 %"
    assert rows["health of all, one by one and at once"]["measured"] == "-45 %"
    assert [each["breakers"] for each in figures_2.drill_rows(found)] == ["without", "with"]
    assert [len(figures_2.cells(each)) for each in figures_2.drill_rows(found)] == [len(figures_2.HEADINGS)] * 2


def test_the_demo_s_wishes_stand_in_the_inventory_beside_the_project() -> None:
    text = demo_2.wishing((demo.FOLDER / "staging.yml").read_text())
    found = load(text.encode(), "staging.yml")["all"]["children"]["staging"]["vars"]
    assert (found["project_dir"], found["pool_peak"]) == ("/srv/reconciliation", 21)
    assert found["breakers"]["backend"]["status"] == 200


def test_there_is_no_demo_of_another_phase() -> None:
    out = Output()
    out.mask = Mask()
    with pytest.raises(InputError, match=r"--phase: there is no demo of phase 9 \(name 1, 2 or 3\)"):
        demo.chosen(out, "9")

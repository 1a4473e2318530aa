"""Watching: what a screen says of each service and host, in colour and without, wide, narrow and low."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from io import StringIO

from rich.console import Console

from checks.model import Probe, Sample
from inventory.secrets import Mask
from runbooks import screen_watch
from runbooks.watch_model import Board

BEGIN = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PROBES = (
    Probe("container", "container:db", "db"),
    Probe("postgres", "query:db", "db"),
    Probe("container", "container:web", "web"),
)


def samples(db=True, web=True, latency_s=0.012, detail="connection refused"):
    return [
        Sample("container:db", "a", "", True), Sample("query:db", "a", "", db, latency_s, 45.0, "" if db else detail),
        Sample("container:web", "a", "", web, detail="" if web else "unhealthy"),
    ]  # fmt: skip


def board(*rounds, hosts=("staging-1",), mask=None):
    """A board after rounds, five seconds apart, and the time of the last."""
    made, at = Board("staging", hosts, BEGIN, mask or Mask()), BEGIN
    for found in rounds:
        for host in hosts:
            made.seen(host, PROBES, found, at)
        at += timedelta(seconds=5)
    return made, at - timedelta(seconds=5)


def drawn(made, now, width=140, height=40, color=False, **more):
    out = StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=color, no_color=not color, highlight=False)
    console.print(screen_watch.view(made, now, width, height, 5.0, **more))
    return out.getvalue()


def test_a_screen_says_how_each_service_is_since_when_and_what_turned():
    made, now = board(samples(), samples(), samples(db=False), samples(db=False))
    shown = drawn(made, now)
    assert "staging  2026-11-24 12:00:15 UTC  2 services on 1 host(s): 1 healthy, 1 unhealthy" in shown
    (db,) = [line for line in shown.splitlines() if " db " in line and "●" not in line and "->" not in line]
    assert re.search(r"staging-1 +db +✗ unhealthy +5 s +12 ms +██✗✗ +connection refused", db)
    (web,) = [line for line in shown.splitlines() if " web " in line]
    assert re.search(r"web +● healthy +15 s +▁▁▁▁", web)
    assert "12:00:10  staging-1 db  healthy -> unhealthy  connection refused" in shown


def test_without_colour_and_on_a_narrow_terminal_every_status_still_shows():
    made, now = board(samples(), samples(web=False))
    for width in (40, 60, 80, 200):
        shown = drawn(made, now, width)
        assert "\x1b" not in shown and "✗" in shown and "●" in shown
        assert max(map(len, shown.splitlines())) <= width


def test_long_words_take_no_line_from_the_rest_of_a_low_screen():
    made, now = board(*[samples(db=number % 2, detail="refused " * 30) for number in range(9)], hosts=("a", "b", "c"))
    made.lost("b", "the link was lost " * 10, now)
    for width, height in ((80, 24), (60, 16)):
        lines = drawn(made, now, width, height).splitlines()
        assert len(lines) <= height and "q or Ctrl-C: leave" in lines[-1]


def test_a_fresh_turn_is_highlighted_and_an_old_one_is_not():
    made, now = board(samples(), samples(web=False))
    assert "\x1b[1;7;31m" in drawn(made, now, color=True)  # bold, reversed, red
    assert "\x1b[1;7;31m" not in drawn(made, now + timedelta(minutes=2), color=True)


def test_where_rows_do_not_fit_what_is_not_healthy_stays():
    names = [f"host-{number:02}" for number in range(30)]
    made, now = board(samples(), hosts=names)
    made.seen("host-29", PROBES, samples(db=False), now)
    shown = drawn(made, now + timedelta(seconds=40), height=20)
    assert len(shown.splitlines()) <= 20
    assert "host-29" in shown and "✗ unhealthy" in shown and re.search(r"and \d+ more that are healthy", shown)
    bad = drawn(made, now + timedelta(seconds=40), only_bad=True)
    assert "✗ unhealthy" in bad and "host-03" not in bad and "and 59 more" in bad


def test_a_host_that_is_silent_is_one_row_with_the_reason_and_its_services_are_not_known():
    made, now = board(samples(), samples(), hosts=("a", "b"))
    made.lost("b", "the link was lost", now)
    shown = drawn(made, now)
    assert "4 services on 2 host(s): 2 healthy, 2 unknown; no answer from b" in shown
    (row,) = [line for line in shown.splitlines() if line.startswith("b ")]
    assert re.search(r"b +all 2 +✗ no answer +0 s +the link was lost", row)
    assert screen_watch.plain(made.turns[-1]) == "2026-11-24T12:00:05Z  b  healthy -> no answer: the link was lost"
    made.seen("b", PROBES, samples(), now + timedelta(seconds=5))
    assert "no answer from" not in drawn(made, now)


def test_what_a_service_says_goes_through_the_mask():
    mask = Mask()
    mask.add("hunter22-very-secret")
    made, now = board(samples(), samples(db=False, detail="password hunter22-very-secret is wrong"), mask=mask)
    made.lost("staging-1", "login with hunter22-very-secret failed", now)
    assert "hunter22" not in drawn(made, now) + json.dumps(made.documents()) + screen_watch.plain(made.turns[-1])

"""Windows and freezes: their arithmetic against a clock that is walked minute by minute, and a table of bad input."""

from __future__ import annotations

from bisect import bisect_left
from datetime import date, datetime, time, timedelta
from functools import cache
from itertools import accumulate
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory import windows
from inventory.errors import InputError
from inventory.windows import Calendar, Freeze, Window, moment

BERLIN = "Europe/Berlin"
NIGHT = {"days": "mon-fri", "from": "22:00", "to": "04:00", "zone": BERLIN}
ZONES = (BERLIN, "UTC", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata", "America/Sao_Paulo")
"""Half-hour offsets, a half-hour change of clocks, a day that was skipped, a midnight that was skipped."""


HOST = "all:\n  hosts:\n    h:\n      project_dir: /srv\n"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def calendar(*given_windows: dict, freezes: tuple = ()) -> Calendar:
    return Calendar(windows.windows(given_windows), windows.freezes(freezes))


@pytest.mark.parametrize(
    ("moment_", "closed", "opens", "closes"),
    [
        ("2026-11-24T21:30+01:00", True, "2026-11-24T22:00+01:00", None),
        ("2026-11-24T22:00+01:00", False, "2026-11-24T22:00+01:00", "2026-11-25T04:00+01:00"),
        ("2026-11-25T03:59+01:00", False, "2026-11-25T03:59+01:00", "2026-11-25T04:00+01:00"),
        ("2026-11-25T04:00+01:00", True, "2026-11-25T22:00+01:00", None),
        ("2026-11-28T03:00+01:00", False, "2026-11-28T03:00+01:00", "2026-11-28T04:00+01:00"),  # Friday's night
        ("2026-11-28T23:00+01:00", True, "2026-11-30T22:00+01:00", None),
    ],
)
def test_a_night_window_belongs_to_the_day_on_which_it_opens(moment_, closed, opens, closes) -> None:
    found = calendar(NIGHT)
    assert bool(found.closed(at(moment_))) == closed
    assert found.opens(at(moment_)) == at(opens)
    assert found.closes(at(moment_)) == (at(closes) if closes else None)


def test_a_window_keeps_its_wall_clock_times_when_clocks_change() -> None:
    found = calendar({"days": "sat", "from": "22:00", "to": "04:00", "zone": BERLIN})
    spring, autumn = at("2026-03-28T22:00+01:00"), at("2026-10-24T22:00+02:00")
    assert found.closes(spring) == at("2026-03-29T04:00+02:00")
    assert found.closes(spring) - spring == timedelta(hours=5)
    assert found.closes(autumn) == at("2026-10-25T04:00+01:00")
    assert found.closes(autumn) - autumn == timedelta(hours=7)


def test_a_time_that_clocks_skip_counts_at_the_jump_and_one_shown_twice_at_its_first() -> None:
    zone = ZoneInfo(BERLIN)
    assert moment(date(2026, 3, 29), 150, zone) == at("2026-03-29T03:00+02:00")
    assert moment(date(2026, 10, 25), 150, zone) == at("2026-10-25T02:30+02:00")


def test_a_freeze_closes_an_open_window_and_the_next_opening_is_after_it() -> None:
    freeze = {"from": "2026-12-18", "to": "2027-01-06", "zone": BERLIN, "reason": "the year's end"}
    found = calendar(NIGHT, freezes=(freeze,))
    before, within = at("2026-12-17T23:00+01:00"), at("2026-12-29T23:00+01:00")
    assert found.closed(before) == "" and found.closes(before) == at("2026-12-18T00:00+01:00")
    assert found.closed(within) == "it is frozen (the year's end)"
    assert found.opens(within) == at("2027-01-07T00:00+01:00")  # the window of the 6th is open then


def test_without_windows_only_a_freeze_closes_and_windows_that_touch_are_one() -> None:
    alone = calendar(freezes=({"from": "2026-12-18 18:00", "to": "2026-12-19 06:00"},))
    assert alone.closed(at("2026-12-18T17:59Z")) == "" and alone.closed(at("2026-12-18T18:00Z"))
    assert alone.opens(at("2026-12-18T18:00Z")) == at("2026-12-19T06:00Z")
    assert Calendar().closed(at("2026-01-01T00:00Z")) == "" and Calendar().closes(at("2026-01-01T00:00Z")) is None
    two = calendar({"days": "sat", "from": "08:00", "to": "24:00"}, {"days": "sun", "from": "00:00", "to": "06:00"})
    assert two.closes(at("2026-11-28T09:00Z")) == at("2026-11-29T06:00Z")
    always = calendar({"from": "00:00", "to": "24:00"})
    assert always.closes(at("2026-11-28T09:00Z")) is None


def test_a_time_without_quotes_is_the_number_that_yaml_makes_of_it(folder) -> None:
    text = HOST + "      windows:\n      - from: 22:00\n        to: 04:00\n      - from: 1:30\n        to: 2:00\n"
    (host,) = folder.load(text).hosts
    assert [(window.begin, window.end) for window in windows.of(host.variables).windows] == [(1320, 240), (90, 120)]


@cache
def clock(zone: str, first: datetime, minutes: int) -> tuple[datetime, ...]:
    """The latest time that a zone's clocks have shown, minute by minute: what finds the first showing of any."""
    shown = (
        (first + timedelta(minutes=number)).astimezone(ZoneInfo(zone)).replace(tzinfo=None) for number in range(minutes)
    )
    return tuple(accumulate(shown, max))


def walked(window: Window, begin: datetime, minutes: int) -> list[bool]:
    """Whether a window is open, minute by minute: what the arithmetic must come to, found the slow way."""
    first = begin - timedelta(days=3)
    latest = clock(window.zone, first, minutes + 6 * 1440)
    later = 1440 if window.end <= window.begin else 0
    found = [False] * minutes
    for number in range(-1, minutes // 1440 + 6):
        day = first.date() + timedelta(days=number)
        if day.weekday() in window.days:
            wanted = [datetime.combine(day, time()) + timedelta(minutes=m) for m in (window.begin, window.end + later)]
            starts, ends = (bisect_left(latest, each) - 3 * 1440 for each in wanted)
            found[max(0, starts) : max(0, ends)] = [True] * len(found[max(0, starts) : max(0, ends)])
    return found


CHANGES = {  # a day before clocks change, or a day is skipped
    BERLIN: ("2026-03-28", "2026-10-24"), "UTC": ("2026-06-01",), "America/St_Johns": ("2026-03-07", "2026-10-31"),
    "Australia/Lord_Howe": ("2026-04-04", "2026-10-03"), "Pacific/Apia": ("2011-12-28",), "Asia/Kolkata": ("2026-06-01",),
    "America/Sao_Paulo": ("2018-11-03",),
}  # fmt: skip
TIMES = st.integers(0, 1439)


@pytest.mark.slow
@settings(deadline=None)
@given(st.data(), st.sampled_from(ZONES), TIMES, TIMES, st.sets(st.integers(0, 6), min_size=1))
def test_openings_and_closings_are_where_a_walked_clock_has_them(data, zone, begin, end, days) -> None:
    if begin == end:
        return
    window = Window(tuple(days), begin, end, zone)
    start = at(data.draw(st.sampled_from(CHANGES[zone])) + "T00:00Z")
    found, truth = Calendar((window,)), walked(window, start, 3 * 1440)
    for number in data.draw(st.lists(st.integers(0, 3 * 1440 - 1), min_size=5, max_size=20)):
        now = start + timedelta(minutes=number)
        assert (found.closed(now) == "") == truth[number], now
        opens = found.opens(now)
        following = next((other for other in range(number, len(truth)) if truth[other]), None)
        if following is not None:
            assert opens == start + timedelta(minutes=following)
        if truth[number]:
            over = next((other for other in range(number, len(truth)) if not truth[other]), None)
            if over is not None and found.closes(now) is not None:
                assert found.closes(now) == start + timedelta(minutes=over)


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 5_000)), max_size=6), st.integers(0, 20_000), TIMES, TIMES
)
def test_the_next_opening_is_open_and_nothing_before_it_is(spans, minute, begin, end) -> None:
    start = at("2026-03-20T00:00Z")
    freezes = tuple(Freeze(start + timedelta(minutes=a), start + timedelta(minutes=a + b)) for a, b in spans)
    own = (Window((0, 2, 5), begin, end, BERLIN),) if begin != end else ()
    found, now = Calendar(own, freezes), start + timedelta(minutes=minute)
    opens = found.opens(now)
    assert opens is not None and opens >= now and found.closed(opens) == ""
    step = timedelta(minutes=7)
    while (now := now + step) < opens:
        assert found.closed(now)
    closes = found.closes(opens)
    assert closes is None or (
        closes > opens and found.closed(closes) and not found.closed(closes - timedelta(seconds=1))
    )


# text under the host, key, words of the message, words of the mend
BAD = {
    "windows that are a mapping": ("windows: {from: 1}", "windows", "must be a list", "list"),
    "a window that is text": ("windows: [always]", "windows.1", "must be a mapping", "days, from, to, zone"),
    "a window misspelt": ('windows: [{form: "22:00", to: "23:00"}]', "windows.1.form", "unknown key", "mean from?"),
    "a window without an end": ('windows: [{from: "22:00"}]', "windows.1", "has no to", "to:"),
    "a window that is empty": ('windows: [{from: "22:00", to: "22:00"}]', "windows.1", "open for no time", "24:00"),
    "a window from midnight's other name": ('windows: [{from: "24:00", to: "03:00"}]', "windows.1", "no time", "24:00"),
    "a time that is none": ('windows: [{from: "25:00", to: "03:00"}]', "windows.1.from", "'25:00' is no time", '"22:00"'),
    "a time past midnight": ('windows: [{from: "1:00", to: "24:01"}]', "windows.1.to", "no time of day", '"22:00"'),
    "a time that is an hour": ("windows: [{from: 22, to: 23}]", "windows.1.from", "22 is no time", '"22:00"'),
    "a time with seconds": ("windows:\n      - from: 22:00:00\n        to: 23:00:00", "windows.1.from", "no time of day", '"22:00"'),
    "a time that is a flag": ('windows: [{from: true, to: "03:00"}]', "windows.1.from", "True is no time", '"22:00"'),
    "a day that is none": ('windows: [{days: [sax], from: "1:00", to: "3:00"}]', "windows.1.days", "'sax' is no day", "sat?"),
    "a day of another language": ('windows: [{days: [samstag], from: "1:00", to: "3:00"}]', "windows.1.days", "no day", ""),
    "no day": ('windows: [{days: [], from: "1:00", to: "3:00"}]', "windows.1.days", "names no day", "mon-fri"),
    "a zone that is none": ('windows: [{from: "1:00", to: "3:00", zone: Europe/Berlni}]', "windows.1.zone",
                            "no time zone", "Europe/Berlin?"),
    "a zone that is a path": ('windows: [{from: "1:00", to: "3:00", zone: ../../etc/passwd}]', "windows.1.zone", "no time zone", ""),
    "a zone that is a number": ('windows: [{from: "1:00", to: "3:00", zone: 2}]', "windows.1.zone", "no time zone", "Europe"),
    "a freeze that is no date": ("freezes: [{from: soon, to: 2026-01-01}]", "freezes.1.from", "'soon' is no date", "2026-"),
    "a freeze on no day": ("freezes: [{from: 2026-02-30, to: 2026-03-01}]", "freezes.1.from", "no date", "2026-"),
    "a freeze at no time": ('freezes: [{from: "2026-02-20 29:00", to: 2026-03-01}]', "freezes.1.from", "no time", ""),
    "a freeze backwards": ("freezes: [{from: 2026-03-02, to: 2026-03-01}]", "freezes.1", "ends before", "before to"),
    "a freeze for ever": ("freezes: [{from: 2026-03-02, to: 9999-12-31}]", "freezes.1.to", "no date", "2026-"),
    "a freeze misspelt": ("freezes: [{from: 2026-03-02, until: 2026-03-03}]", "freezes.1.until", "unknown key", "it has"),
    "freezes misspelt": ("freeze: []", "freeze", "is not a variable", "freezes?"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_window_is_one_line_with_place_and_mend(folder, name) -> None:
    text, key, words, mend = BAD[name]
    path = folder.write("shop.yml", f"{HOST}      {text}\n")
    with pytest.raises(InputError) as caught:
        folder.load()
    error = caught.value
    assert (error.path, error.line, error.key) == (str(path), 5, key)
    assert words in error.message and mend in error.mend and error.mend and "\n" not in str(error)


@pytest.mark.parametrize(
    ("zone", "day", "minutes", "jump"),
    [("America/Sao_Paulo", date(2018, 11, 4), 25, "2018-11-04T03:00Z"), ("Pacific/Apia", date(2011, 12, 30), 1439, "2011-12-30T10:00Z"),
     ("Australia/Lord_Howe", date(2026, 10, 4), 149, "2026-10-03T15:30Z"), (BERLIN, date(2026, 3, 29), 120, "2026-03-29T01:00Z")],
)  # fmt: skip
def test_every_time_that_is_skipped_counts_at_the_very_second_of_the_jump(zone, day, minutes, jump) -> None:
    assert moment(day, minutes, ZoneInfo(zone)) == at(jump)

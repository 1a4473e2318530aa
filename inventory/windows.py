"""Maintenance windows and freezes: when an environment may be changed, and when it may next. Pure.

Times are wall-clock times of a named zone. A boundary is the first moment at which that zone's clocks show its time or a
later one of its date: a time that clocks skip counts at the jump, one that they show twice counts at its first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

from inventory.entries import fields
from inventory.errors import InputError
from inventory.values import frozen

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WINDOW_KEYS = ("days", "from", "to", "zone")
FREEZE_KEYS = ("from", "to", "zone", "reason")
AHEAD = 16
"""Days that are looked at for the next opening: two weeks and the days that time zones may skip."""
_TIME = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])")
_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{1,2}:\d{2}))?")


@frozen
class Window:
    """A time of the week that is open. `begin` and `end` are minutes since midnight; `end` up to 24 h, or of the next day."""

    days: tuple[int, ...]
    begin: int
    end: int
    zone: str

    def spans(self, around: datetime) -> Iterator[tuple[datetime, datetime]]:
        """When it is open, from the day before `around` on, as moments in UTC."""
        zone = zone_named(self.zone)
        first = around.astimezone(zone).date() - timedelta(days=1)
        later = 1440 if self.end <= self.begin else 0
        for number in range(AHEAD):
            day = first + timedelta(days=number)
            if day.weekday() in self.days:
                opens, closes = moment(day, self.begin, zone), moment(day, self.end + later, zone)
                if opens < closes:
                    yield opens, closes


@frozen
class Freeze:
    """A time, from `begin` to `end` in UTC, in which nothing is changed."""

    begin: datetime
    end: datetime
    reason: str = ""


@frozen
class Calendar:
    """When a host may be changed: within any of its windows (always, when it has none), outside of every freeze."""

    windows: tuple[Window, ...] = ()
    freezes: tuple[Freeze, ...] = ()

    def closed(self, at: datetime) -> str:
        """Why nothing may be changed at a moment, in a few words; empty when it may."""
        for freeze in self.freezes:
            if freeze.begin <= at < freeze.end:
                return "it is frozen" + (f" ({freeze.reason})" if freeze.reason else "")
        return "" if not self.windows or self._span(at) else "no maintenance window is open"

    def closes(self, at: datetime) -> datetime | None:
        """When the open time around a moment ends; None for never, or when it is not open."""
        if self.closed(at):
            return None
        end: datetime | None = None
        while (span := self._span(end or at)) and (end is None or span[1] > end):
            end = span[1]  # a window that begins before another ends goes on in it
            if end - at > timedelta(days=AHEAD):
                end = None
                break
        nearest = min((freeze.begin for freeze in self.freezes if freeze.begin > at), default=None)
        return min((each for each in (end, nearest) if each is not None), default=None)

    def opens(self, at: datetime) -> datetime | None:
        """The first moment from `at` on at which changes are allowed; None when no window ever opens."""
        for _ in range(2 * len(self.freezes) + 2):
            frozen = max((freeze.end for freeze in self.freezes if freeze.begin <= at < freeze.end), default=None)
            if frozen is not None:
                at = frozen
                continue
            if not self.windows or self._span(at):
                return at
            coming = [opens for window in self.windows for opens, _ in window.spans(at) if opens > at]
            if not coming:
                return None
            at = min(coming)
        return at

    def _span(self, at: datetime) -> tuple[datetime, datetime] | None:
        """The open span around a moment that lasts longest."""
        around = [span for window in self.windows for span in window.spans(at) if span[0] <= at < span[1]]
        return max(around, key=lambda span: span[1], default=None)


@cache
def zone_named(name: str) -> ZoneInfo:
    """A time zone; imported only where an inventory names one. Raises OSError, ValueError, KeyError."""
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def moment(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    """The first moment, in UTC, at which a zone's clocks show that many minutes after midnight of a day, or more."""
    wanted = datetime.combine(day, time()) + timedelta(minutes=minutes)
    # fold=0 gives the first of two; in a gap it reckons with the offset before the jump, and so lands behind it.
    found = wanted.replace(tzinfo=zone).astimezone(UTC)
    shown = found.astimezone(zone).replace(tzinfo=None)
    if shown == wanted:
        return found
    low, high = int((found - (shown - wanted)).timestamp()), int(found.timestamp())
    while high - low > 1:  # the jump lies between the two: clocks show less before it, more from it on
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).replace(tzinfo=None) >= wanted:
            high = middle
        else:
            low = middle
    return datetime.fromtimestamp(high, UTC)


def of(variables: Mapping[str, Any]) -> Calendar:
    """The calendar of a host's variables, which were checked when the inventory was read."""
    return Calendar(windows(variables.get("windows") or ()), freezes(variables.get("freezes") or ()))


def shown(at: datetime, zone: str = "") -> str:
    """A moment as people read it: in the zone, with its offset."""
    local = at.astimezone(zone_named(zone) if zone else UTC)
    return f"{local:%a %Y-%m-%d %H:%M} {zone or 'UTC'}"


def zone_of(calendar: Calendar) -> str:
    """The zone in which people speak of a calendar: its first window's."""
    return calendar.windows[0].zone if calendar.windows else "UTC"


def windows(given: Sequence[Any], path: str = "", line: int | None = None) -> tuple[Window, ...]:
    """The variable `windows`. Raises InputError, with "did you mean"."""
    found = []
    for number, entry in enumerate(given, 1):
        key = f"windows.{number}"
        own = fields(entry, WINDOW_KEYS, ("from", "to"), key, path, line)
        begin, end = (_minutes(own[name], f"{key}.{name}", path, line) for name in ("from", "to"))
        if begin == end or begin == 1440:
            raise InputError("is open for no time", path=path, line=line, key=key,
                             mend='for a whole day write from: "00:00", to: "24:00"')  # fmt: skip
        days = _days(own.get("days", "mon-sun"), f"{key}.days", path, line)
        found.append(Window(days, begin, end, _zone(own.get("zone", "UTC"), f"{key}.zone", path, line)))
    return tuple(found)


def freezes(given: Sequence[Any], path: str = "", line: int | None = None) -> tuple[Freeze, ...]:
    """The variable `freezes`; a `to` that is only a date is that whole day. Raises InputError, with "did you mean"."""
    found = []
    for number, entry in enumerate(given, 1):
        key = f"freezes.{number}"
        own = fields(entry, FREEZE_KEYS, ("from", "to"), key, path, line)
        zone = zone_named(_zone(own.get("zone", "UTC"), f"{key}.zone", path, line))
        begin = _moment(own["from"], zone, 0, f"{key}.from", path, line)
        end = _moment(own["to"], zone, 1440, f"{key}.to", path, line)
        if begin >= end:
            raise InputError("ends before it begins", path=path, line=line, key=key, mend="write from before to")
        found.append(Freeze(begin, end, " ".join(str(own.get("reason", "")).split())))
    return tuple(found)


def _minutes(raw: Any, key: str, path: str, line: int | None) -> int:
    """A time of day. Without quotes YAML 1.1 reads 22:00 as a number in base 60: just the minutes since midnight."""
    if isinstance(raw, int) and not isinstance(raw, bool) and 60 <= raw <= 1440:
        return raw
    match = _TIME.fullmatch(raw) if isinstance(raw, str) else None
    if not match or int(match[1]) * 60 + int(match[2]) > 1440:
        raise InputError(f"{raw!r} is no time of day", path=path, line=line, key=key, mend='write "22:00", with quotes')
    return int(match[1]) * 60 + int(match[2])


def _days(raw: Any, key: str, path: str, line: int | None) -> tuple[int, ...]:
    words = raw if isinstance(raw, list) else str(raw).split(",")
    found: set[int] = set()
    for word in words:
        ends = [_day(each, key, path, line) for each in str(word).split("-", 1)]
        span = (ends[-1] - ends[0]) % 7
        found |= {(ends[0] + number) % 7 for number in range(span + 1)}
    if not found:
        raise InputError("names no day", path=path, line=line, key=key, mend="write [sat, sun] or mon-fri")
    return tuple(sorted(found))


def _day(word: str, key: str, path: str, line: int | None) -> int:
    short = word.strip().lower()
    for number, name in enumerate(DAYS):
        if short in (name, _LONG[number]):
            return number
    near = get_close_matches(short, (*DAYS, *_LONG), n=1)
    mend = f"did you mean {near[0]}?" if near else f"days: {', '.join(DAYS)}"
    raise InputError(f"{word.strip()!r} is no day", path=path, line=line, key=key, mend=mend)


_LONG = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _zone(raw: Any, key: str, path: str, line: int | None) -> str:
    try:
        return zone_named(str(raw)).key
    except (OSError, ValueError, KeyError):
        from zoneinfo import available_timezones

        there = available_timezones()
        near = get_close_matches(str(raw)[:60], there, n=1) or get_close_matches(
            str(raw)[:60].title(), [name.rpartition("/")[2] for name in there], n=1
        )
        mend = f"did you mean {near[0]}?" if near else "write a name such as Europe/Berlin or UTC"
        raise InputError(f"{str(raw)[:60]!r} is no time zone", path=path, line=line, key=key, mend=mend) from None


def _moment(raw: Any, zone: ZoneInfo, day_ends: int, key: str, path: str, line: int | None) -> datetime:
    match = _DAY.fullmatch(str(raw).strip())
    try:
        if match is None:
            raise ValueError
        day = date.fromisoformat(match[1])
        minutes = day_ends if match[2] is None else _minutes(match[2], key, path, line)
        return moment(day, minutes, zone)
    except (ValueError, OverflowError):
        raise InputError(f"{str(raw)[:40]!r} is no date", path=path, line=line, key=key,
                         mend='write 2026-12-18 or "2026-12-18 18:00"') from None  # fmt: skip

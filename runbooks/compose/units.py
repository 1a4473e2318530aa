"""The notations of single Compose values: durations, booleans, ports, and scalars as Go prints them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0,
    "w": 604800.0,
}  # fmt: skip
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w)")
_INT = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:(?:[Tt]|[ ]+)([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:\.([0-9]+))?(Z|[-+][0-9]{2}:[0-9]{2})?)?"
)
_TRUE, _FALSE = {"true", "y", "yes", "on"}, {"false", "n", "no", "off"}


@lru_cache(maxsize=1024)
def seconds(text: str) -> float | None:
    """A duration such as `1m30s` or `500ms` in seconds; None for what is none. `0` needs no unit."""
    text = text.strip()
    sign = -1.0 if text.startswith("-") else 1.0
    text = text.lstrip("+-") if text[:1] in ("+", "-") else text
    if text == "0":
        return 0.0
    total, at = 0.0, 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            return None
        total += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    return sign * round(total, 9) if text else None


_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kmgtp])?i?b?", re.IGNORECASE)


def size(text: str) -> int | None:
    """Bytes in a notation such as `512M`, `1.5gb` or `1073741824`, by powers of 1024 as Compose has it; None for none."""
    found = _SIZE.fullmatch(text.strip())
    return None if found is None else int(float(found[1]) * 1024 ** " kmgtp".index((found[2] or " ").lower()))


def boolean(value: Any) -> bool | None:
    """A boolean, or one that came out of a variable as text; None for what is neither."""
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    return True if word in _TRUE else False if word in _FALSE else None


def container_ports(text: str) -> tuple[int, ...]:
    """The container's ports in a short `ports` or `expose` entry: `80`, `8080:80`, `127.0.0.1:80:80/tcp`, `80-82`."""
    last = text.split("/")[0].rpartition(":")[2]
    low, _, high = last.partition("-")
    if not low.isdigit() or (high and not high.isdigit()):
        return ()
    first, final = int(low), int(high or low)
    return tuple(range(first, final + 1)) if final - first < 65536 else ()


def as_text(raw: str) -> str | None:
    """A plain scalar of `environment` as the text that the container gets; None for null.

    Compose prints the value that YAML makes of it, so `1.10` reaches the container as 1.1 and `0x10` as 16.
    """
    if raw in ("", "~", "null", "Null", "NULL"):
        return None
    if raw in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return raw.lower()
    if raw.lower() in (".inf", "+.inf", "-.inf", ".nan"):
        return {".inf": "+Inf", "+.inf": "+Inf", "-.inf": "-Inf", ".nan": "NaN"}[raw.lower()]
    if raw[0] not in "+-.0123456789":
        return raw
    digits = raw.replace("_", "")
    number = _integer(digits)
    if number is not None and -(1 << 63) <= number < 1 << 64:
        return str(number)
    if _FLOAT.fullmatch(digits):
        value = float(digits)
        return raw if math.isinf(value) else go_float(value)
    return _time(raw) or raw


def _integer(digits: str) -> int | None:
    """An integer as Go's base 0 reads it: a leading zero is octal."""
    found = _INT.fullmatch(digits)
    if found is None:
        return None
    sign, body = found[1], found[2].lower()
    for prefix, base in (("0x", 16), ("0o", 8), ("0b", 2)):
        if body.startswith(prefix):
            return int(sign + body[2:], base)
    return int(sign + body, 8 if len(body) > 1 and body.startswith("0") else 10)


def _time(raw: str) -> str | None:
    """A date, or a date and time, as Go prints it."""
    found = _TIME.fullmatch(raw)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        when = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC)
    except ValueError:
        return None
    tail = "." + fraction.rstrip("0") if fraction and fraction.strip("0") else ""
    offset = "+0000 UTC" if zone in (None, "Z") else "{0} {0}".format(zone.replace(":", ""))
    return f"{when:%Y-%m-%d %H:%M:%S}{tail} {offset}"


def go_float(value: float) -> str:
    """A float as Go's `%v` prints it: the shortest digits, an exponent below 1e-4 and from 1e6 on."""
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    from decimal import Decimal  # few files need it, and it takes long to load

    number = Decimal(repr(value)).normalize()
    exponent = number.adjusted()
    if -4 <= exponent < 6:
        return f"{number:f}"
    sign, digits, _ = number.as_tuple()
    mantissa = "".join(map(str, digits))
    tail = "." + mantissa[1:] if len(mantissa) > 1 else ""
    return f"{'-' if sign else ''}{mantissa[0]}{tail}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"

"""The notations of single Compose values: durations, booleans, ports, and scalars as Go prints them."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0,
    "w": 604800.0,
}  # fmt: skip
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w)")
_INT = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|[0-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_TRUE, _FALSE = {"true", "y", "yes", "on"}, {"false", "n", "no", "off"}


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
    if _INT.fullmatch(raw):
        return _integer(raw)
    if _FLOAT.fullmatch(raw):
        return go_float(float(raw))
    if raw.lower() in (".inf", "+.inf", "-.inf", ".nan"):
        return {".inf": "+Inf", "+.inf": "+Inf", "-.inf": "-Inf", ".nan": "NaN"}[raw.lower()]
    return raw


def _integer(raw: str) -> str:
    digits = raw.replace("_", "").lower()
    sign = "-" if digits.startswith("-") else ""
    digits = digits.lstrip("+-")
    for prefix, base in (("0x", 16), ("0o", 8), ("0b", 2)):
        if digits.startswith(prefix):
            return sign + str(int(digits[2:], base))
    if len(digits) > 1 and digits.startswith("0"):
        # Go reads a leading zero as octal; what is not octal is then read as a float.
        return sign + (str(int(digits, 8)) if all(digit in "01234567" for digit in digits) else go_float(float(digits)))
    return sign + digits


def go_float(value: float) -> str:
    """A float as Go's `%v` prints it: the shortest digits, an exponent below 1e-4 and from 1e21 on."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    number = Decimal(repr(value)).normalize()
    exponent = number.adjusted()
    if -4 <= exponent < 21:
        return f"{number:f}"
    sign, digits, _ = number.as_tuple()
    mantissa = "".join(map(str, digits))
    tail = "." + mantissa[1:] if len(mantissa) > 1 else ""
    return f"{'-' if sign else ''}{mantissa[0]}{tail}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"

"""A small chart as SVG, written by hand: seconds against the number of hosts, a line for each tool. Pure but for `write`."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import ceil, log10
from pathlib import Path

from inventory.errors import InputError

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 60, 190, 30, 50
COLOURS = ("#666666", "#0b6e4f", "#1f77b4", "#9467bd", "#d62728", "#ff7f0e")

Series = Mapping[int, Mapping[str, float]]


def write(path: str, found: Series) -> None:
    """Writes the chart. Raises InputError where that cannot be."""
    try:
        Path(path).write_text(svg(found))
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", path=path, mend="name a file in a folder of yours"
        ) from None


def svg(found: Series) -> str:
    """`found`: number of hosts -> tool -> seconds. The seconds' axis is logarithmic, as tools are far apart."""
    counts = sorted(found)
    tools = list(dict.fromkeys(tool for each in found.values() for tool in each))
    values = [seconds for each in found.values() for seconds in each.values()]
    low, high = 10 ** (ceil(log10(min(values))) - 1), 10 ** ceil(log10(max(values) * 1.01))

    def x(count: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (count / max(counts))

    def y(seconds: float) -> float:
        share = (log10(seconds) - log10(low)) / (log10(high) - log10(low))
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="18" font-weight="bold">apply: seconds against the number of hosts</text>',
    ]
    mark = low
    while mark <= high:
        parts.append(
            f'<line x1="{LEFT}" y1="{y(mark):.1f}" x2="{WIDTH - RIGHT}" y2="{y(mark):.1f}" stroke="#dddddd"/>'
            f'<text x="{LEFT - 8}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark:g} s</text>'
        )
        mark *= 10
    for count in counts:
        parts.append(f'<text x="{x(count):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{count}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">hosts</text>')
    last = max(counts)
    ends = sorted((y(found[last][tool]), tool) for tool in tools if tool in found[last])
    places: dict[str, float] = {}
    for at, tool in ends:  # names that would lie over each other move down
        places[tool] = max(at, max(places.values(), default=-99.0) + 15)
    for number, tool in enumerate(tools):
        colour = COLOURS[number % len(COLOURS)]
        points = [(x(count), y(found[count][tool])) for count in counts if tool in found[count]]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in points]
        if tool in places:
            text = f"{escape(tool)} {found[last][tool]:.1f} s"
            parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{places[tool] + 4:.1f}" fill="{colour}">{text}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"

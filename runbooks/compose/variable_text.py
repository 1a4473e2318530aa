"""How a variable is written: the cuts that add and change its text in `environment`, in a scalar, in an env file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from runbooks.compose import interpolation, layout, origins, scalars
from runbooks.compose.desk import Blocked
from runbooks.compose.environment import Entry
from runbooks.compose.layout import Cut, Raw, Value
from runbooks.compose.merge import pair
from runbooks.compose.model import Span, Variable
from runbooks.compose.nodes import Document, content_end, content_start, item_range, start
from runbooks.compose.operations import ReferText, ReplaceText
from runbooks.compose.tree import Item

DIGITS = re.compile(r"0|[1-9][0-9]{0,17}")


def templated(pieces: list[interpolation.Piece], template: str, operations: Sequence[ReplaceText | ReferText]) -> str:
    """Puts replacements into a template. A reference that a replacement touches gives way to its value."""
    groups: list[tuple[str, str, int]] = []
    at = 0
    for number, piece in enumerate(pieces):
        stop = at + len(piece.text)
        if piece.reference is None:
            groups.append((template[piece.start : piece.end], piece.text, at))
        elif number and pieces[number - 1].reference == piece.reference:
            source, text, begin = groups[-1]
            groups[-1] = (source, text + piece.text, begin)
        else:
            groups.append((template[slice(*piece.reference)], piece.text, at))
        at = stop
    made: list[str] = []
    ordered = sorted(set(operations), key=lambda each: (each.start, each.end))
    for source, text, begin in groups:
        stop = begin + len(text)
        touching = [each for each in ordered if each.start < stop and each.end > begin]
        inserted = [each for each in ordered if each.start == each.end == begin]
        made += [_as_written(each) for each in inserted]
        if not touching:
            made.append(source)
            continue
        cursor = begin
        for each in touching:
            made.append(text[max(cursor, begin) - begin : max(each.start, begin) - begin].replace("$", "$$"))
            if each.start >= begin:
                made.append(_as_written(each))
            cursor = max(cursor, each.end)
        made.append(text[min(cursor, stop) - begin :].replace("$", "$$"))
    made += [_as_written(each) for each in ordered if each.start == each.end == at]
    return "".join(made)


def _as_written(operation: ReplaceText | ReferText) -> str:
    return f"${{{operation.name}}}" if isinstance(operation, ReferText) else operation.text.replace("$", "$$")


def find(part: Item, name: str) -> tuple[Item, int | None] | None:
    """A variable in one `environment`: its item, and its number in a list."""
    if isinstance(part.value, dict):
        return (part.value[name], None) if name in part.value else None
    if isinstance(part.value, list):
        for number in range(len(part.value) - 1, -1, -1):
            if pair(part.value[number])[0] == name:
                return part.value[number], number
    return None


def value_of(template: str) -> Value:
    """A mapping's value: a plain number needs no quotes, as Compose prints the same digits."""
    return int(template) if DIGITS.fullmatch(template) else template


def text_of(template: str, style: str | None, *, flow: bool) -> str:
    if not style and DIGITS.fullmatch(template):
        return template
    return scalars.write(template, style=style, flow=flow)


def rewritten(document: Document, part: Item, child: Item, number: int | None, template: str) -> list[Cut]:
    node: ScalarNode = child.node
    style = node.style if node.style in ("'", '"') else None
    flow = bool(getattr(part.node, "flow_style", False))
    if number is not None:
        before = node.value.partition("=")[0]
        return [Cut(*area(document, node), scalars.write(f"{before}={template}", style=style, flow=flow))]
    return layout.replace_value(document, area(document, node), text_of(template, style, flow=flow))


def area(document: Document, node: Node) -> tuple[int, int]:
    return content_start(document, node), content_end(document, node)


def added(part: Item, name: str, template: str) -> list[Cut]:
    """A variable added at the end of an `environment`, in its form."""
    document, node = part.source.document, part.node
    if isinstance(node, MappingNode):
        above = document.key_of(node)
        shape = layout.form(document, node, document.column(start(above)) if above is not None else 0)
        style = style_of([value for _, value in node.value])
        return layout.add_entry(document, node, name, Raw(text_of(template, style, flow=bool(node.flow_style))), shape)
    written = scalars.write(f"{name}={template}", style=style_of(node.value), flow=bool(node.flow_style))
    if node.flow_style:
        return layout.add_in_flow(document, node, written)
    dash = document.text.rfind("-", 0, item_range(document, node, 0)[0])
    return layout.add_lines(document, node, [f"{' ' * document.column(dash)}- {written}"])


def style_of(nodes: list[Any]) -> str | None:
    """The quotes of the neighbours, where all texts among them have the same."""
    styles = {node.style for node in nodes if isinstance(node, ScalarNode)}
    only = styles.pop() if len(styles) == 1 else None
    return only if only in ("'", '"') else None


def origin(variable: Variable, operation: ReplaceText) -> Span:
    """The one stretch of a file that holds the characters. Raises Blocked where there is none."""
    touched = origins.clip(variable.spans, operation.start, operation.end)
    if operation.start == operation.end:
        touched = around(variable, operation.start)
    if not touched or not all(span.exact for span in touched):
        raise Blocked(
            variable.place,
            f"these characters of {variable.name} are not written as they are (an escape, a fold, or the shell's)",
            "write them out, or set the variable itself",
        )
    for before, after in pairwise(touched):
        if before.path != after.path or before.to_byte != after.from_byte:
            raise Blocked(
                variable.place,
                f"these characters of {variable.name} come from several places",
                "replace each part by itself, or put the text in place of the reference",
            )
    first, last = touched[0], touched[-1]
    return Span(0, 0, first.path, first.from_byte, last.to_byte, True, first.reference or last.reference)


def literal(variable: Variable, operation: ReferText) -> Span:
    """The one stretch of a Compose file that says the characters, escapes and all. Raises Blocked where there is none."""
    touched = origins.clip(variable.spans, operation.start, operation.end)
    edges = (operation.start, operation.end)
    cut = any(
        span.start < edge < span.end and span.to_byte - span.from_byte != span.end - span.start
        for span in variable.spans for edge in edges
    )  # fmt: skip
    parted = any(one.path != two.path or one.to_byte != two.from_byte for one, two in pairwise(touched))
    length = sum(span.end - span.start for span in touched)
    if not touched or cut or parted or length != operation.end - operation.start or variable.source != "environment":
        raise Blocked(
            variable.place,
            f"these characters of {variable.name} do not stand together in the Compose file",
            "write them out in one line",
        )
    if any(span.reference for span in touched):
        raise Blocked(
            variable.place, f"these characters of {variable.name} come by a reference", "change what it names"
        )
    return Span(0, 0, touched[0].path, touched[0].from_byte, touched[-1].to_byte, False)


def line(name: str, value: str, data: bytes, newline: str) -> bytes:
    """A line that gives a name its value, for the end of an env file of these bytes; `newline` is that of an empty one."""
    if data:
        newline = "\r\n" if b"\r\n" in data else "\n"
    made = f"{name}={_in_env(value)}"
    return (f"{newline}{made}" if data and not data.endswith(b"\n") else f"{made}{newline}").encode()


_BARE = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")
_CODES = {"\\": "\\\\", '"': '\\"', "$": "\\$", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _in_env(value: str) -> str:
    """A value as it stands in an env file: as it is, in single quotes, or, where they cannot hold it, in double ones."""
    if _BARE.fullmatch(value):
        return value
    if "\\" not in value and value.isprintable():
        return "'" + value.replace("'", "\\'") + "'"
    return '"' + "".join(_CODES.get(char, char) for char in value) + '"'


def around(variable: Variable, at: int) -> list[Span]:
    """The empty stretch at a position, in the span that it stands in or at the end of."""
    for span in variable.spans:
        if span.start <= at <= span.end and span.exact and span.to_byte - span.from_byte == span.end - span.start:
            byte = span.from_byte + at - span.start
            return [Span(0, 0, span.path, byte, byte, True, span.reference)]
    return []


def stays_plain(document: Document, node: ScalarNode, cuts: list[Cut]) -> bool:
    begin, stop = area(document, node)
    made = patched(document.text, begin, stop, cuts)
    line = document.text[document.line_start(begin) : begin]
    return scalars.is_plain(made, flow=any(char in line for char in "[{") or "\n" in document.text[begin:stop])


def requoted(document: Document, node: ScalarNode, cuts: list[Cut]) -> Cut:
    begin, stop = area(document, node)
    return Cut(begin, stop, scalars.write(patched(document.text, begin, stop, cuts), style="'"))


def patched(text: str, begin: int, stop: int, cuts: list[Cut]) -> str:
    made = text[begin:stop]
    for cut in sorted(cuts, reverse=True):
        made = made[: cut.start - begin] + cut.text + made[cut.end - begin :]
    return made


def in_entry(entry: Entry, text: str, *, before: bool) -> str | None:
    """A text as it is written in an env file's value; None where it cannot stand there."""
    if "\n" in text or "\r" in text:
        return None
    if entry.quote == "'":
        return text.replace("'", "\\'") if "\\" not in text else None
    if entry.quote == '"':
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    if " #" in text or text != text.strip() or (before and text[:1] in ("'", '"', "#")):
        return None
    return text.replace("$", "$$")

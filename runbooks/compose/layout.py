"""New lines that look as if the file's author had written them: where an entry goes, and how it is written there.

Everything here makes splices of text, in characters of one file: (start, end, text). Indentation, flow or block form,
quotes and line ends are copied from the neighbourhood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from runbooks.compose import scalars
from runbooks.compose.nodes import Document, content_end, content_start, end, entries, entry_end, item_range, start

Value: TypeAlias = "str | int | bool | Raw | Sequence[str] | Sequence[Mapping[str, Value]] | Mapping[str, Value]"


_QUOTE = '"'


class Raw(str):
    """A value's source text, to be written as it is."""

    __slots__ = ()


class Items(tuple[str, ...]):
    """Texts that are written as a list of lines."""

    __slots__ = ()


class Cut(NamedTuple):
    """Characters `start:end` of a file become `text`."""

    start: int
    end: int
    text: str


class Form(NamedTuple):
    """How entries are written here: columns of indentation a level, and the quote of keys (None: plain)."""

    step: int
    quote: str | None
    newline: str


def form(document: Document, holder: MappingNode, parent: int) -> Form:
    """The form of a mapping's surroundings. `parent` is the column of the key that the mapping stands under."""
    keys = entries(holder)
    quote = keys[0][0].style if keys and all(key.style == keys[0][0].style for key, _ in keys) else None
    step = column(document, holder) - parent if keys and not holder.flow_style else 0
    return Form(step if 1 <= step <= 8 else 2, quote, document.newline)


def column(document: Document, mapping: MappingNode) -> int:
    """The column of a block mapping's keys; that of the `?` where a key is explicit."""
    key = mapping.value[0][0]
    line = document.line_start(start(key))
    before = document.text[line : start(key)]
    return before.index("?") if before.strip() == "?" else start(key) - line


def block(value: Value, name: str, indent: int, shape: Form) -> list[str]:
    """The lines of `name: value`, mappings as blocks, lists in brackets."""
    key = " " * indent + _key(name, shape.quote) + ":"
    if isinstance(value, Mapping) and value:
        inner = [block(child, child_name, indent + shape.step, shape) for child_name, child in value.items()]
        return [key, *(line for lines in inner for line in lines)]
    if isinstance(value, Items):
        return [key, *(" " * (indent + shape.step) + f"- {_inline(item, shape.quote)}" for item in value)]
    return [f"{key} {_inline(value, shape.quote)}".rstrip()]


def _inline(value: Value, quote: str | None) -> str:
    """A value behind a block's key: a text may hold what brackets would cut."""
    if isinstance(value, str) and not isinstance(value, Raw):
        return scalars.write(value, style=quote if quote == '"' else None)
    return flow(value, None)


def flow(value: Value, quote: str | None, pad: str = "") -> str:
    """A value in one line."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return scalars.write(value, style=quote, flow=True)
    if isinstance(value, Mapping):
        return "{" + pad + ", ".join(pair(name, child, quote) for name, child in value.items()) + pad + "}"
    words = (scalars.write(word, style='"') if isinstance(word, str) else flow(word, quote) for word in value)
    return "[" + ", ".join(words) + "]"


def pair(name: str, value: Value, quote: str | None, pad: str = "") -> str:
    """`name: value` in one line."""
    return f"{_key(name, quote)}: {flow(value, quote, pad)}"


def _key(name: str, quote: str | None) -> str:
    return name if name == "<<" else scalars.write(name, style=quote, key=True)


def add_entry(document: Document, mapping: MappingNode, name: str, value: Value, shape: Form) -> list[Cut]:
    """Adds an entry at the end of a mapping, in the mapping's form."""
    if mapping.flow_style:
        return add_in_flow(document, mapping, pair(name, value, shape.quote, pad_of(document, mapping)))
    return add_lines(document, mapping, block(value, name, column(document, mapping), shape))


def add_lines(document: Document, collection: MappingNode | SequenceNode, lines: Sequence[str]) -> list[Cut]:
    """Adds whole lines after the last entry of a block collection, and after comments that belong to that entry."""
    last = _last_start(document, collection)
    after = content_end(document, collection)
    if _ends_open(document, collection, after):
        at = document.line_start(last)
        return [Cut(at, at, "".join(line + document.newline for line in lines))]
    at = _past_comments(document, document.line_end(after), document.column(last))
    return [Cut(at, at, "".join(document.newline + line for line in lines))]


def _last_start(document: Document, collection: MappingNode | SequenceNode) -> int:
    if isinstance(collection, MappingNode):
        return start(collection.value[-1][0])
    begin = item_range(document, collection, len(collection.value) - 1)[0]
    return document.text.rfind("-", 0, begin)


def _ends_open(document: Document, collection: CollectionNode, after: int) -> bool:
    """Whether the last value is a block scalar that a line end after it would change: nothing may follow it."""
    last: Node = collection
    while isinstance(last, CollectionNode) and last.value and not last.flow_style:
        last = last.value[-1][1] if isinstance(last, MappingNode) else last.value[-1]
    if not isinstance(last, ScalarNode) or last.style not in ("|", ">") or end(last) < after:
        return False
    return document.text.find("\n", after) < 0


def _past_comments(document: Document, at: int, indent: int) -> int:
    """The end of the comment lines that follow directly and are indented deeper than `indent`."""
    text = document.text
    while True:
        following = text.find("\n", at)
        if following < 0:
            return at
        until = document.line_end(following + 1)
        line = text[following + 1 : until]
        bare = line.lstrip(" ")
        if not bare.startswith("#") or len(line) - len(bare) <= indent:
            return at
        at = until


def add_in_flow(document: Document, collection: MappingNode | SequenceNode, *texts: str) -> list[Cut]:
    """Adds elements at the end of a `{...}` or `[...]`, on lines of their own where the others have theirs."""
    text = ", ".join(texts)
    inside = content_start(document, collection) + 1
    if not collection.value:
        return [Cut(inside, inside, text)]
    begin, after = _last_range(document, collection)
    line = document.line_start(begin)
    own_line = not document.text[line:begin].strip() and line > inside
    if not own_line:
        return [Cut(after, after, f", {text}")]
    indent = document.text[line:begin]
    text = f",{document.newline}{indent}".join(texts)
    until = document.line_end(after)
    if end(collection) <= until:
        return [Cut(after, after, f",{document.newline}{indent}{text}")]
    rest = document.text[after:until].lstrip()
    if rest.startswith(","):
        return [Cut(until, until, f"{document.newline}{indent}{text},")]
    return [Cut(after, after, ","), Cut(until, until, f"{document.newline}{indent}{text}")]


def _last_range(document: Document, collection: MappingNode | SequenceNode) -> tuple[int, int]:
    if isinstance(collection, MappingNode):
        key, value = collection.value[-1]
        return start(key), entry_end(document, key, value)
    return item_range(document, collection, len(collection.value) - 1)


def pad_of(document: Document, collection: CollectionNode) -> str:
    """The blank inside `{ a: 1 }`, or none."""
    inside = content_start(document, collection) + 1
    return " " if document.text[inside : inside + 1] == " " else ""


def fill(document: Document, key: ScalarNode, value: Node, inner: Mapping[str, Value], shape: Form) -> list[Cut]:
    """Puts a block mapping under a key whose value is empty (`web:`), or in place of an explicit null or `{}`."""
    indent = document.column(start(key)) + shape.step
    lines = [line for name, child in inner.items() for line in block(child, name, indent, shape)]
    at = max(end(key), content_start(document, value))
    made = "".join(document.newline + line for line in lines)
    until = document.line_end(at)
    if isinstance(value, ScalarNode) and not value.value:
        return [Cut(until, until, made)]
    begin, stop = content_start(document, value), content_end(document, value)
    while document.text[begin - 1] in " \t":
        begin -= 1
    until = document.line_end(stop)
    return [Cut(begin, stop, ""), Cut(until, until, made)]


def replace_value(document: Document, area: tuple[int, int], text: str) -> list[Cut]:
    """A value's text in place of another; a blank is put before it where the value was empty."""
    begin, stop = area
    blank = " " if begin == stop and document.text[begin - 1 : begin] == ":" else ""
    return [Cut(begin, stop, blank + text)]


def in_place(document: Document, node: Node, value: Value) -> list[Cut]:
    """A value in place of another, in the other's form as far as that can be kept."""
    if isinstance(value, tuple) and isinstance(node, SequenceNode) and node.value and not node.flow_style:
        begin = document.text.rfind("-", 0, item_range(document, node, 0)[0])
        indent = " " * document.column(begin)
        lines = (f"- {flow(word, _QUOTE)}" for word in value)
        return [Cut(begin, content_end(document, node), f"{document.newline}{indent}".join(lines))]
    style = node.style if isinstance(node, ScalarNode) and node.style in ("'", '"') else None
    area = content_start(document, node), content_end(document, node)
    if isinstance(node, SequenceNode) and not node.flow_style:
        key = document.key_of(node)
        return [Cut(end(key) if key is not None else area[0], area[1], ": " + flow(value, style))]
    return replace_value(document, area, flow(value, style))


def remove_lines(document: Document, begin: int, stop: int) -> Cut:
    """The whole lines from one character to another."""
    first = document.line_start(begin)
    following = document.text.find("\n", stop)
    if following >= 0:
        return Cut(first, following + 1, "")
    # The last line of a file without a last line end: the line end before it goes instead.
    if first:
        first -= 2 if document.text[:first].endswith("\r\n") else 1
    return Cut(first, len(document.text), "")

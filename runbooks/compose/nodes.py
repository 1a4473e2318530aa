"""A YAML file as text with a node tree: where its nodes stand, in characters, bytes and lines.

The marks of the C composer count characters from after the byte order mark; edits are made in bytes. This is the only
place that knows the difference.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property
from itertools import accumulate
from typing import Any, cast

from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from inventory import composer
from inventory import text as yaml_text
from inventory.errors import InputError
from runbooks.compose.model import Place

BOM = b"\xef\xbb\xbf"
_ALIAS = re.compile(r"(?:[ \t\r\n]|#[^\n]*\n)*:?(?:[ \t\r\n]|#[^\n]*\n)*(\*[^\s,\[\]{}]+)")
_ITEM_ALIAS = re.compile(r"(?:[ \t\r\n,\[-]|#[^\n]*\n)*(\*[^\s,\[\]{}]+)")
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*(?:[ \t\r\n]|[ \t]#[^\n]*\n)+)+")


class Document:
    """One file: its bytes, its text without a byte order mark, and its root node (None: the file is empty)."""

    def __init__(self, path: str, data: bytes) -> None:
        """Raises InputError for what is not one YAML document in UTF-8."""
        self.path, self.data = path, data
        self.root: Node | None = _root(data, path)
        self.skipped = len(BOM) if data.startswith(BOM) else 0
        self.text = data[self.skipped :].decode("utf-8")

    @cached_property
    def newline(self) -> str:
        """What ends the first line, so that new lines end likewise."""
        first = self.text.find("\n")
        return "\r\n" if first > 0 and self.text[first - 1] == "\r" else "\n"

    @cached_property
    def _lines(self) -> tuple[list[int], list[int]] | None:
        """Offsets of the lines in characters and in bytes; None where the two are the same."""
        if self.text.isascii():
            return None
        lines = self.text.split("\n")
        chars = list(accumulate((len(line) + 1 for line in lines), initial=0))
        sizes = list(accumulate((len(line.encode()) + 1 for line in lines), initial=0))
        return chars, sizes

    @cached_property
    def _above(self) -> tuple[dict[int, ScalarNode], dict[int, MappingNode]]:
        """The key that each value is written under, and the mapping that each key stands in."""
        keys: dict[int, ScalarNode] = {}
        holders: dict[int, MappingNode] = {}
        todo: list[Node] = [self.root] if self.root is not None else []
        seen: set[int] = set()
        while todo:
            node = todo.pop()
            if type(node) is ScalarNode or id(node) in seen:
                continue
            seen.add(id(node))
            if not isinstance(node, MappingNode):
                todo += node.value
                continue
            for key, value in node.value:
                todo.append(value)
                if type(key) is ScalarNode:
                    holders[id(key)] = node
                    if value.start_mark.index >= key.end_mark.index:  # else an alias
                        keys[id(value)] = key
        return keys, holders

    def key_of(self, node: Node) -> ScalarNode | None:
        """The key that a value is written under; None for an item of a sequence and for the root."""
        return self._above[0].get(id(node))

    def mapping_of(self, key: ScalarNode) -> MappingNode | None:
        """The mapping that a key stands in."""
        return self._above[1].get(id(key))

    def byte(self, index: int) -> int:
        """The byte offset of a character."""
        if self._lines is None:
            return self.skipped + index
        chars, sizes = self._lines
        line = bisect_right(chars, index) - 1
        return self.skipped + sizes[line] + len(self.text[chars[line] : index].encode())

    def char(self, offset: int) -> int:
        """The character at a byte offset."""
        if self._lines is None:
            return offset - self.skipped
        chars, sizes = self._lines
        line = bisect_right(sizes, offset - self.skipped) - 1
        return chars[line] + len(self.data[self.skipped + sizes[line] : offset].decode("utf-8", "replace"))

    def line_start(self, index: int) -> int:
        return self.text.rfind("\n", 0, index) + 1

    def line_end(self, index: int) -> int:
        """The end of the line that a character stands on, before what ends it."""
        end = self.text.find("\n", index)
        if end < 0:
            return len(self.text)
        return end - 1 if end > index and self.text[end - 1] == "\r" else end

    def column(self, index: int) -> int:
        return index - self.line_start(index)

    def place(self, node: Node) -> Place:
        return Place(self.path, int(node.start_mark.line) + 1)

    def place_at(self, index: int) -> Place:
        return Place(self.path, self.text.count("\n", 0, index) + 1)


def _root(data: bytes, path: str) -> Node | None:
    """The root node. The C composer refuses a colon inside brackets (`[80:80]`) and an anchor that stands twice, which
    Compose takes: what it refuses is tried with the slow one."""
    try:
        return yaml_text.parse(data, path)
    except InputError as error:
        if not error.message.startswith("is not YAML"):
            raise
        from ruamel.yaml.error import YAMLError

        try:
            text = yaml_text.decode(data, path, yaml_text.LIMIT)
            root = composer.compose_slowly(text)
        except (YAMLError, ValueError, composer.TooDeep):
            raise error from None
        if root is not None:
            yaml_text.check_tree(root, path, text)
        return root


def start(node: Node) -> int:
    """Where a node begins, its anchor and tag included."""
    return int(node.start_mark.index)


def end(node: Node) -> int:
    """Where a node's event ends: exact for scalars in one line and flow collections, late for blocks."""
    return int(node.end_mark.index)


def is_alias(key: Node, value: Node) -> bool:
    """Whether a mapping's value stands elsewhere: an anchor always comes before its aliases."""
    return start(value) < end(key)


def alias_range(document: Document, after: int) -> tuple[int, int] | None:
    """Where the `*name` stands that follows a key (or a dash) which ends at `after`."""
    found = _ALIAS.match(document.text, after)
    return found.span(1) if found else None


def content_start(document: Document, node: Node) -> int:
    """Where a node begins after its anchor and tag."""
    found = _PROPERTIES.match(document.text, start(node))
    return found.end() if found else start(node)


def content_end(document: Document, node: Node) -> int:
    """Where a node's last character stands, comments and blank lines after it left out."""
    if isinstance(node, ScalarNode):
        return _scalar_end(document, node)
    if not isinstance(node, CollectionNode) or node.flow_style:
        return end(node)
    if not node.value:
        return start(node)
    if isinstance(node, MappingNode):
        return entry_end(document, *node.value[-1])
    return item_range(document, cast(SequenceNode, node), len(node.value) - 1)[1]


def entry_end(document: Document, key: Node, value: Node) -> int:
    """Where the last character of a mapping's entry stands, that of an alias included."""
    if is_alias(key, value):
        found = alias_range(document, end(key))
        return found[1] if found else end(key)
    return content_end(document, value)


def item_range(document: Document, sequence: SequenceNode, number: int) -> tuple[int, int]:
    """Where an item of a sequence stands, as it is written there: an alias is the `*name` itself."""
    item = sequence.value[number]
    if not is_item_alias(sequence, number):
        return start(item), content_end(document, item)
    after = item_range(document, sequence, number - 1)[1] if number else content_start(document, sequence)
    found = _ITEM_ALIAS.match(document.text, after)
    return found.span(1) if found else (after, after)


def is_item_alias(sequence: SequenceNode, number: int) -> bool:
    item = sequence.value[number]
    before = sequence.value[number - 1] if number else sequence
    return start(item) < start(sequence) or (number > 0 and start(item) <= start(before))


def _scalar_end(document: Document, node: ScalarNode) -> int:
    if node.style not in ("|", ">"):
        return end(node)
    header = document.text[content_start(document, node) : document.line_end(content_start(document, node))]
    if "+" in header.split("#")[0]:
        stop = end(node)
        stop -= document.text.endswith("\n", 0, stop)
        return stop - document.text.endswith("\r", 0, stop)
    stop = end(node)
    while stop > start(node) and document.text[stop - 1] in " \t\r\n":
        stop -= 1
    return stop


def entries(node: Node | None) -> list[tuple[ScalarNode, Node]]:
    """The entries of a mapping whose keys are scalars, in order, without merge keys."""
    if not isinstance(node, MappingNode):
        return []
    return [(key, value) for key, value in node.value if isinstance(key, ScalarNode) and not is_merge(key)]


def is_merge(key: Node) -> bool:
    return isinstance(key, ScalarNode) and key.value == "<<" and not key.style


def merged(node: MappingNode) -> list[MappingNode]:
    """The mappings that a mapping's `<<` bring in, the strongest first."""
    found: list[MappingNode] = []
    for key, value in node.value:
        if is_merge(key):
            options: list[Any] = value.value if isinstance(value, SequenceNode) else [value]
            found.extend(option for option in options if isinstance(option, MappingNode))
    return found

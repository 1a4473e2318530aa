"""A Compose file as a tree of values that remember their nodes: what merging, reading and editing all work on.

An `Item` is a scalar, a mapping or a sequence after interpolation. Merging two items makes a new one that keeps both as
its `layers`, so that whatever stands in the result can be followed to every place that had a part in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from inventory import text as yaml_text
from inventory.errors import InputError
from runbooks.compose import interpolation
from runbooks.compose.environment import Scope
from runbooks.compose.interpolation import BadTemplate
from runbooks.compose.nodes import Document, is_merge, merged

RESET, OVERRIDE = "!reset", "!override"
_TAGS = frozenset((RESET, OVERRIDE))
_COLLECTIONS = (dict, list)
_NO_KEYS: Mapping[str, Key] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One reading of a file: the file, what names mean in it, and the folder that its relative paths start from."""

    document: Document
    scope: Scope
    directory: str


class Key(NamedTuple):
    """A mapping's key: the key's node, and the mapping node that it stands in (another one when `<<` brought it)."""

    node: ScalarNode
    holder: MappingNode


class Item:
    """One value. `value` is a plain scalar, a dict of items, or a list of items.

    `source` and `node` say where it stands (for a merged item: its strongest layer). `keys` are a mapping's own and
    merged keys; `resets` and `overrides` the keys whose value an earlier file's is dropped for. `layers`: the items
    that were merged into this one, the weakest first; empty for an item that stands in one place.
    """

    resets: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    layers: tuple[Item, ...] = ()

    def __init__(self, value: Any, node: Node, source: Source) -> None:
        self.value = value
        # One of three kinds; which one is known by the kind of the value.
        self.node: Any = node
        self.source = source

    @cached_property
    def keys(self) -> Mapping[str, Key]:
        """Those of a mapping that stands in one place; whoever merges or drops any says so."""
        node = self.node
        if not isinstance(self.value, dict) or not isinstance(node, MappingNode):
            return _NO_KEYS
        return {key.value: Key(key, node) for key, _ in node.value}

    @property
    def parts(self) -> tuple[Item, ...]:
        """The items that each stand in one place: the layers, or this one."""
        return self.layers or (self,)

    def bad(self, key: str, message: str, mend: str) -> InputError:
        """An error at this item's line. `key` is the path of keys, as people write it: `services.web.ports`."""
        place = self.source.document.place(self.node)
        return InputError(message, mend=mend, path=place.path, line=place.line, key=key)


def build(source: Source) -> Item | None:
    """The tree of one file; None when the file is empty. Raises InputError for a value that cannot be interpolated."""
    root = source.document.root
    return None if root is None else _Builder(source).build(root)


def plain(item: Item, known: dict[int, Any] | None = None) -> Any:
    """The item as plain data. What is shared in the tree is shared in the data."""
    value = item.value
    if not isinstance(value, dict | list):
        return value
    known = {} if known is None else known
    found = known.get(id(item))
    if found is None:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        made = {key: plain(child, known) if type(child.value) in _COLLECTIONS else child.value for key, child in pairs}
        known[id(item)] = found = made if isinstance(value, dict) else list(made.values())
    return found


def walk(item: Item, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Item]]:
    """Every item with its path of keys; items of sequences go by their number."""
    yield path, item
    if isinstance(item.value, dict):
        for key, child in item.value.items():
            yield from walk(child, (*path, key))
    elif isinstance(item.value, list):
        for number, child in enumerate(item.value):
            yield from walk(child, (*path, str(number)))


class _Builder:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.known: dict[int, Item] = {}
        text = source.document.text
        # Hardly a file has these tags, and asking each node for its own is slow. `%TAG` could give them other names.
        self.tagged = "reset" in text or "override" in text or "%" in text
        self.merges = "<<" in text

    def build(self, node: Node) -> Item:
        if type(node) is ScalarNode:
            return self._scalar(node)
        found = self.known.get(id(node))
        if found is None:
            found = self._mapping(node) if isinstance(node, MappingNode) else self._sequence(node)
            self.known[id(node)] = found
        return found

    def _scalar(self, node: ScalarNode) -> Item:
        value = yaml_text.scalar(node)
        if type(value) is str and "$" in value:
            scope, place = self.source.scope, self.source.document.place(node)
            try:
                value = interpolation.substitute(value, scope.lookup, scope.warn(place))
            except BadTemplate as error:
                raise InputError(error.message, mend=error.mend, path=place.path, line=place.line) from None
        return Item(value, node, self.source)

    def _sequence(self, node: Node) -> Item:
        return Item([self.build(child) for child in node.value], node, self.source)

    def _mapping(self, node: MappingNode) -> Item:
        build = self.build
        if not self.tagged and not (self.merges and _has_merge(node)):
            scalar = self._scalar
            made = {key.value: (scalar if type(child) is ScalarNode else build)(child) for key, child in node.value}
            return Item(made, node, self.source)
        value: dict[str, Item] = {}
        keys: dict[str, Key] = {}
        item = Item(value, node, self.source)
        item.keys = keys
        for key, child in self._own(node, item, keys):
            name = key.value
            if self.tagged and child.tag in _TAGS and self._tagged(item, keys, name, child):
                continue
            value[name] = build(child)
            keys[name] = Key(key, node)
        return item

    def _own(self, node: MappingNode, item: Item, keys: dict[str, Key]) -> list[tuple[ScalarNode, Node]]:
        """A mapping's own entries; what its `<<` brings is put into the item. Raises InputError for other keys."""
        own: list[tuple[ScalarNode, Node]] = []
        merges = False
        for key, child in node.value:
            if not isinstance(key, ScalarNode):
                raise self._bad(key, "a key is a list or a mapping", "write a name")
            if is_merge(key):
                if merges:  # Ansible's readers take two; Compose's does not.
                    raise self._bad(key, "<< stands twice in one mapping", "write <<: [*one, *other]")
                merges = True
                sources = child.value if isinstance(child, SequenceNode) else [child]
                if not all(isinstance(each, MappingNode) for each in sources):
                    raise self._bad(key, "<< merges only mappings", "name the anchor of a mapping")
            else:
                own.append((key, child))
        if merges:
            self._merge(item, keys, merged(node))
        return own

    def _merge(self, item: Item, keys: dict[str, Key], lower: list[MappingNode]) -> None:
        """What `<<` brings; the mapping's own keys are laid over it."""
        for node in reversed(lower):
            below = self.build(node)
            item.value.update(below.value)
            keys.update(below.keys)
            item.resets += below.resets
            item.overrides += below.overrides

    def _tagged(self, item: Item, keys: dict[str, Key], name: str, child: Node) -> bool:
        """Notes a key that drops what earlier files say; whether it has no value of its own."""
        if child.tag == OVERRIDE:
            item.overrides += (name,)
            return False
        item.resets += (name,)
        item.value.pop(name, None)
        keys.pop(name, None)
        return True

    def _bad(self, node: Node, message: str, mend: str) -> InputError:
        place = self.source.document.place(node)
        return InputError(message, mend=mend, path=place.path, line=place.line)


def _has_merge(node: MappingNode) -> bool:
    return any(key.value == "<<" for key, _ in node.value)

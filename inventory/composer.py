"""Node trees of ruamel.yaml's C composer, and of its slow one, without what guesses at types from texts.

ruamel.yaml tries every plain scalar against the patterns of YAML 1.1 or 1.2 to give it a tag: three quarters of the time that
composing takes. Compose has rules of its own (`text.scalar`), so a plain scalar without a tag just says that it is one.
"""

from __future__ import annotations

import operator
import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.cyaml import CParser  # type: ignore[attr-defined]
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.tag import Tag

DEPTH = 100
"""Collections within each other: far more than any file has, far fewer than exhaust the stack."""
_WIDE = re.compile(r"\n[ \t?:-]{30}")
"""A line whose margin, with the marks that begin blocks within blocks (`- - - `), is wide: a block begins no further left
than there are blocks around it, less one or two."""
_OTHER_ENDS = frozenset("\x85\u2028\u2029")
PLAIN = Tag(suffix="?")
"""YAML's own word for the tag of a plain scalar that has none."""
TEXT = Tag(suffix="tag:yaml.org,2002:str")
_MAPPING = Tag(suffix="tag:yaml.org,2002:map")
_SEQUENCE = Tag(suffix="tag:yaml.org,2002:seq")


class TooDeep(Exception):
    """Nesting beyond DEPTH, at a line counted from 1. It is found while composing, before it can exhaust the stack."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _Untold:
    """What composers ask for the tag of a node that has none, and tell where they are: nothing here depends on it."""

    # Functions in C that take what these two are told and do nothing with it: they are called for every node.
    descend_resolver: Any = staticmethod(operator.is_)
    ascend_resolver: Any = staticmethod(tuple)

    def resolve(self, kind: type, _value: Any, implicit: Any) -> Tag:
        if kind is ScalarNode:
            return PLAIN if implicit[0] else TEXT
        return _MAPPING if kind is MappingNode else _SEQUENCE


class _Measured(_Untold):
    """The same, for a text that may be nested too deeply: counting costs a fifth of the time."""

    depth = 0
    above: Any = None

    def descend_resolver(self, parent: Any, _index: Any) -> None:
        self.depth += 1
        if self.depth >= DEPTH:
            self.above = parent
            self._bounded(DEPTH + 1)

    def ascend_resolver(self) -> None:
        self.depth -= 1

    def resolve(self, kind: type, value: Any, implicit: Any) -> Tag:
        if kind is not ScalarNode:
            self._bounded(DEPTH)
        return super().resolve(kind, value, implicit)

    def _bounded(self, most: int) -> None:
        if self.depth > most:
            raise TooDeep(int(self.above.start_mark.line) + 1)


class _Reader(_Untold, CParser):  # type: ignore[misc]
    pass


class _MeasuredReader(_Measured, CParser):  # type: ignore[misc]
    pass


class _SlowResolver(_Measured, VersionedResolver):
    pass


def compose(text: str) -> Node | None:
    """The root node of one document, None when it is empty. Raises ruamel.yaml's errors, ValueError and TooDeep."""
    reader = (_MeasuredReader if _may_be_deep(text) else _Reader)(text)
    try:
        root: Node | None = reader.get_single_node()
    finally:
        reader.dispose()
    return root


def _may_be_deep(text: str) -> bool:
    """Whether a text has so many brackets, or so wide a margin, as deep nesting takes."""
    if text.count("[") + text.count("{") > DEPTH or _WIDE.search(text) or _WIDE.match("\n" + text[:40]):
        return True
    # YAML has other line ends; who uses them is measured.
    return text.count("\r") != text.count("\r\n") or (not text.isascii() and not _OTHER_ENDS.isdisjoint(text))


def compose_slowly(text: str) -> Node | None:
    """The same by ruamel.yaml's own scanner and parser, which take a colon inside brackets (`[80:80]`). An anchor may
    stand twice: an alias means the last one before it. Raises as `compose` does."""
    reader = YAML(typ="safe", pure=True)
    reader.Resolver = _SlowResolver
    reader.composer.warn_double_anchors = False
    root: Node | None = reader.compose(text)
    return root


def is_text(node: ScalarNode) -> bool:
    """Whether a scalar is a text whatever it looks like: it is quoted, a block, or tagged so."""
    return bool(node.style) or (node.ctag is not PLAIN and str(node.tag) == "tag:yaml.org,2002:str")

"""Node trees of ruamel.yaml's C composer, and of its slow one, without what guesses at types from texts.

ruamel.yaml tries every plain scalar against the patterns of YAML 1.1 or 1.2 to give it a tag: three quarters of the time that
composing takes. Compose has rules of its own (`text.scalar`), so a plain scalar without a tag just says that it is one.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.cyaml import CParser
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.tag import Tag

PLAIN = Tag(suffix="?")
"""YAML's own word for the tag of a plain scalar that has none."""
TEXT = Tag(suffix="tag:yaml.org,2002:str")
_MAPPING = Tag(suffix="tag:yaml.org,2002:map")
_SEQUENCE = Tag(suffix="tag:yaml.org,2002:seq")


class _Untold:
    """What composers ask for the tag of a node that has none, and tell where they are: nothing here depends on it."""

    def descend_resolver(self, _parent: Any, _index: Any) -> None:
        pass

    def ascend_resolver(self) -> None:
        pass

    def resolve(self, kind: type, _value: Any, implicit: Any) -> Tag:
        if kind is ScalarNode:
            return PLAIN if implicit[0] else TEXT
        return _MAPPING if kind is MappingNode else _SEQUENCE


class _Reader(_Untold, CParser):  # type: ignore[misc]
    pass


class _SlowUntold(_Untold, VersionedResolver):  # type: ignore[misc]
    pass


def compose(text: str) -> Node | None:
    """The root node of one document, None when it is empty. Raises ruamel.yaml's errors, and ValueError."""
    reader = _Reader(text)
    try:
        root: Node | None = reader.get_single_node()
    finally:
        reader.dispose()
    return root


def compose_slowly(text: str) -> Node | None:
    """The same by ruamel.yaml's own scanner and parser, which take a colon inside brackets (`[80:80]`). An anchor may
    stand twice: an alias means the last one before it. Raises as `compose` does."""
    reader = YAML(typ="safe", pure=True)
    reader.Resolver = _SlowUntold
    reader.composer.warn_double_anchors = False
    root: Node | None = reader.compose(text)
    return root


def is_text(node: ScalarNode) -> bool:
    """Whether a scalar is a text whatever it looks like: it is quoted, a block, or tagged so."""
    return bool(node.style) or (node.ctag is not PLAIN and str(node.tag) == "tag:yaml.org,2002:str")

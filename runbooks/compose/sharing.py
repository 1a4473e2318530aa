"""Who uses a node: the places in the resolved project that would change if a node's text did."""

from __future__ import annotations

from ruamel.yaml.nodes import Node

from runbooks.compose.assemble import Assembly
from runbooks.compose.tree import Item

Path = tuple[str, ...]


_SHARES = (b"&", b"extends", b"include")


def _may_share(assembly: Assembly) -> bool:
    """Whether a node can have a part in two places at all. Without anchors, `extends` and `include` none can."""
    return any(word in document.data for document in assembly.documents.values() for word in _SHARES)


class Users:
    """For each node of a project, the paths of keys that it has a part in. Top-level `x-` does not count.

    Where nothing is shared, no node has any paths.
    """

    def __init__(self, assembly: Assembly) -> None:
        self._paths: dict[int, set[Path]] = {}
        if assembly.root is not None and _may_share(assembly):
            for key, child in assembly.root.value.items():
                if not key.startswith("x-"):
                    self._visit(child, (key,))

    def of(self, node: Node) -> set[Path]:
        """The paths of a node."""
        return self._paths.get(id(node), set())

    def services(self, node: Node) -> set[str]:
        """The services that a node has a part in; a top-level section counts by its name in brackets."""
        return {path[1] if path[0] == "services" and len(path) > 1 else f"({path[0]})" for path in self.of(node)}

    def _visit(self, item: Item, path: Path) -> None:
        for part in item.parts:
            self._add(part.node, path)
            for holder in {id(key.holder): key.holder for key in part.keys.values()}.values():
                self._add(holder, path)
        if isinstance(item.value, dict):
            for key, child in item.value.items():
                self._visit(child, (*path, key))
        elif isinstance(item.value, list):
            for number, child in enumerate(item.value):
                self._visit(child, (*path, str(number)))

    def _add(self, node: Node, path: Path) -> None:
        self._paths.setdefault(id(node), set()).add(path)

"""Plans the edits of `healthcheck`: keys that are set where they stand, or added, or a section of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node

from runbooks.compose import layout
from runbooks.compose.desk import Blocked, Desk, direct, raw_entries, write_section
from runbooks.compose.intent import Meaning
from runbooks.compose.layout import Cut, Value
from runbooks.compose.nodes import alias_range, end, is_alias, start
from runbooks.compose.operations import SetHealthCheck
from runbooks.compose.tree import Item

SECTION = "healthcheck"
_ORDER = ("test", "interval", "timeout", "retries", "start_period", "start_interval")


class HealthPlanner:
    """Plans all health-check operations of one attempt."""

    def __init__(self, desk: Desk, before: Meaning) -> None:
        self.desk, self.before = desk, before
        self.wanted: dict[str, dict[str, Any]] = {}
        self.numbers: dict[str, list[int]] = {}
        self.covered: set[tuple[str, str]] = set()
        self.agreed: dict[tuple[int, str], bool] = {}

    def plan(self, operations: Mapping[int, SetHealthCheck]) -> None:
        for number, operation in operations.items():
            service = operation.service
            merged = self.wanted.setdefault(service, dict(self.before.health[service] or {}))
            merged.update(
                {key: list(value) if isinstance(value, tuple) else value for key, value in operation.settings.items()}
            )
            self.numbers.setdefault(service, []).append(number)
        for service in sorted(self.wanted, key=self._weight):
            try:
                self._service(service)
            except Blocked as blocked:
                self.desk.block(self.numbers[service], blocked)

    def _weight(self, service: str) -> int:
        return -len(self.desk.users.of(self.desk.assembly.owns[service][0].item.node))

    def _service(self, service: str) -> None:
        now, then = self.before.health[service] or {}, self.wanted[service]
        changed = [key for key in sorted(then, key=_rank) if key not in now or now[key] != then[key]]
        if not changed:
            return
        check = self.desk.stack.services[service].health_check
        if check is not None and check.disabled and "test" not in changed:
            raise Blocked(check.place, "the health check is switched off here", "take disable out, or leave it so")
        item = self.desk.section(service, SECTION)
        mine = not self.desk.own.isdisjoint(self.numbers[service])
        left = [key for key in changed if mine or not self._here(service, key, item)]
        if left:
            self._own(service, left)

    def _here(self, service: str, key: str, item: Item | None) -> bool:
        """Plans a key where it stands, or where its neighbours do; False when others share that place."""
        if item is None:
            return False
        numbers, then = self.numbers[service], self.wanted[service][key]
        part = next((part for part in reversed(item.parts) if key in (part.value or {})), None)
        if part is not None:
            child, name = part.value[key], part.keys[key].node
            document = child.source.document
            if self._agreed(child.node, key):
                self.desk.put(document, layout.in_place(document, child.node, _written(key, then)), numbers)
                return True
            area = alias_range(document, end(name)) if is_alias(name, child.node) else None
            if area is None or part.keys[key].holder is not part.node or not self._agreed(part.node, key):
                return False
            self.desk.put(document, [Cut(*area, layout.flow(_written(key, then), None))], numbers)
            return True
        container = self._container(service, key, item)
        if container is None:
            return False
        document = container.source.document
        above = document.key_of(container.node)
        shape = layout.form(document, container.node, document.column(start(above)) if above is not None else 0)
        self.desk.put(document, layout.add_entry(document, container.node, key, _written(key, then), shape), numbers)
        return True

    def _container(self, service: str, key: str, item: Item) -> Item | None:
        mine = [own.item.value[SECTION] for own in self.desk.assembly.owns[service] if direct(own, SECTION)]
        for part in item.parts:
            filled = isinstance(part.node, MappingNode) and part.node.value
            shared = any(part is found for found in mine)
            if filled and self._agreed(part.node, key) and (shared or not mine):
                return part
        return None

    def _agreed(self, node: Node, key: str) -> bool:
        """Whether everything that uses a node is meant to get the same value."""
        asked = (id(node), key)
        if asked not in self.agreed:
            self.agreed[asked] = self._agrees(node, key)
        return self.agreed[asked]

    def _agrees(self, node: Node, key: str) -> bool:
        wanted: list[Any] = []
        for path in self.desk.users.of(node):
            if path[0] != "services" or len(path) < 3 or path[2] != SECTION or path[1] not in self.wanted:
                return False
            if len(path) > 3 and path[3] != key:
                return False
            wanted.append(self.wanted[path[1]].get(key))
        return all(value == wanted[0] for value in wanted)

    def _own(self, service: str, keys: list[str]) -> None:
        then, numbers = self.wanted[service], self.numbers[service]
        keys = [key for key in keys if (service, key) not in self.covered]
        if not keys:
            return
        changes = {key: _written(key, then[key]) for key in keys}

        def whole(below: Item) -> Mapping[str, Value]:
            return {**raw_entries(below), **changes}

        def agrees(other: str) -> bool:
            return other in self.wanted and all(self.wanted[other].get(key) == then[key] for key in keys)

        served = write_section(self.desk, service, SECTION, changes, whole, numbers, agrees)
        self.covered.update((other, key) for other in served for key in keys)


def _rank(key: str) -> tuple[int, str]:
    return (_ORDER.index(key) if key in _ORDER else len(_ORDER), key)


def _written(key: str, value: Any) -> Value:
    """A setting as Compose needs it: a dollar is doubled."""
    if isinstance(value, list):
        return tuple(str(word).replace("$", "$$") for word in value)
    if isinstance(value, str) and key == "test":
        return value.replace("$", "$$")
    return value  # type: ignore[no-any-return]

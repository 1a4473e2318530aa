"""A service's environment, resolved as Compose would, each value with the bytes that its pieces came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from ruamel.yaml.nodes import ScalarNode

from inventory import composer
from runbooks.compose import environment, interpolation, origins
from runbooks.compose.assemble import Assembly, Reader, at, no_file
from runbooks.compose.environment import Bound
from runbooks.compose.model import Place, Span, Variable
from runbooks.compose.scalars import traced
from runbooks.compose.tree import Item
from runbooks.compose.units import as_text, boolean

_BARE = re.compile(rb"(?m)^[^=:#\n]*[^=:#\s][^=:#\n]*$")
"""A name without a value: it depends on what else is known."""


class EnvFiles:
    """The project's `env_file`s, each read once as long as it refers to nothing."""

    def __init__(self, reader: Reader, assembly: Assembly) -> None:
        self.reader, self.assembly = reader, assembly
        self._fixed: dict[str, dict[str, Bound]] = {}

    def read(self, path: str, data: bytes, known: Mapping[str, Bound], *, raw: bool) -> dict[str, Bound]:
        """A file's variables."""
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed
        found: dict[str, Bound] = {}
        entries = environment.read(data, path, known, found, raw=raw)
        self.assembly.env_entries.setdefault(path, entries)
        if b"$" not in data and not _BARE.search(data):
            self._fixed[path] = found
        return found


def variables(
    service: str, parts: Mapping[str, Item], assembly: Assembly, env_files: EnvFiles, *, active: bool
) -> dict[str, Variable]:
    """A service's variables: those of its env files, then its own, which win.

    Raises InputError for an env file that is required and absent (of an active service), and for wrong types.
    """
    own = _environment(service, parts.get("environment"))
    listed = parts.get("env_file")
    if listed is None or listed.value is None:
        return own
    found: dict[str, Bound] = {}
    for path, required, raw, place in _files(service, listed):
        data = env_files.reader.bytes(path)
        if data is not None:
            # What earlier files say goes before the project's own names, and those before this file's.
            found |= env_files.read(path, data, {**assembly.scope.bound, **found}, raw=raw)
        elif required and active and not env_files.reader.exploring:
            raise no_file(path, place, "env_file")
    return {**{name: _given(name, bound, listed) for name, bound in found.items()}, **own}


def _given(name: str, bound: Bound, listed: Item) -> Variable:
    place = bound.place or listed.source.document.place(listed.node)
    return Variable(name, bound.value, bound.value, place, "env_file", lambda: bound.spans)


def _files(service: str, listed: Item) -> list[tuple[str, bool, bool, Place]]:
    """The env files of a service: path, whether it must be there, whether it is raw, and where it is named."""
    key = f"services.{service}.env_file"
    found = []
    for entry in listed.value if isinstance(listed.value, list) else [listed]:
        if isinstance(entry.value, dict):
            path, required, form = (entry.value.get(name) for name in ("path", "required", "format"))
        else:
            path, required, form = entry, None, None
        if path is None or not isinstance(path.value, str):
            raise entry.bad(key, "names no path", "write path: FILE.env")
        must = True if required is None else boolean(required.value) is not False
        raw = form is not None and form.value == "raw"
        place = entry.source.document.place(entry.node)
        found.append((at(path.source.directory, path.value), must, raw, place))
    return found


def _environment(service: str, item: Item | None) -> dict[str, Variable]:
    key = f"services.{service}.environment"
    if item is None or item.value is None:
        return {}
    if isinstance(item.value, dict):
        return {name: _variable(name, child, key, listed=name not in item.keys) for name, child in item.value.items()}
    if not isinstance(item.value, list):
        raise item.bad(key, "must be a list or a mapping", "write NAME: VALUE under it")
    found = {}
    for element in item.value:
        if not isinstance(element.value, str):
            raise element.bad(key, "must be a list of NAME=VALUE", "write - NAME=VALUE")
        name = str(element.value).partition("=")[0]
        found[name] = _variable(name, element, key, listed=True)
    return found


def _variable(name: str, item: Item, key: str, *, listed: bool) -> Variable:
    if isinstance(item.value, dict | list):
        raise item.bad(f"{key}.{name}", "must be a text", f"write {name}: VALUE")
    node = item.node
    if not isinstance(node, ScalarNode):
        raise item.bad(f"{key}.{name}", "must be a text", f"write {name}: VALUE")
    template: str = node.value
    place = item.source.document.place(node)
    if listed:
        text = _substituted(item, template)
        bare, equals, _ = text.partition("=")
        if not equals:
            return _passed(name, item, place)
        skip = len(bare) + 1
        raw = template.partition("=")[2]
        return Variable(name, text[skip:], raw, place, "environment", partial(_spans, item, template, skip, len(text)))
    if "$" in template:
        return Variable(name, item.value, template, place, "environment", partial(_spans, item, template))
    value = template if composer.is_text(node) else as_text(template)
    if value is None:
        return _passed(name, item, place)
    trace = partial(_spans, item, template) if value == template else partial(_as_one, item, len(value))
    return Variable(name, value, template, place, "environment", trace)


def _substituted(item: Item, template: str) -> str:
    return interpolation.substitute(template, item.source.scope.lookup) if "$" in template else template


def _spans(item: Item, template: str, start: int = 0, end: int | None = None) -> tuple[Span, ...]:
    """Where characters `start:end` of a template's value come from."""
    document, scope = item.source.document, item.source.scope
    spans = origins.spans(traced(document, item.node), document.text, document.path, document.byte)
    if "$" in template:
        parts = interpolation.pieces(template, scope.lookup)
        names = {part.name for part in parts if part.kind == "variable"}
        bound = {name: found.spans for name in names if (found := scope.bound.get(name))}
        spans = origins.follow(parts, spans, bound)[1]
    return spans if end is None else tuple(origins.clip(spans, start, end))


def _passed(name: str, item: Item, place: Place) -> Variable:
    """A name without a value: Compose takes it from the shell or the project's env files."""
    bound = item.source.scope.bound.get(name)
    if bound is None:
        return Variable(name, None, "", place, "environment")
    return Variable(name, bound.value, "", place, "environment", partial(_referred, item, bound))


def _referred(item: Item, bound: Bound) -> tuple[Span, ...]:
    (only,) = _as_one(item, 1)
    reference = (only.path, only.from_byte, only.to_byte)
    return tuple(replace(span, reference=reference) for span in bound.spans)


def _as_one(item: Item, length: int) -> tuple[Span, ...]:
    document, node = item.source.document, item.node
    begin, stop = document.byte(int(node.start_mark.index)), document.byte(int(node.end_mark.index))
    return (Span(0, length, document.path, begin, stop, False),) if length else ()

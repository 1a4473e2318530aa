"""Puts a project's files together as one tree: env files, several files, `include` and `extends`.

The order is Compose's: each file is interpolated, then what it includes is brought in, then its services are extended,
then it is laid over the files before it. Source: compose-go, `loader`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from inventory.errors import InputError
from runbooks.compose import environment
from runbooks.compose.environment import Bound, Entry, Scope
from runbooks.compose.merge import merge
from runbooks.compose.model import Place, ProjectSpec
from runbooks.compose.nodes import Document
from runbooks.compose.tree import Item, Key, Source, build

_SECTIONS = ("services", "volumes", "networks", "secrets", "configs", "models")


class Own(NamedTuple):
    """A place where a service is itself written: its item there (before `extends`) and its name's key."""

    item: Item
    key: Key


@dataclass
class Assembly:
    """A project as one tree. `owns`: the places where a service is itself written, in the order of the files.

    `shares`: whether anything in it may stand for more than one place (an alias, `extends`, a file included twice).
    `env_entries`: the statements of each env file that was read.
    """

    spec: ProjectSpec
    files: Mapping[str, bytes]
    scope: Scope
    root: Item | None = None
    owns: dict[str, list[Own]] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)
    env_entries: dict[str, list[Entry]] = field(default_factory=dict)

    @property
    def services(self) -> Mapping[str, Item]:
        """The services by name."""
        found = self.root.value.get("services") if self.root is not None else None
        return found.value if found is not None and isinstance(found.value, dict) else {}


class Reader:
    """Hands out the project's files, and remembers which were asked for and are not there yet."""

    def __init__(
        self, files: Mapping[str, bytes], absent: frozenset[str], known: Mapping[str, Document], *, exploring: bool
    ) -> None:
        """`known` are documents of an earlier reading. `exploring`: a file that is not there yet counts as empty."""
        self.files, self.absent = files, absent
        self.known, self.exploring = known, exploring
        self.documents: dict[str, Document] = {}
        self.missing: dict[str, None] = {}
        self.used: set[str] = set()

    def bytes(self, path: str) -> bytes | None:
        """A file's bytes; None when it is not there."""
        found = self.files.get(path)
        if found is not None:
            self.used.add(path)
        elif path not in self.absent:
            self.missing[path] = None
        return found

    def document(self, path: str, wanted_by: Place | None, what: str) -> Document:
        """A YAML file. Raises InputError when it is not there."""
        found = self.documents.get(path)
        if found is not None:
            return found
        data = self.bytes(path)
        if data is None and self.exploring:
            return Document(path, b"")
        if data is None:
            raise no_file(path, wanted_by, what)
        before = self.known.get(path)
        self.documents[path] = before if before is not None and before.data == data else Document(path, data)
        return self.documents[path]


def no_file(path: str, wanted_by: Place | None, what: str) -> InputError:
    """The error for a file that a project names and that is not there."""
    if wanted_by is None:
        return InputError("there is no such file", mend="check the name and the folder", path=path)
    return InputError(
        f"{what} names {path}, which is not there", mend="mend the path, or create the file",
        path=wanted_by.path, line=wanted_by.line,
    )  # fmt: skip


def at(directory: str, path: str) -> str:
    """A path as Compose resolves it: relative ones from a folder."""
    return posixpath.normpath(posixpath.join(directory, path))


def assemble(spec: ProjectSpec, reader: Reader) -> Assembly:
    """The whole project as one tree. Raises InputError for what Compose would refuse to read."""
    made = Assembly(spec, reader.files, Scope({}))
    made.scope.bound = _project_environment(spec, reader, made)
    if not spec.compose_files:
        raise InputError("no Compose file is named", mend="name one with compose_files or --file")
    assembler = _Assembler(reader, made)
    paths = [at(spec.directory, path) for path in spec.compose_files]
    made.root = assembler.files(paths, spec.directory, made.scope, (), None)
    made.documents = reader.documents
    return made


def _project_environment(spec: ProjectSpec, reader: Reader, made: Assembly) -> Mapping[str, Bound]:
    known = environment.shell({**spec.environment, "COMPOSE_PROJECT_NAME": spec.name})
    found: dict[str, Bound] = {}
    for name in spec.env_files:
        path = at(spec.directory, name)
        data = reader.bytes(path)
        if data is None and name != ".env" and path in reader.absent:
            raise no_file(path, None, "")
        if data is not None:
            made.env_entries[path] = environment.read(data, path, known, found)
    return {**found, **known}


class _Assembler:
    def __init__(self, reader: Reader, made: Assembly) -> None:
        self.reader, self.made = reader, made

    def files(
        self, paths: list[str], directory: str, scope: Scope, trail: tuple[str, ...], wanted_by: Place | None
    ) -> Item | None:
        """Several files, each laid over those before it."""
        whole: Item | None = None
        for path in paths:
            document = self.reader.document(path, wanted_by, "include")
            root = build(Source(document, scope, directory))
            if root is None or root.value is None:
                continue
            if not isinstance(root.value, dict):
                raise root.bad("", "a Compose file must be a mapping", "start it with services:")
            root = self._included(root, (*trail, path))
            root = self._extended(root, path)
            whole = root if whole is None else merge(whole, root, ())
        return whole

    # include

    def _included(self, root: Item, trail: tuple[str, ...]) -> Item:
        self._remember_owns(root)
        includes = root.value.get("include")
        if includes is None or includes.value is None:
            return root
        if not isinstance(includes.value, list):
            raise includes.bad("include", "must be a list", "write - path.yml under it")
        made = _copy(root)
        del made.value["include"]
        for number, entry in enumerate(includes.value):
            model = self._include(entry, f"include[{number}]", trail)
            if model is not None:
                made = _imported(model, made)
        return made

    def _include(self, entry: Item, key: str, trail: tuple[str, ...]) -> Item | None:
        source, value = entry.source, entry.value if isinstance(entry.value, dict) else {"path": entry}
        place = source.document.place(entry.node)
        names = _texts(value.get("path"), entry, f"{key}.path")
        if not names:
            raise entry.bad(key, "names no path", "write path: other.yml")
        paths = [at(source.directory, name) for name in names]
        if paths[0] in trail:
            raise entry.bad(key, f"includes {names[0]}, which includes this file", "break the circle")
        folder = value.get("project_directory")
        directory = at(source.directory, str(folder.value)) if folder is not None else posixpath.dirname(paths[0])
        bound = self._include_environment(value.get("env_file"), entry, directory, key)
        scope = Scope(bound, self.made.scope.unset)
        return self.files(paths, directory, scope, trail, place)

    def _include_environment(self, names: Item | None, entry: Item, directory: str, key: str) -> Mapping[str, Bound]:
        known = entry.source.scope.bound
        found: dict[str, Bound] = {}
        given = _texts(names, entry, f"{key}.env_file")
        paths = [at(entry.source.directory, name) for name in given if name != "/dev/null"]
        for path in paths or [at(directory, ".env")] if not given or paths else []:
            data = self.reader.bytes(path)
            if data is not None:
                self.made.env_entries[path] = environment.read(data, path, known, found)
            elif paths and path in self.reader.absent:
                raise no_file(path, entry.source.document.place(entry.node), "env_file")
        return {**found, **known}

    # extends

    def _remember_owns(self, root: Item) -> None:
        for name, item in _services(root).items():
            own = Own(item, root.value["services"].keys[name])
            self.made.owns.setdefault(name, []).append(own)

    def _extended(self, root: Item, path: str) -> Item:
        services = _services(root)
        if not any(isinstance(item.value, dict) and "extends" in item.value for item in services.values()):
            return root
        made = _copy(root)
        section = _copy(root.value["services"])
        section.value = {name: self._service(name, services, path, ()) for name in services}
        made.value["services"] = section
        return made

    def _service(self, name: str, services: dict[str, Item], path: str, trail: tuple[tuple[str, str], ...]) -> Item:
        item = services[name]
        extends = item.value.get("extends") if isinstance(item.value, dict) else None
        if extends is None:
            return item
        key = f"services.{name}.extends"
        if (path, name) in trail:
            raise extends.bad(key, f"service {name} extends itself", "break the circle")
        own = _copy(item)
        del own.value["extends"]
        base = self._base(extends, key, services, path, (*trail, (path, name)))
        return own if base is None or base.value is None else merge(base, own, ("services", name))

    def _base(
        self, extends: Item, key: str, services: dict[str, Item], path: str, trail: tuple[tuple[str, str], ...]
    ) -> Item | None:
        value = extends.value
        given = value if isinstance(value, dict) else {"service": extends}
        named, file = given.get("service"), given.get("file")
        if named is None or not isinstance(named.value, str):
            raise extends.bad(key, "names no service", "write service: NAME")
        if file is not None and file.value is not None:
            source = extends.source
            path = at(source.directory, str(file.value))
            document = self.reader.document(path, source.document.place(file.node), "extends")
            root = build(Source(document, source.scope, posixpath.dirname(path)))
            services = _services(root) if root is not None else {}
        if named.value not in services and self.reader.exploring:
            return None
        if named.value not in services:
            raise extends.bad(key, f"there is no service {named.value} in {path}", "name one that is there")
        return self._service(named.value, services, path, trail)


def _services(root: Item) -> dict[str, Item]:
    """A file's services. Raises InputError where they are not mappings."""
    if not isinstance(root.value, dict):
        raise root.bad("", "a Compose file must be a mapping", "start it with services:")
    section = root.value.get("services")
    if section is None:
        return {}
    if not isinstance(section.value, dict):
        raise section.bad("services", "must be a mapping of services", "write NAME: under it, indented")
    for name, item in section.value.items():
        if not isinstance(item.value, dict) and item.value is not None:
            raise item.bad(f"services.{name}", "must be a mapping", "write image: under it, indented")
    return dict(section.value)


def _imported(model: Item, into: Item) -> Item:
    """What is included lies under what the including file says itself."""
    made = _copy(into)
    for section in _SECTIONS:
        lower = model.value.get(section)
        if lower is None or lower.value is None:
            continue
        upper = made.value.get(section)
        if upper is None or upper.value is None:
            made.value[section] = lower
        else:
            made.value[section] = merge(lower, upper, (section,))
            # The including file's services come first, as it is the one that people read first.
            names = {**upper.value, **lower.value}
            merged = made.value[section].value
            made.value[section].value = {name: merged[name] for name in names if name in merged}
    return made


def _copy(item: Item) -> Item:
    made = Item(dict(item.value), item.node, item.source)
    made.keys, made.resets, made.overrides, made.layers = item.keys, item.resets, item.overrides, item.layers
    return made


def _texts(item: Item | None, entry: Item, key: str) -> list[str]:
    """A string or a list of strings."""
    if item is None or item.value is None:
        return []
    elements = item.value if isinstance(item.value, list) else [item]
    for element in elements:
        if not isinstance(element.value, str):
            raise entry.bad(key, "must be a path or a list of paths", "write the path of a file")
    return [element.value for element in elements]

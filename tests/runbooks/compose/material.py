"""What the tests of the Compose model share: stacks from text, the cases under `cases/`, the public corpus."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from runbooks.compose import project
from runbooks.compose.model import ProjectSpec, Stack
from runbooks.compose.operations import (
    AddDependency,
    AddResource,
    AddService,
    Operation,
    ReferText,
    RemoveDependency,
    RemoveSetting,
    ReplaceText,
    SetCondition,
    SetHealthCheck,
    SetSetting,
    SetVariable,
)

ROOT = "/srv/app"
KINDS: dict[str, Any] = {
    "set_condition": SetCondition,
    "add_dependency": AddDependency,
    "remove_dependency": RemoveDependency,
    "set_health_check": SetHealthCheck,
    "set_variable": SetVariable,
    "remove_setting": RemoveSetting,
    "add_service": AddService,
    "add_resource": AddResource,
}


def stack_of(files: Mapping[str, str | bytes], **spec: Any) -> Stack:
    """A stack from files of one project folder. The Compose files are those that end in `compose.yml`, in order."""
    data = {f"{ROOT}/{name}": text if isinstance(text, bytes) else text.encode() for name, text in files.items()}
    spec.setdefault("compose_files", tuple(name for name in files if name.endswith("compose.yml")))
    return project.load(ProjectSpec(ROOT, "app", **spec), data, frozenset())


def operation_of(stack: Stack, written: Mapping[str, Any]) -> Operation:
    """An operation from its notation in a case: `{set_condition: {service: web, ...}}`."""
    ((kind, fields),) = written.items()
    if kind == "replace":
        value = stack.services[fields["service"]].environment[fields["variable"]].value or ""
        begin = value.index(fields["find"])
        end = begin + len(fields["find"])
        at = fields.get("at", "origin")
        return ReplaceText(fields["service"], fields["variable"], begin, end, fields["text"], at=at)
    if kind == "refer":
        value = stack.services[fields["service"]].environment[fields["variable"]].value or ""
        begin, text = value.index(fields["find"]), fields.get("text", fields["find"])
        end = begin + len(fields["find"])
        return ReferText(fields["service"], fields["variable"], begin, end, text, fields["name"])
    if kind == "set_health_check":
        settings = {
            key: tuple(value) if isinstance(value, list) else value for key, value in fields["settings"].items()
        }
        return SetHealthCheck(fields["service"], settings)
    if kind == "set_setting":
        value = tuple(fields["value"]) if isinstance(fields["value"], list) else fields["value"]
        return SetSetting(fields["service"], tuple(fields["path"].split("/")), value)
    made: Operation = KINDS[kind](**fields)
    return made


class Case:
    """A folder of `cases/`: `before/` and `after/` (what differs), and `case.yml` with the operations."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.described: Mapping[str, Any] = YAML(typ="safe").load((folder / "case.yml").read_bytes())
        self.before = files_of(folder / "before")
        self.after = files_of(folder / "after")
        spec = {key: self.described[key] for key in ("environment",) if key in self.described}
        for key in ("compose_files", "env_files", "profiles"):
            if key in self.described:
                spec[key] = tuple(self.described[key])
        self.stack = stack_of(self.before, **spec)
        self.operations = tuple(operation_of(self.stack, written) for written in self.described["operations"])
        self.refused: list[str] = self.described.get("refused", [])


def files_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder by their relative paths."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


CASES = sorted(path.parent for path in Path(__file__).parent.glob("cases/*/case.yml"))


def corpus_files() -> list[Path]:
    """The public Compose files to try edits on; none where the folder is absent."""
    folder = Path(os.environ.get("RUNBOOK_CORPUS", "../shared/corpus"))
    return sorted(path for path in folder.rglob("*.y*ml") if path.is_file()) if folder.is_dir() else []

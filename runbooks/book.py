"""Phase files and the table of steps: reads a phase, checks every word of it, and gives each step its settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from checks import gate as gates
from checks.model import Gate
from inventory import text
from inventory.errors import InputError
from inventory.values import frozen
from runbooks import applying
from runbooks.compose.model import Stack
from runbooks.kinds import STEPS as STEPS
from runbooks.kinds import declared as declared
from runbooks.model import Facts, Risk

FOLDER = Path(__file__).resolve().parent


KEYS = ("name", "step", "tags", "risk", "together", "vars", "when", "gate", "apply")
LISTS_OF_MAPPINGS = ("cache_warm",)
"""Settings whose entries are mappings; those of all other lists are texts."""
PHASE_KEYS = ("name", "requires", "gate", "steps")
_WHEN = re.compile(r"(?:(not)\s+)?(?:(live)|(service|image)\s+(\S+))\Z")


@frozen
class PhaseStep:
    """One step of a phase. Steps with the same `together` are one transaction, one bring-up, one gate."""

    name: str
    kind: str
    tags: tuple[str, ...]
    risk: Risk
    gate: Gate
    when: str | None
    vars: Mapping[str, Any]
    together: str | None
    line: int
    apply: applying.Apply = "up"


@frozen
class Phase:
    """One runbook file, `phase_<number>.yml`."""

    name: str
    number: str
    path: str
    requires: tuple[str, ...]
    steps: tuple[PhaseStep, ...]


def load(phase: str, folder: Path | None = None) -> Phase:
    """The phase of a number or file name. Raises InputError with path:line:key and the mend."""
    folder = folder or FOLDER
    number = str(phase).removeprefix("phase_").removesuffix(".yml")
    path = folder / f"phase_{number}.yml"
    if not re.fullmatch(r"[A-Za-z0-9_-]+", number) or not path.is_file():
        there = ", ".join(sorted(found.stem.removeprefix("phase_") for found in folder.glob("phase_*.yml")))
        raise InputError(f"no phase {phase}", key="--phase", mend=f"there are: {there or 'none'}")
    where = path.name
    root = text.parse(path.read_bytes(), where)
    if not isinstance(root, MappingNode):
        raise InputError("holds no phase", path=where, line=1, mend="begin with name: and steps:")
    fields = checked(root, PHASE_KEYS, where, "")
    steps = fields.get("steps")
    if not isinstance(steps, SequenceNode) or not steps.value:
        raise InputError(
            "needs a list of steps", path=where, line=text.line(root), key="steps", mend="write steps: and - step: KIND"
        )
    usual = gate_of(fields["gate"], where, Gate()) if "gate" in fields else None
    made = tuple(read_step(node, where, usual) for node in steps.value)
    check_together(made, where)
    applying.check_order(made, where)
    requires = tuple(str(item) for item in listed(fields.get("requires"), where, "requires"))
    for item in requires:
        if item == number or not (folder / f"phase_{item}.yml").is_file():
            what = "requires itself" if item == number else f"requires phase {item}, which is not there"
            raise InputError(
                what, path=where, line=text.line(fields["requires"]), key="requires", mend="name an earlier phase"
            )
    return Phase(worded(fields, "name", where) or f"phase {number}", number, where, requires, made)


def select(phase: Phase, steps: Sequence[str], tags: Sequence[str]) -> Phase:
    """The phase with only the steps that are named (by name or kind) or tagged so; all of it when nothing is chosen.

    Raises InputError, with "did you mean", for a name or tag that the phase does not have.
    """
    names = [word for step in phase.steps for word in (step.name, step.kind)]
    known = [tag for step in phase.steps for tag in step.tags]
    for option, words, there in (("--step", steps, names), ("--tags", tags, known)):
        for word in words:
            if word not in there:
                near = get_close_matches(word, there, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(dict.fromkeys(there))}"
                raise InputError(f"{phase.path} has no {word!r}", key=option, mend=hint)
    if not steps and not tags:
        return phase
    chosen = [
        step
        for step in phase.steps
        if (not steps or step.name in steps or step.kind in steps) and (not tags or set(step.tags) & set(tags))
    ]
    if not chosen:
        raise InputError(f"{phase.path} has no step with both", key="--step", mend="leave --step or --tags out")
    return replace(phase, steps=tuple(chosen))


def read_step(node: Node, where: str, usual: Gate | None) -> PhaseStep:
    """One entry of `steps`."""
    line = text.line(node)
    if not isinstance(node, MappingNode):
        raise InputError("a step is a mapping", path=where, line=line, key="steps", mend="write - step: KIND")
    fields = checked(node, KEYS, where, "steps")
    kind = str(text.value(fields["step"])) if "step" in fields else ""
    if kind not in STEPS:
        near = get_close_matches(kind, STEPS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"steps: {', '.join(STEPS)}"
        raise InputError(f"unknown step {kind!r}", path=where, line=line, key="step", mend=hint)
    risk: Any = text.value(fields["risk"]) if "risk" in fields else "low"
    if risk not in ("low", "medium", "high"):
        raise InputError(
            f"{risk!r} is no risk",
            path=where,
            line=text.line(fields["risk"]),
            key="risk",
            mend="write low, medium or high",
        )
    given = text.value(fields["vars"]) if "vars" in fields else {}
    if not isinstance(given, dict):
        raise InputError("must be a mapping", path=where, line=line, key="vars", mend="write name: value below it")
    for name, value in given.items():
        check_setting(kind, name, value, where, text.line(fields["vars"]))
    when = str(text.value(fields["when"])) if "when" in fields else None
    if when is not None and not _WHEN.match(when.strip()):
        raise InputError(
            f"{when!r} is no condition",
            path=where,
            line=text.line(fields["when"]),
            key="when",
            mend="write service NAME, image NAME or live, with not before it if need be",
        )
    apply = applying.read(text.value(fields["apply"]), where, text.line(fields["apply"])) if "apply" in fields else "up"
    return PhaseStep(
        name=worded(fields, "name", where) or kind,
        kind=kind,
        tags=tuple(str(tag) for tag in listed(fields.get("tags"), where, "tags")),
        risk=risk,
        gate=gate_of(fields.get("gate"), where, usual or (applying.ONCE if apply == applying.LATER else Gate())),
        when=when,
        vars=given,
        together=worded(fields, "together", where) or None,
        line=line,
        apply=apply,
    )


def checked(node: MappingNode, known: tuple[str, ...], where: str, above: str) -> dict[str, Node]:
    """A mapping's entries. Raises InputError, with "did you mean", for a key that is not known."""
    found: dict[str, Node] = {}
    for key, value in node.value:
        if key.value not in known:
            near = get_close_matches(str(key.value), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"keys: {', '.join(known)}"
            raise InputError(
                "unknown key", path=where, line=text.line(key), key=f"{above}.{key.value}".strip("."), mend=hint
            )
        found[str(key.value)] = value
    return found


def worded(fields: Mapping[str, Node], key: str, where: str) -> str:
    """A name; empty where it is left out. Raises InputError for a list, a mapping, or nothing after the colon."""
    if key not in fields:
        return ""
    found = text.value(fields[key])
    if not isinstance(found, (str, int, float)) or not str(found).strip():
        raise InputError("must be a text", path=where, line=text.line(fields[key]), key=key, mend=f"write {key}: WORDS")
    return str(found)


def listed(node: Node | None, where: str, key: str) -> list[Any]:
    if node is None:
        return []
    found = text.value(node)
    if not isinstance(found, list):
        raise InputError("must be a list", path=where, line=text.line(node), key=key, mend=f"write {key}: [a, b]")
    return found


def gate_of(node: Node | None, where: str, base: Gate) -> Gate:
    if node is None:
        return base
    found = text.value(node)
    if not isinstance(found, dict):
        raise InputError(
            "must be a mapping", path=where, line=text.line(node), key="gate", mend="write window: 30s below it"
        )
    return gates.parse(found, where, text.line(node), base)


def check_together(steps: tuple[PhaseStep, ...], where: str) -> None:
    """Steps that stand together follow each other, and only steps of low risk may."""
    groups: list[str | None] = []
    gate = Gate()
    for step in steps:
        if step.together is None:
            groups.append(None)
            continue
        if step.risk != "low":
            raise InputError(
                f"{step.name} has {step.risk} risk",
                path=where,
                line=step.line,
                key="together",
                mend="only steps of low risk stand together",
            )
        if step.together in groups and groups[-1] != step.together:
            raise InputError(
                f"{step.together} is cut in two by other steps",
                path=where,
                line=step.line,
                key="together",
                mend="put them one after another",
            )
        if step.together in groups and step.gate != gate:
            raise InputError(
                f"{step.name} has another gate than the step before it",
                path=where,
                line=step.line,
                key="gate",
                mend="steps that stand together have one gate: write it at each of them, or for the phase",
            )
        groups.append(step.together)
        gate = step.gate


def check_setting(kind: str, name: str, value: Any, where: str, line: int | None) -> None:
    """Raises InputError, with "did you mean", for a setting that a step does not take, or of the wrong type."""
    known = STEPS[kind].SETTINGS
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it takes: {', '.join(known) or 'none'}"
        raise InputError(f"{kind} takes no such setting", path=where, line=line, key=f"vars.{name}", mend=hint)
    kinds = {dict: "mapping", list: "list", int: "number", str: "text"}
    wanted, _, what = known[name]
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is int):
        raise InputError(
            f"must be a {kinds[wanted]}: {what}",
            path=where,
            line=line,
            key=f"vars.{name}",
            mend=f"write a {kinds[wanted]}",
        )
    if isinstance(value, list) and name not in LISTS_OF_MAPPINGS and not all(isinstance(item, str) for item in value):
        raise InputError(f"must be a list of texts: {what}", path=where, line=line, key=f"vars.{name}", mend="quote what looks like a number")  # fmt: skip
    # A step says itself what else it can tell to be wrong; most have nothing to say.
    found = getattr(STEPS[kind], "problem", lambda _name, _value: None)(name, value)
    if found:
        raise InputError(found[0], path=where, line=line, key=f"vars.{name}", mend=found[1])


def settings(step: PhaseStep, variables: Mapping[str, Any]) -> dict[str, Any]:
    """What a step works with: its defaults, over them the phase's vars, over them the inventory's variables."""
    found: dict[str, Any] = {name: default for name, (_, default, _) in STEPS[step.kind].SETTINGS.items()}
    found |= step.vars
    for name, value in variables.items():
        if name in found:
            check_setting(step.kind, name, value, "the inventory", None)
            found[name] = value
    return found


def applies(step: PhaseStep, stack: Stack, facts: Facts) -> bool:
    """Whether a step's `when` holds for a stack."""
    if step.when is None:
        return True
    match = _WHEN.match(step.when.strip())
    assert match is not None  # noqa: S101 - checked when the phase was read
    negated, live, word, name = match.groups()
    if live:
        holds = facts.live
    elif word == "service":
        holds = name in stack.services
    else:
        holds = any(name in (service.image or "") for service in stack.services.values())
    return holds != bool(negated)

"""Phase files: every bad word of one is one line with file, line, key and the mend; what is good is read as written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from checks.model import Gate
from inventory.errors import InputError
from runbooks import book, draft
from runbooks.model import NO_FACTS
from tests.runbooks.steps.material import live, services

GOOD = """\
name: A phase
requires: [earlier]
gate: {window: 60s, interval: 5s}
steps:
  - name: checks
    step: health_checks
    tags: [health, early]
    together: start-up
    vars: {retries: 9}
  - name: edges
    step: conditions
    tags: [early]
    together: start-up
  - step: pgbouncer
    risk: medium
    when: service pgbouncer
    gate: {window: 10s}
"""


def read(folder: Path, text: str | bytes, name: str = "phase_7.yml") -> book.Phase:
    (folder / "phase_earlier.yml").write_text("steps:\n  - step: conditions\n")
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return book.load("7", folder)


def test_a_phase_is_read_as_it_is_written(tmp_path: Path) -> None:
    phase = read(tmp_path, GOOD)
    assert (phase.name, phase.number, phase.path, phase.requires) == ("A phase", "7", "phase_7.yml", ("earlier",))
    assert [(step.name, step.kind, step.risk, step.line) for step in phase.steps] == [
        ("checks", "health_checks", "low", 5), ("edges", "conditions", "low", 10), ("pgbouncer", "pgbouncer", "medium", 14),
    ]  # fmt: skip
    assert phase.steps[0].gate == Gate(window_s=60.0, interval_s=5.0)
    assert phase.steps[2].gate == Gate(window_s=10.0, interval_s=5.0)
    assert phase.steps[0].vars == {"retries": 9}


def test_phase_1_of_the_tool_itself_has_the_four_steps_and_recreates_no_container_more_than_twice() -> None:
    phase = book.load("1")
    assert [step.kind for step in phase.steps] == ["health_checks", "conditions", "startup_order", "pgbouncer"]
    assert [len(group) for group in draft.stages(phase.steps)] == [3, 1]
    assert {step.kind for step in phase.steps if step.risk != "low"} == {"pgbouncer"}
    assert phase == book.load("phase_1.yml")


def entry(line: str) -> str:
    """A phase with one step; `line` stands on line 3."""
    return f"steps:\n  - step: health_checks\n    {line}\n"


BAD: dict[str, tuple[str | bytes, str]] = {
    "an empty file": ("", "phase_7.yml:1: holds no phase (begin with name: and steps:)"),
    "a list": ("- step: conditions\n", "phase_7.yml:1: holds no phase (begin with name: and steps:)"),
    "a name that is a list": ("name: [a]\nsteps: [{step: conditions}]\n", "phase_7.yml:1: name: must be a text (write name: WORDS)"),
    "a name that is left empty": ("name:\nsteps: [{step: conditions}]\n", "phase_7.yml:1: name: must be a text (write name: WORDS)"),
    "a list that is no list of texts": ("steps:\n  - step: discovery_variables\n    vars: {discovery_exclude: [{a: b}]}\n", "phase_7.yml:3: vars.discovery_exclude: must be a list of texts: services whose variables stay as they are (quote what looks like a number)"),
    "a pooler with room for nobody": ("steps:\n  - step: pgbouncer\n    vars: {max_client_conn: 0}\n", "phase_7.yml:3: vars.max_client_conn: 0 is no count (write 1 or more)"),
    "no steps": ("name: x\n", "phase_7.yml:1: steps: needs a list of steps (write steps: and - step: KIND)"),
    "empty steps": ("steps: []\n", "phase_7.yml:1: steps: needs a list of steps (write steps: and - step: KIND)"),
    "steps that are no list": ("steps: {a: b}\n", "phase_7.yml:1: steps: needs a list of steps (write steps: and - step: KIND)"),
    "a key with a slip": ("name: x\nstpes: []\n", "phase_7.yml:2: stpes: unknown key (did you mean steps?)"),
    "a key that is none": ("zzz: 1\n", "phase_7.yml:1: zzz: unknown key (keys: name, requires, gate, steps)"),
    "a key that stands twice": ("name: x\nname: y\n", "phase_7.yml:2: name: stands twice: first on line 1 (keep one of the two)"),
    "a tab": ("steps:\n\t- step: conditions\n", "phase_7.yml:2: is not YAML: found character that cannot start any token while scanning for the next token (indent with spaces, not tabs)"),
    "two documents": ("steps: []\n---\na: b\n", "phase_7.yml:2: is not YAML: but found another document expected a single document in the stream (keep one document in the file)"),
    "UTF-16": ("steps: []".encode("utf-16"), "phase_7.yml:1: is UTF-16 (save it as UTF-8)"),
    "a NUL": (b"name: x\n\0\n", "phase_7.yml:2: has a NUL byte: it is binary (is this the right file?)"),
    "Latin-1": ("name: x\n# gr\xfc\xdfe\n".encode("latin-1"), "phase_7.yml:2: is not UTF-8 text (save it as UTF-8)"),
    "a step that is a word": ("steps:\n  - conditions\n", "phase_7.yml:2: steps: a step is a mapping (write - step: KIND)"),
    "a step without its kind": ("steps:\n  - name: x\n", "phase_7.yml:2: step: unknown step '' (steps: autoscaling, circuit_breakers, conditions, discovery_variables, health_aggregator, health_checks, pgbouncer, pool_tuning, redis_sentinel, resource_profiles, service_mesh, service_registry, shared_cache, startup_order)"),
    "a step with a slip": ("steps:\n  - step: condtions\n", "phase_7.yml:2: step: unknown step 'condtions' (did you mean conditions?)"),
    "a step's key with a slip": (entry("tgas: [a]"), "phase_7.yml:3: steps.tgas: unknown key (did you mean tags?)"),
    "a risk that is none": (entry("risk: tiny"), "phase_7.yml:3: risk: 'tiny' is no risk (write low, medium or high)"),
    "a risk that is a list": (entry("risk: [low]"), "phase_7.yml:3: risk: ['low'] is no risk (write low, medium or high)"),
    "vars that are a word": (entry("vars: x"), "phase_7.yml:2: vars: must be a mapping (write name: value below it)"),
    "a setting with a slip": (entry("vars: {retires: 3}"), "phase_7.yml:3: vars.retires: health_checks takes no such setting (did you mean retries?)"),
    "a setting that is none": (entry("vars: {zzz: 3}"), "phase_7.yml:3: vars.zzz: health_checks takes no such setting (it takes: health_checks, interval, timeout, retries, start_interval)"),
    "a setting of a step without any": ("steps:\n  - step: startup_order\n    vars: {a: 1}\n", "phase_7.yml:3: vars.a: startup_order takes no such setting (it takes: none)"),
    "a number that is text": (entry("vars: {retries: many}"), "phase_7.yml:3: vars.retries: must be a number: failures in a row that make a service unhealthy (write a number)"),
    "a number that is a boolean": (entry("vars: {retries: true}"), "phase_7.yml:3: vars.retries: must be a number: failures in a row that make a service unhealthy (write a number)"),
    "a number too small": (entry("vars: {retries: 0}"), "phase_7.yml:3: vars.retries: 0 is no count (write 1 or more)"),
    "text that is a number": (entry("vars: {interval: 5}"), "phase_7.yml:3: vars.interval: must be a text: how often an added check runs (write a text)"),
    "a duration that is none": (entry("vars: {interval: often}"), "phase_7.yml:3: vars.interval: 'often' is no duration (write 10s)"),
    "tags that are a word": (entry("tags: health"), "phase_7.yml:3: tags: must be a list (write tags: [a, b])"),
    "requires what is not there": ("requires: [1]\nsteps:\n  - step: conditions\n", "phase_7.yml:1: requires: requires phase 1, which is not there (name an earlier phase)"),
    "requires itself": ("name: x\nrequires: [7]\nsteps:\n  - step: conditions\n", "phase_7.yml:2: requires: requires itself (name an earlier phase)"),
    "requires that is a word": ("requires: x\nsteps:\n  - step: conditions\n", "phase_7.yml:1: requires: must be a list (write requires: [a, b])"),
    "a condition that is none": (entry("when: full moon"), "phase_7.yml:3: when: 'full moon' is no condition (write service NAME, image NAME or live, with not before it if need be)"),
    "a condition without its name": (entry("when: image"), "phase_7.yml:3: when: 'image' is no condition (write service NAME, image NAME or live, with not before it if need be)"),
    "a condition with a name too many": (entry("when: live postgres"), "phase_7.yml:3: when: 'live postgres' is no condition (write service NAME, image NAME or live, with not before it if need be)"),
    "a condition that is empty": (entry("when:"), "phase_7.yml:3: when: 'None' is no condition (write service NAME, image NAME or live, with not before it if need be)"),
    "a gate that is a word": (entry("gate: strict"), "phase_7.yml:3: gate: must be a mapping (write window: 30s below it)"),
    "a gate's setting with a slip": (entry("gate: {windw: 3s}"), "phase_7.yml:3: gate.windw: is no setting of a gate (did you mean window?)"),
    "a window that is none": (entry("gate: {window: soon}"), "phase_7.yml:3: gate.window: 'soon' is not a duration (write 30s, 2m or 500ms)"),
    "a phase's gate": ("gate: {window: 0}\nsteps:\n  - step: conditions\n", "phase_7.yml:1: gate.window: must be longer than nothing (write 30s or more)"),
    "risk together": ("steps:\n  - {step: conditions, together: a}\n  - {step: pgbouncer, together: a, risk: high}\n", "phase_7.yml:3: together: pgbouncer has high risk (only steps of low risk stand together)"),
    "together apart": ("steps:\n  - {step: conditions, together: a}\n  - step: pgbouncer\n  - {step: startup_order, together: a}\n", "phase_7.yml:4: together: a is cut in two by other steps (put them one after another)"),
    "together with two gates": ("steps:\n  - {step: conditions, together: a}\n  - {step: startup_order, together: a, gate: {window: 2m}}\n", "phase_7.yml:3: gate: startup_order has another gate than the step before it (steps that stand together have one gate: write it at each of them, or for the phase)"),
}  # fmt: skip


@pytest.mark.parametrize("text, message", BAD.values(), ids=BAD)
def test_a_bad_phase_file_is_one_line_with_its_place_and_the_mend(text: str | bytes, message: str, tmp_path: Path) -> None:  # fmt: skip
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert str(caught.value) == message
    assert caught.value.code == 1


@pytest.mark.parametrize("name", ["8", "../7", "phase_9.yml", "", "7/../7"])
def test_a_phase_that_is_not_there_is_refused_with_those_that_are(name: str, tmp_path: Path) -> None:
    read(tmp_path, GOOD)
    with pytest.raises(InputError) as caught:
        book.load(name, tmp_path)
    assert str(caught.value) == f"--phase: no phase {name} (there are: 7, earlier)"


def chosen(tmp_path: Path, steps: tuple[str, ...] = (), tags: tuple[str, ...] = ()) -> list[str]:
    return [step.name for step in book.select(read(tmp_path, GOOD), steps, tags).steps]


@pytest.mark.parametrize(
    "steps, tags, expected",
    [
        ((), (), ["checks", "edges", "pgbouncer"]),
        (("checks",), (), ["checks"]),
        (("health_checks", "pgbouncer"), (), ["checks", "pgbouncer"]),
        (("pgbouncer", "checks"), (), ["checks", "pgbouncer"]),
        ((), ("early",), ["checks", "edges"]),
        (("edges",), ("early",), ["edges"]),
    ],
)
def test_steps_are_chosen_by_name_kind_and_tag_and_keep_their_order(steps: Any, tags: Any, expected: list[str], tmp_path: Path) -> None:  # fmt: skip
    assert chosen(tmp_path, steps, tags) == expected


@pytest.mark.parametrize(
    "steps, tags, message",
    [
        (("chekcs",), (), "--step: phase_7.yml has no 'chekcs' (did you mean checks?)"),
        (("zzz",), (), "--step: phase_7.yml has no 'zzz' (there are: checks, health_checks, edges, conditions, pgbouncer)"),
        ((), ("erly",), "--tags: phase_7.yml has no 'erly' (did you mean early?)"),
        (("pgbouncer",), ("early",), "--step: phase_7.yml has no step with both (leave --step or --tags out)"),
    ],
)  # fmt: skip
def test_a_choice_that_names_nothing_is_refused(steps: Any, tags: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        chosen(tmp_path, steps, tags)
    assert str(caught.value) == message


STACK = services(db="image: 'postgres:17'", web="build: .")


@pytest.mark.parametrize(
    "when, files, host",
    [
        (None, True, True),
        ("live", False, True),
        ("not live", True, False),
        ("service db", True, True),
        ("not service db", False, False),
        ("service cache", False, False),
        ("not  service  cache", True, True),
        ("image postgres", True, True),
        ("image redis", False, False),
    ],
)
def test_a_step_applies_when_its_condition_holds(when: str | None, files: bool, host: bool, tmp_path: Path) -> None:
    phase = read(tmp_path, entry(f"when: {when}") if when else entry("risk: low"))
    assert book.applies(phase.steps[0], STACK, NO_FACTS) is files
    assert book.applies(phase.steps[0], STACK, live(STACK)) is host


def test_the_inventory_s_variables_win_over_the_phase_s_and_those_over_the_defaults(tmp_path: Path) -> None:
    step = read(tmp_path, GOOD).steps[0]
    assert book.settings(step, {})["retries"] == 9
    found = book.settings(step, {"retries": 2, "ansible_host": "10.0.0.1"})
    assert (found["retries"], found["interval"], "ansible_host" in found) == (2, "10s", False)


@pytest.mark.parametrize("variables, words", [({"retries": "two"}, "vars.retries: must be a number"), ({"health_checks": {"a": {"tst": "x"}}}, "did you mean test")])  # fmt: skip
def test_a_variable_of_the_inventory_of_the_wrong_kind_is_refused(variables: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        book.settings(read(tmp_path, GOOD).steps[0], variables)
    assert str(caught.value).startswith("the inventory: ") and words in str(caught.value)


def test_every_setting_is_declared_with_a_default_of_its_own_type() -> None:
    for kind in book.STEPS.values():
        for name, (wanted, default, what) in kind.SETTINGS.items():
            assert isinstance(default, wanted) and what and name in book.declared()

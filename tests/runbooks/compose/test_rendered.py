"""What Docker Compose itself makes of a file before and after phase 1. Needs its CLI (`config` needs no engine)."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings

from inventory.errors import InputError
from lab import compose_cli
from runbooks import book
from runbooks.compose import project
from runbooks.compose.model import ProjectSpec, Stack
from runbooks.compose.operations import AddDependency, ReplaceText, SetCondition, SetHealthCheck, SetVariable
from runbooks.compose.units import seconds
from runbooks.model import NO_FACTS
from runbooks.survey_files import file_stack
from tests.runbooks.compose import invariants
from tests.runbooks.compose.generated import projects
from tests.runbooks.compose.test_corpus import REAL, ROOT, SMALL, name
from tests.runbooks.steps.material import settings as step_settings

FULL = bool(os.environ.get("RUNBOOK_EXHAUSTIVE"))
SAMPLE = [*SMALL, *REAL] if FULL else [*SMALL, *REAL][::12]
EXAMPLE = ROOT / "examples" / "reconciliation" / "docker-compose.yml"
EXAMPLES = min(500, int(os.environ.get("RUNBOOK_EXAMPLES", "100")) // 10)


COMPOSE = compose_cli.words()

pytestmark = pytest.mark.skipif(not COMPOSE, reason="Docker Compose's command line is not here")


def rendered(stack: Stack, folder: Path) -> dict[str, Any] | None:
    """The model that Compose makes of a stack's files, put into a folder; None where it refuses them."""
    for path, data in stack.files.items():
        target = folder / Path(path).relative_to(stack.spec.directory)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    files = [str(folder / Path(path).name) for path in stack.spec.compose_files]
    words = [
        *COMPOSE,
        "-p",
        "app",
        "--project-directory",
        str(folder),
        *(f"--file={file}" for file in files),
    ]
    ran = subprocess.run([*words, "config", "--format", "json"], capture_output=True, timeout=60, check=False)
    return json.loads(ran.stdout) if ran.returncode == 0 else None


def differs_only_as_planned(stack: Stack, folder: Path) -> bool:
    """Asserts it; whether Compose accepts the stack at all."""
    made = invariants.plan(stack)
    before, after = rendered(stack, folder / "before"), rendered(made.stages[-1].after, folder / "after")
    if before is None:
        return False
    assert after is not None, "Compose accepted the files before, and does not now"
    wanted, found = copy.deepcopy(before), json.loads(json.dumps(after).replace(f"{folder}/after", f"{folder}/before"))
    for _, change in invariants.changes(made):
        for operation in change.operations:
            if operation.service not in wanted["services"]:
                continue
            own, new = wanted["services"][operation.service], found["services"][operation.service]
            if isinstance(operation, SetCondition | AddDependency):
                edge = own.setdefault("depends_on", {}).setdefault(operation.dependency, {"required": True})
                edge["condition"] = operation.condition
            elif isinstance(operation, SetHealthCheck):
                for key, value in operation.settings.items():
                    said = new["healthcheck"].pop(key)
                    if key == "test":
                        assert said == [word.replace("$", "$$") for word in value]
                    else:
                        assert said == value or seconds(said) == seconds(str(value))
                    own.setdefault("healthcheck", {}).pop(key, None)
                own["healthcheck"] = own["healthcheck"] or new["healthcheck"]
            elif isinstance(operation, SetVariable | ReplaceText):
                variable = operation.name if isinstance(operation, SetVariable) else operation.variable
                assert new["environment"].pop(variable) != (own.get("environment") or {}).pop(variable, None)
                own.setdefault("environment", {})
    for model in (found, wanted):  # what x- holds reaches services by anchors, and is compared there
        for key in [key for key in model if key.startswith("x-")]:
            del model[key]
    assert found == wanted
    return True


@pytest.mark.parametrize("path", SAMPLE, ids=name)
def test_compose_renders_a_planned_file_as_before_but_for_the_plan(path: Path, tmp_path: Path) -> None:
    try:
        stack = file_stack([path])
    except InputError:
        pytest.skip("the tool refuses this file, and Compose does too: it names a file that is not there")
    differs_only_as_planned(stack, tmp_path)


@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(files=projects())
def test_compose_renders_a_generated_stack_as_before_but_for_the_plan(
    files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("app")
    for path, data in files.items():
        (folder / path).write_bytes(data)
    stack = file_stack([folder / path for path in files if path.endswith("compose.yml")])
    # Compose refuses an edge to a service whose profile is off.
    assume(differs_only_as_planned(stack, tmp_path_factory.mktemp("rendered")))


PASSWORDS = ("plain-1", "a b  c", "se#cr et # x", "$dollar$$", "it's", 'quo"te', "back\\slash", "\\'\"$#", "${NOT}", "é—🐘", "=a=b", "trailing\\", "%24{x}", "a:b@c/d", "`x`!", "'", '""')  # fmt: skip


@pytest.mark.parametrize("env", [None, b"A=1", b"A='1'\r\n"], ids=["no env file", "no last newline", "CRLF"])
def test_passwords_and_hosts_in_the_env_file_are_the_same_to_compose(tmp_path: Path, env: bytes | None) -> None:
    lines = [f"      SECRET_{number}: '{word.replace('$', '$$').replace(chr(39), chr(39) * 2)}{'x' * 4}'" for number, word in enumerate(PASSWORDS)]  # fmt: skip
    more = "      URL: postgres://app:p$$w@db:5432/x\n    healthcheck: {test: ['CMD', 'x', '$$SECRET_0']}\n  db: {image: y}\n"
    text = "\n".join(["services:", "  web:", "    image: x", "    environment:", *lines, more])
    files = {"/srv/app/compose.yml": text.encode(), **({"/srv/app/.env": env} if env else {})}
    stack = project.load(ProjectSpec("/srv/app", "app", ("compose.yml",)), files, frozenset({"/srv/app/.env"}))
    made = book.STEPS["discovery_variables"].change(stack, NO_FACTS, step_settings("discovery_variables"))
    assert len(made.operations) == len(PASSWORDS) + 2
    before, after = rendered(stack, tmp_path / "before"), rendered(made.stack, tmp_path / "after")
    assert before is not None
    assert json.loads(json.dumps(after).replace(f"{tmp_path}/after", f"{tmp_path}/before")) == before


def test_the_example_is_the_same_to_compose_with_its_hosts_in_the_env_file(tmp_path: Path) -> None:
    stack = file_stack([EXAMPLE])
    made = book.STEPS["discovery_variables"].change(stack, NO_FACTS, step_settings("discovery_variables"))
    before, after = rendered(stack, tmp_path / "before"), rendered(made.stack, tmp_path / "after")
    assert before is not None
    assert json.loads(json.dumps(after).replace(f"{tmp_path}/after", f"{tmp_path}/before")) == before

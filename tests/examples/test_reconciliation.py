"""The example of the proposal: what the tool plans there, and what the proposal's own two commands would have done."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from inventory.secrets import Mask
from runbooks import book, draft, offline, plan_json
from runbooks.compose import graph
from runbooks.compose.model import ProjectSpec, Stack
from runbooks.compose.project import load
from runbooks.model import NO_FACTS
from runbooks.plan_model import StepPlan
from runbooks.survey_files import file_stack
from tests.runbooks.steps.material import answering, live

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "reconciliation"
COMPOSE = str(EXAMPLE / "docker-compose.yml")
PHASE = book.load("1")
BEFORE = file_stack([EXAMPLE])
AFTER = draft.walk(PHASE, BEFORE, NO_FACTS, {}).stages[-1].after
WEAK = [
    ("pgbouncer", "postgres"), ("apm-server", "kibana"), ("backend", "logstash"), ("backend", "apm-server"),
    ("frontend", "backend"), ("frontend", "logstash"), ("frontend", "apm-server"),
]  # fmt: skip
"""The seven edges of the proposal's drawing that wait only for a start."""
LIST = ("grafana", "prometheus")
"""An eighth, which has no condition at all: the proposal's "no health check dependency"."""
UNCHECKED = {"pgbouncer", "logstash", "kibana", "apm-server", "frontend", "prometheus", "grafana"}
PROPOSED = (
    "s/condition: service_started/condition: service_healthy/g",
    "s/@postgres:5432/@pgbouncer:5432/g",
)
"""The proposal's migration, "Step 1: Update docker-compose.yml": two sed commands on the whole file."""


def steps() -> dict[str, StepPlan]:
    (host,) = offline.offline(BEFORE, PHASE, Mask()).hosts
    return {step.kind: step for stage in host.stages for step in stage.steps}


def weak(stack: Stack) -> list[tuple[str, str]]:
    return [
        (service.name, edge.dependency)
        for service in stack.services.values()
        for edge in service.edges.values()
        if edge.condition == "service_started"
    ]


def unstartable(stack: Stack) -> set[tuple[str, str]]:
    """Edges on which `up` fails: health is waited for, and there is nothing to tell it."""
    return {
        (service.name, edge.dependency)
        for service in stack.services.values()
        for edge in service.edges.values()
        if edge.condition == "service_healthy" and not stack.services[edge.dependency].health_check
    }


def url(stack: Stack, service: str) -> str:
    return stack.services[service].environment["DATABASE_URL"].value or ""


def test_the_example_has_the_weaknesses_that_the_proposal_lists() -> None:
    assert len(BEFORE.services) == 11
    assert weak(BEFORE) == [*WEAK, LIST]
    assert {name for name, service in BEFORE.services.items() if not service.health_check} == UNCHECKED
    assert url(BEFORE, "backend") == url(BEFORE, "pgbouncer")


def test_exactly_the_seven_weak_edges_and_grafana_s_become_strong() -> None:
    found = [(each.service, each.after) for each in steps()["conditions"].altered]
    assert found == [(service, f"{need}: service_healthy") for service, need in [*WEAK, LIST]]
    assert weak(AFTER) == []
    assert steps()["conditions"].refused == ()


def test_edges_that_were_strong_stay_and_only_the_backend_gains_one() -> None:
    for name, service in AFTER.services.items():
        gained = set(service.edges) - set(BEFORE.services[name].edges)
        assert gained == ({"pgbouncer"} if name == "backend" else set())
        assert set(BEFORE.services[name].edges) <= set(service.edges)


def test_every_service_without_a_check_gets_one_or_is_kept_with_why() -> None:
    step = steps()["health_checks"]
    assert {each.service for each in step.altered if each.what == "health_check"} == UNCHECKED - {"frontend"}
    assert [(kept.service, kept.attention) for kept in step.kept] == [("frontend", True)]
    assert "plan against the live host" in step.kept[0].reason
    assert unstartable(AFTER) == set()


def test_on_a_host_where_all_proofs_hold_every_service_has_a_check_and_every_edge_is_strong() -> None:
    facts, rounds = answering(PHASE, BEFORE, live(BEFORE))
    made = draft.walk(PHASE, BEFORE, facts, {})
    after = made.stages[-1].after
    assert rounds == 1
    assert all(service.health_check for service in after.services.values())
    assert weak(after) == []
    assert all(check.start_interval_s == 1.0 for each in after.services.values() if (check := each.health_check))
    assert {a.proof for stage in made.stages for _, change in stage.steps for a in change.altered} == {"proven", "not needed"}  # fmt: skip


def test_the_backend_and_nothing_else_moves_to_the_pooler() -> None:
    step = steps()["pgbouncer"]
    assert [each.service for each in step.altered if each.what == "database_url"] == ["backend"]
    assert url(AFTER, "backend") == url(BEFORE, "backend").replace("@postgres:", "@pgbouncer:")
    for name, service in AFTER.services.items():
        changed = {key for key, value in service.environment.items() if value != BEFORE.services[name].environment.get(key)
                   and value.value != getattr(BEFORE.services[name].environment.get(key), "value", None)}  # fmt: skip
        assert changed == {
            "backend": {"DATABASE_URL"},
            "pgbouncer": {"MAX_CLIENT_CONN", "IGNORE_STARTUP_PARAMETERS", "MAX_PREPARED_STATEMENTS"},
        }.get(name, set())


def test_the_pooler_keeps_its_own_way_to_the_database_and_has_room_for_five_hundred_clients() -> None:
    assert url(AFTER, "pgbouncer") == url(BEFORE, "pgbouncer")
    environment = AFTER.services["pgbouncer"].environment
    assert int(environment["MAX_CLIENT_CONN"].value or 0) >= 500
    assert int(environment["DEFAULT_POOL_SIZE"].value or 0) <= 100 - 3


def test_planning_again_on_the_result_changes_nothing() -> None:
    again = draft.walk(PHASE, AFTER, NO_FACTS, {})
    assert again.changed == ()
    assert [a for stage in again.stages for _, change in stage.steps for a in change.altered] == []


def test_of_the_file_s_own_lines_only_those_that_change_are_gone() -> None:
    before, after = (Counter(stack.files[COMPOSE].decode().splitlines()) for stack in (BEFORE, AFTER))
    gone = before - after
    assert all(
        any(word in line for word in ("service_started", "- prometheus", "DATABASE_URL", "MAX_CLIENT_CONN"))
        for line in gone
    )
    assert sum(gone.values()) == len(WEAK) + 3
    comments = [line for line in before if "#" in line and "service_started" not in line]
    assert all(after[line] == before[line] for line in comments)
    assert "condition: service_healthy   # it retries, mostly" in AFTER.files[COMPOSE].decode()
    assert {path for path in BEFORE.files if BEFORE.files[path] != AFTER.files[path]} == {COMPOSE}


def test_a_password_is_neither_written_into_the_compose_file_nor_shown() -> None:
    made, mask = offline.offline(BEFORE, PHASE, Mask()), Mask()
    offline.offline(BEFORE, PHASE, mask)
    secrets = [line.partition("=")[2].strip('"') for line in BEFORE.files[str(EXAMPLE / ".env")].decode().splitlines() if "PASSWORD=" in line]  # fmt: skip
    assert len(secrets) == 3
    for secret in secrets:
        assert secret not in AFTER.files[COMPOSE].decode()
        assert secret not in str(plan_json.to_json(made, mask))


def test_the_start_is_predicted_to_take_at_most_half_as_long_in_groups_without_a_cycle() -> None:
    (host,) = offline.offline(BEFORE, PHASE, Mask()).hosts
    assert 0 < host.startup.after_s <= host.startup.before_s / 2
    assert host.startup.critical_path == ("elasticsearch", "kibana", "apm-server", "backend", "frontend")
    groups = graph.groups(AFTER)
    assert set(groups[0]) == {"postgres", "redis", "elasticsearch", "prometheus"}
    level = {name: number for number, group in enumerate(groups) for name in group}
    assert level["kibana"] < level["apm-server"] < level["backend"] < level["frontend"]


def test_no_container_is_recreated_more_than_twice() -> None:
    (host,) = offline.offline(BEFORE, PHASE, Mask()).hosts
    times = Counter(restart.service for restart in host.restarts)
    assert {name for name, count in times.items() if count > 1} == {"pgbouncer", "backend"}
    assert max(times.values()) == 2


@pytest.fixture(scope="module")
def proposed() -> Stack:
    """The example as the proposal's two commands leave it."""
    if not shutil.which("sed"):
        pytest.skip("there is no sed")
    text = BEFORE.files[COMPOSE]
    for script in PROPOSED:
        text = subprocess.run(["sed", script], input=text, capture_output=True, check=True).stdout
    files = {**BEFORE.files, COMPOSE: text}
    spec = BEFORE.spec
    return load(ProjectSpec(spec.directory, spec.name, spec.compose_files), files, frozenset())


def test_the_proposal_s_commands_point_the_pooler_at_itself_and_the_tool_does_not(proposed: Stack) -> None:
    assert "@pgbouncer:5432/" in url(proposed, "pgbouncer")
    assert "@postgres:5432/" in url(AFTER, "pgbouncer")
    assert url(proposed, "backend") == url(AFTER, "backend")


def test_the_proposal_s_commands_wait_for_checks_that_are_not_there_and_the_tool_does_not(proposed: Stack) -> None:
    assert {need for _, need in unstartable(proposed)} == {"kibana", "logstash", "apm-server"}
    assert len(unstartable(proposed)) == 5
    assert unstartable(AFTER) == set()


def test_the_proposal_s_commands_miss_the_edge_in_list_form_and_the_edge_to_the_pooler(proposed: Stack) -> None:
    assert weak(proposed) == [LIST]
    assert "pgbouncer" not in proposed.services["backend"].edges
    assert AFTER.services["backend"].edges["pgbouncer"].condition == "service_healthy"


def test_after_the_proposal_s_commands_the_tool_still_mends_what_it_can(proposed: Stack) -> None:
    made = draft.walk(PHASE, proposed, NO_FACTS, {}).stages[-1]
    assert unstartable(made.after) == set()
    assert weak(made.after) == []
    (kept,) = made.steps[-1][1].kept
    assert kept.reason == "pgbouncer names itself as its database: point it at the database first"

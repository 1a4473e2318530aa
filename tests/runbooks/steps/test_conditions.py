"""A weak edge becomes strong where its dependency can be waited for, and nothing else of the file changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from inventory.errors import InputError
from runbooks import book
from runbooks.compose import graph
from runbooks.compose.model import Stack
from runbooks.model import NO_FACTS, Image
from tests.runbooks.steps.material import (
    OLD,
    asks,
    change,
    container,
    live,
    reasons,
    services,
    stack_of,
    text_of,
)

STEP = "conditions"
CHECK = "healthcheck: {test: [CMD, x]}"
DB = f"image: postgres, {CHECK}"
LOGS = f"image: 'logstash:8', {CHECK}"
LIST = services(db=DB, web="image: web, depends_on: [db]")


def condition(stack: Stack, service: str = "web", dependency: str = "db") -> str:
    return stack.services[service].edges[dependency].condition


@pytest.mark.parametrize(
    "edges", ["[db]", "{db: {condition: service_started}}", "{db: {}}"], ids=["list", "map", "map without condition"]
)
def test_every_form_of_a_weak_edge_becomes_strong(edges: str) -> None:
    stack = services(db=DB, web=f"image: web, depends_on: {edges}")
    made = change(STEP, stack, live(stack))
    assert condition(made.stack) == "service_healthy"
    (altered,) = made.altered
    assert (altered.service, altered.what, altered.proof, altered.line) == ("web", "condition", "proven", 3)
    assert change(STEP, made.stack, live(stack)).edits == ()


def test_without_a_host_the_same_is_done_and_called_unproven() -> None:
    made = change(STEP, LIST, NO_FACTS)
    assert [altered.proof for altered in made.altered] == ["unproven"]
    assert condition(made.stack) == "service_healthy"


def test_required_and_restart_stay_as_they_were() -> None:
    text = "services:\n  db: {%s}\n  web:\n    image: web\n    depends_on:\n      db:\n        condition: service_started\n        required: false\n        restart: true\n"
    stack = stack_of(text % DB)
    made = change(STEP, stack, live(stack))
    edge = made.stack.services["web"].edges["db"]
    assert (edge.condition, edge.required, edge.restart) == ("service_healthy", False, True)
    assert text_of(made.stack) == (text % DB).replace("service_started", "service_healthy")


def test_the_other_edges_of_a_list_stay_weak_when_they_must() -> None:
    stack = services(db=DB, blind="image: b", web="image: web, depends_on: [db, blind]")
    made = change(STEP, stack, live(stack))
    assert (condition(made.stack), condition(made.stack, dependency="blind")) == ("service_healthy", "service_started")


KEPT: dict[str, tuple[Stack, tuple[Any, ...], str]] = {
    "no health check": (services(db="image: postgres", web="image: web, depends_on: [db]"), (), "has no health check"),
    "a check that is disabled": (
        services(db="image: postgres, healthcheck: {disable: true}", web="image: web, depends_on: [db]"), (), "has no health check"),
    "unhealthy now": (LIST, (container("db", health="unhealthy"),), "is unhealthy now"),
    "starting now": (LIST, (container("db", health="starting"),), "is starting now"),
    "one of several unhealthy": (
        LIST, (container("db", health="healthy"), container("db", health="unhealthy", number=2)), "is unhealthy now"),
    "stopped": (LIST, (container("db", "exited", exit_code=137),), "does not run now"),
    "for ever restarting": (LIST, (container("db", "restarting"),), "does not run now"),
    "a job by its end": (
        services(db=f"image: a, {CHECK}", web="image: web, depends_on: [db]"), (container("db", "exited"),), "runs once and ends"),
    "a job that others wait for": (
        services(
            db=DB, web="image: web, depends_on: [db]",
            other="image: b, depends_on: {db: {condition: service_completed_successfully}}",
        ), (), "runs once and ends"),
}  # fmt: skip


@pytest.mark.parametrize("stack, containers, reason", KEPT.values(), ids=KEPT)
def test_an_edge_that_nothing_could_wait_for_is_kept_with_why(stack: Stack, containers: Any, reason: str) -> None:
    made = change(STEP, stack, live(stack, *containers))
    assert reason in reasons(made)["web", "condition on db"]
    assert (made.edits, made.altered) == ((), ())


def test_a_dependency_that_has_no_container_at_all_is_kept() -> None:
    facts = live(LIST)
    without = type(facts)(**{**vars(facts), "containers": {"web": facts.containers["web"]}})
    assert "does not run now" in reasons(change(STEP, LIST, without))["web", "condition on db"]


def test_a_migration_is_a_job_by_its_name_without_a_host() -> None:
    stack = services(**{"db-migrate": f"image: a, {CHECK}", "web": "image: web, depends_on: ['db-migrate']"})
    assert "runs once" in reasons(change(STEP, stack, NO_FACTS))["web", "condition on db-migrate"]


def test_the_check_that_an_image_brings_is_enough() -> None:
    stack = services(db="image: 'db:1'", web="image: web, depends_on: [db]")
    facts = live(stack, container("db", health="healthy"), images={"db:1": Image("i", has_health_check=True)})
    assert condition(change(STEP, stack, facts).stack) == "service_healthy"


def test_an_end_that_is_waited_for_is_never_turned_into_health() -> None:
    stack = services(
        db=f"image: a, {CHECK}", web="image: web, depends_on: {db: {condition: service_completed_successfully}}"
    )
    made = change(STEP, stack, NO_FACTS)
    assert (made.edits, condition(made.stack)) == ((), "service_completed_successfully")


def test_a_service_whose_profile_is_off_neither_changes_nor_is_waited_for() -> None:
    text = (
        f"services:\n  db: {{{DB}, profiles: [dev]}}\n  web: {{image: web, depends_on: {{db: {{condition: service_started, required: false}}}}}}\n"
        f"  tool: {{image: t, profiles: [dev], depends_on: [cache]}}\n  cache: {{image: redis, {CHECK}}}\n"
    )
    made = change(STEP, stack_of(text), NO_FACTS)
    assert made.edits == ()
    assert "profile that is off" in reasons(made)["web", "condition on db"]
    on = change(STEP, stack_of(text, profiles=("dev",)), NO_FACTS)
    assert {(each.service, each.what) for each in on.altered} == {("web", "condition"), ("tool", "condition")}


TELEMETRY = services(logs=LOGS, web="image: web, depends_on: [logs]", other="image: 'kibana:8', depends_on: [logs]")


def test_by_default_an_edge_to_telemetry_becomes_strong_and_the_plan_says_what_that_means() -> None:
    made = change(STEP, services(logs=LOGS, web="image: web, depends_on: [logs]"), NO_FACTS)
    assert condition(made.stack, dependency="logs") == "service_healthy"
    assert made.notes == (
        "web will not start while logs, which is telemetry, is unhealthy: set telemetry_edges to optional or keep if it should",
    )


def test_an_edge_to_telemetry_that_is_not_required_needs_no_warning() -> None:
    stack = services(logs=LOGS, web="image: web, depends_on: {logs: {condition: service_started, required: false}}")
    made = change(STEP, stack, live(stack))
    assert (condition(made.stack, dependency="logs"), made.notes) == ("service_healthy", ())


def test_optional_telemetry_is_waited_for_and_no_reason_not_to_start() -> None:
    stack = services(logs=LOGS, web="image: web, depends_on: [logs]")
    made = change(STEP, stack, live(stack), telemetry_edges="optional")
    edge = made.stack.services["web"].edges["logs"]
    assert (edge.condition, edge.required, made.notes) == ("service_healthy", False, ())


def test_optional_is_not_made_obligatory_where_compose_does_not_know_it() -> None:
    stack = services(logs=LOGS, web="image: web, depends_on: [logs]")
    made = change(STEP, stack, live(stack, versions=OLD), telemetry_edges="optional")
    assert made.edits == ()
    assert "does not know required: false" in reasons(made)["web", "condition on logs"]


def test_kept_telemetry_stays_weak_and_other_edges_do_not() -> None:
    stack = services(db=DB, logs=LOGS, web="image: web, depends_on: [logs, db]")
    made = change(STEP, stack, live(stack), telemetry_edges="keep")
    assert (condition(made.stack), condition(made.stack, dependency="logs")) == ("service_healthy", "service_started")


def test_telemetry_may_wait_for_telemetry_without_a_word() -> None:
    stack = services(logs=LOGS, shipper="image: 'filebeat:8', depends_on: [logs]")
    for setting in ("strong", "optional", "keep"):
        made = change(STEP, stack, live(stack), telemetry_edges=setting)
        edge = made.stack.services["shipper"].edges["logs"]
        assert (edge.condition, edge.required, made.notes) == ("service_healthy", True, ())


@pytest.mark.parametrize("image", ["pgvector/pgvector:pg16", "temporal:1", "contemporary/api"])
def test_a_name_that_only_sounds_like_telemetry_is_none(image: str) -> None:
    stack = services(db=f"image: '{image}', {CHECK}", web="image: web, depends_on: [db]")
    assert condition(change(STEP, stack, live(stack), telemetry_edges="keep").stack) == "service_healthy"


def test_another_word_for_telemetry_edges_is_refused() -> None:
    with pytest.raises(InputError, match=r"the inventory: vars.telemetry_edges: 'weak' is no way .*\(write strong, optional or keep\)"):  # fmt: skip
        book.check_setting(STEP, "telemetry_edges", "weak", "the inventory", None)


def test_nothing_is_asked_of_a_host() -> None:
    assert asks(STEP, LIST, live(LIST)) == ()


@st.composite
def stacks(draw: st.DrawFn) -> tuple[str, set[tuple[str, str]]]:
    """A stack without cycles, in any mixture of forms, and its weak edges whose dependency has a check."""
    count = draw(st.integers(2, 7))
    lines, weak, checked = ["services:"], set(), []
    for number in range(count):
        name = f"s{number}"
        lines += [f"  {name}:", f"    image: app-{number}   # of s{number}"]
        chosen = draw(st.lists(st.sampled_from(range(number)), unique=True)) if number else []
        as_list = draw(st.booleans())
        if chosen and as_list:
            lines += ["    depends_on:", *(f"      - s{each}" for each in chosen)]
            weak |= {(name, f"s{each}") for each in chosen}
        elif chosen:
            lines.append("    depends_on:")
            for each in chosen:
                word = draw(st.sampled_from(["service_started", "service_healthy"])) if each in checked else "service_started"  # fmt: skip
                lines.append(
                    f"      s{each}: {{condition: {word}, restart: {draw(st.sampled_from(['true', 'false']))}}}"
                )
                weak |= {(name, f"s{each}")} if word == "service_started" else set()
        if draw(st.booleans()):
            checked.append(number)
            lines.append("    healthcheck: {test: [CMD, check]}")
    known = {f"s{each}" for each in checked}
    return "\n".join(lines) + "\n", {(service, need) for service, need in weak if need in known}


@limits(max_examples=60, deadline=None)
@given(stacks())
def test_on_any_stack_exactly_the_weak_edges_with_a_check_change_and_no_cycle_is_born(
    made: tuple[str, set[tuple[str, str]]],
) -> None:
    text, expected = made
    before = stack_of(text)
    after = change(STEP, before, live(before)).stack
    assert graph.cycle(graph.needs(after)) is None
    changed = set()
    for name, service in after.services.items():
        old = before.services[name].edges
        assert list(service.edges) == list(old)
        for need, edge in service.edges.items():
            assert (edge.required, edge.restart) == (old[need].required, old[need].restart)
            if edge.condition != old[need].condition:
                assert (old[need].condition, edge.condition) == ("service_started", "service_healthy")
                changed.add((name, need))
        same = {key: value for key, value in service.value.items() if key != "depends_on"}
        assert same == {key: value for key, value in before.services[name].value.items() if key != "depends_on"}
    assert changed == expected
    assert change(STEP, after, live(after)).edits == ()

"""A phase walked over a stack: each step sees what the one before made, and only what is needed is asked."""

from __future__ import annotations

from dataclasses import replace

from runbooks import book, draft
from runbooks.model import NO_FACTS, Answer
from tests.runbooks.steps.material import COMPOSE, answering, container, live, services

PHASE = book.load("1")
STACK = services(
    db="image: 'postgres:17', restart: always",
    pgbouncer="image: 'edoburu/pgbouncer:v1', restart: always, environment: {DATABASE_URL: 'postgres://a:b@db:5432/c'}, depends_on: [db]",
    app="image: app, restart: always, healthcheck: {test: [CMD, x], interval: 1s}, environment: {U: 'postgres://a:b@db:5432/c'}, depends_on: [db]",
)  # fmt: skip


def test_steps_that_stand_together_are_one_stage_and_others_stages_of_their_own() -> None:
    made = draft.walk(PHASE, STACK, NO_FACTS, {})
    assert [(stage.number, [step.kind for step, _ in stage.steps]) for stage in made.stages] == [
        (1, ["health_checks", "conditions", "startup_order"]), (2, ["pgbouncer"]),
    ]  # fmt: skip
    alone = replace(PHASE, steps=tuple(replace(step, together=None) for step in PHASE.steps))
    assert len(draft.walk(alone, STACK, NO_FACTS, {}).stages) == 4


def test_each_step_sees_the_stack_after_the_one_before() -> None:
    made = draft.walk(PHASE, STACK, NO_FACTS, {})
    first, second = made.stages
    assert (first.before, first.after) == (STACK, second.before)
    checks, conditions, _ = (change for _, change in first.steps)
    assert {each.service for each in checks.altered if each.what == "health_check"} == {"db", "pgbouncer"}
    assert {(each.service, each.after) for each in conditions.altered} == {
        ("pgbouncer", "db: service_healthy"), ("app", "db: service_healthy"),
    }  # fmt: skip
    assert second.after.services["app"].edges["pgbouncer"].condition == "service_healthy"


def test_a_stage_s_files_are_those_whose_bytes_differ() -> None:
    made = draft.walk(PHASE, STACK, NO_FACTS, {})
    assert all(list(stage.changed) == [COMPOSE] for stage in made.changed)
    assert made.stages[0].changed[COMPOSE] == made.stages[1].before.files[COMPOSE]
    again = draft.walk(PHASE, made.stages[-1].after, NO_FACTS, {})
    assert again.changed == ()


def test_one_exchange_answers_what_all_steps_ask_about_the_stack_as_it_is() -> None:
    facts, rounds = answering(PHASE, STACK, live(STACK))
    assert rounds == 1
    assert {key.split("/")[0] for key in facts.answers} == {"health_checks", "pgbouncer"}
    assert all(a.proof != "unproven" for stage in draft.walk(PHASE, STACK, facts, {}).stages for _, change in stage.steps for a in change.altered)  # fmt: skip


def test_no_question_is_asked_twice_nor_of_a_step_that_does_not_apply() -> None:
    facts = live(STACK)
    keys = [question.key for question in draft.questions(PHASE, STACK, facts, {})]
    assert len(keys) == len(set(keys))
    off = replace(PHASE, steps=tuple(replace(step, when="service nobody") for step in PHASE.steps))
    assert draft.questions(off, STACK, facts, {}) == ()


def test_a_step_whose_condition_does_not_hold_is_kept_with_that_reason() -> None:
    off = replace(PHASE, steps=tuple(replace(step, when="service nobody") for step in PHASE.steps))
    made = draft.walk(off, STACK, NO_FACTS, {})
    assert made.changed == () and made.stages[-1].after is STACK
    (kept,) = made.stages[1].steps[0][1].kept
    assert (kept.what, kept.reason) == ("the PgBouncer switch", "its condition does not hold: when service nobody")


def test_the_host_s_variables_reach_the_steps() -> None:
    made = draft.walk(PHASE, STACK, NO_FACTS, {"pool_exclude": ["app"], "retries": 8})
    assert made.stages[1].changed == {}
    check = made.stages[0].after.services["db"].health_check
    assert check is not None and check.retries == 8


def test_facts_of_hosts_that_are_otherwise_the_same_are_alike() -> None:
    one, other = live(STACK), live(STACK)
    moved = replace(
        other,
        containers={
            name: tuple(replace(each, id="x", started_at="later", addresses={"n": "10.0.0.9"}) for each in members)
            for name, members in other.containers.items()
        },
        answers={"k": Answer(0, "1", 9.0)},
    )
    assert draft.alike(replace(one, answers={"k": Answer(0, "1", 0.1)})) == draft.alike(moved)
    assert draft.alike(one) != draft.alike(live(STACK, container("db", health="unhealthy")))

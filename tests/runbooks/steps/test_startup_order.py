"""The start-up order is read from the edges: nothing is written, and edges that say nothing new are named."""

from __future__ import annotations

from runbooks.compose import graph
from runbooks.model import NO_FACTS
from tests.runbooks.steps.material import asks, change, live, services

STEP = "startup_order"
CHAIN = services(
    db="image: postgres",
    es="image: elasticsearch",
    kibana="image: kibana, depends_on: {es: {condition: service_healthy}}",
    apm="image: apm-server, depends_on: {es: {condition: service_healthy}, kibana: {condition: service_healthy}}",
    web="image: web, depends_on: {db: {condition: service_healthy}, apm: {condition: service_started}}",
)


def test_services_that_wait_for_the_same_stand_in_one_group() -> None:
    (note,) = change(STEP, CHAIN, NO_FACTS).notes
    assert note.endswith("{db, es} -> {kibana} -> {apm} -> {web}")


def test_the_proposal_s_third_group_is_a_chain_and_no_group() -> None:
    assert graph.serial(CHAIN, [("web", "kibana", "apm")]) == (("apm", "kibana"), ("web", "apm"))


def test_an_edge_that_others_imply_is_named_and_left_alone() -> None:
    made = change(STEP, CHAIN, NO_FACTS)
    assert [(kept.service, kept.what) for kept in made.kept] == [("apm", "edge to es")]
    assert made.edits == () and made.stack is CHAIN


def test_an_edge_that_is_stronger_than_those_around_it_is_not_called_redundant() -> None:
    stack = services(
        db="image: postgres",
        mid="image: a, depends_on: [db]",
        web="image: b, depends_on: {mid: {condition: service_started}, db: {condition: service_healthy}}",
    )
    assert change(STEP, stack, NO_FACTS).kept == ()


def test_nothing_is_asked_of_a_host() -> None:
    assert asks(STEP, CHAIN, live(CHAIN)) == ()

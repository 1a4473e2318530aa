"""Limits by profile: set where they stand, fitted to the host or refused with the sum, never under what is in use."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from checks.model import Probe
from checks.probes import limits
from checks.probes.kind import Answer as Said
from inventory.errors import InputError
from runbooks import book
from runbooks.compose.model import Stack
from runbooks.model import NO_FACTS, Answer, Change, Facts
from runbooks.survey_files import file_stack
from tests.runbooks.compose import invariants
from tests.runbooks.compose.test_corpus import REAL, SMALL, completed
from tests.runbooks.steps.material import asks, change, container, live, reasons, services, text_of

STEP = "resource_profiles"
PROFILES = {
    "development": {"limits": {"cpus": "1.0", "memory": "1G"}},
    "production": {"limits": {"cpus": "4.0", "memory": "4G"}, "reservations": {"cpus": "2.0", "memory": "2G"}},
}
WEB = services(web="image: web, restart: always")
TWO = services(web="image: web, restart: always", db="image: 'postgres:17', restart: always")
GIB = 1 << 30


def planned(stack: Stack, facts: Facts = NO_FACTS, profile: str = "development", **more: Any) -> Change:
    return change(STEP, stack, facts, resource_profile=profile, resource_profiles=PROFILES, **more)


def host(stack: Stack, *, cpus: float = 8, memory: int = 32 * GIB, **uses: str) -> Facts:
    """A live host on which each service uses what `uses` says."""
    lines = "".join(f"id-{name}-1 {used} / 31GiB\n" for name, used in uses.items())
    answers = {f"{STEP}/stats": Answer(0, lines, 2.0)}
    return replace(live(stack), cpus=cpus, memory=memory, answers=answers)


def limit(made: Change, service: str = "web") -> Any:
    return made.stack.services[service].value["deploy"]["resources"]["limits"]["memory"]


def test_a_service_gets_the_profile_and_planning_again_plans_nothing() -> None:
    made = planned(WEB, host(WEB, web="100MiB"))
    assert "deploy: {resources: {limits: {cpus: '1.0', memory: 1G}}}" in text_of(made.stack)
    found = {(each.after, each.proof) for each in made.altered}
    assert found == {("limits.cpus=1.0", "not needed"), ("limits.memory=1G", "proven")}
    assert planned(made.stack, host(WEB, web="100MiB")).edits == ()


def test_without_a_profile_nothing_is_changed_or_asked() -> None:
    assert change(STEP, WEB, NO_FACTS).edits == ()
    assert asks(STEP, WEB, NO_FACTS) == ()


def test_a_larger_limit_set_by_hand_stays_and_is_told() -> None:
    stack = services(web="image: web, deploy: {resources: {limits: {cpus: '0.5', memory: 2G}}}")
    made = planned(stack)
    assert limit(made) == "2G"
    assert reasons(made)["web", "limits.memory"] == "2G, set by hand, is larger than 1G"
    assert [each.after for each in made.altered] == ["limits.cpus=1.0"]


def test_the_inventory_s_word_for_one_service_wins_even_over_a_larger_limit() -> None:
    stack = services(web="image: web, deploy: {resources: {limits: {cpus: '0.5', memory: 2G}}}")
    made = planned(stack, resource_overrides={"web": {"limits": {"memory": "512M"}}})
    assert limit(made) == "512M"
    kept = planned(stack, resource_overrides={"web": "keep"})
    assert kept.edits == ()


def test_the_old_keys_are_changed_where_they_stand() -> None:
    stack = services(web="image: web, mem_limit: 256m, cpus: 0.5")
    made = planned(stack)
    assert text_of(made.stack).strip().endswith("web: {image: web, mem_limit: 1G, cpus: '1.0'}")


def test_a_service_that_uses_more_than_its_new_limit_is_refused_and_the_others_go_on() -> None:
    made = planned(TWO, host(TWO, web="1.5GiB", db="20MiB"))
    (refusal,) = made.refused
    assert refusal.service == "web"
    assert refusal.reason == "would be killed: it uses 1536M now, and its limit would be 1G"
    assert {each.service for each in made.altered} == {"db"}


def test_a_plan_that_does_not_fit_is_refused_with_the_sum_and_the_margin() -> None:
    made = planned(TWO, host(TWO, memory=8 * GIB, web="1MiB", db="1MiB"), "production")
    assert made.edits == ()
    assert made.refused[0].reason == (
        "the memory limits come to 8192M, and the host has 8192M with a margin of 10%: 819M too much"
    )


def test_more_cpus_than_the_host_has_are_refused_or_fitted_as_the_inventory_says() -> None:
    facts = host(WEB, cpus=2, web="1MiB")
    made = planned(WEB, facts, "production")
    assert made.refused[0].reason == "the engine refuses 4.0 CPUs on a host of 2"
    fitted = planned(WEB, facts, "production", resource_fit="shrink")
    assert fitted.stack.services["web"].value["deploy"]["resources"]["limits"]["cpus"] == "2"
    assert planned(fitted.stack, facts, "production", resource_fit="shrink").edits == ()


def test_limits_are_shrunk_to_fit_but_never_under_what_is_in_use() -> None:
    facts = host(TWO, memory=6 * GIB, web="100MiB", db="100MiB")
    made = planned(TWO, facts, "production", resource_fit="shrink")
    assert [limit(made, "web"), limit(made, "db")] == ["2752M", "2752M"]
    assert made.refused == ()
    assert planned(made.stack, facts, "production", resource_fit="shrink").edits == ()
    tight = planned(TWO, host(TWO, memory=6 * GIB, web="5GiB", db="100MiB"), "production", resource_fit="shrink")
    assert tight.edits == ()
    assert any("too much" in refusal.reason for refusal in tight.refused)


def test_containers_of_one_service_count_each() -> None:
    facts = host(WEB, memory=5 * GIB, web="1MiB")
    facts = replace(facts, containers={"web": tuple(container("web", number=n) for n in range(1, 6))})
    assert "come to 5120M" in planned(WEB, facts).refused[0].reason


def test_what_compose_ignores_is_said() -> None:
    made = planned(WEB, host(WEB, web="1MiB"), "production")
    assert [note.partition(":")[0] for note in made.notes] == [
        "Compose ignores reservations.cpus (Swarm alone reads it)",
        "a memory reservation is soft",
    ]


def test_the_engine_s_own_figures_are_watched() -> None:
    made = planned(WEB, host(WEB, web="1MiB"), "production")
    (probe,) = [each for each in made.probes if each.kind == "limits"]
    assert probe.settings == {"cpus": "4", "memory": str(4 * GIB), "reservation": str(2 * GIB)}
    good = limits.judge(probe, Said(0, f"4000000000 {4 * GIB} {2 * GIB} web\n0 0 0 db\n", 0.1))
    assert good.ok is True
    bad = limits.judge(probe, Said(0, f"4000000000 {2 * GIB} {2 * GIB} web\n", 0.1))
    assert (bad.ok, bad.detail) == (False, "2147483648 bytes of memory, planned 4294967296")


@pytest.mark.parametrize(("output", "ok"), [("", False), ("1 2 web\n", None), ("a b c web\n", None)])
def test_an_engine_that_says_something_else_is_not_called_well(output: str, ok: bool | None) -> None:
    assert limits.judge(Probe("limits", "x", "web", {"cpus": "1"}), Said(0, output, 0.1)).ok is ok


BAD = {
    "a key that is none": ("resource_profiles", {"p": {"limit": {}}}, "p.limit is unknown (did you mean limits?)"),
    "a name that is none": ("resource_profiles", {"p": {"limits": {"cpu": 1}}}, "p.limits.cpu is unknown (did you mean cpus?)"),
    "no size": ("resource_profiles", {"p": {"limits": {"memory": "much"}}}, "p.limits.memory: 'much' is not a size (write 512M)"),
    "no number": ("resource_overrides", {"web": {"limits": {"cpus": "two"}}}, "web.limits.cpus: 'two' is not a number of CPUs (write 0.5)"),
    "less than the engine takes": ("resource_overrides", {"web": {"limits": {"memory": "1M"}}}, "web.limits.memory: 1M is less than the engine takes (write 6M or more)"),
    "more reserved than allowed": ("resource_profiles", {"p": {"limits": {"memory": "1G"}, "reservations": {"memory": "2G"}}}, "p: 2G memory reserved are more than the limit of 1G"),
    "no mapping": ("resource_profiles", {"p": 4}, "p is no mapping"),
    "no way to fit": ("resource_fit", "squeeze", "'squeeze' is no way to fit (write refuse or shrink)"),
    "no margin": ("memory_margin", "some", "'some' is neither a share nor a size (write 10% or 512M)"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "value", "message"), BAD.values(), ids=BAD)
def test_a_bad_setting_is_one_line_with_the_mend(name: str, value: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        book.check_setting(STEP, name, value, "phase_2.yml", 7)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"phase_2.yml:7: vars.{name}: ")


def test_a_profile_or_a_service_that_is_not_there_is_an_error_with_a_hint() -> None:
    with pytest.raises(InputError, match=r"there is no profile prodction \(did you mean production\?\)"):
        planned(WEB, profile="prodction")
    with pytest.raises(InputError, match=r"there is no service wbe \(did you mean web\?\)"):
        planned(WEB, resource_overrides={"wbe": "keep"})


def test_any_stack_gets_exact_edits_or_refusals_and_planning_again_plans_nothing() -> None:
    stacks = [file_stack([path]) for path in SMALL]
    stacks += [completed(path) for path in (REAL if os.environ.get("RUNBOOK_EXHAUSTIVE") else REAL[::12])]
    done = 0
    for stack in stacks:
        made = planned(stack, profile="production")
        invariants.only_the_edits_differ(stack, made)
        again = planned(made.stack, profile="production")
        assert again.edits == ()
        assert len(again.refused) <= len(made.refused)
        done += len(made.altered)
    assert done > 300

"""A plan is a value: the same world gives the same fingerprint, and its JSON is the public shape, without secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from inventory.engine import Compose
from inventory.hooks import Hook
from inventory.secrets import Mask
from rollback.model import FileState
from runbooks import book, draft, offline, plan, plan_json
from runbooks.compose.model import Stack
from runbooks.compose.patch import lines_before
from runbooks.learning import learn
from runbooks.model import NO_FACTS, Answer, Facts
from runbooks.plan_model import Baseline, HostPlan, Plan, Trial
from tests.runbooks.steps.material import COMPOSE, ROOT, answering, container, live, stack_of

PHASE = book.load("1")
SECRET = "geheim-7f3a"
TEXT = f"""\
services:
  db:
    image: postgres:17
    environment: {{POSTGRES_PASSWORD: {SECRET}}}
  pgbouncer:
    image: edoburu/pgbouncer:v1
    environment:
      DATABASE_URL: postgres://app:{SECRET}@db:5432/shop
    depends_on: [db]
  app:
    image: shop:1
    environment:
      DATABASE_URL: postgres://app:{SECRET}@db:5432/shop
    depends_on: [db]
  broken:
    image: shop:1
    environment:
      DATABASE_URL: postgres://app:{SECRET}@db:5432,db2/shop
"""
STACK = stack_of(TEXT, env="UNUSED=1\n")
PROVEN = answering(PHASE, STACK, live(STACK))[0]
"""A live host on which every proof holds."""


def host_plan(host: str = "one", stack: Stack = STACK, facts: Facts = NO_FACTS, variables: Mapping[str, Any] | None = None,
              phase: book.Phase = PHASE, **more: Any) -> HostPlan:  # fmt: skip
    made = draft.walk(phase, stack, facts, variables or {})
    states = {path: FileState(path, sha256(data).hexdigest()) for path, data in stack.files.items()}
    return plan.host_plan(host, made, facts, Compose(ROOT, "app", (COMPOSE,)), states, **more)


def make(*hosts: HostPlan, environment: str = "staging") -> Plan:
    return plan.make(PHASE, environment, hosts)


def document(made: Plan, *, show_secrets: bool = False) -> dict[str, Any]:
    mask = Mask()
    learn(mask, STACK, NO_FACTS)
    found: dict[str, Any] = json.loads(json.dumps(plan_json.to_json(made, mask, show_secrets=show_secrets)))
    return found


def test_the_same_world_gives_the_same_plan_with_the_same_fingerprint() -> None:
    again = stack_of(TEXT, env="UNUSED=1\n")
    assert make(host_plan()).fingerprint == make(host_plan(stack=again)).fingerprint
    assert make(host_plan()) == make(host_plan(stack=again))


def test_what_differs_from_one_look_to_the_next_is_not_in_the_fingerprint() -> None:
    facts = PROVEN
    later = replace(
        facts,
        containers={name: tuple(replace(each, id="new", started_at="later", addresses={"n": "10.0.0.9"}) for each in members) for name, members in facts.containers.items()},
        answers={key: Answer(each.exit, each.output, 3.0) for key, each in facts.answers.items()},
    )  # fmt: skip
    assert plan.fingerprint(host_plan(facts=facts)) == plan.fingerprint(host_plan(facts=later))


WORLDS: dict[str, HostPlan] = {
    "another host": host_plan("two"),
    "other bytes": host_plan(stack=stack_of(TEXT + "# a word\n")),
    "another setting": host_plan(variables={"retries": 9}),
    "what must not move": host_plan(variables={"pool_exclude": ["app"]}),
    "fewer steps": host_plan(phase=book.select(PHASE, (), ("health",))),
    "another gate": host_plan(phase=replace(PHASE, steps=tuple(replace(s, gate=replace(s.gate, window_s=99.0)) for s in PHASE.steps))),
    "another project": replace(host_plan(), compose=Compose(ROOT, "other", (COMPOSE,))),
    "a folder of another name": replace(host_plan(), project_dir="/srv/other"),
}  # fmt: skip


@pytest.mark.parametrize("other", WORLDS.values(), ids=WORLDS)
def test_a_world_that_differs_in_what_would_be_done_has_another_fingerprint(other: HostPlan) -> None:
    assert make(other).fingerprint != make(host_plan()).fingerprint


def test_a_container_that_is_stopped_changes_what_is_restarted_and_so_the_fingerprint() -> None:
    stopped = live(STACK, container("app", "exited", exit_code=137), answers=PROVEN.answers)
    one, other = host_plan(facts=PROVEN), host_plan(facts=stopped)
    assert [file.data for file in one.files] == [file.data for file in other.files]
    assert {each.service for each in one.restarts} - {each.service for each in other.restarts} == {"app"}
    assert plan.fingerprint(one) != plan.fingerprint(other)


def test_environments_have_fingerprints_of_their_own_and_one_promotion_key() -> None:
    staging, production = make(host_plan()), make(host_plan("prod-1"), host_plan("prod-2"), environment="production")
    assert staging.fingerprint != production.fingerprint
    assert staging.promotion_key == production.promotion_key


SAME_KEY = {
    "another password": stack_of(TEXT.replace(SECRET, "other-word")),
    "another image tag": stack_of(TEXT.replace("shop:1", "shop:2")),
    "other lines": stack_of("# head\n\n" + TEXT),
    "another database": stack_of(TEXT.replace("/shop", "/store")),
}


@pytest.mark.parametrize("stack", SAME_KEY.values(), ids=SAME_KEY)
def test_the_promotion_key_holds_no_hosts_values_or_places(stack: Stack) -> None:
    assert make(host_plan("elsewhere", stack)).promotion_key == make(host_plan()).promotion_key


OTHER_KEY = {
    "another service changes": host_plan(stack=stack_of(TEXT.replace("app:\n", "api:\n"))),
    "a service changes less": host_plan(variables={"pool_exclude": ["app"]}),
}


@pytest.mark.parametrize("other", OTHER_KEY.values(), ids=OTHER_KEY)
def test_the_promotion_key_holds_what_changes_where(other: HostPlan) -> None:
    assert make(other).promotion_key != make(host_plan()).promotion_key


def test_other_steps_or_another_phase_have_another_promotion_key() -> None:
    part = book.select(PHASE, ("conditions",), ())
    assert plan.make(part, "staging", [host_plan()]).promotion_key != make(host_plan()).promotion_key
    other = replace(PHASE, number="2")
    assert plan.make(other, "staging", [host_plan()]).promotion_key != make(host_plan()).promotion_key


def test_each_stage_s_files_begin_where_the_one_before_ended() -> None:
    made = host_plan()
    assert [stage.number for stage in made.stages] == [1, 2]
    now, data = sha256(TEXT.encode()).hexdigest(), TEXT.encode()
    for stage in made.stages:
        (file,) = stage.files
        assert (file.path, file.before.sha256, file.data_before) == (COMPOSE, now, data)
        assert file.data is not None and file.data != data
        now, data = sha256(file.data).hexdigest(), file.data
    (whole,) = made.files
    assert (whole.data_before, whole.data) == (TEXT.encode(), data)


def test_files_that_were_read_and_are_not_written_are_watched_for_drift() -> None:
    used = stack_of(TEXT.replace("shop:1", "${IMAGE}"), env="IMAGE=shop:1\n")
    for stage in host_plan(stack=used).stages:
        assert [state.path for state in stage.reads] == [f"{ROOT}/.env"]


def test_a_stage_without_files_writes_restarts_and_reads_nothing() -> None:
    made = host_plan(variables={"pool_exclude": ["app", "broken"]})
    assert (made.stages[1].files, made.stages[1].restarts, made.stages[1].reads) == ((), (), ())
    assert made.changed and not host_plan(stack=made_stack(made)).stages[0].files


def made_stack(made: HostPlan) -> Stack:
    (file,) = made.files
    assert file.data is not None
    return stack_of(file.data.decode(), env="UNUSED=1\n")


def test_planning_the_result_plans_nothing() -> None:
    again = make(host_plan(stack=made_stack(host_plan())))
    assert not again.changed
    assert document(again)["hosts"][0]["files"] == []


def test_no_container_is_recreated_more_than_twice_and_none_before_what_it_needs() -> None:
    made = host_plan(facts=PROVEN)
    names = [restart.service for restart in made.restarts]
    assert max(names.count(name) for name in names) <= 2
    for stage in made.stages:
        order = [restart.service for restart in stage.restarts]
        assert order == sorted(order, key=["db", "pgbouncer", "app", "broken"].index)


KEYS = {
    "": {"phase", "environment", "fingerprint", "promotion_key", "hosts"},
    "hosts": {
        "host",
        "changed",
        "fingerprint",
        "files",
        "steps",
        "restarts",
        "startup",
        "warnings",
        "blocked",
        "hooks",
    },
    "files": {"path", "patch"},
    "steps": {"step", "risk", "changes", "kept", "refused"},
    "changes": {"service", "path", "line", "what", "before", "after", "proof", "reason"},
    "kept": {"service", "what", "reason"},
    "refused": {"service", "path", "line", "what", "reason", "mend"},
    "restarts": {"service", "reason", "holds_data", "downtime_s", "basis", "loses"},
    "startup": {"groups", "critical_path", "before_s", "after_s"},
    "hooks": {"when", "name", "where", "command", "timeout_s", "on_failure"},
}
"""The public shape (DESIGN), and what stands in it besides."""


def test_the_json_has_the_public_shape() -> None:
    hook = Hook("before", "drain", "curl http://eve:hunter22@lb/drain")
    found = document(make(host_plan(hooks=(hook,))))
    seen: set[str] = set()

    def check(name: str, value: Any) -> None:
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                seen.add(name)
                assert set(each) == KEYS[name], name
                for key, item in each.items():
                    check(key, item)

    check("", found)
    assert seen == set(KEYS)
    (host,) = found["hosts"]
    assert host["hooks"][0]["command"] == "curl http://eve:********@lb/drain"
    assert [step["step"] for step in host["steps"]] == [step.kind for step in PHASE.steps]
    assert {step["risk"] for step in host["steps"]} == {"low", "medium"}
    changes = [change for step in host["steps"] for change in step["changes"]]
    assert {change["what"] for change in changes} == {"health_check", "condition", "database_url", "pool"}
    assert {change["proof"] for change in changes} == {"unproven", "not needed"}
    assert all(change["path"] == "compose.yml" and change["line"] >= 1 for change in changes)
    assert host["startup"]["groups"][0] == ["db", "broken"]
    assert [refused["service"] for refused in host["steps"][3]["refused"]] == ["broken"]


def test_no_secret_stands_in_the_json_or_the_patch() -> None:
    text = json.dumps(document(make(host_plan())))
    assert SECRET not in text and "********" in text
    assert SECRET in json.dumps(document(make(host_plan()), show_secrets=True))


def test_the_patch_makes_the_planned_bytes_of_the_old_ones() -> None:
    made = host_plan()
    patch = document(make(made), show_secrets=True)["hosts"][0]["files"][0]["patch"]
    old, new = TEXT.splitlines(), made.files[0].data.decode().splitlines()  # type: ignore[union-attr]
    added = [line[1:] for line in patch.splitlines()[2:] if line.startswith("+")]
    removed = [line[1:] for line in patch.splitlines()[2:] if line.startswith("-")]
    assert sorted([*old, *added]) == sorted([*new, *removed])
    assert patch.startswith("--- a/compose.yml\n+++ b/compose.yml\n")


def test_what_the_host_found_wrong_blocks_and_what_it_warns_of_is_shown() -> None:
    tried = Trial({"stage1": "the model differs"}, {}, {})
    made = host_plan(tried=tried, found=Baseline(("app is paused",), ("Compose was upgraded",)))
    assert made.blocked == ("app is paused", "stage1: the model differs")
    assert made.warnings[0] == "Compose was upgraded"
    found = document(make(made))["hosts"][0]
    assert (found["blocked"], found["warnings"][0]) == (list(made.blocked), "Compose was upgraded")


def test_a_variable_that_is_not_set_is_named() -> None:
    stack = stack_of(TEXT.replace("shop:1", "shop:${TAG}", 1))
    assert host_plan(stack=stack).warnings == ("variable TAG is not set (/srv/app/compose.yml:11): it is empty",)


def test_local_files_are_planned_without_a_host_and_nothing_of_it_is_called_proven() -> None:
    made = offline.offline(STACK, PHASE, Mask())
    assert (made.environment, [host.host for host in made.hosts], made.hosts[0].live) == ("files", ["files"], False)
    proofs = {a.proof for stage in made.hosts[0].stages for step in stage.steps for a in step.altered}
    assert proofs == {"unproven", "not needed"}


def test_a_host_s_plan_is_found_by_its_name() -> None:
    made = make(host_plan("one"), host_plan("two"))
    assert made.host("two").host == "two"
    with pytest.raises(KeyError):
        made.host("three")


def test_a_changed_line_is_named_where_it_stands_in_the_file_now() -> None:
    before, after = b"a\nb\nc\n", b"a\nnew\nb\nC\n"
    assert [lines_before(before, after)(line) for line in (1, 2, 3, 4)] == [1, 1, 2, 3]


def test_hooks_are_part_of_what_a_kept_plan_does() -> None:
    plain, hooked = make(host_plan()), make(host_plan(hooks=(Hook("before", "drain", "drain"),)))
    other = make(host_plan(hooks=(Hook("before", "drain", "drain now"),)))
    assert len({plain.fingerprint, hooked.fingerprint, other.fingerprint}) == 3
    assert plain.promotion_key == hooked.promotion_key

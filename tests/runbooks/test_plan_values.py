"""The values of a plan, one by one: what each field says, so that none can turn into another unnoticed."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256

import pytest

from inventory.secrets import Mask
from rollback.model import FileState
from runbooks import draft, plan, plan_json, restarts
from runbooks.compose import startup
from runbooks.model import NO_FACTS, Answer, Facts, Question
from runbooks.plan_model import Restart, Trial
from tests.runbooks.steps.material import COMPOSE, ROOT, answering, container, live, stack_of
from tests.runbooks.test_plan import PHASE, PROVEN, STACK, TEXT, host_plan, make

NO_STEP = replace(PHASE, steps=tuple(replace(step, when="not live") for step in PHASE.steps))


def test_a_fingerprint_is_the_digest_of_plain_json_and_so_the_same_on_every_machine() -> None:
    def digest(text: str) -> str:
        return sha256(text.encode()).hexdigest()

    empty = plan.make(PHASE, "Köln", [])
    steps = json.dumps([step.name for step in PHASE.steps], separators=(",", ":"))
    assert empty.fingerprint == digest(r'["1","K\u00f6ln",[]]')
    assert empty.promotion_key == digest(f'["1",{steps},[]]')
    assert (empty.phase, empty.environment, empty.hosts) == ("1", "Köln", ())
    assert empty.steps == tuple(step.name for step in PHASE.steps)


def test_a_step_of_a_plan_says_all_that_its_change_said() -> None:
    made = draft.walk(PHASE, STACK, PROVEN, {})
    found = host_plan(facts=PROVEN)
    for drafted, stage in zip(made.stages, found.stages, strict=True):
        for (step, change), planned in zip(drafted.steps, stage.steps, strict=True):
            assert (planned.step, planned.kind, planned.risk) == (step.name, step.kind, step.risk)
            assert (planned.kept, planned.refused, planned.notes) == (change.kept, change.refused, change.notes)
            assert (planned.probes, planned.before_undo) == (change.probes, change.before_undo)
            assert [replace(each, line=0) for each in planned.altered] == [
                replace(each, line=0) for each in change.altered
            ]
        assert stage.gate == drafted.steps[0][0].gate
    assert any(stage.probes for stage in found.stages)
    assert any(step.notes for stage in found.stages for step in stage.steps)


def test_a_start_is_predicted_before_and_after_with_what_is_measured() -> None:
    found = host_plan(facts=PROVEN, measured_s={"db": 41.0}).startup
    made = draft.walk(PHASE, STACK, PROVEN, {})
    first, last = made.stages[0].before, made.stages[-1].after

    def expected(stack: object, *, supported: bool) -> startup.Startup:
        return startup.predict(
            stack, plan.ready.ready_s(stack, {"db": 41.0}), start_interval_supported=supported, checked_by_image=[]
        )  # type: ignore[arg-type]

    old, new = expected(first, supported=True), expected(last, supported=True)
    assert (found.before_s, found.after_s) == (old.seconds, new.seconds)
    assert (found.ups_before, found.ups_after) == (old.ups, new.ups)
    assert (found.groups, found.critical_path) == (new.groups, new.critical_path)
    assert found.after_s > 41


@pytest.mark.parametrize(("engine", "knows"), [((24, 9), False), ((25,), True), ((25, 0), True), ((26, 1), True)])
def test_start_intervals_count_only_where_the_engine_knows_them(engine: tuple[int, ...], knows: bool) -> None:
    told: list[bool] = []
    real = startup.predict

    def predict(stack: object, ready: object, *, start_interval_supported: bool, checked_by_image: object) -> object:
        told.append(start_interval_supported)
        return real(stack, ready, start_interval_supported=start_interval_supported, checked_by_image=checked_by_image)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan.startup, "predict", predict)
        host_plan(facts=replace(PROVEN, engine=engine))
        host_plan(facts=NO_FACTS)
    assert told == [knows, knows, True, True]


def test_the_images_that_run_now_are_kept_by_service() -> None:
    facts = replace(PROVEN, containers={
        "db": (replace(container("db", "exited"), image_id="sha256:old"), replace(container("db"), image_id="sha256:db")),
        "app": (replace(container("app", "exited"), image_id="sha256:app"),),
    })  # fmt: skip
    assert host_plan(facts=facts).images == {"db": "sha256:db"}


def test_a_file_that_no_survey_saw_is_planned_as_absent() -> None:
    made = draft.walk(PHASE, STACK, NO_FACTS, {})
    found = plan.host_plan("one", made, NO_FACTS, host_plan().compose, {})
    assert [file.before for file in found.stages[0].files] == [FileState(COMPOSE, None)]


def restarted(**tried: frozenset[str]) -> dict[str, list[str]]:
    """Services that each stage recreates, by the reason that Compose alone knows."""
    found = host_plan(facts=PROVEN, tried=Trial({}, tried, {"app": ("/srv/data/upload.bin",)}))
    return {
        f"stage{stage.number}": [each.service for each in stage.restarts if each.reason == "Compose would recreate it"]
        for stage in found.stages
    }


def test_what_compose_would_recreate_besides_is_recreated_once_and_without_its_dependents() -> None:
    assert restarted() == {"stage1": [], "stage2": []}
    assert restarted(stage1=frozenset({"broken"}))["stage1"] == ["broken"]
    assert restarted(stage2=frozenset({"broken"}))["stage2"] == ["broken"]
    both = restarted(stage1=frozenset({"broken"}), stage2=frozenset({"broken"}))
    assert (both["stage1"], both["stage2"]) == (["broken"], [])
    under = stack_of(TEXT + "  top:\n    image: top:1\n    depends_on: [broken]\n")
    facts = answering(PHASE, under, live(under))[0]
    made = plan.host_plan(
        "one", draft.walk(PHASE, under, facts, {}), facts, host_plan().compose, {},
        tried=Trial({}, {"stage1": frozenset({"broken", "top"})}, {}),
    )  # fmt: skip
    why = {each.service: each.reason for each in made.stages[0].restarts}
    assert why["broken"] == "Compose would recreate it"
    assert why.get("top") != "Compose would recreate it"


def test_what_a_container_would_lose_is_carried_into_the_plan() -> None:
    found = host_plan(facts=PROVEN, tried=Trial({}, {}, {"app": ("/srv/data/upload.bin",)}))
    lost = {each.service: each.loses for each in found.restarts}
    assert lost["app"] == ("/srv/data/upload.bin",)
    assert all(not loses for service, loses in lost.items() if service != "app")


def test_measured_starts_decide_how_long_a_restart_takes() -> None:
    found = host_plan(facts=PROVEN, measured_s={"app": 33.0})
    assert {each.downtime_s for each in found.restarts if each.service == "app"} == {
        round(restarts.STOP_S + restarts.LAUNCH_S + 33.0, 1)
    }


def test_a_patch_is_named_from_where_it_is_applied() -> None:
    found = host_plan()
    name = COMPOSE.removeprefix(f"{ROOT}/")
    parent, _, last = ROOT.rpartition("/")
    assert list(plan_json.patches(found)) == [name]
    assert list(plan_json.patches(found, f"{parent}/")) == [f"{last}/{name}"]
    assert list(plan_json.patches(found, ROOT)) == [name]
    assert list(plan_json.patches(found, "/elsewhere")) == [name]
    assert plan_json.relative(replace(found, project_dir=f"{ROOT}/"), COMPOSE) == name
    created = replace(found.files[0], data_before=None, data=b"one\n")
    stage = replace(found.stages[0], files=(created,), steps=())
    text = plan_json.patches(replace(found, stages=(stage,)))[name]
    assert [line for line in text.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")] == ["+one"]
    gone = replace(found.files[0], data_before=b"one\n", data=None)
    text = plan_json.patches(replace(found, stages=(replace(stage, files=(gone,)),)))[name]
    assert [line for line in text.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")] == ["-one"]


def test_a_plan_is_masked_unless_it_is_asked_not_to_be() -> None:
    mask = Mask()
    mask.add("geheim-7f3a")
    assert "geheim" not in json.dumps(plan_json.to_json(make(host_plan()), mask))
    assert "geheim" in json.dumps(plan_json.to_json(make(host_plan()), mask, show_secrets=True))


def test_a_step_that_does_not_apply_keeps_the_stack_and_its_own_kind_and_risk() -> None:
    made = draft.walk(NO_STEP, STACK, PROVEN, {})
    assert made.phase is NO_STEP
    for stage in made.stages:
        for step, change in stage.steps:
            assert (change.step, change.risk, change.stack) == (step.kind, step.risk, STACK)
            assert [(each.service, each.what) for each in change.kept] == [("", step.name)]
    assert draft.questions(NO_STEP, STACK, replace(PROVEN, answers={}), {}) == ()


def test_what_differs_between_hosts_that_are_the_same_is_blank() -> None:
    each = replace(container("db"), id="a", started_at="b", addresses={"n": "c"}, labels={"d": "e"}, config_hash="f")
    facts = Facts(True, (26,), containers={"db": (each,)}, answers={"q": Answer(0, "out", 7.0)})
    blank = replace(each, id="", started_at="", addresses={}, labels={}, config_hash="")
    assert draft.alike(facts) == replace(facts, containers={"db": (blank,)}, answers={"q": Answer(0, "out", 0.0)})


def test_all_steps_ask_about_the_stack_as_it_is_first_and_then_each_about_what_it_sees() -> None:
    nothing = replace(PROVEN, answers={})
    first = draft.questions(PHASE, STACK, nothing, {})
    assert all(isinstance(each, Question) for each in first)
    assert len({each.key for each in first}) == len(first) > 3
    assert draft.questions(PHASE, STACK, PROVEN, {}) == ()


@pytest.mark.parametrize(
    ("entry", "named"),
    [("data:/var", True), ("./data:/var", False), ("/srv/x:/var", False), ("~/x:/var", False), ("$HOME/x:/var", False),
     ("/anonymous", False), ("data", False), ({"type": "volume", "source": "d"}, True), ({"type": "bind"}, False)],
)  # fmt: skip
def test_an_entry_of_volumes_names_a_volume_or_a_path_of_the_host(entry: object, named: bool) -> None:
    assert restarts._is_volume(entry) is named


@pytest.mark.parametrize(
    ("check", "wait_s"),
    [
        ("{test: x, interval: 1s, timeout: 1s, retries: 1}", 60.0),
        ("{test: x, interval: 30s, timeout: 30s}", 300.0),
        ("{test: x, interval: 30s, timeout: 30s, start_period: 40s}", 350.0),
        ("{test: x, interval: 30s, retries: 5}", 450.0),
        ("{test: x, interval: 1h, timeout: 1s}", 1125.0),
    ],
)
def test_health_is_waited_for_a_quarter_longer_than_the_engine_would(check: str, wait_s: float) -> None:
    stack = stack_of(f"services:\n  web:\n    image: shop:1\n    healthcheck: {check}\n")
    assert restarts._wait_s(stack.services["web"], 1.0) == wait_s
    assert restarts._wait_s(stack.services["web"], 1000.0) == 3000.0


def test_a_proxy_is_named_with_all_that_it_may_keep_the_old_address_of() -> None:
    stack = stack_of(
        "services:\n  front:\n    image: nginx:1\n    environment: {A: 'http://one:80', B: null}\n    depends_on: [two]\n"
        "  one: {image: x}\n  two: {image: x}\n  three: {image: x}\n"
    )
    renewed = [Restart(name, "why", False, 1.0) for name in ("one", "two", "three")]
    assert restarts.stale_proxies(stack, renewed) == (
        "front may keep the old address of one, two: reload it after the run if it does",
    )

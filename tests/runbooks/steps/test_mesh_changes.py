"""A mesh that stands and an inventory that wishes something else: who comes in, what changes for whom, and who stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runbooks.compose import project
from runbooks.compose.model import Stack
from runbooks.model import Change
from runbooks.steps import images, mesh_services
from runbooks.survey_files import file_stack
from tests.runbooks.compose import invariants
from tests.runbooks.compose.test_corpus import REAL, SMALL, completed, name, needs_corpus
from tests.runbooks.compose.test_corpus_phase_2 import no_secret_is_written_again, nothing_but_the_operations_is_changed
from tests.runbooks.steps.material import COMPOSE, ROOT, reasons
from tests.runbooks.steps.test_mesh_corpus import whole
from tests.runbooks.steps.test_service_mesh import CHOSEN, TEXT, places, planned, stack, told
from tests.services import meshes
from tests.services.test_mesh import judged

MORE: dict[str, Any] = {"db": {}, "api": {}, "web": {"serves": False}, "worker": {"serves": False}}


def meshed(made: Change, before: Stack) -> Stack:
    """The stack as it is read after a change."""
    return project.load(before.spec, {**before.files, **made.stack.files}, frozenset())


def standing(chosen: dict[str, Any] | None = None, text: str = TEXT, **more: Any) -> Stack:
    on = stack(text)
    return meshed(planned(on, chosen, **more), on)


def holds(before: Stack, made: Change) -> None:
    """What holds of every step, and each file is one that a sidecar reads."""
    invariants.only_the_edits_differ(before, made)
    nothing_but_the_operations_is_changed(before, made)
    no_secret_is_written_again(before, made)
    invariants.no_new_cycle(before, made.stack)
    mounted = {str(each).partition(":")[0] for service in made.stack.services.values() for each in service.value.get("volumes") or ()}  # fmt: skip
    assert {f".{path.removeprefix(before.spec.directory)}" for path in made.created} <= mounted


def relabelled(on: Stack, made: Change) -> set[str]:
    """The services that get another file."""

    def label(of: Stack, service: str) -> Any:
        labels = of.services[service].value.get("labels") or {}
        return labels.get(images.CONTENT) if isinstance(labels, dict) else None

    return {each for each in on.services if label(on, each) != label(made.stack, each)}


def test_who_comes_in_gets_a_sidecar_and_who_called_it_past_the_mesh_calls_it_in_the_mesh_now() -> None:
    on = standing()
    made = planned(on, MORE)
    assert made.refused == ()
    holds(on, made)
    after = made.stack.services
    assert after["db"].value["networks"] == ["mesh-db"]
    assert set(after["db-mesh"].value["networks"]) == {"back", "mesh-db"}
    assert after["worker"].value["networks"] == ["back", "mesh-worker"]
    api = told(made, "api")
    assert places(api, "clusters")["to_db_5432"] == ("db-mesh", 15100)
    assert "pass_db_5432" not in places(api, "clusters")
    assert "pass_queue_6379" in places(api, "clusters")
    callers = json.dumps(told(made, "db"))
    assert all(f"spiffe://app/{each}" in callers for each in ("api", "worker"))
    # Who does not call it is told nothing new, and nobody is moved twice.
    assert relabelled(on, made) == {"api-mesh"}
    assert f"{ROOT}/infrastructure/mesh/web.yaml" not in made.created
    for each in ("api", "web", "queue"):
        assert after[each].value == on.services[each].value
    authority = after["mesh-authority"]
    assert (authority.environment["MEMBERS"].value or "").split() == ["db", "api", "web", "worker"]
    assert authority.environment["ASK_db"].value == "db-mesh:15100 db:5432"
    assert "mesh-keys-db:/certificates/db" in authority.value["volumes"]
    assert {probe.name for probe in made.probes} >= {"mesh:mesh-authority", "container:db-mesh", "container:web-mesh"}
    assert {each.service for each in made.images} == {"api-mesh", "db-mesh", "worker-mesh"}


def test_who_is_there_keeps_its_network_and_nobody_gets_one_that_another_has() -> None:
    on = standing()
    made = planned(on, MORE)

    def subnet(of: Stack, member: str) -> str:
        return str(of.value["networks"][f"mesh-{member}"]["ipam"]["config"][0]["subnet"])

    members = ("api", "web", "db", "worker")
    assert [subnet(on, each) for each in members[:2]] == [subnet(made.stack, each) for each in members[:2]]
    assert len({subnet(made.stack, each) for each in members}) == 4


def test_it_is_as_if_it_had_been_wished_so_at_first_but_for_addresses() -> None:
    on = standing()
    made, at_first = planned(on, MORE), planned(stack(), MORE)
    for each in ("db", "api", "web", "worker"):
        there, fresh = made.stack.services[f"{each}-mesh"], at_first.stack.services[f"{each}-mesh"]
        assert set(there.value["networks"]) == set(fresh.value["networks"])
        own = f"mesh-{each}"
        assert set(there.value["networks"][own].get("aliases", ())) == set(
            fresh.value["networks"][own].get("aliases", ())
        )
        assert made.stack.services[each].value["networks"] == at_first.stack.services[each].value["networks"]
    for key in ("environment", "volumes"):
        assert made.stack.services["mesh-authority"].value[key] == at_first.stack.services["mesh-authority"].value[key]


def test_it_is_planned_once() -> None:
    on = standing()
    again = planned(meshed(planned(on, MORE), on), MORE)
    assert (again.operations, again.created, again.edits) == ((), {}, ())
    assert reasons(again)["mesh-authority", "mesh"] == "is there already"
    same = planned(standing(MORE), MORE)
    assert (same.operations, same.created) == ((), {})


def test_a_rate_goes_to_the_one_sidecar_that_keeps_it_and_nowhere_else() -> None:
    on = standing()
    made = planned(on, {"api": {"rate": 50}, "web": {"serves": False}})
    holds(on, made)
    assert relabelled(on, made) == {"api-mesh"}
    assert [each.service for each in made.operations] == ["api-mesh"]
    assert '"max_tokens": 50' in json.dumps(told(made, "api"))
    assert list(made.created) == [f"{ROOT}/infrastructure/mesh/api.yaml"]
    (line,) = made.altered
    assert (line.service, line.what, line.after) == ("api-mesh", "mesh", "its file anew")


def test_days_go_to_the_authority_alone() -> None:
    on = standing()
    made = planned(on, mesh_certificate_days=14)
    holds(on, made)
    assert {each.service for each in made.operations} == {"mesh-authority"}
    assert made.created == {}
    assert {each.after for each in made.altered} == {"DAYS=14", f"RENEW_S={14 * 86400 // 7}"}


def test_who_only_called_may_serve_from_now_on_and_is_left_alone_with_its_sidecar() -> None:
    text = TEXT.replace("nginx:1\n", "nginx:1\n    expose: ['80']\n").replace("QUEUE_HOST: queue", "QUEUE_HOST: queue\n      FRONT: http://web:80")  # fmt: skip
    on = standing(text=text)
    made = planned(on, {"api": {}, "web": {}})
    assert made.refused == ()
    holds(on, made)
    assert made.stack.services["web"].value["networks"] == ["mesh-web"]
    assert set(made.stack.services["web-mesh"].value["networks"]) == {"front", "mesh-web"}
    assert relabelled(on, made) == {"api-mesh", "web-mesh"}


def test_ports_that_were_dropped_are_served_all_the_same() -> None:
    text = TEXT.replace('expose: ["8000"]', "ports: ['8000:8000', '9000:9000']")
    chosen = {"api": {"drop": ["ports"]}, "web": {"serves": False}}
    on = standing(chosen, text)
    assert planned(on, chosen).operations == ()
    made = planned(on, {**chosen, "db": {}, "worker": {"serves": False}})
    assert made.refused == ()
    assert {"in_8000", "in_9000"} <= set(places(told(made, "api"), "listeners"))


@pytest.mark.parametrize("chosen", [{"api": {}}, {"api": {}, "web": "skip"}, {"api": {"serves": False}, "web": {"serves": False}}])  # fmt: skip
def test_nobody_is_taken_out_and_the_plan_says_how_that_is_done(chosen: dict[str, Any]) -> None:
    made = planned(standing(), chosen)
    assert (made.operations, made.refused) == ((), ())
    told_ = [each for each in made.kept if "roll the mesh back and plan anew" in each.reason]
    assert [each.service for each in told_] == (["web"] if chosen["api"] == {} else ["api"])
    assert all(each.attention for each in told_)


def test_what_is_in_the_way_of_who_comes_in_keeps_the_rest_as_it_is() -> None:
    made = planned(standing(), {**CHOSEN, "db": {}})
    (refusal,) = made.refused
    assert (refusal.service, refusal.path) == ("worker", COMPOSE)
    assert "worker: {serves: false}" in refusal.mend
    assert (made.operations, made.edits, made.created) == ((), (), {})


def test_a_mesh_that_somebody_wrote_anew_is_left_as_it_is() -> None:
    on = standing()
    text = on.files[COMPOSE].decode().replace("./infrastructure/mesh/web.yaml", "./mine/web.yaml")
    made = planned(project.load(on.spec, {**on.files, COMPOSE: text.encode()}, frozenset()), MORE)
    assert made.operations == ()
    assert "not as this version writes them" in reasons(made)["mesh-authority", "mesh"]


@pytest.mark.slow
@pytest.mark.skipif(meshes.program() is None, reason="no Envoy here")
def test_envoy_itself_finds_nothing_wrong_with_what_changed(tmp_path: Path) -> None:
    made = planned(standing(), MORE)
    for image in made.images:
        assert image.argv == mesh_services.trial()
        assert judged(tmp_path, (image.data or b"").decode()).returncode == 0


def in_two_steps(before: Stack) -> bool:
    """Half of those who can serve first, then all of them: every invariant, and nothing left to do. False: there are no two."""
    made, chosen = whole(before)
    serving = [each for each, own in chosen.items() if own.get("serves", True)]
    if not made.operations or len(serving) < 2:
        return False
    half = {each: {"serves": False} if each in serving[len(serving) // 2 :] else own for each, own in chosen.items()}
    first = planned(before, half)
    if not first.operations:
        return False
    on = meshed(first, before)
    then = planned(on, chosen)
    assert then.refused == ()
    holds(on, then)
    assert planned(meshed(then, on), chosen).operations == ()
    for each in serving:
        assert then.stack.services[each].value["networks"] == [f"mesh-{each}"]
    return True


@pytest.mark.slow
@needs_corpus
@pytest.mark.parametrize("path", REAL, ids=name)
def test_a_mesh_of_a_real_file_grows_and_nothing_else_changes(path: Path) -> None:
    in_two_steps(completed(path))


@pytest.mark.slow
@pytest.mark.parametrize("path", SMALL, ids=name)
def test_a_mesh_of_a_small_file_of_each_form_grows_and_nothing_else_changes(path: Path) -> None:
    in_two_steps(file_stack([path]))


@pytest.mark.slow
@needs_corpus
def test_enough_real_files_have_a_mesh_that_can_grow() -> None:
    assert sum(in_two_steps(completed(path)) for path in REAL) > 20

"""Services readied for replicas: a manifest that Kubernetes' own schema takes; what is in the way is found and said."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from inventory.errors import InputError
from runbooks import book
from runbooks.compose.model import Stack
from runbooks.model import NO_FACTS, Change
from runbooks.scaling import Limits
from runbooks.steps import autoscaling, replicas
from tests.runbooks.steps.material import change, reasons, services, text_of

STEP = "autoscaling"
HPA = "/srv/app/kubernetes/web-hpa.yml"


def planned(on: Stack, **more: Any) -> Change:
    return change(STEP, on, NO_FACTS, **more)


def valid(manifest: bytes) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(manifest)
    kubernetes_validate.validate(found, "1.31", strict=True)
    return found


def test_a_service_gets_its_floor_of_replicas_and_the_proposal_s_manifest() -> None:
    made = planned(services(web="image: web, cpus: 1"), autoscale={"web": {}})
    assert "deploy: {replicas: 2}" in text_of(made.stack)
    spec = valid(made.created[HPA])["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 10)
    assert spec["metrics"][0]["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}  # fmt: skip
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    again = planned(made.stack, autoscale={"web": {}})
    assert (again.edits, again.operations, again.created) == ((), (), made.created)


def test_without_a_service_in_the_inventory_nothing_is_done() -> None:
    made = planned(services(web="image: web"))
    assert (made.edits, made.created) == ((), {})
    assert reasons(made) == {("", "replicas"): "no service is named in autoscale"}


def test_more_replicas_that_were_set_by_hand_stay() -> None:
    for body in ("deploy: {replicas: 4}", "scale: 3"):
        assert not planned(services(web=f"image: web, {body}"), autoscale={"web": {}}).edits
    assert "scale: 2" in text_of(planned(services(web="image: web, scale: 1"), autoscale={"web": {}}).stack)


def test_a_service_without_a_limit_is_told() -> None:
    assert ("web", "replicas") in reasons(planned(services(web="image: web"), autoscale={"web": {}}))


@pytest.mark.slow
@settings(deadline=None)  # the first one loads the schemas
@given(st.from_regex(r"[a-zA-Z0-9._-]{1,80}", fullmatch=True), st.integers(1, 100), st.integers(1, 100), st.integers(1, 100))  # fmt: skip
def test_every_manifest_is_one_that_kubernetes_takes(name: str, one: int, other: int, cpu: int) -> None:
    found = valid(autoscaling.manifest(name, Limits(min(one, other), max(one, other), cpu)))
    assert len(found["metadata"]["name"]) <= 63
    assert isinstance(found["spec"]["scaleTargetRef"]["name"], str)


def test_a_manifest_with_a_slip_is_refused_by_the_schema_of_kubernetes() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        valid(autoscaling.manifest("web", Limits()).replace(b"maxReplicas: 10", b"maxReplicas: ten"))
    with pytest.raises(kubernetes_validate.ValidationError):
        valid(autoscaling.manifest("web", Limits()).replace(b"maxReplicas", b"maxReplica"))


WAYS = [
    ("container_name: shop-web", "container_name", "cannot all be called shop-web", "drop: [container_name]"),
    ("ports: ['8080:80']", "ports", "the host's port 8080", "proxy such as HAProxy"),
    ("ports: ['127.0.0.1:8080:80/tcp']", "ports", "the host's port 8080", "drop: [ports]"),
    ("ports: [{target: 80, published: '8080'}]", "ports", "the host's port 8080", "drop: [ports]"),
    ("ports: ['8080-8084:80']", "ports", "the host's port 8080", "drop: [ports]"),
    ("volumes: ['data:/data']", "volumes", "write to data, at /data", "shared_volumes: true"),
    ("volumes: [{type: bind, source: ./d, target: /d}]", "volumes", "write to ./d", ":ro"),
    ("network_mode: host", "network_mode", "one set of ports", "network of its own"),
    ("networks: {a: {ipv4_address: 10.0.0.2}}", "networks", "fixed address", "take the address out"),
    ("deploy: {mode: global}", "deploy", "its mode is global", "take deploy.mode out"),
]


@pytest.mark.parametrize(("body", "what", "reason", "mend"), WAYS)
def test_what_forbids_replicas_is_refused_with_its_mend_and_nothing_is_written(body: str, what: str, reason: str, mend: str) -> None:  # fmt: skip
    made = planned(services(web=f"image: web, {body}"), autoscale={"web": {}})
    assert [each.what for each in made.refused] == [what]
    assert reason in made.refused[0].reason
    assert mend in made.refused[0].mend
    assert (made.edits, made.created) == ((), {})


def test_what_keeps_data_is_refused_whatever_is_dropped() -> None:
    made = planned(services(web="image: 'postgres:17'"), autoscale={"web": {"drop": ["container_name", "ports"], "shared_volumes": True}})  # fmt: skip
    assert [each.what for each in made.refused] == ["image"]


@pytest.mark.parametrize("body", ["ports: ['80']", "ports: ['127.0.0.1::80']", "ports: ['8080-8089:80']", "ports: [{target: 80}]", "volumes: ['./c:/c:ro', '/cache', {type: tmpfs, target: /t}]", "networks: [a]"])  # fmt: skip
def test_what_is_in_nobody_s_way_is_let_be(body: str) -> None:
    made = planned(services(web=f"image: web, {body}"), autoscale={"web": {}})
    assert not made.refused
    assert HPA in made.created


def test_the_inventory_may_drop_a_name_and_a_port_and_share_a_volume() -> None:
    on = services(
        web="image: web, container_name: shop, ports: ['8080:80'], volumes: ['d:/d']", db="image: 'postgres:17'"
    )
    made = planned(on, autoscale={"web": {"drop": ["container_name", "ports"], "shared_volumes": True}})
    assert not made.refused
    assert made.stack.services["web"].value == {"image": "web", "volumes": ["d:/d"], "deploy": {"replicas": 2}}
    assert made.notes == ("web gives up its host port: nothing reaches it there before a proxy publishes it",)
    assert [(each.what, each.before, each.after) for each in made.altered] == [("container_name", "shop", "none"), ("ports", "['8080:80']", "none"), ("replicas", "1", "2")]  # fmt: skip


@pytest.mark.parametrize(("entry", "found"), [("80", ("", 0)), ("1:2", ("1", 1)), ("[::1]:8080:80", ("8080", 1)), ("0:80", ("", 0)), ("9-7:1", ("9", -1)), (80, ("", 0))])  # fmt: skip
def test_host_ports_are_read_in_every_form(entry: Any, found: tuple[str, int]) -> None:
    assert replicas.published(entry) == found


BAD = [
    ({"web": 3}, "web: must be a mapping"),
    ({"web": {"mim": 3}}, "did you mean min"),
    ({"web": {"min": 0}}, "min 0 is no number from 1 to 100"),
    ({"web": {"min": 11}}, "min 11 is above max 10"),
    ({"web": {"cpu": 170}}, "cpu 170 is no number"),
    ({"web": {"drop": ["volumes"]}}, "names what cannot be dropped"),
    ({"web": {"shared_volumes": "yes"}}, "must be true or false"),
]


@pytest.mark.parametrize(("value", "words"), BAD)
def test_a_setting_that_cannot_be_is_refused_with_its_place_and_mend(value: Any, words: str) -> None:
    with pytest.raises(InputError, match=rf"^phase_3\.yml:7: vars\.autoscale: .*{words}"):
        book.check_setting(STEP, "autoscale", value, "phase_3.yml", 7)


def test_a_service_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"there is no service wbe \(did you mean web\?\)"):
        planned(services(web="image: web"), autoscale={"wbe": {}})


def test_a_folder_outside_the_project_is_refused() -> None:
    with pytest.raises(InputError, match="is no folder inside the project"):
        book.check_setting(STEP, "hpa_folder", "../x", "phase_3.yml", 7)

"""A mesh in a stack: who gets a sidecar, who moves, what is told to Envoy, what is refused, and nothing but that."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inventory.errors import InputError
from runbooks import book
from runbooks.compose import project
from runbooks.compose.model import Stack
from runbooks.model import NO_FACTS, Change
from runbooks.steps import mesh_services
from tests.runbooks.compose import invariants
from tests.runbooks.compose.test_corpus_phase_2 import (
    no_secret_is_written_again,
    nothing_but_the_operations_is_changed,
    phase_1_still_stands,
    what_is_created_is_new_and_mounted,
)
from tests.runbooks.steps.material import COMPOSE, ROOT, change, reasons, stack_of, text_of

STEP = "service_mesh"
TEXT = """\
services:
  db:
    image: postgres:17
    environment: {POSTGRES_USER: api, POSTGRES_PASSWORD: "${DB_PASSWORD}"}
    networks: [back]
  api:
    image: shop/api
    container_name: shop-api
    environment:
      DATABASE_URL: "postgres://api:${DB_PASSWORD}@db/shop"   # its login is called as it is
      QUEUE_HOST: queue
    expose: ["8000"]
    depends_on: [db]
    networks: [front, back]
  queue:
    image: redis:8
    networks: [back]
  web:
    image: nginx:1
    environment: {API: "http://api:8000/v1"}
    networks: {front: {aliases: [www]}}
  worker:
    image: shop/worker
    environment: {DATABASE_URL: "postgres://app:${DB_PASSWORD}@db/shop"}
    networks: [back]
networks: {front: {}, back: {internal: true}}
"""
CHOSEN: dict[str, Any] = {"api": {}, "web": {"serves": False}}


def stack(text: str = TEXT) -> Stack:
    return stack_of(text, env="DB_PASSWORD=geheim-db\n")


def planned(on: Stack, chosen: dict[str, Any] | None = None, **more: Any) -> Change:
    return change(STEP, on, NO_FACTS, mesh_services=CHOSEN if chosen is None else chosen, **more)


def told(made: Change, member: str) -> Any:
    """What a member's Envoy is told."""
    return json.loads(made.created[f"{ROOT}/infrastructure/mesh/{member}.yaml"].decode().partition("\n")[2])


def places(document: Any, which: str) -> dict[str, tuple[str, int]]:
    """The address and port of each listener or cluster."""
    found = {}
    for each in document["static_resources"][which]:
        at = each["address"] if which == "listeners" else each["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]  # fmt: skip
        found[each["name"]] = (at["socket_address"]["address"], at["socket_address"]["port_value"])
    return found


def everything_holds(before: Stack, made: Change) -> None:
    invariants.only_the_edits_differ(before, made)
    nothing_but_the_operations_is_changed(before, made)
    no_secret_is_written_again(before, made)
    what_is_created_is_new_and_mounted(before, made)
    invariants.no_new_cycle(before, made.stack)


def test_who_serves_is_left_alone_with_its_sidecar_and_who_calls_finds_one_by_the_same_name() -> None:
    on = stack()
    made = planned(on)
    assert made.refused == ()
    everything_holds(on, made)
    after = made.stack.services
    assert after["api"].value["networks"] == ["mesh-api"]
    assert set(after["web"].value["networks"]) == {"front", "mesh-web"}
    assert after["web"].value["networks"]["front"] == {"aliases": ["www"]}
    assert {key: found.value for key, found in after["api"].environment.items()} == {key: found.value for key, found in on.services["api"].environment.items()}  # fmt: skip
    sidecar = after["api-mesh"].value["networks"]
    assert set(sidecar) == {"front", "back", "mesh-api"}
    assert sidecar["mesh-api"]["aliases"] == ["db", "queue"]
    assert set(after["web-mesh"].value["networks"]["mesh-web"]["aliases"]) == {"api", "shop-api"}
    assert after["api"].edges["api-mesh"].condition == "service_healthy"
    assert after["api-mesh"].edges["mesh-authority"].condition == "service_healthy"
    for each in ("db", "queue", "worker"):
        assert after[each].value == on.services[each].value


def test_envoy_is_told_whom_to_accept_and_where_what_leads() -> None:
    made = planned(stack(), {"api": {"rate": 50}, "web": {"serves": False}})
    api, web = told(made, "api"), told(made, "web")
    own = places(api, "listeners")
    address = own["pass_db_5432"][0]
    assert own == {"in_8000": ("0.0.0.0", 15100), "pass_db_5432": (address, 5432), "pass_queue_6379": (address, 6379), "metrics": ("0.0.0.0", 15090)}  # fmt: skip
    assert made.stack.services["api-mesh"].value["networks"]["mesh-api"]["ipv4_address"] == address
    # By the name that only the network of before knows: the plain one is the sidecar's own there.
    assert places(api, "clusters")["pass_db_5432"] == ("db.app_back", 5432)
    assert places(web, "clusters")["to_api_8000"] == ("api-mesh", 15100)
    text = json.dumps(api)
    assert '"exact": "spiffe://app/web"' in text
    assert text.count("spiffe://app/") == 2  # web, and the authority that tries it
    assert '"max_tokens": 50' in text
    assert '"require_client_certificate": true' in text


def test_keys_are_in_memory_alone_and_in_no_file_or_plan() -> None:
    made = planned(stack())
    assert made.stack.value["volumes"]["mesh-keys-api"]["driver_opts"]["type"] == "tmpfs"
    written = b"".join([*made.created.values(), *(edit.text for edit in made.edits)])
    assert b"PRIVATE" not in written
    assert b"geheim" not in written
    mounts = {name: [each for each in service.value.get("volumes", ()) if each.startswith("mesh-")] for name, service in made.stack.services.items()}  # fmt: skip
    assert mounts["api-mesh"] == ["mesh-keys-api:/certificates:ro"]
    assert mounts["web-mesh"] == ["mesh-keys-web:/certificates:ro"]
    assert mounts["api"] == mounts["web"] == []


def test_each_file_is_judged_by_envoy_before_anything_is_written() -> None:
    made = planned(stack())
    tried = {image.service: image for image in made.images}
    assert set(tried) == {"mesh-authority", "api-mesh", "web-mesh"}
    assert tried["mesh-authority"].context
    assert tried["api-mesh"].argv == mesh_services.trial()
    assert tried["api-mesh"].data == made.created[f"{ROOT}/infrastructure/mesh/api.yaml"]
    assert "--mode validate" in " ".join(mesh_services.trial())


def test_the_gate_tries_every_served_port_and_watches_all_that_moved() -> None:
    probes = {probe.name: probe for probe in planned(stack()).probes}
    assert probes["mesh:mesh-authority"].settings == {"services": {"api": [8000]}}
    for each in ("api", "api-mesh", "web", "web-mesh", "mesh-authority"):
        assert f"container:{each}" in probes


def test_who_only_had_internal_networks_gets_no_way_out_of_the_host() -> None:
    made = planned(stack(), {"db": {"protocol": "tcp"}, "api": {"serves": False}, "worker": {"serves": False}})
    networks = made.stack.value["networks"]
    assert networks["mesh-db"]["internal"] is True
    assert "internal" not in networks["mesh-api"]


def test_the_aggregator_and_the_breaker_are_callers_by_themselves() -> None:
    on = stack()
    for kind in ("health_aggregator", "circuit_breakers"):
        on = change(kind, on, NO_FACTS).stack
    made = planned(on)
    assert made.refused == ()
    everything_holds(on, made)
    assert {"health-aggregator-mesh", "circuit-breaker-mesh"} <= set(made.stack.services)
    assert "spiffe://app/health-aggregator" in json.dumps(told(made, "api"))


def test_without_a_service_it_does_nothing_and_it_is_planned_once() -> None:
    assert reasons(planned(stack(), {}))["", "mesh"] == "no service is named in mesh_services"
    made = planned(stack())
    again = planned(project.load(made.stack.spec, made.stack.files))
    assert (again.operations, again.created) == ((), {})
    assert reasons(again)["mesh-authority", "mesh"] == "is there already"
    phase_1_still_stands(made.stack)


def test_two_stacks_have_other_addresses_and_the_inventory_may_choose_them() -> None:
    def first(made: Change) -> str:
        return str(made.stack.value["networks"]["mesh-api"]["ipam"]["config"][0]["subnet"])

    other = project.load(project.ProjectSpec(ROOT, "other", ("compose.yml",)), stack().files, frozenset())
    assert first(planned(stack())) != first(planned(other))
    assert first(planned(stack(), mesh_subnet="10.9.0.0/24")) == "10.9.0.0/27"
    with pytest.raises(InputError, match=r"mesh_subnet: holds 1 networks, and 2 are needed"):
        planned(stack(), mesh_subnet="10.9.0.0/27")


@pytest.mark.parametrize(
    ("old", "new", "service", "reason", "mend"),
    [
        ("expose: [", "network_mode: host\n    expose: [", "api", "has network_mode: host", "take network_mode out"),
        ('    expose: ["8000"]\n', "", "api", "declares no port, and nobody names one", "{port: PORT}"),
        ("expose: [", "ports: ['8000:8000']\n    expose: [", "api", "publishes ports on the host", "api: {drop: [ports]}"),
        ("[front, back]", "{front: {ipv4_address: 10.1.1.1}}", "api", "has an address of its own", "leave only aliases"),
        ("  queue:\n", "  api-mesh:\n    image: x\n  queue:\n", "api", "which is another service", "rename that service"),
        ("  worker:\n", "  mesh-authority:\n    image: x\n  worker:\n", "mesh-authority", "a service of that name is there", "choose another mesh_authority"),
        ("shop/worker\n", "shop/worker\n    depends_on: [api]\n", "worker", "calls api in plain text", "worker: {serves: false}"),
        ("nginx:1\n", "nginx:1\n    network_mode: host\n", "web", "so it can have no sidecar", "web: skip"),
        ("QUEUE_HOST: queue", "QUEUE: 'tcp://queue:5432'", "api", "needs db and queue at the same port 5432", "give one of them another port"),
        ("expose: [", "links: [db]\n    expose: [", "api", "has links", "take them out"),
        ("image: redis:8", "image: shop/queue", "api", "names queue, at a port that nothing says", "reaches: [queue:PORT]"),
    ],
)  # fmt: skip
def test_what_would_get_past_the_mesh_or_be_cut_off_by_it_is_refused_with_its_place_and_the_mend(
    old: str, new: str, service: str, reason: str, mend: str
) -> None:
    text = TEXT.replace(old, new, 1)
    if service == "web":
        text = text.replace("    networks: {front: {aliases: [www]}}\n", "")
    if "expose" in old and not new:
        text = text.replace("http://api:8000/v1", "http://elsewhere")
    if "network_mode: host\n    expose" in new:
        text = text.replace("    networks: [front, back]\n", "")
    assert text != TEXT
    made = planned(stack(text))
    (refusal,) = made.refused
    assert (refusal.service, refusal.path) == (service, COMPOSE)
    assert reason in refusal.reason
    assert mend in refusal.mend
    line = text.splitlines()[refusal.line - 1]
    assert line == f"  {service}:"
    # All of it or nothing.
    assert (made.edits, made.operations, made.created) == ((), (), {})


def test_a_port_on_the_host_goes_when_the_inventory_says_so() -> None:
    made = planned(stack(TEXT.replace("expose: [", "ports: ['8000:8000']\n    expose: [")), {"api": {"drop": ["ports"]}, "web": {"serves": False}})  # fmt: skip
    assert made.refused == ()
    assert "ports" not in made.stack.services["api"].value
    assert "ports:" not in text_of(made.stack)


def test_a_caller_that_is_none_is_skipped_and_what_is_only_waited_for_is_told_where_its_port_is_taken() -> None:
    made = planned(stack(TEXT.replace("shop/worker\n", "shop/worker\n    depends_on: [api]\n")), {**CHOSEN, "worker": "skip"})  # fmt: skip
    assert made.refused == ()
    assert "worker-mesh" not in made.stack.services
    text = TEXT.replace("  queue:\n", "  other:\n    image: postgres:16\n    networks: [back]\n  queue:\n").replace("depends_on: [db]", "depends_on: [db, other]")  # fmt: skip
    assert "waits for other and names it nowhere" in reasons(planned(stack(text)))["api", "mesh"]


@pytest.mark.parametrize(
    ("key", "given", "line"),
    [
        ("mesh_services", {"api": "yes"}, "api: 'yes' says nothing (write {}, or skip)"),
        ("mesh_services", {"api": {"prot": 1}}, "api: prot is no key of it"),
        ("mesh_services", {"api": {"port": 0}}, "api: 0 is no port (write a number from 1 to 65535)"),
        ("mesh_services", {"api": {"rate": True}}, "api: True is no rate"),
        ("mesh_services", {"api": {"protocol": "grpc"}}, "api: 'grpc' is no protocol that is told apart (write http or tcp)"),
        ("mesh_services", {"api": {"serves": "no"}}, "api: serves must be true or false"),
        ("mesh_services", {"api": {"reaches": ["db"]}}, "is no list of places (write [SERVICE:PORT])"),
        ("mesh_services", {"api": {"drop": ["image"]}}, "names what cannot be dropped (write [ports])"),
        ("mesh_folder", "../mesh", "is no folder inside the project"),
        ("mesh_subnet", "10.0.0.1/20", "is no network (write 10.200.0.0/20)"),
        ("mesh_subnet", "8.8.0.0/16", "is no private network"),
        ("mesh_certificate_days", 0, "0 is no number of days"),
        ("mesh_authority_days", 30, "30 is no number of days (write 365, from 360 to 3650)"),
        ("mesh_authority", "A b", "is no name of a service"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_in_one_line_with_the_mend(key: str, given: Any, line: str) -> None:
    with pytest.raises(InputError) as caught:
        book.check_setting(STEP, key, given, "phase_3.yml", 7)
    assert line in str(caught.value)
    assert str(caught.value).startswith(f"phase_3.yml:7: vars.{key}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_service_that_is_not_there_says_which_is_near() -> None:
    with pytest.raises(InputError, match=r"mesh_services: there is no service apj \(did you mean api\?\)"):
        planned(stack(), {"apj": {}})

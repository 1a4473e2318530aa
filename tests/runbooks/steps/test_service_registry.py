"""A registry in a stack: what is registered where, what is added and nothing else, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inventory.errors import InputError
from runbooks import book
from runbooks.compose import project
from runbooks.compose.model import Stack
from runbooks.compose.operations import AddResource, AddService
from runbooks.model import NO_FACTS, Change
from runbooks.steps import service_registry
from runbooks.survey_files import file_stack
from tests.runbooks.compose import invariants
from tests.runbooks.compose.test_corpus import REAL, SMALL, completed, name, needs_corpus
from tests.runbooks.compose.test_corpus_phase_2 import no_secret_is_written_again
from tests.runbooks.steps.material import change, reasons, stack_of

STEP = "service_registry"
TEXT = """\
services:
  db:
    image: postgres:17
    environment: {POSTGRES_USER: app, POSTGRES_PASSWORD: "${DB_PASSWORD}"}
    networks: [back]
  api:
    image: shop/api
    environment: {DATABASE_URL: "postgres://app:${DB_PASSWORD}@db/shop"}
    expose: ["8000"]
    networks: [back]
  job:
    image: shop/migrate
    restart: "no"
networks: {back: {}}
"""


def stack(text: str = TEXT) -> Stack:
    """With its aggregator."""
    return change("health_aggregator", stack_of(text, env="DB_PASSWORD=geheim-db\n"), NO_FACTS).stack


def planned(on: Stack, **more: Any) -> Change:
    return change(STEP, on, NO_FACTS, **more)


def test_whom_the_aggregator_asks_is_registered_by_name_and_port_and_nothing_else_changes() -> None:
    on = stack()
    made = planned(on)
    assert made.refused == ()
    registrar = made.stack.services["service-registrar"].environment
    assert {key: found.value for key, found in registrar.items()} == {
        "REGISTRY_URL": "http://service-registry:2379", "HEALTH_URL": "http://health-aggregator:8080/health", "INSTANCE": "app",
        "LEASE_S": "15", "PLACE_db": "db:5432", "PLACE_api": "api:8000",
    }  # fmt: skip
    assert [type(each) for each in made.operations] == [AddResource, AddService, AddService]
    nothing_but_the_resource(on, made)
    assert b"geheim" not in b"".join(edit.text for edit in made.edits)
    assert made.risk == "high"


def nothing_but_the_resource(before: Stack, made: Change) -> None:
    invariants.only_the_edits_differ(before, made)
    after = project.load(before.spec, {**before.files, **made.stack.files})
    assert set(after.services) == {*before.services, "service-registry", "service-registrar"}
    for service, was in before.services.items():
        assert after.services[service].value == was.value
    no_secret_is_written_again(before, made)


def test_the_registry_is_a_real_etcd_in_the_stack_s_networks_alone_and_the_registrar_has_no_socket() -> None:
    made = planned(stack())
    etcd, registrar = (made.stack.services[each].value for each in ("service-registry", "service-registrar"))
    assert etcd["command"][0] == "etcd"
    assert etcd["volumes"] == ["service-registry-data:/registry-data"]
    assert etcd["networks"] == ["back"]
    assert "ports" not in etcd
    assert "volumes" not in registrar
    assert registrar["user"] == "65532:65532"
    assert registrar["labels"][service_registry.REGISTRAR] == "true"
    assert [(image.service, bool(image.context)) for image in made.images] == [("service-registry", False), ("service-registrar", True)]  # fmt: skip
    assert [probe.kind for probe in made.probes if probe.kind == "registry"] == ["registry"]


def test_the_inventory_says_where_others_find_a_service_or_leaves_it_out() -> None:
    made = planned(stack(), registry_services={"db": "db1.example.net:6432", "api": "skip"}, registry_instance="east", registry_lease="1m")  # fmt: skip
    registrar = made.stack.services["service-registrar"].environment
    assert registrar["PLACE_db"].value == "db1.example.net:6432"
    assert "PLACE_api" not in registrar
    assert (registrar["INSTANCE"].value, registrar["LEASE_S"].value) == ("east", "60")
    assert reasons(made)["api", "registry"] == "registry_services says skip"


def test_it_is_planned_once_and_the_phases_before_have_nothing_to_do_about_it() -> None:
    made = planned(stack())
    again = planned(made.stack)
    assert again.edits == ()
    assert reasons(again)["service-registrar", "registry"] == "is there already"
    for kind in ("health_checks", "conditions", "health_aggregator"):
        own = {each.service for each in change(kind, made.stack, NO_FACTS).operations}
        assert not own & {"service-registry", "service-registrar"}


def test_without_an_aggregator_nobody_knows_who_is_well() -> None:
    made = planned(stack_of(TEXT, env="DB_PASSWORD=x\n"))
    assert made.edits == ()
    assert "health_aggregator comes first" in reasons(made)["", "registry"]


def test_a_service_that_the_aggregator_does_not_ask_is_not_registered_on_somebody_s_word() -> None:
    made = planned(stack(), registry_services={"job": "job:1"})
    assert "PLACE_job" not in made.stack.services["service-registrar"].environment
    assert "nobody knows whether it is well" in reasons(made)["job", "registry"]


def test_a_name_that_is_taken_is_refused_with_the_mend() -> None:
    made = planned(stack(TEXT.replace("  api:", "  service-registry:")))
    assert [refusal.mend for refusal in made.refused] == ["choose another registry_name"]
    assert made.edits == ()


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"registry_services": {"db": "db"}}, "db: 'db' is no place (write HOST:PORT, or skip)"),
        ({"registry_services": {"db": "db:99999"}}, "is no place"),
        ({"registry_name": "A b"}, "is no name of a service"),
        ({"registry_instance": "a/b"}, "is no name of an instance"),
        ({"registry_lease": "1s"}, "'1s' is no lease (write 15s, from 3s to 1h)"),
        ({"registry_lease": "for ever"}, "is no lease"),
        ({"registry_cluster": {"a": "10.0.0.1", "b": "10.0.0.2"}}, "has 2 members (name three, or five"),
        (
            {"registry_cluster": {"a": "10.0.0.1", "b": "10.0.0.2", "c": "host"}},
            "c: 'host' is no address (write the IP address",
        ),
        (
            {"registry_cluster": {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.2:2380"}},
            "two members have one address",
        ),
        ({"registry_cluster": {"a": "10.0.0.1", "b b": "10.0.0.2", "c": "10.0.0.3"}}, "'b b' is no name of a member"),
        ({"registry_peer_tls": "tls"}, "'tls' is no folder (write an absolute path"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line_with_the_mend(given: dict[str, Any], line: str) -> None:
    ((key, found),) = given.items()
    with pytest.raises(InputError) as caught:
        book.check_setting(STEP, key, found, "phase_3.yml", 7)
    assert line in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_service_that_is_not_there_says_which_is_near() -> None:
    with pytest.raises(InputError, match=r"registry_services: there is no service dbb \(did you mean db\?\)"):
        planned(stack(), registry_services={"dbb": "skip"})


CLUSTER = {"east": "10.0.0.1", "north": "10.0.0.2", "west": "10.0.0.3:12380"}


def test_a_member_of_a_cluster_publishes_nothing_but_where_the_others_find_it() -> None:
    made = planned(stack(), registry_cluster=CLUSTER, registry_member="west", registry_peer_tls="/etc/registry-tls")
    etcd, registrar = (made.stack.services[each].value for each in ("service-registry", "service-registrar"))
    assert etcd["ports"] == ["10.0.0.3:12380:2380"]
    assert "/etc/registry-tls:/registry-tls:ro" in etcd["volumes"]
    assert "--peer-client-cert-auth" in etcd["command"]
    assert (
        "--initial-cluster=east=https://10.0.0.1:2380,north=https://10.0.0.2:2380,west=https://10.0.0.3:12380"
        in etcd["command"]
    )
    assert registrar["environment"]["INSTANCE"] == "west"
    assert registrar["environment"]["REGISTRY_URL"] == "http://service-registry:2379"
    assert any("their hosts are changed in one batch (--serial 100%)" in note for note in made.notes)
    assert made.abreast == "the registry of east, north, west"
    nothing_but_the_resource(stack(), made)
    assert planned(made.stack, registry_cluster=CLUSTER, registry_member="west").edits == ()


def test_members_without_certificates_stay_in_a_private_network() -> None:
    made = planned(stack(), registry_cluster=CLUSTER | {"north": "[fd00::2]"}, registry_member="north")
    etcd = made.stack.services["service-registry"].value
    assert etcd["ports"] == ["[fd00::2]:2380:2380"]
    assert not any("tls" in word for word in etcd["command"])
    with pytest.raises(InputError, match=r"registry_cluster: west: 8\.8\.8\.8 is a public address"):
        planned(stack(), registry_cluster=CLUSTER | {"west": "8.8.8.8"}, registry_member="west")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"registry_cluster": CLUSTER}, "registry_member: which member this host is, is not said"),
        (
            {"registry_cluster": CLUSTER, "registry_member": "wst"},
            "is no member of registry_cluster (did you mean west?)",
        ),
        ({"registry_member": "west"}, "registry_member: there is no registry_cluster"),
    ],
)
def test_a_host_whose_part_is_not_said_is_refused(given: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        planned(stack(), **given)
    assert line in str(caught.value)


def check(before: Stack) -> None:
    """Every invariant, where the aggregator finds anything to ask."""
    on = change("health_aggregator", before, NO_FACTS).stack
    made = planned(on)
    assert made.refused == ()
    if made.operations:
        nothing_but_the_resource(on, made)
        invariants.no_new_cycle(on, made.stack)
        again = planned(project.load(made.stack.spec, {**on.files, **made.stack.files}))
        assert again.operations == ()


@pytest.mark.slow
@needs_corpus
@pytest.mark.parametrize("path", REAL, ids=name)
def test_a_real_file_gets_a_registry_and_nothing_else(path: Path) -> None:
    check(completed(path))


@pytest.mark.slow
@pytest.mark.parametrize("path", SMALL, ids=name)
def test_a_small_file_of_each_form_gets_a_registry_and_nothing_else(path: Path) -> None:
    check(file_stack([path]))

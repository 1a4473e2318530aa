"""A Redis that becomes a set: what is added and moved, what stays, what is refused, and what a live one must say first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inventory.errors import InputError
from runbooks import book
from runbooks.compose.model import Stack
from runbooks.model import NO_FACTS, Answer, Change, Facts
from runbooks.steps import images
from tests.runbooks.compose import invariants
from tests.runbooks.steps.material import ROOT, asks, change, live, reasons, stack_of, text_of

STEP = "redis_sentinel"
FOLDER = f"{ROOT}/infrastructure/redis-sentinel"
TEXT = """\
services:
  cache:
    image: redis:8
    command: redis-server --requirepass ${CACHE_PASSWORD} --appendonly yes --maxmemory 256mb
    environment: {REDIS_PASSWORD: "${CACHE_PASSWORD}"}
    volumes: [cache-data:/data]
    deploy: {resources: {limits: {memory: 512M}}}
  api:
    image: shop/api
    environment:
      REDIS_URL: redis://:${CACHE_PASSWORD}@cache:6379/2   # sessions
  worker:
    image: shop/worker
    environment: [REDIS_HOST=cache, REDIS_PORT=6379]
  exporter:
    image: oliver006/redis_exporter
    environment: {REDIS_ADDR: "redis://cache:6379"}
volumes:
  cache-data:
"""
SECRETS = "CACHE_PASSWORD=geheim-$$cache\n"
INFO = {
    "redis_version": "8.0.2", "redis_mode": "standalone", "role": "master", "connected_slaves": "0", "aof_enabled": "1",
    "used_memory": str(100 << 20), "maxmemory": str(256 << 20), "cluster_enabled": "0",
}  # fmt: skip


def stack(text: str = TEXT, **files: str) -> Stack:
    return stack_of(text, **({"env": SECRETS} | files))


def planned(on: Stack, facts: Facts = NO_FACTS, **more: Any) -> Change:
    return change(STEP, on, facts, **more)


def answering(on: Stack, available_kb: int = 8 << 20, save: str = "3600 1", **told: str) -> Facts:
    """A live host whose Redis says what it is."""
    said = "".join(f"{name}:{value}\r\n" for name, value in (INFO | told).items())
    output = f"# Server\r\n{said}# Save\nsave\r\n{save}\r\n"
    answers = {f"{STEP}/cache": Answer(0, output, 0.1), f"{STEP}/memory": Answer(0, f"MemTotal: 9 kB\nMemAvailable: {available_kb} kB\n", 0.1)}  # fmt: skip
    return live(on, answers=answers)


def raw(made: Change, service: str, variable: str) -> str:
    return made.stack.services[service].environment[variable].raw


def test_clients_are_led_to_the_front_and_told_of_the_sentinels_and_secrets_stay_references() -> None:
    on = stack()
    made = planned(on)
    sentinels = "cache-sentinel-1:26379,cache-sentinel-2:26379,cache-sentinel-3:26379"
    assert raw(made, "api", "REDIS_URL") == "redis://:${CACHE_PASSWORD}@cache-front:6379/2"
    assert raw(made, "api", "REDIS_SENTINEL_URL") == f"redis+sentinel://:${{CACHE_PASSWORD}}@{sentinels}/cache/2"
    assert raw(made, "worker", "REDIS_HOST") == "cache-front"
    assert raw(made, "worker", "REDIS_SENTINEL_URL").endswith(f"@{sentinels}/cache")
    assert made.stack.services["api"].edges["cache-front"].condition == "service_healthy"
    assert made.refused == ()
    written = b"".join(edit.text for edit in made.edits) + b"".join(made.created.values())
    assert b"geheim" not in written
    invariants.only_the_edits_differ(on, made)


def test_a_replica_is_as_its_master_and_each_sentinel_has_a_file_of_its_own_that_outlives_it() -> None:
    made = planned(stack())
    replica = made.stack.services["cache-replica"]
    assert replica.command == ("redis-server", "--requirepass", "geheim-$cache", "--appendonly", "yes", "--maxmemory", "256mb")  # fmt: skip
    assert replica.value["deploy"]["resources"]["limits"] == {"memory": "512M"}
    assert '"--requirepass", "${CACHE_PASSWORD}"' in text_of(made.stack)
    mounts = [volume for name in ("1", "2", "3") for volume in made.stack.services[f"cache-sentinel-{name}"].value["volumes"]]  # fmt: skip
    assert [volume for volume in mounts if volume.endswith(":/data")] == [f"cache-sentinel-{name}-data:/data" for name in ("1", "2", "3")]  # fmt: skip
    text = made.created[f"{FOLDER}/sentinel.conf"].decode()
    for line in (
        "sentinel resolve-hostnames yes",
        "sentinel announce-hostnames yes",
        "sentinel monitor cache cache 6379 2",
    ):
        assert f"\n{line}\n" in text
    assert all(made.stack.services[name].health_check for name in made.stack.services if name.startswith("cache-"))


def test_the_redis_that_was_there_is_made_anew_once_after_the_sentinels_and_keeps_its_command() -> None:
    on = stack()
    made = planned(on)
    before, after = on.services["cache"], made.stack.services["cache"]
    changed = {key for key in {*before.value, *after.value} if before.value.get(key) != after.value.get(key)}
    assert changed == {"entrypoint", "configs", "depends_on"}
    assert set(after.edges) == {f"cache-sentinel-{number}" for number in (1, 2, 3)}
    assert after.value["entrypoint"][:6] == ["sh", "/redis-start", "node", "cache", "6379", "cache"]
    assert made.stack.value["configs"] == {"redis-start": {"file": "./infrastructure/redis-sentinel/start.sh"}}


def test_what_watches_it_keeps_its_own_way() -> None:
    made = planned(stack())
    assert raw(made, "exporter", "REDIS_ADDR") == "redis://cache:6379"
    assert reasons(made)["exporter", "redis_url"] == "watches or keeps cache itself"


def test_it_is_planned_once_and_can_be_left_out() -> None:
    made = planned(stack())
    assert planned(made.stack).edits == ()
    assert reasons(planned(made.stack))["cache-sentinel-1", "replica"] == "is there already"
    assert reasons(planned(stack(), sentinel_master="none")) == {("", "replica"): "sentinel_master says none"}


def test_the_programs_judge_their_files_and_the_way_back_is_asked_before_it_is_undone() -> None:
    made = planned(stack())
    tried = {image.service: image for image in made.images if image.argv}
    assert set(tried) == {"cache-sentinel-1", "cache-front"}
    assert tried["cache-front"].data == made.created[f"{FOLDER}/haproxy.cfg"]
    assert {image.service for image in made.images} == {name for name in made.stack.services if name.startswith("cache-")}  # fmt: skip
    (question,) = made.before_undo
    assert question.service == "cache-sentinel-1 cache-sentinel-2 cache-sentinel-3 cache-replica cache"
    assert "geheim" not in str(question)
    probe = next(each for each in made.probes if each.kind == "sentinel")
    assert probe.settings["nodes"] == ("cache", "cache-replica")


def test_the_aggregator_asks_the_front_and_can_do_without_one_node_and_no_breaker_stands_before_it() -> None:
    made = planned(stack())
    health = change("health_aggregator", made.stack, NO_FACTS)
    environment = health.stack.services["health-aggregator"].environment
    assert environment["CHECK_cache-front"].value == "redis://cache-front:6379"
    assert environment["PASSWORD_cache-front"].raw == "${CACHE_PASSWORD}"
    assert "cache" in (environment["OPTIONAL"].value or "").split()
    breakers = change("circuit_breakers", health.stack, NO_FACTS)
    assert breakers.edits == ()
    assert "closes connections at once" in reasons(breakers)["cache-front", "breaker"]


def test_a_breaker_that_stands_before_it_already_would_not_follow() -> None:
    on = change("circuit_breakers", change("health_aggregator", stack(), NO_FACTS).stack, NO_FACTS).stack
    assert images.added(on.services["circuit-breaker"])
    assert "would not follow a new master" in reasons(planned(on))["cache", "replica"]


def test_a_live_redis_is_asked_what_it_is_and_gets_its_replica() -> None:
    on = stack()
    asked = asks(STEP, on, answering(on))
    assert [question.key for question in asked] == [f"{STEP}/cache", f"{STEP}/memory"]
    assert asked[0].environment == {"REDISCLI_AUTH": "geheim-$cache"}
    assert planned(on, answering(on)).edits


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"redis_version": "6.2.14"}, "would not find a container that is made anew: 7.0 or later does"),
        ({"redis_mode": "cluster"}, "runs as a cluster"),
        ({"role": "slave", "master_host": "elsewhere"}, "is a replica already, of elsewhere"),
        ({"connected_slaves": "2"}, "has 2 replica(s) already"),
        ({"aof_enabled": "0", "save": ""}, "keeps nothing on disk"),
    ],
)
def test_a_live_redis_that_is_not_as_it_must_be_is_left_alone(told: dict[str, str], reason: str) -> None:
    made = planned(stack(), answering(stack(), **told))
    assert made.edits == ()
    assert reason in reasons(made)["cache", "replica"]


def test_a_redis_that_does_not_answer_is_left_alone() -> None:
    on = stack()
    facts = live(on, answers={f"{STEP}/cache": Answer(0, "NOAUTH Authentication required.\n", 0.1)})
    assert "NOAUTH" in reasons(planned(on, facts))["cache", "replica"]


def test_a_host_without_the_memory_is_refused_with_the_sum() -> None:
    made = planned(stack(), answering(stack(), available_kb=300 << 10))
    assert made.edits == ()
    assert made.refused[0].reason == "cache-replica and 3 Sentinels need 416M, and the host has 300M left"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("image: redis:8", "image: bitnami/redis:8", "how its image starts is not known"),
        ("redis-server --requirepass", "redis-server /etc/redis.conf --requirepass", "what a file or a shell says"),
        ("--appendonly yes", "--cluster-enabled yes", "runs as a cluster"),
        ("--appendonly yes", "--replicaof other 6379", "is a replica already"),
        ("--appendonly yes", '--save ""', "keeps nothing on disk"),
        ("--appendonly yes", "--tls-port 6380", "is spoken to with TLS"),
        ("    volumes: [cache-data:/data]", "    entrypoint: [tini, --]", "has an entrypoint of its own"),
        ("    volumes: [cache-data:/data]", "    scale: 2", "runs more than once"),
        ("cache:6379", "elsewhere:6379", "no service names it in a variable"),
    ],
)
def test_a_redis_that_is_not_known_well_enough_is_left_alone(old: str, new: str, reason: str) -> None:
    text = TEXT.replace(old, new).replace("REDIS_HOST=cache", "REDIS_HOST=elsewhere" if "elsewhere" in new else "REDIS_HOST=cache")  # fmt: skip
    made = planned(stack(text))
    assert made.edits == ()
    assert any(reason in said for said in reasons(made).values()), reasons(made)


def test_a_password_that_no_variable_refers_to_is_not_written_again() -> None:
    text = TEXT.replace("${CACHE_PASSWORD}", "plain-geheim").replace('"plain-geheim"', "plain-geheim")
    made = planned(stack(text))
    assert made.edits == ()
    assert "stands in no variable by reference" in reasons(made)["cache", "replica"]


def test_of_several_the_inventory_names_one() -> None:
    text = TEXT.replace("  api:", "  jobs:\n    image: redis:8\n    command: redis-server --appendonly yes\n  api:").replace("REDIS_HOST=cache", "REDIS_HOST=jobs")  # fmt: skip
    made = planned(stack(text))
    assert made.edits == ()
    assert "cache, jobs: name one in sentinel_master" in reasons(made)["", "replica"]
    named = planned(stack(text), sentinel_master="jobs")
    assert raw(named, "worker", "REDIS_HOST") == "jobs-front"
    assert raw(named, "worker", "REDIS_SENTINEL_URL") == "redis+sentinel://jobs-sentinel-1:26379,jobs-sentinel-2:26379,jobs-sentinel-3:26379/jobs"  # fmt: skip
    assert raw(named, "api", "REDIS_URL").count("@cache:") == 1
    assert b"AUTH" not in named.created[f"{FOLDER}/haproxy.cfg"]


def test_names_and_volumes_that_are_taken_are_refused() -> None:
    service = planned(stack(TEXT.replace("  exporter:", "  cache-front:")))
    volume = planned(stack(f"{TEXT}  cache-replica-data:\n"))
    assert [made.refused[0].mend for made in (service, volume)] == ["rename it, or write sentinel_master: none"] * 2
    assert (service.edits, volume.edits) == ((), ())


def test_a_client_that_cannot_reach_the_front_stays_and_is_named() -> None:
    made = planned(stack(TEXT.replace("image: shop/worker", "image: shop/worker\n    network_mode: host")))
    assert raw(made, "worker", "REDIS_HOST") == "cache"
    assert "would not reach cache-front" in reasons(made)["worker", "redis_url"]
    assert "REDIS_SENTINEL_URL" not in made.stack.services["worker"].environment


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"sentinel_master": "a b"}, "'a b' is no name of a service (name the service, or write none)"),
        ({"sentinel_down_after": "soon"}, "'soon' is no time to wait (write 5s, at least 1s and at most 5m)"),
        ({"sentinel_down_after": "1h"}, "'1h' is no time to wait"),
        ({"sentinel_front_image": "a b"}, "'a b' is no image (write NAME:TAG)"),
        ({"sentinel_files": "../redis"}, "'../redis' is no folder in the project (write a relative path)"),
        ({"sentinel_mastr": "cache"}, "did you mean sentinel_master?"),
        ({"sentinel_master": 3}, "must be a text"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line_with_the_mend(given: dict[str, Any], line: str) -> None:
    ((name, found),) = given.items()
    with pytest.raises(InputError) as caught:
        book.check_setting(STEP, name, found, "phase_2.yml", 7)
    assert line in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_master_that_is_not_there_says_which_is_near() -> None:
    with pytest.raises(InputError, match=r"sentinel_master: there is no service cashe \(did you mean cache\?\)"):
        planned(stack(), sentinel_master="cashe")


def test_the_files_are_those_that_the_drills_run() -> None:
    made = planned(stack())
    program = Path(book.__file__).with_name("redis_start.sh").read_bytes()
    assert made.created[f"{FOLDER}/start.sh"] == program

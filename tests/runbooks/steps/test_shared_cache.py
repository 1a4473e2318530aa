"""A shared cache in a stack: who moves to it, what stays where it is, what is added, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from inventory.errors import InputError
from runbooks import book, draft
from runbooks.compose import project
from runbooks.compose.model import Stack
from runbooks.compose.operations import AddService
from runbooks.model import NO_FACTS, Change, Facts
from runbooks.steps import shared_cache
from tests.runbooks.compose import invariants
from tests.runbooks.compose.test_corpus_phase_2 import no_secret_is_written_again, nothing_but_the_operations_is_changed
from tests.runbooks.steps.material import COMPOSE, ROOT, change, reasons, stack_of

STEP = "shared_cache"
TEXT = """\
services:
  db:
    image: postgres:17
    environment: {POSTGRES_USER: app, POSTGRES_DB: shop, POSTGRES_PASSWORD: "${DB_PASSWORD}"}
  redis:
    image: redis:8
    environment: {REDIS_PASSWORD: "${REDIS_PASSWORD}"}
  api:
    image: shop/api
    environment:
      CACHE_URL: redis://:${REDIS_PASSWORD}@redis:6379/1   # only pages
      SESSION_CACHE_URL: redis://:${REDIS_PASSWORD}@redis:6379/2
      CELERY_BROKER_URL: redis://:${REDIS_PASSWORD}@redis:6379/3
    depends_on: [redis]
  worker:
    image: shop/worker
    environment: [CACHE_HOST=redis, CACHE_PORT=6379, "CACHE_PASSWORD=${REDIS_PASSWORD}", "REDIS_URL=redis://:${REDIS_PASSWORD}@redis/0"]
  pages:
    image: shop/pages
"""
SECRETS = "DB_PASSWORD=geheim-db\nREDIS_PASSWORD=geheim-redis\nWHOLE=redis://:geheim-redis@redis:6379/1\n"
WARM: list[dict[str, Any]] = [
    {"query": "select key, value from hot where name <> '$x' limit 10", "from": "db", "ttl": "10m"},
    {"key": "front", "url": "http://pages:8000/front", "db": 2},
]


def stack(text: str = TEXT, env: str = SECRETS) -> Stack:
    return stack_of(text, env=env)


def planned(on: Stack, **more: Any) -> Change:
    return change(STEP, on, NO_FACTS, **more)


def value(made: Change, service: str, variable: str) -> str | None:
    return made.stack.services[service].environment[variable].raw


def test_what_says_that_it_caches_moves_and_sessions_queues_and_the_rest_stay_and_are_told() -> None:
    on = stack()
    made = planned(on)
    assert made.refused == ()
    assert value(made, "api", "CACHE_URL") == "redis://:${REDIS_PASSWORD}@redis-cache:6379/1"
    assert value(made, "worker", "CACHE_HOST") == "redis-cache"
    for service, variable in (("api", "SESSION_CACHE_URL"), ("api", "CELERY_BROKER_URL"), ("worker", "REDIS_URL")):
        assert "@redis" in (value(made, service, variable) or "")
        assert "redis-cache" not in (value(made, service, variable) or "")
        assert any(variable in kept.reason and kept.attention for kept in made.kept)
    assert made.stack.services["api"].edges["redis-cache"].condition == "service_healthy"
    assert "cache-keeper" not in made.stack.services["api"].edges  # nothing is warmed: nobody waits
    invariants.only_the_edits_differ(on, made)
    nothing_but_the_operations_is_changed(on, made)
    no_secret_is_written_again(on, made)
    assert b"geheim" not in b"".join(edit.text for edit in made.edits)


def test_the_cache_is_the_proposal_s_with_a_check_limits_and_its_consumers_password() -> None:
    service = planned(stack()).stack.services["redis-cache"]
    assert service.image == "redis:8-alpine"
    assert service.command is not None
    assert service.command[4:] == ("--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru", "--save", "", "--appendonly", "no", "--notify-keyspace-events", "KA")  # fmt: skip
    assert service.environment["REDIS_PASSWORD"].raw == "${REDIS_PASSWORD}"
    assert "geheim" not in str(service.command)
    assert service.value["deploy"]["resources"]["limits"] == {"cpus": "1.0", "memory": "1280M"}
    assert service.health_check is not None
    open_ = stack_of("services: {r: {image: redis}, a: {image: a, environment: {CACHE_URL: 'redis://r:6379'}}}")
    assert planned(open_).stack.services["redis-cache"].command[:2] == ("redis-server", "--maxmemory")  # type: ignore[index]


def test_the_inventory_names_what_is_only_a_cache_or_leaves_a_service_out() -> None:
    made = planned(stack(), cache_consumers={"worker": ["REDIS_URL"], "api": "skip"})
    assert value(made, "worker", "REDIS_URL") == "redis://:${REDIS_PASSWORD}@redis-cache/0"
    assert value(made, "worker", "CACHE_HOST") == "redis"
    assert "@redis:6379/1" in (value(made, "api", "CACHE_URL") or "")


def test_what_is_warmed_is_read_with_logins_by_reference_and_consumers_wait_for_it() -> None:
    made = planned(stack(), cache_warm=WARM)
    assert made.refused == ()
    keeper = made.stack.services["cache-keeper"].environment
    assert keeper["CACHE_URL"].value == "redis://redis-cache:6379/1"
    assert keeper["PASSWORD_db"].raw == "${DB_PASSWORD}"
    assert '"ttl_s": 600' in (keeper["WARM"].value or "")
    assert "'$x'" in (keeper["WARM"].value or "")
    assert made.stack.services["worker"].edges["cache-keeper"].condition == "service_healthy"
    assert [probe.settings["of"] for probe in made.probes if probe.kind == "cache"] == ["invalidation", "warm", "hits"]
    assert [image.service for image in made.images] == ["redis-cache", "cache-keeper"]
    assert "services/cache/keeping.py" in made.images[1].context
    assert "maxmemory" in " ".join(made.images[0].argv)


SHAPES = {
    "a URL with its login": "{CACHE_URL: 'redis://:geheim-redis@redis:6379/0'}",
    "a URL of a user with a dollar": "{CACHE_URL: 'redis://default:ge$$heim-redis@redis/0'}",
    "a URL whose host is a reference that others have too": "{CACHE_URL: 'redis://:geheim-redis@${HOST}:6379/0', QUEUE_HOST: '${HOST}'}",
    "a list": "['CACHE_URL=redis://:geheim-redis@redis:6379/0']",
    "variables": "{CACHE_HOST: redis, CACHE_PASSWORD: geheim-redis}",
    "a reference in a URL": "{CACHE_URL: 'redis://:${KNOWN_PASSWORD}@redis:6379/0'}",
    "a reference in a variable": "{CACHE_HOST: redis, CACHE_PASSWORD: '${KNOWN_PASSWORD}'}",
    "a URL that is a reference": "{CACHE_URL: '${WHOLE}'}",
    "a URL beside what is no cache": "{CACHE_URL: 'redis://:geheim-redis@redis/0', QUEUE_URL: 'redis://:geheim-redis@redis/1'}",
    "a URL with an encoded password": "{CACHE_URL: 'redis://:geheim%2Dredis@redis:6379/0'}",
    "no password": "{CACHE_URL: 'redis://redis:6379/0'}",
}
SERVERS = {
    "none": "{}",
    "literal": "{REDIS_PASSWORD: geheim-redis}",
    "by reference": "{REDIS_PASSWORD: '${KNOWN_PASSWORD}'}",
}
KNOWN = "KNOWN_PASSWORD=geheim-redis\nHOST=redis\nWHOLE=redis://:geheim-redis@redis:6379/0\n"


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("env", [KNOWN, ""], ids=["env", "no env"])
def test_whatever_a_password_looks_like_one_run_of_the_phase_leaves_nothing_to_do_for_the_next(shape: str, server: str, env: str) -> None:  # fmt: skip
    text = f"services:\n  redis: {{image: 'redis:8', environment: {SERVERS[server]}}}\n  api:\n    image: shop/api\n    environment: {SHAPES[shape]}\n"
    on = stack_of(text, env=env) if env else stack_of(text)
    phase = book.load("3")
    done = draft.walk(phase, on, NO_FACTS, {})
    files = dict(on.files)
    for stage in done.stages:
        files |= stage.changed
    again = draft.walk(phase, project.load(on.spec, files), NO_FACTS, {})
    assert [step.kind for stage in again.changed for step, _ in stage.steps] == []
    first = done.stages[0].steps[0][1]
    moves = "a URL that is a reference" not in shape and "encoded" not in shape and (env or ("KNOWN" not in SHAPES[shape] and "HOST" not in SHAPES[shape]))  # fmt: skip
    if moves:
        assert first.refused == ()
        assert "redis-cache" in first.stack.services
        invariants.only_the_edits_differ(on, first)
        secret = "ge$heim-redis" if "dollar" in shape else "" if shape == "no password" else "geheim-redis"
        assert (first.stack.services["redis-cache"].environment["REDIS_PASSWORD"].value if secret else "") == secret
        assert first.stack.files[COMPOSE].count(b"geheim") <= on.files[COMPOSE].count(b"geheim")


def test_a_password_that_cache_and_keeper_need_goes_to_a_private_env_file_and_the_meaning_stays() -> None:
    text = TEXT.replace("${REDIS_PASSWORD}", "geheim-redis").replace("${DB_PASSWORD}", "geheim-db")
    on = stack_of(text)
    made = planned(on, cache_warm=WARM)
    assert made.refused == ()
    assert value(made, "api", "CACHE_URL") == "redis://:${REDIS_PASSWORD}@redis-cache:6379/1"
    assert made.stack.files[f"{ROOT}/.env"] == b"REDIS_PASSWORD=geheim-redis\nPOSTGRES_PASSWORD=geheim-db\n"
    assert made.modes == {f"{ROOT}/.env": 0o600}
    assert value(made, "cache-keeper", "PASSWORD_db") == "${POSTGRES_PASSWORD}"
    told = {(each.service, each.what): each.after for each in made.altered}
    assert told["db", "secret"] == "POSTGRES_PASSWORD=${POSTGRES_PASSWORD}"
    for service in ("db", "redis"):
        before, after = on.services[service].environment, made.stack.services[service].environment
        assert {name: each.value for name, each in before.items()} == {name: each.value for name, each in after.items()}
    assert planned(stack_of(text, env="A=1\n"), env_file_mode="keep").modes == {}


def test_what_cannot_go_to_the_env_file_is_refused_and_nothing_else_is_done() -> None:
    text = TEXT.replace("${REDIS_PASSWORD}", "geheim-redis").replace("image: shop/pages", "image: shop/pages\n    env_file: .env")  # fmt: skip
    made = planned(stack_of(text, env="A=1\n"))
    assert made.edits == ()
    assert {each.mend for each in made.refused} >= {"give it an env_file of its own first"}


def test_it_is_planned_once_and_phases_1_and_2_have_nothing_to_do_about_it() -> None:
    made = planned(stack(), cache_warm=WARM)
    again = planned(made.stack, cache_warm=WARM)
    assert again.edits == ()
    assert reasons(again)["cache-keeper", "cache"] == "is there already"
    assert shared_cache.standing(made.stack) == "cache-keeper"
    for kind in ("health_checks", "conditions"):
        own = {each.service for each in change(kind, made.stack, NO_FACTS).operations}
        assert not own & {"redis-cache", "cache-keeper"}


def test_a_stack_that_says_nowhere_that_it_caches_is_left_alone() -> None:
    on = stack_of("services: {r: {image: redis}, a: {image: a, environment: {REDIS_URL: 'redis://r:6379'}}}")
    made = planned(on)
    assert made.edits == ()
    assert "name them in cache_consumers" in reasons(made)["", "cache"]


@pytest.mark.parametrize(
    ("text", "given", "line"),
    [
        (TEXT.replace("redis://:${REDIS_PASSWORD}@redis:6379/1", "rediss://:${REDIS_PASSWORD}@redis:6379/1"), {}, "insists on TLS"),
        (TEXT.replace("redis://:${REDIS_PASSWORD}@redis:6379/1", "redis://eve:${REDIS_PASSWORD}@redis:6379/1"), {}, "logs in as the user eve"),
        (TEXT.replace("@redis:6379/1", "@cache.example.net:6379/1"), {}, "cache.example.net is no service of this stack"),
        (TEXT.replace("shop/api", "shop/api\n    network_mode: host"), {}, "would not reach the cache"),
        (TEXT.replace("redis://:${REDIS_PASSWORD}@redis:6379/1", "redis://redis:6379/1"), {}, "log in with different passwords"),
        (TEXT.replace("CACHE_URL: redis://:${REDIS_PASSWORD}@redis:6379/1", "CACHE_URL: ${WHOLE}").replace('{REDIS_PASSWORD: "${REDIS_PASSWORD}"}', "{}"), {"cache_consumers": {"worker": "skip"}}, "comes whole from elsewhere"),
        (TEXT.replace("  pages:", "  redis-cache:"), {}, "a service of that name is there"),
        (TEXT, {"cache_warm": [{"key": "a", "url": "http://api:8000/"}]}, "api waits for the warm cache"),
        (TEXT, {"cache_warm": [{"query": "select 1, 2", "from": "pages"}]}, "the login of pages is not known"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_mend(text: str, given: dict[str, Any], line: str) -> None:
    made = planned(stack(text), **given)
    found = [each for each in made.refused if line in each.reason]
    assert found, made.refused
    assert all(each.mend for each in made.refused)
    assert "plain-secret" not in f"{made.refused}"


def test_a_password_that_is_encoded_in_urls_is_asked_for_as_it_is() -> None:
    on = stack(env="DB_PASSWORD=x-geheim\nREDIS_PASSWORD=ge%41heim\nPLAIN=geAheim\n")
    assert "is encoded" in planned(on).refused[0].reason
    made = planned(on, cache_password="${PLAIN}")
    assert made.stack.services["redis-cache"].environment["REDIS_PASSWORD"].raw == "${PLAIN}"


def test_a_cache_larger_than_half_the_host_is_refused_with_the_sum() -> None:
    made = change(STEP, stack(), Facts(live=True, memory=2 << 30))
    assert "1280 MB of the 2048 MB" in made.refused[0].reason
    assert made.edits == ()


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"cache_consumers": {"api": "CACHE_URL"}}, "names no variables (write [CACHE_URL], or skip)"),
        ({"cache_memory": "1 GiB"}, "no size as Redis has it"),
        ({"cache_events": "E"}, "would not tell a service"),
        ({"cache_warm": [{"key": "a"}]}, "entry 1: needs a url or a query"),
        ({"cache_warm": [{"kee": "a", "url": "http://a/"}]}, "entry 1: kee is no key of it (did you mean key?)"),
        ({"cache_warm": [{"key": "a", "url": "http://u:p@a/"}]}, "is no address of a service"),
        ({"cache_warm": [{"query": "select 1, 2", "from": "db", "ttl": "for ever"}]}, "is no time to live"),
        ({"cache_password": "geheim"}, "it is no reference"),
        ({"cache_warm_limit": "1d"}, "is no time limit"),
        ({"cache_name": "A B"}, "is no name of a service"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line_with_the_mend(given: dict[str, Any], line: str) -> None:
    ((name, found),) = given.items()
    with pytest.raises(InputError) as caught:
        book.check_setting(STEP, name, found, "phase_3.yml", 7)
    assert line in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "geheim" not in str(caught.value)


def test_a_name_that_is_not_there_says_which_is_near() -> None:
    with pytest.raises(InputError, match=r"cache_consumers: there is no service apy \(did you mean api\?\)"):
        planned(stack(), cache_consumers={"apy": ["CACHE_URL"]})
    with pytest.raises(InputError, match=r"api has no variable CACHE_URI \(did you mean CACHE_URL\?\)"):
        planned(stack(), cache_consumers={"api": ["CACHE_URI"]})


def test_only_what_the_step_needs_is_added() -> None:
    made = planned(stack(), cache_warm=WARM)
    assert [each.service for each in made.operations if isinstance(each, AddService)] == ["redis-cache", "cache-keeper"]

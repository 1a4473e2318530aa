"""The health aggregator in a stack: what it asks, with which login, what is left out, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from inventory.errors import InputError
from runbooks import book, shipped
from runbooks.compose.model import Stack
from runbooks.model import NO_FACTS, Change, Facts, Question
from tests.runbooks.compose import invariants
from tests.runbooks.steps.material import answered, asks, change, live, reasons, stack_of

STEP = "health_aggregator"
TEXT = """\
services:
  db:
    image: postgres:17
    environment: {POSTGRES_USER: app, POSTGRES_DB: shop, POSTGRES_PASSWORD: "${DB_PASSWORD:?set it}"}
    networks: [inner]
  pooler:
    image: edoburu/pgbouncer:v1
    environment:
      DATABASE_URL: postgres://app:${DB_PASSWORD}@db:5432/shop
    networks: [inner]
  cache:
    image: redis:8
    command: redis-server --requirepass ${CACHE_PASSWORD}
    networks: [inner]
  web:
    image: shop/web
    environment:
      - CACHE=redis://:${CACHE_PASSWORD}@cache:6379/0
    healthcheck: {test: ["CMD", "curl", "-f", "http://localhost:9000/healthz?full=1"]}
    networks: [inner, outer]
    depends_on: [cache]
  logstash:
    image: logstash:8
    expose: ["5044"]
    networks: [inner]
  search:
    image: shop/search
    expose: ["9200"]
    networks: [inner]
  job:
    image: shop/migrate-job
    networks: [inner]
networks: {inner: {}, outer: {}}
""".replace("image: logstash:8\n", "image: logstash:8\n    depends_on: [search]\n")
SECRETS = "DB_PASSWORD=ge$heim-db\nCACHE_PASSWORD=geheim-cache\n".replace("$", "")


def stack(text: str = TEXT) -> Stack:
    return stack_of(text, env=SECRETS)


def host(on: Stack, failing: str = "", code: int = 1) -> Facts:
    def said(question: Question) -> int | str:
        return code if question.key.endswith(f"/{failing}") else "PONG" if "redis-cli" in question.argv else "1"

    return replace(live(on), answers=answered(asks(STEP, on, live(on)), said))


def planned(on: Stack, facts: Facts = NO_FACTS, **more: Any) -> Change:
    return change(STEP, on, facts, **more)


def variables(made: Change) -> dict[str, str | None]:
    found = made.stack.services["health-aggregator"].environment
    return {name: variable.raw for name, variable in found.items()}


def test_each_service_is_asked_as_well_as_it_can_be_and_secrets_stay_references() -> None:
    on = stack()
    made = planned(on, host(on))
    assert variables(made) == {
        "CHECK_db": "postgresql://db:5432/shop",
        "LOGIN_db": "app",
        "PASSWORD_db": "${DB_PASSWORD:?set it}",
        "CHECK_pooler": "postgres://app:${DB_PASSWORD}@pooler:5432/shop",
        "CHECK_cache": "redis://:${CACHE_PASSWORD}@cache:6379/0",
        "CHECK_web": "http://web:9000/healthz?full=1",
        "CHECK_logstash": "tcp://logstash:9600",
        "CHECK_search": "tcp://search:9200",
        "OPTIONAL": "logstash search",
        "LIMIT_S": "3",
    }
    assert "geheim" not in b"".join(edit.text for edit in made.edits).decode()
    assert "geheim" not in repr(made.altered)
    assert {each.proof for each in made.altered[1:]} == {"proven"}
    assert reasons(planned(stack()))["job", "aggregator"] == "runs once and ends"
    invariants.only_the_edits_differ(on, made)


def test_it_may_do_nothing_to_the_host_and_reaches_the_networks_of_whom_it_asks() -> None:
    made = planned(stack()).stack.services["health-aggregator"].value
    assert made["user"] == "65532:65532"
    assert made["read_only"] is True
    assert made["cap_drop"] == ["ALL"]
    assert made["security_opt"] == ["no-new-privileges:true"]
    assert "volumes" not in made
    assert "ports" not in made
    assert made["networks"] == ["inner", "outer"]
    published = planned(stack(), aggregator_publish="127.0.0.1:8081").stack.services["health-aggregator"].value
    assert published["ports"] == ["127.0.0.1:8081:8080"]


def test_questions_carry_passwords_past_the_process_list() -> None:
    found = {question.key: question for question in asks(STEP, stack(), live(stack()))}
    assert found[f"{STEP}/pooler"].service == "db"
    assert found[f"{STEP}/pooler"].environment["PGPASSWORD"] == "geheim-db"
    assert found[f"{STEP}/cache"].environment["REDISCLI_AUTH"] == "geheim-cache"
    assert "geheim" not in repr([question.argv for question in found.values()])


def test_what_does_not_answer_now_is_left_out_and_said() -> None:
    on = stack()
    made = planned(on, host(on, "web"))
    assert "CHECK_web" not in variables(made)
    assert "does not answer http://web:9000/healthz?full=1 now" in reasons(made)["web", "aggregator"]
    nothing_to_ask_with = planned(on, host(on, "web", 127))
    assert {each.proof for each in nothing_to_ask_with.altered if each.after.startswith("web")} == {"unproven"}


def test_a_password_that_stands_in_the_file_itself_is_not_written_a_second_time() -> None:
    on = stack(TEXT.replace("${DB_PASSWORD:?set it}", "in-the-file"))
    made = planned(on)
    assert variables(made)["CHECK_db"] == "tcp://db:5432"
    assert "put it in .env" in reasons(made)["db", "aggregator"]
    assert b"in-the-file" not in b"".join(edit.text for edit in made.edits)


def test_the_inventory_may_name_urls_skip_services_and_say_what_is_needed() -> None:
    made = planned(
        stack(), aggregator_checks={"logstash": "http://logstash:9600/_node", "web": "skip"}, aggregator_needed=["search"],
        aggregator_optional=["cache"],
    )  # fmt: skip
    found = variables(made)
    assert found["CHECK_logstash"] == "http://logstash:9600/_node"
    assert "CHECK_web" not in found
    assert found["OPTIONAL"] == "cache logstash"


def test_it_is_planned_once_and_other_steps_let_it_be() -> None:
    on = planned(stack()).stack
    assert planned(on).edits == ()
    assert asks(STEP, on, live(on)) == ()
    profiles = {"small": {"limits": {"memory": "1G", "cpus": "1"}}}
    limited = change("resource_profiles", on, NO_FACTS, resource_profile="small", resource_profiles=profiles)
    assert "health-aggregator" not in {each.service for each in limited.altered}
    moved = change("pgbouncer", on, NO_FACTS)
    assert "health-aggregator" not in {each.service for each in moved.altered}
    assert "was added by a step" in reasons(moved)["health-aggregator", "database_url"]


def test_its_image_is_named_by_its_content_and_built_from_what_it_runs() -> None:
    (image,) = planned(stack()).images
    assert image.name == shipped.image("health-aggregator", image.context)
    assert {"Dockerfile", "requirements.txt", "services/aggregator/__main__.py"} <= set(image.context)
    assert b"--hash=sha256:" in image.context["requirements.txt"]
    assert shipped.image("health-aggregator", {**image.context, "Dockerfile": b"FROM other"}) != image.name
    (own,) = planned(stack(), aggregator_image="registry.example/health:1").images
    assert (own.name, own.context) == ("registry.example/health:1", {})


def test_a_service_of_that_name_which_is_another_is_left_alone() -> None:
    made = planned(stack(TEXT.replace("  search:", "  health-aggregator:").replace("[search]", "[health-aggregator]")))
    assert made.edits == ()
    assert [each.mend for each in made.refused] == ["choose another aggregator_name"]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"aggregator_name": "Health Service"}, "no name of a service"),
        ({"aggregator_publish": "somewhere:8080"}, "no address on the host (write 127.0.0.1:8081)"),
        ({"aggregator_limit": "soon"}, "'soon' is no time limit (write 3s, at most 60s)"),
        ({"aggregator_checks": {"web": "web:80"}}, "web: 'web:80' is no URL that can be asked"),
        ({"aggregator_checks": {"db": "postgresql://a:secret@db/x"}}, "db: its URL holds a password (put it in"),
        ({"aggregator_optional": "logstash"}, "must be a list"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line_with_the_mend(given: dict[str, Any], line: str) -> None:
    ((name, value),) = given.items()
    with pytest.raises(InputError) as caught:
        book.check_setting(STEP, name, value, "phase_2.yml", 7)
    assert line in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_setting_that_names_a_service_that_is_not_there_says_which_is_near() -> None:
    with pytest.raises(InputError, match=r"aggregator_needed: there is no service serch \(did you mean search\?\)"):
        planned(stack(), aggregator_needed=["serch"])

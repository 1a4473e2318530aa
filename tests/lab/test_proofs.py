"""Each proof on a real host refuses what it should, and what could be proven beside it is still planned."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import Practice, Ran

pytestmark = pytest.mark.lab
HOST = "staging-2"
PASSWORD = "listens-in"
ROLE = (
    f"create role auditor login password '{PASSWORD}'; grant all on schema public to auditor; "
    "grant all on all tables in schema public to auditor; grant all on all sequences in schema public to auditor"
)
# The backend logs in as a role of its own, of which the pooler does not know (nor may it ask the database), and Logstash is
# down.
WORLD = r"""cd "$1" && cp -p docker-compose.yml /tmp/kept-for-proofs || exit
docker compose exec -T postgres sh -c 'psql -q -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "$1"' sh "$2" &&
sed -i "/TODO(platform)/{n;s|://.*@postgres|://auditor:$3@postgres|}" docker-compose.yml &&
docker compose exec -T pgbouncer sh -c "sed -i 's/ auth_user=[^ ]*//' /etc/pgbouncer/pgbouncer.ini && kill -HUP 1" &&
docker compose up -d --no-deps --no-build --wait backend && docker compose stop logstash && echo ready
"""
AS_BEFORE = r"""cd "$1" && mv /tmp/kept-for-proofs docker-compose.yml &&
docker compose start logstash && docker compose up -d --no-deps --force-recreate pgbouncer &&
docker compose up -d --no-build --wait && echo ready
"""
"""The last `up` is of the whole stack: containers made with `--no-deps` carry another hash than their files."""
CHECKS = {
    "frontend": "true",
    "kibana": "curl -fsS http://127.0.0.1:5602/api/status",
    "grafana": {"test": "curl -s http://127.0.0.1:3000/ || true"},
}
"""A check that cannot fail, one that asks the wrong port, and one that forgives whatever it finds."""


@pytest.fixture(scope="module")
def plan(
    inv: Callable[..., Ran],
    folder: Path,
    staging: dict[str, Practice],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Any]]:
    """A plan for a host on which nothing of the above can be proven."""
    assert "ready" in staging[HOST].sh(WORLD, ROLE, PASSWORD)
    own = tmp_path_factory.mktemp("unproven")
    text = (folder / "staging.yml").read_text()
    text = text.replace("        project_dir:", f"        health_checks: {json.dumps(CHECKS)}\n        project_dir:")
    (own / "staging.yml").write_text(text)
    before = staging[HOST].state()
    ran = inv("plan", "--phase", "1", "--env", "staging", "--inventory", str(own), "--limit", HOST, "--json")
    assert ran.code == 2, ran.err
    assert PASSWORD not in ran.out + ran.err
    assert staging[HOST].state() == before
    yield ran.document["hosts"][0]
    assert "ready" in staging[HOST].sh(AS_BEFORE)
    assert not staging[HOST].would_recreate(), "what runs is what the files say"


def kept(plan: dict[str, Any], service: str, what: str) -> str:
    """Why something of a service stays as it is."""
    (reason,) = [
        each["reason"]
        for step in plan["steps"]
        for each in step["kept"]
        if (each["service"], each["what"]) == (service, what)
    ]
    return str(reason)


def changed(plan: dict[str, Any], what: str) -> set[str]:
    return {each["service"] for step in plan["steps"] for each in step["changes"] if each["what"] == what}


@pytest.mark.parametrize(
    ("service", "why"),
    [
        ("frontend", "passes whatever is asked"),
        ("grafana", "passes whatever is asked"),
        ("kibana", "none of 1 known checks passes"),
    ],
)
def test_a_check_that_cannot_fail_or_asks_the_wrong_port_is_not_written(
    plan: dict[str, Any], service: str, why: str
) -> None:
    assert why in kept(plan, service, "health_check")
    assert "health_check" not in {
        each["what"] for step in plan["steps"] for each in step["changes"] if each["service"] == service
    }


def test_nothing_is_made_to_wait_for_what_has_no_proven_check(plan: dict[str, Any]) -> None:
    assert "has no health check" in kept(plan, "apm-server", "condition on kibana")
    for service in ("backend", "frontend"):
        assert "logstash" in kept(plan, service, "condition on logstash")


def test_a_login_that_the_pooler_does_not_know_stays_at_the_database(plan: dict[str, Any]) -> None:
    (reason,) = [each["reason"] for step in plan["steps"] for each in step["refused"] if each["service"] == "backend"]
    assert "auditor runs no query through pgbouncer" in reason
    assert changed(plan, "database_url") == set()


def test_what_can_be_proven_is_planned_all_the_same(plan: dict[str, Any]) -> None:
    assert {"pgbouncer", "apm-server", "prometheus"} <= changed(plan, "health_check")
    assert {"pgbouncer", "frontend"} <= changed(plan, "condition")

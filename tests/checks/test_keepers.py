"""What stands in a stack for phase 3 is judged by what its keeper says: cache, registry, mesh."""

import json
import os
import subprocess

import pytest

from checks.model import Probe
from checks.probes import KINDS
from tests.checks.judging import judged

pytestmark = pytest.mark.slow


STATE = '{"hits": 1, "misses": 1, "hit_ratio": %s, "invalidation_ms": %s, "invalidation_reason": "no event in 5 s", "warmed": %s}'


WELL = '{"ended": true, "present": 9, "wanted": 10, "failed": {}}'


@pytest.mark.parametrize(
    ("output", "settings", "found"),
    [
        (STATE % (0.5, 2.5, WELL), {"of": "invalidation"}, (True, 2.5, "")),
        (STATE % (0.5, "null", WELL), {"of": "invalidation"}, (False, None, "an invalidation does not arrive: no event in 5 s")),
        (STATE % (0.5, 900, WELL), {"of": "invalidation"}, (False, 900.0, "an invalidation took 900 ms, more than 500")),
        (STATE % (0.5, 2.5, WELL), {"of": "warm"}, (True, 9.0, "")),
        (STATE % (0.5, 2.5, WELL), {"of": "warm", "share": 1}, (False, 9.0, "only 9 of 10 warmed keys are there")),
        (STATE % (0.5, 2.5, WELL.replace("true", "false")), {"of": "warm"}, (False, 0.0, "warming has not ended")),
        (STATE % (0.5, 2.5, WELL.replace("{}", '{"q": "why"}')), {"of": "warm"}, (False, 0.0, "not warmed: q (why)")),
        (STATE % (0.5, 2.5, WELL), {"of": "hits"}, (True, 50.0, "")),
        (STATE % (0.5, 2.5, WELL), {"of": "hits", "least": 60}, (False, 50.0, "50 % of reads hit, less than 60")),
        (STATE % ("null", 2.5, WELL), {"of": "hits"}, (True, None, "nobody reads")),
        ('{"reason": "ConnectionError"}', {"of": "hits"}, (False, None, "the cache does not answer: ConnectionError")),
        ("<html>", {"of": "hits"}, (None, None, "this is no answer of the cache keeper")),
        ("[]", {"of": "warm"}, (None, None, "this is no answer of the cache keeper")),
        ('{"hits": 1}', {"of": "warm"}, (None, None, "this is no answer of the cache keeper")),
    ],
)  # fmt: skip
def test_a_shared_cache_is_judged_by_what_its_keeper_measured(output, settings, found):
    assert judged("cache", output, **settings) == found


def listed(db, web, **more):
    """What a registrar answers: what the registry says of two services (None: nothing), and what their health is."""
    entries = [{"service": name, "instance": "shop", "health": health} for name, health in (("db", db), ("web", web)) if health]  # fmt: skip
    return json.dumps({"entries": entries, "instance": "shop", "health": {"db": "healthy", "web": "unhealthy"}, "reason": "", **more})  # fmt: skip


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (listed("healthy", "unhealthy"), (True, 1.0, "")),
        (listed("healthy", None), (True, 1.0, "")),
        (listed(None, None), (False, 0.0, "not registered: db")),
        (listed("unhealthy", "healthy"), (False, 1.0, "not registered: db; registered as well: web")),
        (listed("healthy", None, instance="other"), (False, 1.0, "not registered: db")),
        (listed("healthy", None, health={}), (False, 1.0, "no health is known: ")),
        (listed("healthy", None, reason="etcd: X"), (False, 1.0, "no health is known: etcd: X")),
        ('{"reason": "etcd: X"}', (False, None, "the registry does not answer: etcd: X")),
        ("<html>", (None, None, "this is no answer of the registrar")),
        ('{"entries": [1], "instance": "a"}', (None, None, "this is no answer of the registrar")),
    ],
)
def test_a_registry_is_held_against_what_the_aggregator_says(output, found):
    assert judged("registry", output) == found


def in_force(**more):
    """What a mesh's authority answers of one service."""
    each = {
        "service": "api",
        "plain": "refused",
        "direct": "unreachable",
        "mutual": "accepted",
        "expires_s": 600,
        **more,
    }
    return json.dumps({"services": [each], "failed": {}})


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (in_force(), (True, 600.0, "")),
        (in_force(plain="accepted"), (False, 600.0, "api: plain text at its sidecar: accepted")),
        (in_force(plain="away: X"), (False, 600.0, "api: plain text at its sidecar: away: X")),
        (in_force(direct="reachable"), (False, 600.0, "api is reachable past its sidecar")),
        (in_force(mutual="refused: X"), (False, None, "api: mutual TLS: refused: X")),
        (in_force(expires_s=0), (False, 0.0, "api: its certificate has ended")),
        (in_force().replace('"failed": {}', '"failed": {"web": "why"}'), (False, 600.0, "no certificate for web: why")),
        ('{"services": []}', (None, None, "this is no answer of the mesh's authority")),
        ("<html>", (None, None, "this is no answer of the mesh's authority")),
        ('{"failed": 1, "services": 2}', (None, None, "this is no answer of the mesh's authority")),
    ],
)
def test_a_mesh_is_well_when_all_that_should_be_refused_is(output, found):
    assert judged("mesh", output) == found


ENGINE = """#!/bin/sh
case $1 in
    inspect) [ "$4" = two ] && echo "10.0.0.17 10.1.0.3 " || echo "10.0.0.18 " ;;
    exec) shift 5; echo "$*" ;;
esac
"""


def test_a_mesh_is_tried_at_every_address_that_the_engine_gives_its_containers_now(tmp_path):
    (tmp_path / "docker").write_text(ENGINE)
    (tmp_path / "docker").chmod(0o755)
    asked = Probe("mesh", "m", "mesh-authority", {"services": {"api": [8000, 9000], "away": [1]}})
    running = "api two\nweb one\nmesh-authority three\napi four"
    own = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "RUNBOOK_RUNNING": running}
    said = subprocess.run(KINDS["mesh"].command(asked, "shop"), env=own, capture_output=True, text=True, check=True)
    places = [f"at=api={host}:{port}" for port in (8000, 9000) for host in ("10.0.0.17", "10.1.0.3", "10.0.0.18")]
    assert said.stdout.strip().rpartition(" ")[2] == "http://127.0.0.1:8080/mesh?" + "".join(
        f"{each}&" for each in places
    )

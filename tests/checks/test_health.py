"""One round of all probes in the proposal's shape."""

from datetime import datetime

import pytest

from checks.health import aggregate, unwell
from checks.model import Probe, Sample

PROBES = (
    Probe("container", "container:db", "db"),
    Probe("postgres", "query:db", "db"),
    Probe("container", "container:cache", "cache"),
    Probe("redis", "ping:cache", "cache"),
)


def sample(name, ok, **more):
    return Sample(name, "web-1", "now", ok, **more)


def test_a_healthy_host_says_what_was_measured_of_each_service():
    found = aggregate(
        PROBES,
        [
            sample("container:db", True, latency_s=0.5, value=0),
            sample("query:db", True, latency_s=0.0124, value=45.0),
            sample("container:cache", True, latency_s=0.5),
            sample("ping:cache", True, latency_s=0.002, value=129 * 1024 * 1024.0),
        ],
    )
    assert found["status"] == "healthy"
    assert found["services"] == {
        "db": {"status": "healthy", "latency": "12ms", "connections": 45},
        "cache": {"status": "healthy", "latency": "2ms", "memory": "129MB"},
    }
    assert found["timestamp"].endswith("Z")
    assert datetime.fromisoformat(found["timestamp"]).tzinfo is not None
    assert not unwell({"web-1": found})


@pytest.mark.parametrize(
    ("container", "query", "service", "whole"),
    [
        (True, True, "healthy", "healthy"),
        (True, False, "unhealthy", "unhealthy"),
        (False, True, "unhealthy", "unhealthy"),
        (False, None, "unhealthy", "unhealthy"),
        (None, True, "healthy", "healthy"),
        (None, None, "unknown", "unknown"),
    ],
)
def test_a_service_is_what_the_worst_of_its_probes_says(container, query, service, whole):
    found = aggregate(
        PROBES[:2], [sample("container:db", container, detail="a"), sample("query:db", query, detail="b")]
    )
    assert (found["services"]["db"]["status"], found["status"]) == (service, whole)
    assert unwell({"a": found}) == (whole != "healthy")
    assert ("reason" in found["services"]["db"]) == (service == "unhealthy")


def test_a_probe_without_an_answer_and_a_host_without_probes_are_unknown():
    assert aggregate(PROBES[:1], [])["services"] == {"db": {"status": "unknown"}}
    assert aggregate((), ())["status"] == "unknown"

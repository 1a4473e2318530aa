"""What goes wrong behind phase 2's gates is caught by the probe of its own step, and the step is undone: real servers, real probes.

Each gate is good at first; only then somebody does something.
"""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from checks.model import Gate, Probe
from checks.probes import sentinel
from runbooks import events, staging
from runbooks.steps.haproxy import Breaker
from tests.runbooks.bench import GATE as SHORT
from tests.runbooks.bench import Bench, content, make_bench
from tests.services import fronts, servers, sets
from tests.services.servers import Aggregator
from tests.services.test_breaker import got, needs_servers

pytestmark = pytest.mark.slow
GATE = Gate(window_s=120.0, interval_s=0.3, failure_limit=1, min_samples=1)
"""Long enough for any machine: what is caught ends it at once."""
SECRET = "geheim"


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    gate = staging.gate

    def short_after_the_undo(*words: Any) -> Any:
        *first, settings, side = words
        return gate(*first, settings if side == "change" else SHORT, side)

    monkeypatch.setattr(staging, "gate", short_after_the_undo)
    return make_bench(tmp_path, monkeypatch)


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def caught(bench: Bench, probe: Probe, sabotage: Callable[[], Any]) -> str:
    """What the gate says of a step that somebody sabotages after the first good round. The step must be undone."""
    folder = bench.host()
    before = content(folder)
    plan = bench.plan("\n# one", gate=GATE)
    (host,) = plan.hosts
    (stage,) = host.stages
    (step,) = stage.steps
    stage = replace(stage, steps=(replace(step, probes=(probe,)),))
    todo = [sabotage]

    def on(event: object) -> None:
        if isinstance(event, events.GateRound) and todo:
            assert not event.failing, "it was well before"
            todo.pop()()

    bench.on = on
    assert bench.migrate(replace(plan, hosts=(replace(host, stages=(stage,)),))) == 3, bench.end
    assert todo == []
    assert content(folder) == before
    ended, *_ = (event for event in bench.of(events.GateEnded) if event.verdict.outcome == "fail")
    return str(ended.verdict.reason)


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        (lambda docker: docker.tell("limits-web", "1000000000 536870912 0"), "536870912 bytes of memory, planned 134217728"),
        (lambda docker: docker.tell("limits-web", "0 134217728 0"), "0 CPUs, planned 1"),
    ],
    ids=["memory", "cpus"],
)  # fmt: skip
def test_limits_that_somebody_lifts(bench: Bench, does: Callable[..., None], reason: str) -> None:  # fmt: skip
    bench.docker.tell("limits-db", "0 0 0")
    bench.docker.tell("limits-web", "1000000000 134217728 0")
    probe = Probe("limits", "limits:web", "web", {"cpus": "1", "memory": str(128 << 20)})
    assert caught(bench, probe, lambda: does(bench.docker)).endswith(f"limits:web on web-1 failed: {reason}")


def aggregator(held: ExitStack, tmp_path: Path, web: int) -> Aggregator:
    folder = tmp_path / "aggregator"
    folder.mkdir()
    environment = {"CHECK_web": f"http://127.0.0.1:{web}/200/0", "LIMIT_S": "1"}
    return held.enter_context(servers.aggregator(environment, folder))


@pytest.mark.parametrize("how", ["a service that is needed ends", "the aggregator hangs"])
def test_what_the_aggregator_says_and_that_it_says_nothing(bench: Bench, held: ExitStack, tmp_path: Path, how: str) -> None:  # fmt: skip
    web, process = held.enter_context(servers.web_server())
    own = aggregator(held, tmp_path, web)
    probe = Probe("aggregator", "aggregator:web", "web", {"url": f"http://127.0.0.1:{own.port}/health"}, 3.0)
    if how == "the aggregator hangs":
        assert "no answer in" in caught(bench, probe, lambda: own.process.send_signal(signal.SIGSTOP))
    else:
        assert "unhealthy: web (" in caught(bench, probe, process.kill)


@needs_servers
@pytest.mark.parametrize("how", ["the dependency ends", "requests fail"])
def test_a_breaker_that_opens(bench: Bench, held: ExitStack, tmp_path: Path, how: str) -> None:
    web, process = held.enter_context(servers.web_server())
    own = aggregator(held, tmp_path, web)
    numbers = replace(fronts.QUICK, open_s=60.0)
    front = held.enter_context(
        fronts.front(tmp_path, own.port, {"web": web}, Breaker("web", 80, 8080, http=True), numbers=numbers)
    )
    probe = Probe("breaker", "breaker:web", "web", {"address": f"127.0.0.1:{front.stats}/stats", "closed": True}, 20.0)

    def fail() -> None:
        for _ in range(5):
            assert got(front.ports["web"], "/500/0")[0] == 500

    assert "open: web/web" in caught(bench, probe, process.kill if how == "the dependency ends" else fail)


@needs_servers
@pytest.mark.parametrize("how", ["the database hangs", "the pooler ends"])
def test_a_pooler_through_which_no_query_comes(
    bench: Bench, held: ExitStack, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    port, database = held.enter_context(servers.postgres(SECRET))
    pooler, process = held.enter_context(servers.pgbouncer(port, SECRET))
    monkeypatch.setenv("DATABASE_URL", f"postgresql://app:{SECRET}@127.0.0.1:{port}/postgres")
    monkeypatch.setenv("LISTEN_PORT", str(pooler))
    held.callback(servers.freeze, database, on=False)  # its end is waited for
    probe = Probe("pgbouncer", "pgbouncer:web", "web", timeout_s=3.0)
    if how == "the database hangs":
        assert "no answer in" in caught(bench, probe, lambda: servers.freeze(database))
    else:
        assert "accepting TCP/IP connections" in caught(bench, probe, lambda: (process.kill(), process.wait(60)))


@pytest.mark.skipif(not sets.possible(), reason="no Redis, Sentinel and HAProxy here, or not root")
@pytest.mark.parametrize("how", ["a Sentinel ends", "the replica loses its master"])
def test_a_redis_whose_master_nobody_could_replace(
    bench: Bench, held: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    found = held.enter_context(sets.running(folder))
    found.well()
    made = found.made
    # The names are known in a place of their own alone, as they are in a stack's network.
    monkeypatch.setenv("PROGRAM", sentinel.ASK)
    monkeypatch.setenv("REDIS_PASSWORD", sets.PASSWORD)
    monkeypatch.setattr(sentinel, "ASK", f'exec {shlex.join(found.inside("sh", "-c"))} "$PROGRAM" sh "$@"')
    settings = {"master": made.master, "port": made.port, "nodes": made.nodes, "sentinels": made.sentinels}
    probe = Probe("sentinel", "sentinel:web", "web", settings, 20.0)

    def unlink() -> None:
        found.client("redis-replica").config_set("masterauth", "wrong")
        found.client("redis").client_kill_filter(_type="slave")

    if how == "a Sentinel ends":
        assert "redis-sentinel-2 says" in caught(bench, probe, lambda: found.kill("redis-sentinel-2"))
    else:
        assert "redis-replica has lost its master" in caught(bench, probe, unlink)

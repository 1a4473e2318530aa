"""What the aggregator answers: `/health`, `/health/SERVICE`, `/live`, `/metrics`, and a page for people at `/`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from services.aggregator import page
from services.aggregator.asking import Answer, Asker, Round
from services.aggregator.settings import Settings

ASKER: web.AppKey[Asker] = web.AppKey("asker", Asker)
NEVER_KEPT = {"Cache-Control": "no-store"}
METRICS = "text/plain; version=0.0.4; charset=utf-8"


def application(settings: Settings) -> web.Application:
    """The aiohttp application for some settings."""
    made = web.Application()

    async def asker(_: web.Application) -> AsyncIterator[None]:
        # Names move when a container is recreated, and an answer of before says nothing: nothing is kept between rounds.
        connector = aiohttp.TCPConnector(limit=0, use_dns_cache=False, force_close=True, ssl=False)
        async with aiohttp.ClientSession(connector=connector) as session:
            made[ASKER] = Asker(settings, session)
            yield

    made.cleanup_ctx.append(asker)
    made.add_routes(
        [
            web.get("/", people),
            web.get("/health", health),
            web.get("/health/{service}", one),
            web.get("/live", live),
            web.get("/metrics", metrics),
        ]
    )
    return made


async def live(_: web.Request) -> web.Response:
    """That the aggregator itself runs, whatever the stack does: what its own container is checked by."""
    return web.json_response({"status": "live"}, headers=NEVER_KEPT)


async def health(request: web.Request) -> web.Response:
    """All services. 503 when one that is needed is down."""
    found = await request.app[ASKER].round()
    return web.json_response(document(found), status=code(found.status), headers=NEVER_KEPT)


async def one(request: web.Request) -> web.Response:
    """One service, asked alone; 404 for one that is not known. Optional or not: 503 when it is down.

    `?failures=5&pause=2`: it is down only when it fails so many times in a row, so many seconds apart: what opens a circuit
    breaker, which a service that is just restarted should not.
    """
    asker, name = request.app[ASKER], request.match_info["service"]
    check = next((check for check in asker.settings.checks if check.service == name), None)
    if check is None:
        return web.json_response({"status": "unknown", "reason": "no such service"}, status=404, headers=NEVER_KEPT)
    try:
        failures, pause_s = int(request.query.get("failures", "1")), float(request.query.get("pause", "0"))
    except ValueError:
        failures, pause_s = 0, 0.0
    if not (1 <= failures <= 100 and 0 <= pause_s <= 60):
        return web.json_response({"status": "unknown", "reason": "no such count"}, status=400, headers=NEVER_KEPT)
    found = entry(await asker.in_a_row(check, failures, pause_s))
    return web.json_response(found, status=code(found["status"]), headers=NEVER_KEPT)


async def metrics(request: web.Request) -> web.Response:
    """The same for Prometheus: each scrape asks the services anew."""
    found = await request.app[ASKER].round()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(found))
    return web.Response(body=generate_latest(registry), headers={"Content-Type": METRICS, **NEVER_KEPT})


async def people(request: web.Request) -> web.Response:
    """The page for people."""
    found = await request.app[ASKER].round()
    return web.Response(
        text=page.render(found), content_type="text/html", status=code(found.status), headers={**NEVER_KEPT, **page.HEADERS}
    )  # fmt: skip


def code(status: str) -> int:
    return 503 if status == "unhealthy" else 200


def document(found: Round) -> dict[str, Any]:
    """The answer in the proposal's shape (its section 7.1)."""
    return {
        "status": found.status,
        "services": {answer.check.service: entry(answer) for answer in found.answers},
        "timestamp": found.at.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def entry(answer: Answer) -> dict[str, Any]:
    """One service: its status, and what the proposal shows of its kind: connections, memory, else the latency."""
    if not answer.ok:
        return {"status": "unhealthy", "reason": answer.reason}
    if answer.check.kind == "postgres":
        return {"status": "healthy", "connections": answer.value}
    if answer.check.kind == "redis":
        return {"status": "healthy", "memory": memory(answer.value or 0)}
    return {"status": "healthy", "latency": latency(answer.seconds)}


def latency(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms"


def memory(size: int) -> str:
    return f"{size / (1 << 20):.0f}MB"


class _Told:
    """A round as metrics."""

    def __init__(self, found: Round) -> None:
        self.found = found

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("health_service_up", "Whether a service is well (1) or not (0).", labels=("service", "optional"))  # fmt: skip
        took = GaugeMetricFamily("health_check_seconds", "How long a service took to answer.", labels=("service",))
        count = GaugeMetricFamily("health_service_connections", "Clients that a database has.", labels=("service",))
        size = GaugeMetricFamily("health_service_memory_bytes", "Memory that a cache uses.", labels=("service",))
        for answer in self.found.answers:
            name = answer.check.service
            up.add_metric((name, "true" if answer.check.optional else "false"), float(answer.ok))
            took.add_metric((name,), answer.seconds)
            if answer.value is not None:
                (count if answer.check.kind == "postgres" else size).add_metric((name,), answer.value)
        status = GaugeMetricFamily("health_status", "The whole: 1 healthy, 0.5 degraded, 0 unhealthy.")
        status.add_metric((), {"healthy": 1.0, "degraded": 0.5}.get(self.found.status, 0.0))
        whole = GaugeMetricFamily("health_round_seconds", "How long asking all services took.")
        whole.add_metric((), self.found.seconds)
        return (status, whole, up, took, count, size)

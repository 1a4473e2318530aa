"""What the registrar answers: `/live`, `/services`, `/services/NAME`, `/watch?since=REVISION&wait=SECONDS`, `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from services.registrar.etcd import Etcd
from services.registrar.registering import Registrar
from services.registrar.registry import Entry, Unreachable
from services.registrar.settings import Settings

REGISTRAR: web.AppKey[Registrar] = web.AppKey("registrar", Registrar)
NEVER_KEPT = {"Cache-Control": "no-store"}
METRICS = "text/plain; version=0.0.4; charset=utf-8"
LONGEST_S = 60.0
"""How long somebody may wait for a change in one request."""


def application(settings: Settings) -> web.Application:
    """The aiohttp application for some settings."""
    made = web.Application()

    async def registrar(_: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0, use_dns_cache=False, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            made[REGISTRAR] = Registrar(settings, Etcd(settings.registry, session), session)
            running = asyncio.create_task(made[REGISTRAR].run())
            yield
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await made[REGISTRAR].close()

    made.cleanup_ctx.append(registrar)
    made.add_routes(
        [
            web.get("/live", live),
            web.get("/services", services),
            web.get("/services/{service}", one),
            web.get("/watch", watch),
            web.get("/metrics", metrics),
        ]
    )
    return made


async def live(_: web.Request) -> web.Response:
    """That the registrar itself runs."""
    return web.json_response({"status": "live"}, headers=NEVER_KEPT)


async def services(request: web.Request) -> web.Response:
    """All that is registered, whoever did it, and what of this stack is well and should be."""
    registrar = request.app[REGISTRAR]
    try:
        revision, found = await registrar.registry.entries()
    except Unreachable as error:
        return _away(error)
    return web.json_response(
        {
            "revision": revision, "instance": registrar.settings.instance, "entries": [each.document() for each in found],
            "health": registrar.health, "reason": registrar.reason,
        }, headers=NEVER_KEPT,
    )  # fmt: skip


async def one(request: web.Request) -> web.Response:
    """The instances of a service that are well; 404 where there is none."""
    name = request.match_info["service"]
    try:
        revision, found = await request.app[REGISTRAR].registry.entries(name)
    except Unreachable as error:
        return _away(error)
    well = [each.document() for each in found if each.health == "healthy"]
    return web.json_response({"revision": revision, "entries": well}, status=200 if well else 404, headers=NEVER_KEPT)


async def watch(request: web.Request) -> web.Response:
    """What changed after a revision: at once where something did, else when it does or the time is over."""
    try:
        since, wait_s = int(request.query["since"]), float(request.query.get("wait", "20"))
    except (KeyError, ValueError):
        since, wait_s = -1, 0.0
    if since < 0 or not 0 < wait_s <= LONGEST_S:
        return web.json_response({"reason": "since is a revision, wait seconds"}, status=400, headers=NEVER_KEPT)
    try:
        found = await request.app[REGISTRAR].registry.changes(since, wait_s)
    except Unreachable as error:
        return _away(error)
    changes = [{"service": each.service, "instance": each.instance, "entry": _document(each.entry)} for each in found.changes]  # fmt: skip
    return web.json_response({"revision": found.revision, "lost": found.lost, "changes": changes}, headers=NEVER_KEPT)


async def metrics(request: web.Request) -> web.Response:
    """For Prometheus: whether the registry answers, and how many instances are well."""
    registry, up = CollectorRegistry(), 1
    try:
        _, found = await request.app[REGISTRAR].registry.entries()
    except Unreachable:
        found, up = (), 0
    Gauge("registry_up", "Whether the registry answers.", registry=registry).set(up)
    well = Gauge("registry_instances", "Registered instances that are well.", ["service"], registry=registry)
    for each in found:
        well.labels(each.service).inc(each.health == "healthy")
    return web.Response(body=generate_latest(registry), headers={"Content-Type": METRICS, **NEVER_KEPT})


def _document(entry: Entry | None) -> dict[str, Any] | None:
    return entry.document() if entry else None


def _away(error: Unreachable) -> web.Response:
    return web.json_response({"reason": str(error)}, status=503, headers=NEVER_KEPT)

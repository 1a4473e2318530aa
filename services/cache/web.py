"""What the keeper answers: `/live`, `/ready` (warming has ended), `/state` and `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from redis.exceptions import RedisError

from services.cache.keeping import Keeper
from services.cache.settings import Settings

KEEPER: web.AppKey[Keeper] = web.AppKey("keeper", Keeper)
NEVER_KEPT = {"Cache-Control": "no-store"}
METRICS = "text/plain; version=0.0.4; charset=utf-8"


def application(settings: Settings) -> web.Application:
    """The aiohttp application for some settings."""
    made = web.Application()

    async def keeper(_: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(use_dns_cache=False, force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=settings.limit_s or None)) as session:  # fmt: skip
            made[KEEPER] = Keeper(settings, session)
            running = asyncio.create_task(made[KEEPER].run())
            yield
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await made[KEEPER].close()

    made.cleanup_ctx.append(keeper)
    made.add_routes(
        [web.get("/live", live), web.get("/ready", ready), web.get("/state", state), web.get("/metrics", metrics)]
    )
    return made


async def live(_: web.Request) -> web.Response:
    """That the keeper itself runs."""
    return web.json_response({"status": "live"}, headers=NEVER_KEPT)


async def ready(request: web.Request) -> web.Response:
    """200 when warming has ended, well or not: a cold cache is slower, and no reason to serve nobody."""
    ended = request.app[KEEPER].warmed is not None
    return web.json_response({"ready": ended}, status=200 if ended else 503, headers=NEVER_KEPT)


async def state(request: web.Request) -> web.Response:
    """All that the probes judge, measured now. 503 where the cache does not answer."""
    try:
        return web.json_response(await measured(request.app[KEEPER]), headers=NEVER_KEPT)
    except (RedisError, OSError) as error:
        return web.json_response({"reason": type(error).__name__}, status=503, headers=NEVER_KEPT)


async def measured(keeper: Keeper) -> dict[str, Any]:
    """The state as a document. Raises RedisError."""
    event = await keeper.invalidation()
    there, wanted = await keeper.present()
    counted = await keeper.counted()
    return {
        "invalidation_ms": None if event.seconds is None else round(event.seconds * 1000, 3),
        "invalidation_reason": event.reason,
        "warmed": {
            "ended": keeper.warmed is not None, "times": keeper.times, "present": there, "wanted": wanted,
            "failed": {each.entry.name: each.reason for each in keeper.warmed or () if each.reason},
        },
        "hits": counted.hits, "misses": counted.misses, "hit_ratio": await keeper.ratio(),
        "evicted": counted.evicted, "memory": counted.used,
    }  # fmt: skip


async def metrics(request: web.Request) -> web.Response:
    """The same for Prometheus. Hits, misses and evictions are the cache's own counters."""
    try:
        found = await measured(request.app[KEEPER])
    except (RedisError, OSError):
        found = {}
    registry = CollectorRegistry()
    Gauge("cache_up", "Whether the cache answers.", registry=registry).set(bool(found))
    if found:
        for name, what in (("hits", "Reads that found their key."), ("misses", "Reads that did not."), ("evicted", "Keys that had to go for others.")):  # fmt: skip
            Counter(f"cache_{name}", what, registry=registry).inc(found[name])
        for name, what, value in (
            ("cache_hit_ratio", "The share of reads that hit, within the last minute.", found["hit_ratio"]),
            ("cache_invalidation_seconds", "How long an invalidation took to arrive.", None if found["invalidation_ms"] is None else found["invalidation_ms"] / 1000),
            ("cache_memory_bytes", "Memory that the cache uses.", found["memory"]),
            ("cache_warmed_keys", "Warmed keys that are there.", found["warmed"]["present"]),
            ("cache_warm_failures", "Entries of the list that could not be warmed.", len(found["warmed"]["failed"])),
        ):  # fmt: skip
            if value is not None:
                Gauge(name, what, registry=registry).set(value)
    return web.Response(body=generate_latest(registry), headers={"Content-Type": METRICS, **NEVER_KEPT})

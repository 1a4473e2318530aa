"""Keeps an eye on the cache: warms it whenever it is empty, measures invalidations, counts hits and misses."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.cache import warming
from services.cache.settings import Settings
from services.cache.warming import Warmed

MARK = "compose-runbook:warmed"
"""The key that says of a cache that it was warmed: gone with its content, so a cache that lost that is warmed again."""
OWN = "compose-runbook:invalidation:"
EVERY_S, WINDOW_S = 2.0, 60.0
"""How often the counters are read, and over how long the hit ratio is told."""
ARRIVES_S = 5.0
"""Seconds after which an invalidation counts as lost."""


@dataclass(frozen=True)
class Counted:
    """Redis' own counters since it runs, without what the keeper itself asked. `at` is this machine's clock (s)."""

    at: float
    run: str
    hits: int
    misses: int
    evicted: int
    used: int


@dataclass(frozen=True)
class Invalidated:
    """One invalidation, there and back: seconds until its event arrived, or None and why."""

    seconds: float | None
    reason: str = ""


class Keeper:
    """Works with one cache until it is stopped."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self.settings, self._session = settings, session
        self._clients: dict[int, redis.asyncio.Redis] = {}
        self.warmed: tuple[Warmed, ...] | None = None
        """None until warming has ended once, well or not."""
        self.warmed_at = 0.0
        self.times = 0
        self._counted: deque[Counted] = deque()
        self._run = ""
        # Redis counts the keeper's questions among the hits and misses of all: 50 warm keys, asked for each second, would be
        # a good ratio by themselves.
        self._own, self._own_run, self._counting = (0, 0), "", asyncio.Lock()

    def client(self, db: int) -> redis.asyncio.Redis:
        """A client of the cache in one of its databases."""
        if db not in self._clients:
            self._clients[db] = redis.asyncio.Redis(
                host=self.settings.host, port=self.settings.port, db=db, password=self.settings.password or None,
                retry=Retry(NoBackoff(), 1), socket_timeout=10, socket_connect_timeout=5,
            )  # fmt: skip
        return self._clients[db]

    async def run(self) -> None:
        """Goes round for ever: a cache that is away is asked again in the next round."""
        while True:
            with suppress(RedisError, OSError, KeyError, ValueError):
                await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """One round: warms the cache where it is cold, and reads its counters."""
        if not await self._there(self.settings.db, MARK):
            self.warmed = await warming.warm(self.settings.warm, self.client, self._session, self.settings.limit_s)
            self.warmed_at, self.times = time.monotonic(), self.times + 1
            await self.client(self.settings.db).set(MARK, self.times)
        elif self.warmed is None:  # a keeper before this one has done it
            self.warmed = ()
        self._keep(await self.counted())

    def _keep(self, found: Counted) -> None:
        if found.run != self._run:
            self._counted.clear()  # another process counts from nothing
            self._run = found.run
        self._counted.append(found)
        while len(self._counted) > 1 and self._counted[0].at < found.at - WINDOW_S:
            self._counted.popleft()

    async def counted(self) -> Counted:
        """The cache's counters now. Raises RedisError."""
        client = self.client(self.settings.db)
        async with self._counting:
            server, stats, memory = [await client.info(section) for section in ("server", "stats", "memory")]
            run = str(server["run_id"])
            if self._own_run not in ("", run):
                self._own = (0, 0)
            self._own_run = run
            return Counted(
                time.monotonic(), run, max(0, int(stats["keyspace_hits"]) - self._own[0]),
                max(0, int(stats["keyspace_misses"]) - self._own[1]), int(stats["evicted_keys"]), int(memory["used_memory"]),
            )  # fmt: skip

    async def _there(self, db: int, *keys: str) -> int:
        """How many of some keys are there. Raises RedisError."""
        async with self._counting:
            found = int(await self.client(db).exists(*keys))
            self._own = (self._own[0] + found, self._own[1] + len(keys) - found)
            return found

    async def ratio(self) -> float | None:
        """The share of reads that hit, within the last minute; None where nobody read. Raises RedisError."""
        self._keep(await self.counted())
        first, last = self._counted[0], self._counted[-1]
        hits, misses = last.hits - first.hits, last.misses - first.misses
        return hits / (hits + misses) if hits + misses > 0 else None

    async def invalidation(self) -> Invalidated:
        """Deletes a key of its own, and waits for the event as any service would. Raises RedisError."""
        db = self.settings.db
        key = OWN + secrets.token_hex(8)
        client = self.client(db)
        async with client.pubsub() as subscribed:
            await subscribed.subscribe(f"__keyspace@{db}__:{key}")
            await client.set(key, b"1", ex=60)
            begin = time.monotonic()
            await client.delete(key)
            try:
                async with asyncio.timeout(ARRIVES_S):
                    while True:
                        told = await subscribed.get_message(ignore_subscribe_messages=True, timeout=ARRIVES_S)
                        if told and told["data"] == b"del":
                            return Invalidated(time.monotonic() - begin)
            except TimeoutError:
                return Invalidated(None, f"no event in {ARRIVES_S:g} s")

    async def present(self) -> tuple[int, int]:
        """How many of the warmed keys that have not outlived their time are there, and of how many. Raises RedisError."""
        age, there, wanted = time.monotonic() - self.warmed_at, 0, 0
        for each in self.warmed or ():
            if age < each.entry.ttl_s and each.keys:
                there += await self._there(each.entry.db, *each.keys)
                wanted += len(each.keys)
        return there, wanted

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()

"""Asks services: one answer each within the time limit, all at once, and a round that many askers share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import psycopg
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.aggregator.settings import Check, Settings

CONNECTIONS = "select count(*) from pg_stat_activity where backend_type = 'client backend'"
"""Clients of the whole server, this one too: what the proposal's `connections` counts."""


@dataclass(frozen=True)
class Answer:
    """What one service said. `value`: connections of a database, bytes of a cache. `reason` is one line when it is not well."""

    check: Check
    ok: bool
    seconds: float
    value: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Round:
    """One answer of every service, when they were asked (UTC), and how long (s) all of it took."""

    answers: tuple[Answer, ...]
    at: datetime
    seconds: float

    @property
    def status(self) -> str:
        """healthy; degraded when only optional services fail; else unhealthy."""
        failed = [answer.check for answer in self.answers if not answer.ok]
        if any(not check.optional for check in failed):
            return "unhealthy"
        return "degraded" if failed else "healthy"


class Asker:
    """Asks the services of some settings. Whoever asks for a round while one is under way gets that one: a stack is
    asked once at a time, however many people watch."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self.settings, self._session = settings, session
        self._running: asyncio.Task[Round] | None = None
        self._ending: set[asyncio.Future[int | None]] = set()

    async def round(self) -> Round:
        """One answer of every service, all asked at once."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._round())
        return await asyncio.shield(self._running)

    async def in_a_row(self, check: Check, failures: int, pause_s: float) -> Answer:
        """The first good answer, or the last of so many bad ones, `pause_s` seconds apart."""
        answer = await self.one(check)
        for _ in range(failures - 1):
            if answer.ok:
                break
            await asyncio.sleep(pause_s)
            answer = await self.one(check)
        return answer

    async def one(self, check: Check) -> Answer:
        """One service's answer; never raises for what the service does."""
        begin = time.monotonic()
        asking = asyncio.ensure_future(ASK[check.kind](self._session, check))
        # Not a timeout around it: a driver that is cancelled takes seconds of its own to tell a server that hangs.
        await asyncio.wait({asking}, timeout=self.settings.limit_s)
        seconds = time.monotonic() - begin
        if not asking.done():
            self._let_go(asking)
            return Answer(check, False, seconds, reason=f"no answer in {self.settings.limit_s:g} s")
        try:
            return Answer(check, True, seconds, asking.result())
        except _Unwell as error:
            reason = str(error)
        except (OSError, aiohttp.ClientError, psycopg.Error, RedisError) as error:
            # A driver's own words may hold the login: only the kind of the error is told.
            reason = f"{type(error).__name__} at {check.place}"
        return Answer(check, False, seconds, reason=reason)

    def _let_go(self, asking: asyncio.Future[int | None]) -> None:
        """Ends a question that nobody waits for any more, in its own time."""
        self._ending.add(asking)
        asking.add_done_callback(self._ended)
        asking.cancel()

    def _ended(self, asking: asyncio.Future[int | None]) -> None:
        self._ending.discard(asking)
        if not asking.cancelled():
            asking.exception()  # looked at, so that nobody complains that it was not

    async def _round(self) -> Round:
        at, begin = datetime.now(UTC), time.monotonic()
        answers = await asyncio.gather(*(self.one(check) for check in self.settings.checks))
        return Round(tuple(answers), at, time.monotonic() - begin)


class _Unwell(Exception):
    """The service answered, and not well."""


async def _http(session: aiohttp.ClientSession, check: Check) -> None:
    async with session.get(check.url, allow_redirects=False) as reply:
        if reply.status >= 400:
            raise _Unwell(f"status {reply.status}")


async def _tcp(_: aiohttp.ClientSession, check: Check) -> None:
    _reader, writer = await asyncio.open_connection(check.host, check.port)
    writer.close()


async def _postgres(_: aiohttp.ClientSession, check: Check) -> int:
    connection = await psycopg.AsyncConnection.connect(
        host=check.host, port=check.port, user=check.user or None, password=check.password or None,
        dbname=check.database or check.user or None, autocommit=True, prepare_threshold=None, connect_timeout=60,
    )  # fmt: skip
    try:
        row = await (await connection.execute(CONNECTIONS)).fetchone()
    finally:
        await connection.close()
    return int(row[0]) if row else 0


async def _redis(_: aiohttp.ClientSession, check: Check) -> int:
    client = redis.asyncio.Redis(
        host=check.host, port=check.port, username=check.user or None, password=check.password or None,
        ssl=check.url.startswith("rediss:"), ssl_cert_reqs="none", retry=Retry(NoBackoff(), 0),
    )  # fmt: skip
    try:
        found: Mapping[str, int] = await client.info("memory")
    finally:
        await client.aclose()
    return int(found["used_memory"])


ASK: Mapping[str, Callable[[aiohttp.ClientSession, Check], Awaitable[int | None]]] = {
    "http": _http,
    "postgres": _postgres,
    "redis": _redis,
    "tcp": _tcp,
}

"""Warming: each entry's values are read where they are true, and written where nobody has written yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
import psycopg
import redis.asyncio
from redis.exceptions import RedisError

from services.cache.settings import Database, Entry

MOST = 10_000
"""Values of one query, at most: a cache of hot values is no copy of a table."""
LARGEST = 8 << 20
"""Bytes of one value, at most."""
AGAIN_S = 1.0
"""Pause (s) before what did not answer is asked again, until warming's time is over."""
Clients = Callable[[int], "redis.asyncio.Redis"]
"""number of a database -> a client of the cache there."""


@dataclass(frozen=True)
class Warmed:
    """What one entry came to: its keys, or why there are none (one line, without a login)."""

    entry: Entry
    keys: tuple[str, ...] = ()
    reason: str = ""


async def warm(entries: tuple[Entry, ...], cache: Clients, session: aiohttp.ClientSession, limit_s: float) -> tuple[Warmed, ...]:  # fmt: skip
    """Warms all entries at once; one that does not answer is asked again until the time (s) is over."""
    return tuple(await asyncio.gather(*(_one(entry, cache, session, limit_s) for entry in entries)))


async def _one(entry: Entry, cache: Clients, session: aiohttp.ClientSession, limit_s: float) -> Warmed:
    loop = asyncio.get_running_loop()
    end = loop.time() + limit_s
    while True:
        reason = f"no answer in {limit_s:g} s"
        try:
            async with asyncio.timeout(max(0.05, end - loop.time())):
                values = await (_asked(entry, session) if entry.url else _queried(entry))
                await _written(entry, values, cache(entry.db))
            return Warmed(entry, tuple(values))
        except _Unfit as error:
            return Warmed(entry, reason=str(error))
        except _Unwell as error:
            reason = str(error)
        except TimeoutError:
            pass
        except (OSError, aiohttp.ClientError, psycopg.Error, RedisError) as error:
            # A driver's own words may hold the login: only the kind of the error is told.
            reason = type(error).__name__
        if loop.time() + AGAIN_S >= end:
            return Warmed(entry, reason=reason)
        await asyncio.sleep(AGAIN_S)


class _Unwell(Exception):
    """Not well now; may be later."""


class _Unfit(Exception):
    """Cannot be right at any time."""


async def _asked(entry: Entry, session: aiohttp.ClientSession) -> Mapping[str, bytes]:
    async with session.get(entry.url, allow_redirects=False) as reply:
        if reply.status != 200:
            raise _Unwell(f"status {reply.status}")
        body = bytearray()
        async for part in reply.content.iter_chunked(1 << 16):
            body += part
            if len(body) > LARGEST:
                raise _Unfit(f"its body is larger than {LARGEST >> 20} MB")
    return {entry.key: bytes(body)}


async def _queried(entry: Entry) -> Mapping[str, bytes]:
    """The rows of a query, in a transaction that can only read."""
    connection = await _connected(entry.database)
    try:
        await connection.set_read_only(True)
        async with connection.cursor() as cursor:
            await cursor.execute(entry.query.encode())
            if cursor.description is None or len(cursor.description) != 2:
                raise _Unfit("its query does not give two columns, key and value")
            rows = await cursor.fetchmany(MOST + 1)
        if len(rows) > MOST:
            raise _Unfit(f"its query gives more than {MOST} rows: add a limit")
        await connection.rollback()
    except (psycopg.errors.SyntaxError, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn,
            psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.InsufficientPrivilege) as error:  # fmt: skip
        raise _Unfit(type(error).__name__) from None
    finally:
        await connection.close()
    return {str(key): _bytes(value) for key, value in rows if key is not None and value is not None}


async def _connected(database: Database | None) -> psycopg.AsyncConnection[tuple[object, ...]]:
    assert database is not None  # noqa: S101 - read with the query
    more = {"user": database.user} if database.user else {}
    more |= {"password": database.password} if database.password else {}
    return await psycopg.AsyncConnection.connect(database.url, prepare_threshold=None, connect_timeout=10, **more)  # type: ignore[arg-type]


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes | memoryview):
        return bytes(value)
    return str(value).encode()


async def _written(entry: Entry, values: Mapping[str, bytes], client: redis.asyncio.Redis) -> None:
    """Only where nobody was quicker: what a service wrote itself is newer."""
    async with client.pipeline(transaction=False) as pipe:
        for key, value in values.items():
            pipe.set(key, value, ex=entry.ttl_s, nx=True)
        await pipe.execute()

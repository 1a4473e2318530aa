"""A lock in a shared Redis with an owner's token, an expiry and a fence: a worked example to take into an application.

A lock that expires can have two holders who both believe in it: one stood still (a long pause, a dead link) past its time. So each
holder gets a number that only grows, the fence, and hands it to whatever it changes, which refuses a lower one than it has seen.
The lock keeps holders apart while all goes well; the fence keeps what they change right when it does not.

`key` and `key:fence` must live in one Redis that does not evict them: the cache of the proposal, `allkeys-lru`, may drop any
key, the fence too. Use the Redis that keeps data, with `noeviction`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

ACQUIRE = """
-- KEYS: the lock, its fence. ARGV: the owner's token, milliseconds. The fence of the new holder, or 0.
if redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return redis.call('incr', KEYS[2]) end
return 0
"""
RELEASE = """
-- KEYS: the lock. ARGV: the owner's token. 1 where it was the owner's to release; a lock of another's stays.
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0
"""
WRITE = """
-- What the lock guards, in the same Redis. KEYS: the value, the highest fence that wrote it. ARGV: a fence, the new value.
if tonumber(ARGV[1]) < tonumber(redis.call('get', KEYS[2]) or '0') then return 0 end
redis.call('set', KEYS[2], ARGV[1])
redis.call('set', KEYS[1], ARGV[2])
return 1
"""


@dataclass(frozen=True)
class Held:
    """A lock that somebody has, until it expires."""

    key: str
    token: str
    fence: int


def acquire(redis: Any, key: str, expires_ms: int) -> Held | None:
    """The lock, or nothing where another has it. `redis`: a client of redis-py."""
    token = secrets.token_hex(16)
    fence = int(redis.eval(ACQUIRE, 2, key, f"{key}:fence", token, expires_ms))
    return Held(key, token, fence) if fence else None


def release(redis: Any, held: Held) -> bool:
    """Gives the lock back. False where it had expired: then another may have it, and keeps it."""
    return bool(redis.eval(RELEASE, 1, held.key, held.token))


def write(redis: Any, held: Held, name: str, value: str) -> bool:
    """Changes what the lock guards. False where a later holder has written: this one's time was over."""
    return bool(redis.eval(WRITE, 2, name, f"{name}:fence", held.fence, value))

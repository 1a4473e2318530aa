"""etcd as the registry, by the JSON gateway of its v3 API: five calls of HTTP, for which a client library would be more than the rest.

A service's entry is the key `/services/<service>/<instance>`, its value a JSON object. Keys and values travel in base64, numbers as texts.
"""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import suppress
from typing import Any

import aiohttp

from services.registrar.registry import Changed, Changes, Entry, Unreachable, entry_of

PREFIX = "/services/"
LIMIT_S = 5.0
"""Seconds that etcd has for an answer."""


class Etcd:
    """One etcd, or a cluster behind one address. `session` is the caller's to close."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session

    async def lease(self, seconds: int) -> str:
        return str((await self._ask("lease/grant", {"TTL": str(seconds)}))["ID"])

    async def renew(self, lease: str) -> bool:
        found = (await self._ask("lease/keepalive", {"ID": lease})).get("result", {})
        return int(found.get("TTL", 0)) > 0

    async def end(self, lease: str) -> None:
        await self._ask("lease/revoke", {"ID": lease})

    async def put(self, entry: Entry, lease: str) -> None:
        value = {"address": entry.address, "port": entry.port, "health": entry.health}
        key = f"{PREFIX}{entry.service}/{entry.instance}"
        await self._ask("kv/put", {"key": _written(key), "value": _written(json.dumps(value)), "lease": lease})

    async def entries(self, service: str = "") -> tuple[int, tuple[Entry, ...]]:
        found = await self._ask("kv/range", _range(f"{PREFIX}{service}/" if service else PREFIX))
        read = [_entry(each) for each in found.get("kvs", ())]
        return int(found["header"]["revision"]), tuple(each for each in read if each)

    async def changes(self, since: int, wait_s: float) -> Changes:
        """A watch, until it told something."""
        request = {"create_request": {**_range(PREFIX), "start_revision": str(since + 1)}}
        try:
            async with asyncio.timeout(wait_s), self._session.post(f"{self._url}/v3/watch", json=request) as reply:
                async for line in reply.content:
                    told = json.loads(line).get("result", {})
                    revision = int(told.get("header", {}).get("revision", since))
                    if told.get("canceled"):
                        return Changes(revision, lost=True)
                    if told.get("events"):
                        return Changes(revision, tuple(filter(None, map(_changed, told["events"]))))
        except TimeoutError:
            return Changes(since)
        except (OSError, aiohttp.ClientError, ValueError, AttributeError) as error:
            raise Unreachable(f"etcd: {type(error).__name__}") from None
        raise Unreachable("etcd: the watch ended")

    async def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(LIMIT_S), self._session.post(f"{self._url}/v3/{path}", json=body) as reply:
                found = json.loads(await reply.text())
        except TimeoutError:
            raise Unreachable(f"etcd: no answer in {LIMIT_S:g} s") from None
        except (OSError, aiohttp.ClientError, ValueError) as error:
            raise Unreachable(f"etcd: {type(error).__name__}") from None
        if not isinstance(found, dict) or "error" in found or reply.status != 200:
            said = found.get("error") if isinstance(found, dict) else ""
            raise Unreachable(f"etcd: {str(said or reply.status)[:200]}")
        return found


def _range(prefix: str) -> dict[str, str]:
    """All keys that begin so: up to the same with its last byte one higher."""
    return {"key": _written(prefix), "range_end": _written(prefix[:-1] + chr(ord(prefix[-1]) + 1))}


def _written(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _read(text: str) -> str:
    return base64.b64decode(text).decode("utf-8", "replace")


def _names(kv: dict[str, Any]) -> tuple[str, str]:
    service, _, instance = _read(kv["key"]).removeprefix(PREFIX).partition("/")
    return service, instance


def _entry(kv: dict[str, Any]) -> Entry | None:
    """An entry; None for what somebody else put there that is none."""
    with suppress(KeyError, TypeError, ValueError):
        return entry_of(*_names(kv), json.loads(_read(kv["value"])))
    return None


def _changed(event: dict[str, Any]) -> Changed | None:
    service, instance = _names(event["kv"])
    if event.get("type") == "DELETE":
        return Changed(service, instance, None)
    entry = _entry(event["kv"])
    return Changed(service, instance, entry) if entry else None

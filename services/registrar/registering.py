"""Registers services as long as they are well: a lease for each, renewed only by the aggregator's own word."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp

from services.registrar.registry import Entry, Health, Registry, Unreachable
from services.registrar.settings import Settings

ROUNDS = 3
"""Rounds in a lease: one that is lost, or one bad answer, ends nothing."""
HEALTH_S = 30.0
"""Seconds that the aggregator has for its answer; it has a limit of its own for each service."""


class Registrar:
    """Goes round until it is stopped.

    A service that is unwell is said to be so at once, and its lease is not renewed: it ends unless the service is well again
    in time. Where the aggregator does not answer nothing is known to be well, so nothing is renewed.
    """

    def __init__(self, settings: Settings, registry: Registry, session: aiohttp.ClientSession) -> None:
        self.settings, self.registry, self._session = settings, registry, session
        self.health: dict[str, Health] = {}
        """What the aggregator said last; a service that is missing is not known."""
        self.reason = "nothing was asked yet"
        """Why nothing is known, or why the registry was not told; empty where all is well."""
        self._leases: dict[str, str] = {}
        self._said: dict[str, Health] = {}

    async def run(self) -> None:
        while True:
            await self.round()
            await asyncio.sleep(self.settings.lease_s / ROUNDS)

    async def round(self) -> None:
        """Asks for the health of all, and registers accordingly."""
        try:
            self.health = await self._asked()
            self.reason = ""
        except (OSError, TimeoutError, aiohttp.ClientError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.health = {}
            self.reason = f"the aggregator: {type(error).__name__}"
            return
        await self._look()
        for service, health in self.health.items():
            try:
                await self._one(service, health)
            except Unreachable as error:
                self.reason = str(error)
                # What the registry holds now is not known: it is told anew when it answers.
                self._said.pop(service, None)

    async def _look(self) -> None:
        """Forgets that it said what is not in the registry any more: somebody may have taken an entry out while its lease lives."""
        with suppress(Unreachable):
            _, entries = await self.registry.entries()
            there = {entry.service for entry in entries if entry.instance == self.settings.instance}
            self._said = {service: health for service, health in self._said.items() if service in there}

    async def _one(self, service: str, health: Health) -> None:
        lease = self._leases.get(service)
        if health == "healthy" and (lease is None or not await self.registry.renew(lease)):
            self._leases[service] = lease = await self.registry.lease(self.settings.lease_s)
            self._said.pop(service, None)
        if lease is None or self._said.get(service) == health:
            return
        address, port = self.settings.places[service]
        try:
            await self.registry.put(Entry(service, self.settings.instance, address, port, health), lease)
        except Unreachable:
            if health == "healthy":
                raise
            # An unwell service whose lease has ended is out of the registry already.
            self._leases.pop(service)
        self._said[service] = health

    async def _asked(self) -> dict[str, Health]:
        limit = aiohttp.ClientTimeout(total=HEALTH_S)
        async with self._session.get(self.settings.health, timeout=limit) as reply:
            found: Mapping[str, Any] = (await reply.json(content_type=None))["services"]
        known = {name: found[name]["status"] for name in self.settings.places if name in found}
        return {name: "healthy" if status == "healthy" else "unhealthy" for name, status in known.items()}

    async def close(self) -> None:
        """Ends all leases: who goes in order leaves nothing behind."""
        for lease in self._leases.values():
            with suppress(Unreachable):
                await self.registry.end(lease)

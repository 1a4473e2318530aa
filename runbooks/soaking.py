"""A soak from its first tick to its verdict: one tick of it over all hosts, and how it ends. Knows nothing of steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from pathlib import Path

from checks import soak as soaks
from checks.assess import Assessment, judged
from checks.evidence import Soaks, Store, compact, incidents, is_time, tallies
from checks.model import Probe, Sample
from checks.probes import KINDS, round_
from checks.soak import Series, Soak
from inventory import connection, fleet, inventory
from inventory.errors import RunbookError
from inventory.link import Link
from inventory.model import Host
from inventory.secrets import Mask
from inventory.values import frozen


@frozen
class Ticked:
    """What one call for a tick came to. `number` None: none was due. `ended`: the soak, where this call ended it."""

    soak: Soak
    number: int | None = None
    samples: tuple[Sample, ...] = ()
    errors: Mapping[str, RunbookError] = field(default_factory=dict)
    ended: Soak | None = None
    note: str = ""


class Ticker:
    """Makes ticks. Keeps its links between them, for who makes many; `close` ends them."""

    def __init__(self, store: Store, mask: Mask, who: str) -> None:
        self._store, self._mask, self._who = store, mask, who
        self._links: dict[tuple[str, str], Link] = {}

    def tick(self, soak: Soak, at: datetime | None = None) -> Ticked:
        """One round over all hosts of a soak if one is due, recorded as a whole; and its end when its time is over.

        A host that does not answer makes its samples unknown. Raises InputError for an inventory that cannot be read.
        """
        at = at or soaks.now()
        kept = Soaks(self._store)
        hosts = hosts_of(soak)
        claim = kept.claim(soak, at, self._who)
        if claim is None:
            return Ticked(soak, ended=end(self._store, soak, at), note=self._why_none(soak, at))
        series = kept.series(soak.id)
        due = [each for each in series if is_due(soak, each.probe, claim.tick)]
        by_host: dict[str, list[Series]] = {}
        for each in due:
            by_host.setdefault(each.host, []).append(each)
        results = fleet.each(by_host, lambda name: self._round(soak, hosts.get(name), by_host[name]))
        errors = {name: result.error for name, result in results.items() if result.error}
        samples = [sample for result in results.values() for sample in result.value or ()]
        for name, error in errors.items():
            detail = self._mask.hide(error.message)
            samples += [Sample(each.probe.name, name, claim.began, None, detail=detail) for each in by_host[name]]
        samples = [replace(sample, detail=self._mask.hide(sample.detail)) for sample in samples]
        ids = {(each.host, each.probe.name): each.id for each in series}
        if not kept.record(claim, ids, samples):
            return Ticked(soak, note="another program has made this tick meanwhile")
        if is_time(soak, claim.tick):
            compact(self._store, at)
        return Ticked(soak, claim.tick, tuple(samples), errors, end(self._store, soak, at))

    def close(self) -> None:
        for link in self._links.values():
            link.close()
        self._links.clear()

    def _round(self, soak: Soak, host: Host | None, series: Sequence[Series]) -> list[Sample]:
        if host is None:
            raise RunbookError("it is not in the inventory any more", host=series[0].host)
        key = soak.environment, host.name
        if key not in self._links:
            self._links[key] = connection.connect(host, self._mask)
        samples = round_(self._links[key], [each.probe for each in series], series[0].project)
        if all(sample.ok is None for sample in samples):
            # Perhaps the link is dead: the next tick makes a new one.
            self._links.pop(key).close()
        return samples

    def _why_none(self, soak: Soak, at: datetime) -> str:
        newest = Soaks(self._store).ticks(soak.id, newest=1)
        began = datetime.fromisoformat(newest[-1].began) if newest else None
        if began is not None and (began - at).total_seconds() > soak.every_s:
            return f"the clock was set back: the last tick began at {began.isoformat(timespec='seconds')}"
        return "its time is over" if at >= soak.end else "none is due yet"


def is_due(soak: Soak, probe: Probe, tick: int) -> bool:
    """Whether a probe is asked in a tick: what measures, and costs the engine seconds, not in each."""
    return not KINDS[probe.kind].measures or tick % soak.measured_each == 0


def hosts_of(soak: Soak) -> dict[str, Host]:
    """The soak's hosts as the inventory has them now. Raises InputError."""
    folder = Path(soak.folder) if soak.folder else None
    return {host.name: host for host in inventory.load(soak.environment, folder, soak.declared).hosts}


def end(store: Store, soak: Soak, at: datetime) -> Soak | None:
    """Judges and ends a soak whose time is over; None: it is not, or another program has ended it."""
    if at < soak.end:
        return None
    found = assessed(store, soak, soak.end)
    return Soaks(store).end(soak, state="ended", outcome=found.outcome, reason=found.reason, at=soak.end.isoformat())


def ended(store: Store, soak: Soak) -> Soak:
    """The soak, ended where its time is over: the program that ticks may be gone."""
    if soak.state != "running" or soaks.now() < soak.end:
        return soak
    return end(store, soak, soaks.now()) or Soaks(store).get(soak.id) or soak


def assessed(store: Store, soak: Soak, at: datetime | None = None) -> Assessment:
    """A soak's verdict as of a time (now), by all that the store holds of it."""
    kept = Soaks(store)
    series = kept.series(soak.id)
    made = kept.made(soak.id)
    return judged(
        soak, series, tallies(store, series), made, incidents(store, series), at or soak.ended_at or soaks.now(),
        started=starts(store, soak),
    )  # fmt: skip


def starts(store: Store, soak: Soak) -> dict[str, float]:
    """Seconds until each service was healthy when the soak's run brought it up."""
    return {up.service: up.seconds for up in store.ups(soak.run) if up.ok} if soak.run else {}


def stop(store: Store, soak: Soak, why: str) -> Soak | None:
    """Ends a soak before its time: it failed if that is shown already, else nothing is. None: it had ended."""
    at = soaks.now()
    found = assessed(store, soak, at)
    if found.outcome == "fail":
        return Soaks(store).end(soak, state="stopped", outcome="fail", reason=found.reason, at=at.isoformat())
    return Soaks(store).end(soak, state="stopped", outcome="inconclusive", reason=why, at=at.isoformat())


def stop_all(store: Store, environment: str, why: str) -> tuple[Soak, ...]:
    """Stops the soaks of an environment, because what they watched is no longer what runs."""
    running: Iterable[Soak] = Soaks(store).all(environment=environment, running=True)
    return tuple(ended for soak in running if (ended := stop(store, soak, why)))

"""What the demo of phase 3 measured, beside what the proposal promises: as values, as rows, and as a table for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from lab.figures import promised, row, seconds
from lab.measure.cache import Cache, Reads
from lab.measure.lease import Lease
from lab.measure.naming import Named
from lab.measure.scaling import Scaling

if TYPE_CHECKING:
    from rich.table import Table


TARGET = 10
"""Percent of its CPU limit at which the scaled service is to be: in place of 70, so that one bounded load is enough for it."""


@dataclass(frozen=True)
class Figures:
    """All that is measured, before phase 3 and after. `registered`: services in the registry that are well, of `services`.

    `different`: bytes that differ after the last rollback; `as_before`: every file, mode, owner and image is as it was, after
    phase 3 went back and at the end.
    """

    reads_before: Reads
    reads_after: Reads
    cache: Cache
    registered: int
    services: int
    lease: Lease
    named_before: Named
    named_after: Named
    scaling: Scaling
    migrate_s: float
    rollback_s: float
    different: int
    as_before: bool


def rows(found: Figures) -> list[dict[str, Any]]:
    """What was promised and what was measured. The proposal gives few numbers for its third phase: its words stand there."""
    old, new, cache, lease, scaling = found.named_before, found.named_after, found.cache, found.lease, found.scaling
    same = ("yes" if old.rendered == new.rendered else "NO", "none" if old.containers == new.containers else "some")
    return [
        row("services in the registry, well", "all", "0", f"{found.registered} of {found.services}", ""),
        row("a service that stopped is gone from it after", "dynamic", "", seconds(lease.gone_s), ""),
        row("started again, it is there after", "dynamic", "", seconds(lease.back_s), ""),
        row("hosts written into URLs", "none", str(old.hosts), str(new.hosts), ""),
        row("services with a name in .env, and its mode", "", f"{old.variables} ({old.mode})", f"{new.variables} ({new.mode})", ""),
        row("by that: rendered configuration the same", "", "", same[0], ""),
        row("by that: containers recreated", "", "", same[1], ""),
        row("keys warm before traffic", "warming", f"{found.reads_before.hits} of {found.reads_before.reads} reads hit", f"{cache.warm} of {cache.wanted} keys", ""),
        row("an invalidation arrives after, median", "events", "never", milliseconds(median(cache.invalidations_s)) if cache.invalidations_s else "never", ""),
        row(f"the slowest of {len(cache.invalidations_s) + cache.lost}", "", "never", milliseconds(max(cache.invalidations_s)) if not cache.lost else "never", ""),
        row("reads that hit, by Redis' own counters", "metrics", f"{found.reads_before.ratio:.0%}", "nobody read" if cache.ratio is None else f"{cache.ratio:.0%}", ""),
        row("replicas under load, and after it", "2 to 10", "1", f"{' '.join(map(str, scaling.up))}, {scaling.down[-1]}", ""),
        row(f"their use of the limit, at most ({TARGET} % is wanted here)", "", "", f"{max(scaling.cpu):.0f} %", ""),
        row("requests meanwhile, failed", "none", "", f"{scaling.asked}, {scaling.failed}", ""),
        row("bytes different after all went back", "0", "", str(found.different), ""),
    ]  # fmt: skip


def milliseconds(value: float) -> str:
    """Seconds as milliseconds."""
    return f"{1000 * value:.1f} ms"


def missed(found: Figures) -> list[str]:
    """What phase 3 should have shown and did not, a line each."""
    cache, scaling = found.cache, found.scaling
    checks = (
        (found.registered == found.services, "not every service is registered"),
        (found.named_before.rendered == found.named_after.rendered, "names for hosts change what Compose renders"),
        (found.named_before.containers == found.named_after.containers, "names for hosts recreated a container"),
        (found.named_after.hosts == 0, "a host is still written into a URL"),
        (cache.lost == 0 and cache.invalidations_s != (), "an invalidation did not arrive"),
        (cache.wanted > 0 and cache.warm == cache.wanted, "not every key of the list is warm"),
        (cache.ratio is not None and cache.ratio > found.reads_before.ratio, "no more reads hit than before"),
        (max(scaling.up) > scaling.up[0], "the load brought no more replicas"),
        (scaling.down[-1] < scaling.up[-1], "no replica went when the load was over"),
        (scaling.failed == 0, f"requests failed while replicas came and went: {dict(scaling.why)}"),
        (found.as_before and found.different == 0, "the files or images are NOT as before"),
    )  # fmt: skip
    return [text for good, text in checks if not good]


def tables(found: Figures) -> Iterator[Table]:
    """The table, for a screen."""
    yield promised(rows(found), "promised", "before", "after")

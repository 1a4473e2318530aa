"""What stands against a plan where it would be carried out: drift, and what the hosts themselves say; and who drops out for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from inventory import fleet
from inventory.errors import Refused
from runbooks import drift, preflight, screen
from runbooks.drift import Drifted, Standing
from runbooks.ground import Ground, Room
from runbooks.plan_model import HostPlan, Plan
from runbooks.session import Session
from runbooks.taken import own_files


def looked(opened: Session, plan: Plan, *, accept_drift: bool = False) -> tuple[Plan, tuple[str, ...]]:
    """The plan with what speaks against it on each host that it changes, and the lines that show drift, masked."""
    names = [host.host for host in plan.hosts if host.changed and host.host in opened.links]
    results = fleet.each(names, lambda name: drift.standing(opened.writer(name), opened.mask), limit=opened.forks)
    opened.drop({name: result.error for name, result in results.items() if result.error})
    found = {name: result.value or Standing() for name, result in results.items() if not result.error}
    hosts = (
        against(opened, host, found.get(host.host, Standing()), accept_drift=accept_drift)
        for host in plan.hosts
        if host.host in opened.links
    )
    return replace(plan, hosts=tuple(hosts)), tuple(lines({name: each.drifted for name, each in found.items()}))


def against(opened: Session, host: HostPlan, stands: Standing, *, accept_drift: bool) -> HostPlan:
    """One host's plan, blocked where it must not be carried out as things are."""
    refused = tuple(drift.refusal(each) for each in stands.drifted)
    host = own_files(host, stands.written)
    writer = opened.writer(host.host)
    blocked: tuple[str, ...] = () if accept_drift else refused
    warnings = refused if accept_drift else ()
    if host.changed and writer.prepared and not host.grounded:
        there = Ground(writer.skew_s, {"state": Room(writer.free_kib)})
        blocked += preflight.found(host, there, preflight.Wanted())[0]
    return replace(host, blocked=(*host.blocked, *blocked), warnings=(*host.warnings, *warnings))


def lines(found: Mapping[str, tuple[Drifted, ...]]) -> Iterator[str]:
    """What differs, file by file, as a diff where the text does."""
    for name, drifted in found.items():
        for each in drifted:
            yield f"{name}  {each.path} {each.what} since a run wrote it"
            yield from (f"  {line}" for line in each.patch.splitlines())


def allowed(opened: Session, plan: Plan, accepted: str) -> Plan:
    """The plan without the hosts on which it may not be carried out; those drop out of the session with why."""
    levels = list(screen.RISKS)

    def why_not(host: HostPlan) -> Refused | None:
        if host.changed and host.blocked:
            more = f" (and {len(host.blocked) - 1} more)" if len(host.blocked) > 1 else ""
            return Refused(host.blocked[0] + more, host=host.host)
        for stage in host.stages if host.changed else ():
            if stage.files and levels.index(stage.risk) > levels.index(accepted):
                return Refused(
                    f"{stage.name} has {stage.risk} risk", host=host.host, mend=f"add --accept-risk {stage.risk}"
                )
        return None

    refused = {host.host: error for host in plan.hosts if (error := why_not(host))}
    opened.drop(refused)
    return replace(plan, hosts=tuple(host for host in plan.hosts if host.host not in refused))

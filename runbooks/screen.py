"""What people see of a plan, as renderables of rich: the reason next to each line, what restarts, and what to heed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from inventory.secrets import Mask
from runbooks.lines import Columns, Line, PlainConsole, line, on_terminal
from runbooks.plan_model import HostPlan, Plan, PlannedFile, Restart, Stage, StepPlan
from runbooks.visible import guarded

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PROOFS = {"proven": "green", "unproven": "yellow", "not needed": "dim"}
RISKS = {"low": "green", "medium": "yellow", "high": "red"}
WORDS = {"database_url": "database", "health_check": "health check", "start_interval": "first check"}


def console(*, stderr: bool = False) -> Console | PlainConsole:
    """A console for this terminal; plain text where there is none, and without colour under NO_COLOR."""
    if not on_terminal(sys.stderr if stderr else sys.stdout):
        # A line is never cut or folded there: it goes to a log or a pipe.
        return PlainConsole(stderr=stderr)
    from rich.console import Console

    return guarded(Console(stderr=stderr, highlight=False, soft_wrap=False))


def plan_view(plan: Plan, mask: Mask, *, diff: bool = True) -> Iterator[RenderableType]:
    """The plan of each host (hosts with the same plan once), and a last line with the counts."""
    for hosts, found in alike(plan):
        names, folder = where(hosts)
        yield Line.of((names, "bold"), f"  {folder}")
        for blocker in found.blocked:
            yield line(f"  x migrate would refuse: {mask.hide(blocker)}", "red")
        for warning in found.warnings:
            yield line(f"  ! {mask.hide(warning)}", "yellow")
        for stage in found.stages:
            yield from stage_view(stage, mask)
        if found.restarts:
            yield line("  restarts, one at a time, in this order", "bold")
            yield restart_table(found.restarts)
        for hook in found.hooks if found.changed else ():
            yield line(f"  hook {mask.hide(hook.told())}", "dim")
        yield from startup_view(found)
        if diff:
            for file in found.files:
                yield from diff_view(file, found.project_dir, mask)
        yield Line.of("")
    yield summary(plan)


def alike(plan: Plan) -> list[tuple[list[HostPlan], HostPlan]]:
    """Hosts whose plans say the same stand together, whichever folder their project is in; each with the first of them."""
    groups: dict[object, list[tuple[list[HostPlan], object]]] = {}
    for host in plan.hosts:
        said = told(host)
        # A fleet of a thousand stacks of their own is not compared each with each.
        beside = groups.setdefault(tuple((file.data_before, file.data) for file in host.files), [])
        for members, first in beside:
            if first == said:
                members.append(host)
                break
        else:
            beside.append(([host], said))
    return [(members, members[0]) for beside in groups.values() for members, _ in beside]


def told(host: HostPlan) -> object:
    """All that a reader is told of a host's plan, paths from the project's folder on."""

    def short(text: str) -> str:
        return text.replace(host.project_dir.rstrip("/") + "/", "")

    steps = [
        (
            step.step, stage.risk, [(a.service, a.what, a.before, a.after, a.reason, a.proof) for a in step.altered], step.kept,
            step.notes, [(r.service, r.what, short(r.path), r.line, r.reason, r.mend) for r in step.refused],
        )
        for stage in host.stages
        for step in stage.steps
    ]  # fmt: skip
    files = [(short(file.path), file.data_before, file.data) for file in host.files]
    said = ([*map(short, host.blocked)], [*map(short, host.warnings)])
    return said, steps, files, [(r.service, r.reason) for r in host.restarts], host.hooks, host.startup


def where(hosts: Sequence[HostPlan]) -> tuple[str, str]:
    """The names of hosts that stand together, and their project's folder."""
    folders = dict.fromkeys(host.project_dir for host in hosts)
    others = f" and {len(folders) - 1} other folders" if len(folders) > 1 else ""
    return ", ".join(host.host for host in hosts), f"{hosts[0].project_dir}{others}"


def stage_view(stage: Stage, mask: Mask) -> Iterator[RenderableType]:
    """One stage: its steps with what they change, keep and refuse."""
    title = Line.of(
        "  ",
        (f"{stage.number}. {', '.join(step.step for step in stage.steps)}", "bold"),
        "  risk ",
        (stage.risk, RISKS[stage.risk]),
    )
    yield title
    for step in stage.steps:
        if step.altered:
            yield altered_table(step, mask)
        for note in step.notes:
            yield line(f"      {mask.hide(note)}", "dim")
        plain = [kept for kept in step.kept if not kept.attention]
        for kept in plain:
            yield line(f"    = {kept.service or step.step}: {kept.what} stays: {mask.hide(kept.reason)}", "dim")
        for kept in step.kept:
            if kept.attention:
                yield line(f"    ! {kept.service or step.step}: {kept.what}: {mask.hide(kept.reason)}", "yellow")
        for refusal in step.refused:
            yield line(
                f"    x {refusal.service or step.step}: {refusal.what} ({refusal.path}:{refusal.line}): {mask.hide(refusal.reason)}; {mask.hide(refusal.mend)}",
                "red",
            )
    if not any(step.altered for step in stage.steps):
        yield line("    nothing to do", "dim")


def altered_table(step: StepPlan, mask: Mask) -> Columns:
    """What a step changes: sign, service, what, before and after, proof."""
    rows = []
    for change in step.altered:
        sign = "+" if change.before == "none" else "~"
        after = mask.hide(change.after)
        words = after if sign == "+" else f"{mask.hide(change.before)} -> {after}"
        reason = f"  ({mask.hide(change.reason)})" if change.reason and change.reason not in words else ""
        proof = "" if change.proof == "not needed" else change.proof
        rows.append((
            line(f"    {sign}"), line(change.service), line(WORDS.get(change.what, change.what), "dim"),
            Line.of(words, (reason, "dim")), line(proof, PROOFS[change.proof]),
        ))  # fmt: skip
    return Columns(tuple(rows), folds=(3,))


def restart_table(restarts: Sequence[Restart]) -> Columns:
    """The containers that are recreated: why, whether they hold data, how long they are away."""
    rows = tuple(
        (
            line(f"    {number:2}"), line(restart.service), line(f"about {restart.downtime_s:.0f} s"),
            line("holds data" if restart.holds_data else "", "yellow"), line(restart.reason, "dim"),
            line(f"loses {', '.join(restart.loses)}" if restart.loses else "", "red"),
        )
        for number, restart in enumerate(restarts, 1)
    )  # fmt: skip
    return Columns(rows, folds=tuple(range(6)))


def startup_view(host: HostPlan) -> Iterator[RenderableType]:
    """The cold start as predicted before and after."""
    startup = host.startup
    if not startup.groups:
        return
    ups = f"{startup.ups_before} x up" if startup.ups_before > 1 else "one up"
    after = f"{startup.ups_after} x up" if startup.ups_after > 1 else "one up"
    yield Line.of(f"  cold start, predicted: {startup.before_s:.0f} s ({ups}) -> {startup.after_s:.0f} s ({after})")
    if startup.critical_path:
        yield line(f"  critical path: {' -> '.join(startup.critical_path)}", "dim")


def diff_view(file: PlannedFile, project_dir: str, mask: Mask) -> Iterator[RenderableType]:
    """A file's change as a unified diff, line by line through the Mask."""
    from runbooks.compose.patch import patch

    name = file.path.removeprefix(project_dir.rstrip("/") + "/")
    for each in patch(file.data_before or b"", file.data or b"", name).splitlines():
        style = (
            "bold" if each.startswith(("---", "+++")) else {"+": "green", "-": "red", "@": "cyan"}.get(each[:1], "dim")
        )
        yield line("  " + mask.hide(each), style)


def summary(plan: Plan) -> RenderableType:
    """The last line: how much there is to do where, and the plan's fingerprint."""
    changed = [host for host in plan.hosts if host.changed]
    refused = sum(len(step.refused) for host in plan.hosts for stage in host.stages for step in stage.steps)
    heed = sum(
        kept.attention for host in plan.hosts for stage in host.stages for step in stage.steps for kept in step.kept
    )
    tail = "".join(f", {count} {word}" for count, word in ((refused, "refused"), (heed, "to look at")) if count)
    if not plan.hosts:
        return line("Plan: none, as no host could be read.", "yellow")
    if not changed:
        return line(f"Plan: nothing to do on {len(plan.hosts)} host(s){tail}.", "green")
    changes = sum(len(step.altered) for host in changed for stage in host.stages for step in stage.steps)
    files = sum(len(host.files) for host in changed)
    restarts = sum(len(host.restarts) for host in changed)
    return Line.of(
        (
            f"Plan: {changes} change(s) in {files} file(s), {restarts} restart(s), on {len(changed)} of {len(plan.hosts)} host(s){tail}.",
            "bold",
        ),
        f"  Fingerprint {plan.fingerprint[:16]}.",
    )

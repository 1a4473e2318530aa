"""The Invoke namespace: every task of the command line, in its group. The tasks stand in `cli/`, a file a group."""

from __future__ import annotations

import gc
from typing import Any

from invoke.collection import Collection

from cli import attacking, discovery, hosts, looking, practice, running, scale, soak

TASKS: dict[str, tuple[Any, ...]] = {
    "": (
        running.plan, running.migrate, running.rollback,
        looking.status, looking.history, looking.health, looking.notify, looking.unlock,
        practice.demo, practice.bench, practice.proof, attacking.fuzz, attacking.mutate, attacking.audit, practice.test, practice.lint, practice.lock,
    ),
    "discovery": (discovery.discovery_list, discovery.discovery_resolve, discovery.discovery_watch),
    "inventory": (hosts.inventory_list, hosts.inventory_graph, hosts.inventory_ping, hosts.inventory_adopt),
    "lab": (practice.lab_up, practice.lab_status, practice.lab_ssh, practice.lab_sample, practice.lab_down),
    "scale": (scale.scale_start, scale.scale_tick, scale.scale_stop),
    "soak": (
        soak.soak_start, soak.soak_tick, soak.soak_status, soak.soak_stop, soak.soak_report, soak.soak_schedule,
        soak.soak_metrics, soak.soak_dashboards,
    ),
    "snapshots": (looking.snapshots_list, looking.snapshots_prune),
}  # fmt: skip
"""group -> its tasks; those of no group are called by their bare name."""

gc.set_threshold(500_000, 20, 100)
# A command makes many small values that stay until its end: with Python's own 700, a plan of a long file searches all of
# them for garbage hundreds of times, a third of its time; with 50,000 a run on 800 hosts, each with a stack of its own, a fifth of its.


def namespace() -> Collection:
    """All tasks, in their groups."""
    root = Collection()
    for group, tasks in TASKS.items():
        below = Collection(group) if group else root
        for each in tasks:
            below.add_task(each)
        if group:
            root.add_collection(below)
    return root


ns = namespace()

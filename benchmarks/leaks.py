"""The proof's part about secrets: one of its own is planted in every place, and searched for in all that tasks say and keep."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.canaries import FILES, INVENTORY, leaked, places, plant
from lab.proof.table import Effort, Part, each

ROOT = Path(__file__).resolve().parent.parent
FILE, FAR = "--phase 1 --file HERE/compose.yml", "--env far --inventory HERE"
FEW = (f"plan {FILE}", f"plan {FILE} --json", f"plan --phase 1 {FAR} --json", f"inventory.list {FAR}")
ALL = (
    *FEW, f"plan {FILE} --patch", f"plan --phase 1 {FAR} --out HERE/kept.json", f"migrate --phase 1 {FAR} --yes --json",
    f"rollback {FAR} --yes --json", f"status {FAR}", f"history {FAR} --json", f"health {FAR} --json", f"unlock {FAR} --yes --json",
    f"snapshots.list {FAR} --json", f"snapshots.prune {FAR} --yes --json", f"inventory.graph {FAR}", f"inventory.ping {FAR} --json",
)  # fmt: skip


def prove(effort: Effort) -> Part:
    """Each task as an operator types it, on a stack and an inventory full of secrets."""
    begin = time.monotonic()
    tasks = ALL if effort.full else FEW
    planted = len(places(*FILES.values(), INVENTORY))
    with tempfile.TemporaryDirectory(prefix="runbook-leaks.") as made:
        folder = Path(made)
        plant(folder)

        def one(numbered: tuple[int, str]) -> tuple[str, int, set[str]]:
            number, typed = numbered
            state = folder / f"state-{number}"
            words = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), *typed.replace("HERE", made).split()]
            environment = {**os.environ, "RUNBOOK_STATE": str(state), "XDG_STATE_HOME": str(state)}
            environment.pop("RUNBOOK_TRACEBACK", None)
            done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=300)
            kept = [path.read_bytes() for path in state.rglob("*") if path.is_file()]
            return typed.partition(" ")[0], len(kept) + 2, leaked(done.stdout, done.stderr, *kept)

        results = list(each(effort, one, enumerate(tasks)))
    rows = tuple((task, planted, searched, len(found)) for task, searched, found in results)
    wrong = tuple(f"{task} shows {secret}" for task, _, found in results for secret in sorted(found))
    return Part(
        "Secrets", ("task", "planted", "outputs and files searched", "leaked"), rows, len(rows), wrong,
        effort.short_of(len(rows), len(tasks), "tasks"), time.monotonic() - begin,
        summary=f"{planted} secrets planted, all that {len(rows)} tasks said and kept searched, {len(wrong)} leaked",
    )  # fmt: skip

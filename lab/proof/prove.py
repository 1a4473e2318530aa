"""`./inv proof`: runs the parts of the proof, shows a table for each, and says in one line what they come to together.

A new part is a file with `prove(effort) -> Part` and a line in the table below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from typing import TYPE_CHECKING

from inventory.errors import InputError
from lab.proof.shell import SHELLS
from lab.proof.table import Effort, Part
from runbooks import interrupt
from runbooks.output import Output

if TYPE_CHECKING:
    from rich.table import Table

PARTS = {
    "calls": "lab.proof.strikes",
    "plain": "lab.proof.plain",
    "power": "lab.proof.power",
    "worlds": "lab.proof.worlds",
    "exchanges": "lab.proof.exchanges",
    "inputs": "benchmarks.bad_inputs",
    "secrets": "benchmarks.leaks",
}
"""The parts by name: the module whose `prove` makes each."""
SHOWN = 20


def proof(
    out: Output, *, full: bool = False, parts: Sequence[str] = (), shells: Sequence[str] = (), workers: int = 2
) -> int:
    """Runs the chosen parts (none named: all) and returns 0 where everything held, else 1; 130 where it was stopped by a
    signal before its end, and all that was struck until then held. `shells`: those under which calls are struck (all)."""
    for names, known, key, what in (
        (parts, PARTS, "--only", "part of the proof"),
        (shells, SHELLS, "--shell", "shell of the proof"),
    ):
        for name in names:
            if name not in known:
                raise InputError(f"{name!r} is no {what}", key=key, mend=f"write one of {', '.join(known)}")
    if workers < 1:
        raise InputError("cannot be below 1", key="--workers", mend="write a number from 1 on")
    effort = Effort(full=full, workers=workers, shells=tuple(shells or SHELLS),
                    tell=lambda line: out.errors.print(line, style="dim", markup=False))  # fmt: skip
    found: list[Part] = []
    with interrupt.heeded(effort.stop, out.warn, "cases under way end, and what was struck is shown"):
        for name in parts or PARTS:
            if effort.stop.is_set():
                break
            part: Part = import_module(PARTS[name]).prove(effort)
            found.append(part)
            out.show(table(part), *(f"  ! {line}" for line in (*part.wrong[:SHOWN], *part.skipped)), "")
    stopped = effort.stop.is_set()
    well = not any(part.wrong for part in found)
    out.show(*summary(found), style="bold green" if well else "bold red")
    out.document(
        {
            "well": well,
            "stopped": stopped,
            "summary": list(summary(found)),
            "parts": [asdict(replace(part, repairs_s=())) for part in found],
        }
    )
    return 1 if not well else 130 if stopped else 0


def table(part: Part) -> Table:
    """One part as people read it."""
    from rich.table import Table

    made = Table(title=f"{part.title} ({part.seconds:.0f} s)", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for number, column in enumerate(part.columns):
        text = number == 0 or any(isinstance(row[number], str) and row[number] != "-" for row in part.rows)
        made.add_column(column, justify="left" if text else "right")
    for row in part.rows:
        made.add_row(*map(str, row))
    return made


def summary(parts: Sequence[Part]) -> Iterator[str]:
    """What the parts come to: the faults of all of them in one line, and a line of each that is about something else."""
    faults = [part for part in parts if not part.summary]
    repairs_s = [seconds for part in faults for seconds in part.repairs_s]
    if faults:
        cases = sum(part.cases for part in faults)
        mean = f"{1000 * sum(repairs_s) / len(repairs_s):.0f} ms" if repairs_s else "-"
        yield (
            f"{cases} faults injected, {cases - sum(len(part.wrong) for part in faults)} hosts whole, "
            f"{sum(part.lost for part in faults)} files lost, {len(repairs_s)} repairs, mean time to repair {mean}"
        )
    yield from (part.summary for part in parts if part.summary)

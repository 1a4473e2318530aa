"""`./inv proof`: runs the parts of the proof, shows a table for each, and says in one line what they come to together.

A new part is a file with `prove(effort) -> Part` and a line in the table below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from typing import TYPE_CHECKING

from inventory.errors import InputError
from lab.proof.table import Effort, Part
from runbooks.output import Output

if TYPE_CHECKING:
    from rich.table import Table

PARTS = {
    "calls": "lab.proof.strikes",
    "power": "lab.proof.power",
    "worlds": "lab.proof.worlds",
    "exchanges": "lab.proof.exchanges",
    "inputs": "benchmarks.bad_inputs",
    "secrets": "benchmarks.leaks",
}
"""The parts by name: the module whose `prove` makes each."""
SHOWN = 20


def proof(out: Output, *, full: bool = False, parts: Sequence[str] = (), workers: int = 2) -> int:
    """Runs the chosen parts (none named: all) and returns 0 where everything held, else 1."""
    for name in parts:
        if name not in PARTS:
            raise InputError(f"{name!r} is no part of the proof", key="--only", mend=f"write one of {', '.join(PARTS)}")
    if workers < 1:
        raise InputError("cannot be below 1", key="--workers", mend="write a number from 1 on")
    effort = Effort(full=full, workers=workers, tell=lambda line: out.errors.print(line, style="dim", markup=False))
    found: list[Part] = []
    for name in parts or PARTS:
        part: Part = import_module(PARTS[name]).prove(effort)
        found.append(part)
        out.show(table(part), *(f"  ! {line}" for line in (*part.wrong[:SHOWN], *part.skipped)), "")
    well = not any(part.wrong for part in found)
    out.show(*summary(found), style="bold green" if well else "bold red")
    out.document(
        {
            "well": well,
            "summary": list(summary(found)),
            "parts": [asdict(replace(part, repairs_s=())) for part in found],
        }
    )
    return 0 if well else 1


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

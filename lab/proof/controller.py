"""A controller in a process of its own, to be killed: `python -m lab.proof.controller BASE RUN FAULT EXCHANGE`."""

from __future__ import annotations

import sys
from pathlib import Path

from inventory.errors import RunbookError
from lab.proof.bed import Bed
from lab.proof.stack import RUNS, Struck


def main(base: str, run: str, fault: str, at: str) -> int:
    """Does a run that kills this process at one of its exchanges. Returns the exit code where it was not."""
    bed = Bed(Path(base))
    try:
        return RUNS[run](bed, Struck(bed, fault, int(at)))
    except RunbookError as error:
        return error.code


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))

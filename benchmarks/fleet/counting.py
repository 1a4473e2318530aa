"""This tool's command line with its exchanges counted: `RUNBOOK_COUNTED=FILE python -m benchmarks.fleet.counting ARGUMENT...`.

How often a program went over and a reply came back cannot be seen from outside: all of it rides on one session.
"""

from __future__ import annotations

import atexit
import os
import runpy
import threading
from pathlib import Path
from typing import Any

from inventory.shell import Shell

PROGRAM = str(Path(__file__).resolve().parents[2] / "cli" / "program.py")


def main() -> None:
    """Runs the command line; the number of its exchanges is written at its end."""
    lock, found, exchange = threading.Lock(), [0], Shell.exchange

    def counted(self: Shell, *given: Any) -> Any:
        with lock:
            found[0] += 1
        return exchange(self, *given)

    Shell.exchange = counted  # type: ignore[assignment]
    atexit.register(lambda: Path(os.environ["RUNBOOK_COUNTED"]).write_text(str(found[0])))
    runpy.run_path(PROGRAM, run_name="__main__")


if __name__ == "__main__":
    main()

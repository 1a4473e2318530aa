"""This tool's command line with its exchanges counted: `RUNBOOK_COUNTED=FILE python -m benchmarks.fleet.counting ARGUMENT...`.

How often a program went over and a reply came back cannot be seen from outside: all of it rides on one session.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from pathlib import Path
from typing import Any

from inventory.shell import Shell


def main() -> None:
    """Runs the command line; the number of its exchanges is written at its end."""
    from invoke.main import program

    lock, found, exchange = threading.Lock(), [0], Shell.exchange

    def counted(self: Shell, *given: Any) -> Any:
        with lock:
            found[0] += 1
        return exchange(self, *given)

    Shell.exchange = counted  # type: ignore[assignment]
    atexit.register(lambda: Path(os.environ["RUNBOOK_COUNTED"]).write_text(str(found[0])))
    sys.argv[0] = "invoke"
    program.run()


if __name__ == "__main__":
    main()

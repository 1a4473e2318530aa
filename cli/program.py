"""What `inv` runs: the command line, and no complaint where the reader of its output has gone."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path


def main() -> None:
    """Runs the one task that the command line names, and ends the program with its exit code."""
    from cli import later

    later.stand_in()
    from invoke._version import __version__

    from cli.reading import CommandLine

    try:
        try:
            CommandLine(name="Invoke", binary="inv[oke]", binary_names=["invoke", "inv"], version=__version__).run()
        finally:
            sys.stdout.flush()
            # What is left goes with the process: at its end Python would search all of it for cycles, for nothing.
            gc.freeze()
    except BrokenPipeError:
        # As `inv --list | head -1` ends; Python must not complain about it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


if __name__ == "__main__":
    # Modules are looked up from the program's own folder, which holds this file, and not from `cli/`.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    main()

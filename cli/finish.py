"""How every task ends: the exit code of its command, and one line for whatever went wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runbooks.output import Output


def finish(work: Callable[[Output], int], *, as_json: bool = False, yes: bool = False, as_lines: bool = False) -> None:
    """Runs a command and ends the program with its exit code. Bad input is one line, whatever it is."""
    from inventory.errors import RunbookError
    from runbooks.output import Output

    out = Output()
    try:
        out = Output(as_json=as_json, yes=yes, as_lines=as_lines)
        code = work(out)
        sys.stdout.flush()
    except RunbookError as error:
        out.error(error)
        code = error.code
    except KeyboardInterrupt:
        out.error(RunbookError("interrupted"))
        code = 130
    except BrokenPipeError:
        # The reader of a pipe has gone; Python must not complain about that at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        if os.environ.get("RUNBOOK_TRACEBACK"):
            raise
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = f"{Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}" if where is not None else "?"
        words = (str(error) or "no more is known").splitlines()[0]
        out.error(RunbookError(f"this is a bug: {type(error).__name__} in {place}: {words}",
                               mend="RUNBOOK_TRACEBACK=1 shows where"))  # fmt: skip
        code = 1
    raise SystemExit(code)

"""How long planning takes: a 400-line file in process, 2,000 and 20,000 lines, and start-up beside a bare `invoke --list`.

`./inv bench --subject planning`
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from runbooks import book, draft
from runbooks.model import NO_FACTS
from runbooks.output import Output
from runbooks.survey_files import file_stack

ROOT = Path(__file__).resolve().parent.parent
BLOCK = """\
  app{0}:
    image: registry.example/team/app{0}:1.0 # pinned by hand
    restart: unless-stopped
    environment:
      MODE: production
      DATABASE_URL: postgres://app:${{PASSWORD:-secret}}@db{0}:5432/app
    labels:
      - "traefik.http.routers.app{0}.rule=Host(`app{0}.example.com`)"
    depends_on:
      - db{0}
      - cache{0}

  db{0}:
    image: postgres:17
    volumes:
      - data{0}:/var/lib/postgresql/data

  cache{0}:
    image: redis:7-alpine

"""


def stack_text(lines: int) -> str:
    """A Compose file of about so many lines."""
    return "services:\n" + "".join(BLOCK.format(number) for number in range(lines // BLOCK.count("\n")))


def median_s(work: Callable[[], object], times: int) -> float:
    """The median duration of a piece of work, after one run that does not count."""
    work()
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def plan_s(folder: Path, lines: int, times: int) -> float:
    """The median plan of phase 1, from reading the file to its edits, in this process."""
    path = folder / f"compose-{lines}.yml"
    path.write_text(stack_text(lines))
    phase = book.load("1")
    return median_s(lambda: draft.walk(phase, file_stack([path]), NO_FACTS, {}), times)


def program_s(words: list[str], folder: Path, times: int = 7) -> float:
    """The median duration of a program."""
    return median_s(lambda: subprocess.run(words, cwd=folder, capture_output=True, check=False), times)


def bench(out: Output) -> int:
    """Measures and shows. Returns the exit code."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        short, middle, long = plan_s(folder, 400, 21), plan_s(folder, 2000, 5), plan_s(folder, 20000, 1)
        out.show(
            f"plan in process: 400 lines {short * 1000:.1f} ms, 2,000 lines {middle * 1000:.0f} ms, 20,000 lines {long:.2f} s"
        )
        out.show(f"a line of 20,000 takes {long / middle / 10:.2f} times what one of 2,000 takes (1.00 is linear)")
        (folder / "tasks.py").write_text("from invoke import task\n\n@task\ndef nothing(c):\n    '''Does nothing.'''\n")
        invoke = [sys.executable, "-m", "invoke"]
        bare = program_s([*invoke, "--list"], folder)
        listed = program_s([str(ROOT / "inv"), "--list"], folder)
        planned = program_s([str(ROOT / "inv"), "plan", "--phase", "1", "--file", "compose-400.yml"], folder)
        out.show(f"bare invoke --list {bare * 1000:.0f} ms; ./inv --list {listed / bare:.2f} times that; "
              f"plan --file of 400 lines {planned / bare:.2f} times")  # fmt: skip
    return 0

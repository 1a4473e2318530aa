"""What planning costs in processor time: 400 lines in process, 2,000 and 20,000, and start-up beside `invoke --list`.

`./inv bench --subject planning`
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

from inventory import composer
from inventory.secrets import Mask
from runbooks import book, draft, offline
from runbooks.commands import planning
from runbooks.commands.choice import Choice
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


def spent_s() -> float:
    """Processor time of this process and of those that it waited for, in seconds: what a busy machine distorts least."""
    below = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + below.ru_utime + below.ru_stime


def median_s(work: Callable[[], object], times: int) -> float:
    """The median processor time of a piece of work, after one run that does not count."""
    work()
    taken = []
    for _ in range(times):
        begin = spent_s()
        work()
        taken.append(spent_s() - begin)
    return statistics.median(taken)


def shared_text(lines: int) -> str:
    """A Compose file of about so many lines in which every service takes its edges and its check from one anchor."""
    service = "  app{0}:\n    <<: *base\n    image: registry.example/app{0}\n    environment:\n      NUMBER: {0}\n"
    return (
        "x-base: &base\n  depends_on: [db]\n  healthcheck: {test: [CMD, ready]}\nservices:\n  db:\n    image: postgres:17\n"
        + "".join(service.format(number) for number in range(lines // service.count("\n")))
    )


def plan_s(folder: Path, text: str, times: int) -> float:
    """The median plan of phase 1, from reading the file to what an operator is told, in this process."""
    path = folder / "compose.yml"
    path.write_text(text)
    phase = book.load("1")
    return median_s(lambda: offline.offline(file_stack([path]), phase, Mask()), times)


def composed_s(lines: int) -> float:
    """The median of the YAML library's own part, which is linear: what a longer file costs a processor's caches."""
    text = stack_text(lines)
    return median_s(lambda: composer.compose(text), 5)


def walk_s(folder: Path, text: str, times: int) -> float:
    """The median of the edits alone: from reading the file to the proven result of the last step."""
    path = folder / "compose.yml"
    path.write_text(text)
    phase = book.load("1")
    return median_s(lambda: draft.walk(phase, file_stack([path]), NO_FACTS, {}), times)


def program_s(words: list[str], folder: Path, **variables: str) -> float:
    """The median of a program. Modules are kept compiled, as they are where nobody says otherwise."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | variables
    return median_s(lambda: subprocess.run(words, cwd=folder, env=environment, capture_output=True, check=False), 7)


def own_s(folder: Path, times: int) -> float:
    """The median of `plan --file` itself, once everything is loaded: reading, planning, and printing."""
    choice = Choice("1", "", None, "", (), ())
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        return median_s(lambda: planning.plan(Output(), choice, files=[str(folder / "compose-400.yml")]), times)


_WORK = """\
from runbooks.commands import planning
from runbooks.commands.choice import Choice
from runbooks.output import Output
planning.plan(Output(), Choice("1", "", None, "", (), ()), files=["compose-400.yml"])
"""


def loaded_s(folder: Path) -> float:
    """The median of a program that does the same work without Invoke: it loads what plans, and plans. A program that does
    nothing is taken off."""
    work, nothing = (program_s([sys.executable, "-c", each], folder, PYTHONPATH=str(ROOT)) for each in (_WORK, "pass"))
    return work - nothing


def bench(out: Output) -> int:
    """Measures and shows. Returns the exit code."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        walked = walk_s(folder, stack_text(400), 21)
        short, middle, long = (
            plan_s(folder, stack_text(lines), times) for lines, times in ((400, 21), (2000, 5), (20000, 3))
        )
        out.show(
            f"edits of phase 1 in process: 400 lines {walked * 1000:.1f} ms",
            f"plan in process: 400 lines {short * 1000:.1f} ms, 2,000 lines {middle * 1000:.0f} ms, 20,000 lines {long:.2f} s",
            f"a line of 20,000 takes {long / middle / 10:.2f} times what one of 2,000 takes (1.00 is linear); "
            f"in the YAML library's composer alone {composed_s(20000) / composed_s(2000) / 10:.2f} times",
        )
        middle, long = plan_s(folder, shared_text(2000), 5), plan_s(folder, shared_text(20000), 3)
        out.show(f"where all services share one anchor: {long / middle / 10:.2f} times ({long:.2f} s)")
        (folder / "tasks.py").write_text("from invoke import task\n\n@task\ndef nothing(c):\n    '''Does nothing.'''\n")
        (folder / "compose-400.yml").write_text(stack_text(400))
        invoke = [sys.executable, "-m", "invoke"]
        bare = program_s([*invoke, "--list"], folder)
        listed = program_s([str(ROOT / "inv"), "--list"], folder)
        planned = program_s([str(ROOT / "inv"), "plan", "--phase", "1", "--file", "compose-400.yml"], folder)
        own, loaded = own_s(folder, 7), loaded_s(folder)
        out.show(
            f"bare invoke --list {bare * 1000:.0f} ms; ./inv --list {listed / bare:.2f} times that; plan --file of 400 lines "
            f"{planned * 1000:.0f} ms, {planned / bare:.2f} times",
            f"of these {own * 1000:.0f} ms are its own work, once all is loaded: {(planned - own) / bare:.2f} times without it; "
            f"{loaded * 1000:.0f} ms with loading what does the work: {(planned - loaded) / bare:.2f} times without both",
        )
    return 0

"""The options of the command line: what each means, in one line that a task's `--help` shows, and how its text is read."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from pathlib import Path

from inventory import fleet
from inventory.errors import InputError

ABOUT = {
    "phase": "number of the phase: 1, 2 or 3 (a file runbooks/phase_N.yml)",
    "env": "the environment: a file of the inventory, without .yml",
    "inventory": "a folder with your own inventory files, outside this clone",
    "limit": "only these hosts or groups, as Ansible writes it: web,!web-3",
    "file": "a local Compose file instead of hosts (again for overrides; - for standard input): needs no SSH, no Docker",
    "step": "only this step, by its name or kind (again for more)",
    "tags": "only steps with this tag (again or with commas for more)",
    "out": "keep the plan in this file, for review and migrate --plan",
    "plan": "carry out exactly this kept plan, or refuse because the world changed",
    "json": "one JSON document on standard output, nothing else there",
    "json-lines": "each event of the run as a line of JSON on standard output, as it happens",
    "patch": "print a unified diff for git apply",
    "show-secrets": "do not hide passwords",
    "serial": "batch sizes: 2, 25%, or several with commas (default 1,25%,100%)",
    "forks": f"hosts worked on and connected at once (default {fleet.LIMIT}); a batch is never larger",
    "executor": "who does the hosts' work: threads (default), or a Dask cluster's workers: dask://HOST:PORT",
    "check": "only show what would be done",
    "diff": "show the changes line by line",
    "yes": "do not ask",
    "accept-risk": "the highest risk to run without a word: low, medium or high (default medium)",
    "accept-drift": "go on from files as they are, although they were changed since a run wrote them (their bytes are kept)",
    "override": "the reason for which closed windows, freezes and missing soaks are passed over; recorded",
    "resume": "go on with the last run of this environment where it did not end well",
    "run": "the run to undo, by its id",
    "to": "undo everything back to this snapshot",
    "with-later": "also undo the runs that came after it and still stand (phase 2 with phase 1)",
    "from-controller": "from the copies that this controller keeps, for a host that lost its own",
    "force": "put files back although they were changed since (their bytes are kept)",
    "count": "how many of the newest events",
    "keep": "how many undone snapshots to keep",
    "verify": "see that no line was altered or cut off since this controller saw the journal last",
    "older-than": "only those of more than so long ago: 30d, 12h",
    "watch": "a live screen, until Ctrl-C or q; lines where there is no terminal",
    "service": "a service's name, as the Compose file has it",
    "duration": "end after so long: 30s, 10m (default: until Ctrl-C)",
    "hours": "how many hours it takes (default 48, or the inventory's soak)",
    "every": "time between two ticks: 30s, 5m (default 30s)",
    "follow": "go on, tick by tick, until all soaks have ended",
    "soak": "the soak, by its id (default: the newest)",
    "textfile": "write a file for node_exporter's textfile collector, whole or not at all",
    "serve": "answer scrapes at this address until Ctrl-C: 127.0.0.1:9464",
    "html": "write the report to this file, one that needs no network to be opened",
    "folder": "the folder to write to",
    "install": "put a systemd timer, or else lines of cron, in place",
    "print": "only print what would be put in place",
    "remove": "take it out again",
    "host": "a practice host, or for adopt [user@]host[:port]",
    "write": "write the entry as a new environment's file",
    "no-start": "only the hosts and their engines, not the platform on them",
    "purge": "also the images and the seed that all checkouts share",
    "upgrade": "take the newest versions that the .in files allow",
    "command": "what to run there instead of a shell",
    "subject": "what to measure: fleet, phase_1, planning or evidence (default fleet)",
    "hosts": "sizes of the fleet, with commas (default 20)",
    "turns": "how often each tool does the work (default 3)",
    "latency": "added to each round trip, such as 50ms",
    "servers": "so many SSH servers for all hosts (default: one each)",
    "tools": "only tools whose names begin so, besides the floor (with commas for more)",
    "all": "all three phases, from staging through a shortened soak to production, and back",
    "colds": "how many cold starts before and after",
    "scale": "multiplies the start-up times of the stand-ins",
    "picture": "keep what the screen showed in this file, as SVG",
    "full": "every fault at every point, thousands of cases, instead of each point once",
    "only": "only this part of the proof (again or with commas for more)",
    "shell": "strike calls only under this shell: dash, bash, busybox (again or with commas for more)",
    "workers": "cases at once (default 2)",
    "fast": "only what needs no Docker and little time (under a minute)",
    "drills": "also what kills servers under load for minutes (more than an hour in all, on 2 cores)",
    "lint": "also format, style, types and the import contract (default)",
    "advisories": "the address of a service that speaks OSV's language (default https://api.osv.dev/v1/query)",
    "seconds": "for how long, all readers together",
    "target": "only this reader",
    "part": "only planner, transaction, gate, statistics or shell",
    "sample": "about so many mutants of each part, for a quick look",
    "select": "only these tests: a path, as pytest takes it",
}


def about(*options: str) -> dict[str, str]:
    """Help for a task's options."""
    return {option: ABOUT[option] for option in options}


def split(words: Iterable[str] | None) -> tuple[str, ...]:
    """Options that may be given again or with commas. What names nothing stays as given: it must not come to mean all."""
    given = tuple(str(word) for word in words or ())
    return tuple(part.strip() for word in given for part in word.split(",") if part.strip()) or given


def number(option: str, text: str, *, whole: bool = True, least: float = 0) -> float:
    """An option that is a number, `least` or more. Invoke's own reading of one ends in a traceback. Raises InputError."""
    kind = "a whole number" if whole else "a number"
    try:
        found = int(text) if whole else float(text)
        if not isfinite(found):
            raise ValueError
    except ValueError:
        raise InputError(f"{text!r} is not {kind}", key=option, mend="write digits") from None
    if found < least:
        raise InputError(f"cannot be below {least:g}", key=option, mend=f"write {kind} from {least:g} on")
    return found


def forks(text: str) -> int:
    """`--forks`. Raises InputError for none at all."""
    found = int(number("--forks", text)) if text else fleet.LIMIT
    if found < 1:
        raise InputError("cannot be below 1", key="--forks", mend=f"write {fleet.LIMIT}, or leave it out")
    return found


def folder(path: str) -> Path | None:
    """`--inventory`."""
    return Path(path).expanduser() if path else None

"""What each option of the command line means, in one line: a task's `--help` shows it."""

from __future__ import annotations

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
    "patch": "print a unified diff for git apply",
    "show-secrets": "do not hide passwords",
    "serial": "batch sizes: 2, 25%, or several with commas (default 1,25%,100%)",
    "check": "only show what would be done",
    "diff": "show the changes line by line",
    "yes": "do not ask",
    "accept-risk": "the highest risk to run without a word: low, medium or high (default medium)",
    "resume": "go on with the last run of this environment where it did not end well",
    "run": "the run to undo, by its id",
    "to": "undo everything back to this snapshot",
    "force": "put files back although they were changed since (their bytes are kept)",
    "count": "how many of the newest events",
    "keep": "how many undone snapshots to keep",
    "watch": "again and again, until Ctrl-C",
    "host": "a practice host, or for adopt [user@]host[:port]",
    "write": "write the entry as a new environment's file",
    "no-start": "only the hosts and their engines, not the platform on them",
    "purge": "also the images and the seed that all checkouts share",
    "command": "what to run there instead of a shell",
    "colds": "how many cold starts before and after",
    "scale": "multiplies the start-up times of the stand-ins",
    "picture": "keep what the screen showed in this file, as SVG",
    "fast": "only what needs no Docker (under a minute)",
    "lint": "also format, style, types and the import contract (default)",
    "select": "only these tests: a path, as pytest takes it",
}


def about(*options: str) -> dict[str, str]:
    """Help for a task's options."""
    return {option: ABOUT[option] for option in options}

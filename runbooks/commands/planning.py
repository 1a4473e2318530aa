"""`plan`: what would change. Changes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inventory.errors import InputError, Refused
from runbooks import offline, plan_json, screen, whole
from runbooks.commands import options
from runbooks.commands.choice import Choice
from runbooks.commands.codes import exit_code
from runbooks.output import Output
from runbooks.plan_model import Plan
from runbooks.survey_files import file_stack

CHANGES = 2
FORMAT = 1


def plan(out: Output, choice: Choice, *, files: Sequence[str] = (), keep: str = "", patch: bool = False,
         show_secrets: bool = False, forks: str = "") -> int:  # fmt: skip
    """Shows, prints (`--json`, `--patch`) or keeps (`--out`) a plan. Returns 0 for nothing to do, 2 for changes."""
    if patch and out.as_json:
        raise InputError("are two forms of one output", key="--json, --patch", mend="name one of them")
    phase = choice.read()
    differing: tuple[str, ...] = ()
    if bool(files) == bool(choice.environment):
        raise InputError("names neither or both of an environment and files", key="--env, --file", mend="name one")
    if files:
        if keep:
            raise InputError("keeps plans of hosts only", key="--out", mend="use --patch for local files")
        given = {"--inventory": choice.inventory, "--limit": choice.limit, "--forks": forks}
        if meant := [option for option, value in given.items() if value]:
            raise InputError("speaks of hosts, and with --file there are none", key=meant[0], mend="leave it out")
        made, errors, done = offline.offline(file_stack(files, environment=os.environ), phase, out.mask), {}, ["files"]
        if patch and made.hosts[0].blocked:
            raise Refused(made.hosts[0].blocked[0], key="--patch")
    else:
        from runbooks import propose, session
        from runbooks.commands import standing

        many = options.forks(forks)
        with session.opened(
            choice.environment, choice.inventory, choice.limit, out.mask, forks=many, phase=phase
        ) as opened:
            made = propose.live(opened, phase, lambda _event: None)
            made, differing = standing.looked(opened, made)
            errors, done = opened.errors, list(opened.links)
    if show_secrets:
        out.mask = type(out.mask)()
    if patch:
        out.raw(one_patch(made, out, str(Path.cwd()) if files else ""))
    elif out.as_json:
        out.document(plan_json.to_json(made, out.mask, show_secrets=show_secrets))
    else:
        out.show(*screen.plan_view(made, out.mask), *differing)
    for name, error in errors.items():
        error.host = error.host or name
        out.error(error)
    if keep:
        whole.write(Path(keep), json.dumps(document(made, choice, out), indent=1), key="--out")
    return exit_code(errors, done) or (CHANGES if made.changed else 0)


def one_patch(made: Plan, out: Output, folder: str = "") -> str:
    """The one diff of all hosts, named for `git apply` in a folder.

    Raises Refused where hosts differ, and where it would carry what must not be shown.
    """
    texts = {host.host: "".join(plan_json.patches(host, folder).values()) for host in made.hosts}
    if len(set(texts.values())) > 1:
        raise Refused("the hosts' patches differ", mend=f"choose one with --limit: {', '.join(texts)}")
    text = next(iter(texts.values()), "")
    if out.mask.hides(text):
        raise Refused("the patch would carry a secret", mend="add --show-secrets, and mind where it goes")
    return text


def document(made: Plan, choice: Choice, out: Output) -> dict[str, Any]:
    """A plan as `--out` keeps it: what was chosen, and the masked plan with its fingerprint."""
    chosen = {"phase": choice.phase, "environment": choice.environment, "limit": choice.limit,
              "steps": list(choice.steps), "tags": list(choice.tags)}  # fmt: skip
    return {"format": FORMAT, "choice": chosen, "plan": plan_json.to_json(made, out.mask)}


def read(path: Path) -> tuple[Choice, dict[str, Any]]:
    """What a plan file chose, and its plan. Raises InputError for a file that is none."""
    mend = "make it with ./inv plan --out"
    try:
        found = json.loads(path.read_bytes())
        chosen, planned = found["choice"], found["plan"]
        if found["format"] != FORMAT or not isinstance(planned["fingerprint"], str):
            raise InputError("is a plan of another version", path=str(path), key="--plan", mend=mend)
        return Choice(
            str(chosen["phase"]), str(chosen["environment"]), None, chosen["limit"],
            tuple(map(str, chosen["steps"])), tuple(map(str, chosen["tags"])),
        ), planned  # fmt: skip
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=str(path), key="--plan", mend=mend) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError("is no plan", path=str(path), key="--plan", mend=mend) from None

"""`inventory.list`, `graph`, `ping` and `adopt`: which hosts there are, whether they answer, and what runs on one."""

from __future__ import annotations

import json
from pathlib import Path

from inventory import fleet, inventory, selection
from runbooks import adopt as adopting
from runbooks import book, session
from runbooks.commands.codes import exit_code
from runbooks.commands.looking import tell_errors
from runbooks.output import Output


def show_list(out: Output, environment: str, *, folder: Path | None = None, limit: str | None = None) -> int:
    """The document of `ansible-inventory --list`."""
    found = selection.limit(inventory.load(environment, folder, book.declared()), limit)
    for host in found.hosts:
        session.teach(out.mask, host.variables)
    out.raw(json.dumps(out.mask.hide_in(selection.as_list(found)), indent=4, ensure_ascii=False) + "\n")
    return 0


def show_graph(out: Output, environment: str, *, folder: Path | None = None, limit: str | None = None) -> int:
    """The groups and hosts as a tree."""
    found = selection.limit(inventory.load(environment, folder, book.declared()), limit)
    lines = list(selection.graph(found))
    out.show(*lines)
    out.document(lines)
    return 0


def ping(out: Output, environment: str, *, folder: Path | None = None, limit: str | None = None) -> int:
    """Whether each host lets us in and its engine answers, and which versions it runs."""
    ask = "docker version -f '{{.Server.Version}}' 2>&1 && docker compose version --short 2>&1"
    with session.opened(environment, folder, limit, out.mask) as opened:
        found: dict[str, dict[str, object]] = {}
        results = fleet.each(opened.links, lambda name: opened.links[name].run(ask, become=opened.host(name).become))
        opened.drop({name: result.error for name, result in results.items() if result.error})
        for name, reply in ((name, result.value) for name, result in results.items() if result.value):
            words = reply.text.split("\n")
            found[name] = {"ok": reply.exit == 0, "seconds": round(reply.seconds, 3)}
            if reply.exit == 0:
                found[name] |= {"engine": words[0], "compose": words[1]}
                out.show(
                    f"{name}  pong in {reply.seconds * 1000:.0f} ms, engine {words[0]}, compose {words[1]}",
                    style="green",
                )
            else:
                # Without an engine the first line is what the template makes of nothing: an empty one.
                why = next((line for line in words if line.strip()), f"exit {reply.exit}")
                found[name] |= {"why": why}
                out.show(f"{name}  no engine: {why} (start it, or see that this user may use Docker)", style="red")
        tell_errors(out, opened)
        out.document(found)
        return exit_code(opened.errors, found) or (0 if all(each["ok"] for each in found.values()) else 5)


def adopt(out: Output, host: str, *, environment: str = "", folder: Path | None = None, write: bool = False) -> int:
    """Finds the Compose projects that run on a host and shows (or writes) their inventory entry."""
    found = adopting.find(host, environment, folder, out.mask)
    text = adopting.entry(found, environment or "NAME")
    if write:
        path = adopting.write(text, environment, folder)
        out.show(f"written: {path}")
    else:
        out.raw(text)
    for line in adopting.remarks(found):
        out.errors.print(out.mask.hide(line), style="yellow", markup=False)
    return 0

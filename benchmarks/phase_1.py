"""Phase 1 on a practice host against the same done by hand, side by side in one run: ratios and counts, no time limits.

What is compared: how long each service gives no answer (waves against a plain `up -d` of the same files), a health round (all
probes in one exchange against one after another), and how many exchanges with the host a plan and a run take.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from lab import demo, hosts, progress
from lab.measure import gaps, rounds
from runbooks import book, propose, session
from runbooks.commands import migrating, rolling_back
from runbooks.commands.choice import Choice
from runbooks.commands.looking import all_probes
from runbooks.output import Output
from runbooks.survey import survey

if TYPE_CHECKING:
    from rich.table import Table


def bench(out: Output) -> int:
    """Measures and shows. Touches only hosts that carry the lab's marker. Returns the exit code."""
    with progress.bars() as tell:
        hosts.up(tell)
    found: dict[str, Any] = {}
    with session.opened(demo.ENVIRONMENT, demo.FOLDER, None, out.mask) as opened:
        for link in opened.links.values():
            demo.only_practice(link)
            demo.settle(link)
        link = opened.links[demo.MIGRATED]
        before = link.exchanges
        plan = propose.live(opened, book.load("1"), lambda _event: None).host(demo.MIGRATED)
        found["exchanges"] = {"plan": link.exchanges - before}
        surveyed = survey(link, opened.host(demo.MIGRATED), out.mask)
        measured = rounds.measure(link, all_probes(surveyed.stack, surveyed.facts), surveyed.compose.name)
        found["health round"] = {
            "probes": measured.probes, "exchanges one by one": measured.serial_exchanges,
            "exchanges at once": measured.parallel_exchanges,
            "times as fast": round(measured.serial_s / measured.parallel_s, 1),
        }  # fmt: skip
        choice = Choice("1", demo.ENVIRONMENT, demo.FOLDER, demo.MIGRATED)
        with gaps.asked(link) as waves:
            code = migrating.migrate(demo.quiet(out), choice, migrating.How())
        if code:
            return code
        plain = demo.plain_up(opened.links[demo.BESIDE], plan)
    code = rolling_back.rollback(demo.quiet(out), demo.ENVIRONMENT, folder=demo.FOLDER, limit=demo.MIGRATED)
    found["away"] = {
        service: {
            "waves_s": round(gap, 1),
            "plain_s": round(plain[service], 1),
            "ratio": round(plain[service] / gap, 1),
        }
        for service, gap in sorted(waves.longest_s.items())
    }
    found["away, median ratio"] = median(each["ratio"] for each in found["away"].values())
    out.show(table(found))
    out.document(found)
    return code


def table(found: dict[str, Any]) -> Table:
    """The gaps side by side, and the counts below."""
    from rich.table import Table

    made = Table(title="longest time without an answer", title_justify="left")
    for name in ("service", "in waves", "plain up -d", "times as long"):
        made.add_column(name, justify="left" if name == "service" else "right")
    for service, each in found["away"].items():
        made.add_row(service, f"{each['waves_s']} s", f"{each['plain_s']} s", f"{each['ratio']}")
    made.caption = f"plan: {found['exchanges']['plan']} exchanges; health round: {found['health round']}"
    return made

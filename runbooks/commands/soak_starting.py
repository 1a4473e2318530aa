"""`soak.start`: finds out what a soak asks of each host, and stores that, so that a tick needs to know no steps."""

from __future__ import annotations

from pathlib import Path

from checks import soak as soaks
from checks.evidence import Soaks, Store
from checks.soak import Soak
from inventory import fleet
from inventory.errors import Refused
from inventory.soaks import Wanted
from inventory.values import frozen
from runbooks import book, promotion, screen_soak, session, soak_probes, soaking
from runbooks.commands.codes import exit_code
from runbooks.output import Output
from runbooks.session import Session
from runbooks.survey import survey


def start(out: Output, environment: str, *, folder: Path | None = None, limit: str | None = None, hours: str = "",
          every: str = "") -> int:  # fmt: skip
    """Begins a soak: finds out what to ask of each host, and stores that. Raises Refused while another one runs."""
    store = Store()
    try:
        going_on = Soaks(store).all(environment=environment, running=True)
        if going_on:
            raise Refused(
                f"soak {going_on[0].id} of {environment} runs until {promotion.moment(going_on[0].end)}",
                mend=f"let it end, or ./inv soak.stop --env {environment}",
            )
        with session.opened(environment, folder, limit, out.mask) as opened:
            wanted = promotion.length(opened.inventory, hours, every)
            soak = begin(store, opened, wanted, folder)
            for name, error in opened.errors.items():
                error.host = error.host or name
                out.error(error)
        if soak is None:
            return exit_code(opened.errors, ())
        for note in soak.notes:
            out.warn(note)
        found = soaking.assessed(store, soak.soak)
        out.show(*screen_soak.begun(found))
        out.document(screen_soak.document(found, ()))
        return exit_code(opened.errors, soak.hosts)
    finally:
        store.close()


@frozen
class Begun:
    """A soak that was begun, its hosts, and what is not asked of them."""

    soak: Soak
    hosts: tuple[str, ...]
    notes: tuple[str, ...]


def begin(store: Store, opened: Session, wanted: Wanted, folder: Path | None) -> Begun | None:
    """Surveys the hosts and stores a soak of them; None: no host could be surveyed."""
    surveyed = fleet.each(opened.links, lambda name: survey(opened.links[name], opened.host(name), opened.mask))
    opened.drop({name: result.error for name, result in surveyed.items() if result.error})
    found = {name: result.value for name, result in surveyed.items() if result.value}
    probes, notes = [], list[str]()
    for name, each in found.items():
        asked, left_out = soak_probes.probes_of(each, opened.mask)
        probes += [(name, each.compose.name, probe) for probe in asked]
        notes += [f"{name}: {note}" for note in left_out]
    if not probes:
        return None
    run = promotion.standing(store, opened.inventory.environment)
    soak = Soak(
        f"soak-{opened.run}", opened.inventory.environment, str(folder.resolve()) if folder else "", tuple(book.declared()),
        run.phase if run else "", run.id if run else "", run.promotion_key if run else "", opened.who,
        soaks.now().isoformat(timespec="milliseconds"), wanted.seconds, wanted.every_s,
    )  # fmt: skip
    Soaks(store).start(soak, probes)
    return Begun(soak, tuple(found), tuple(notes))

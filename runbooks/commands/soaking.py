"""`soak.tick`, `.status`, `.stop` and `.report`: long gates, fed by whatever calls for a tick."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from checks import soak as soaks
from checks.assess import Assessment
from checks.evidence import Soaks, Store
from checks.report import gather
from checks.soak import Soak
from inventory.errors import InputError
from runbooks import promotion, report_html, screen_soak, soak_news, soaking, whole
from runbooks.commands import scaling
from runbooks.commands.codes import exit_code
from runbooks.output import Output
from runbooks.soaking import Ticked, Ticker
from runbooks.who import operator

CODES = {"pass": 0, "fail": 3, "inconclusive": 7}


def tick(out: Output, environment: str = "", *, follow: bool = False) -> int:
    """One round of every running soak (of an environment) that is due; with `follow` until all have ended."""
    store = Store()
    ticker = Ticker(store, out.mask, operator())
    code = 0
    try:
        while True:
            running = Soaks(store).all(environment=environment or None, running=True)
            if not running and not follow:
                out.show("no soak runs" + (f" of {environment}" if environment else ""))
            told = []
            for soak in running:
                try:
                    ticked = ticker.tick(soak)
                except InputError as error:
                    # One environment's inventory that cannot be read takes nothing from the others.
                    out.error(error)
                    ticked = Ticked(soak, errors={soak.environment: error}, note="the inventory cannot be read")
                told.append(ticked)
                if ticked.ended:
                    soak_news.tell(store, ticked.ended, out.mask, out.warn)
                if ticked.number is not None or not follow or ticked.ended:
                    out.show(*screen_soak.ticked(ticked))
                code = max(code, exit_code(ticked.errors, ticked.samples)) if ticked.errors else code
            if not follow:
                # The same timer calls for a round of scaling, where that was started.
                due = {name: where for name, where in scaling.started().items() if environment in ("", name)}
                scaled, worst = scaling.every(out, due)
                ticks = [screen_soak.ticked_document(each) for each in told]
                out.document({"ticks": ticks, **({"scaled": scaled} if due else {})})
                return max(code, worst)
            left = Soaks(store).all(environment=environment or None, running=True)
            if not left:
                out.document({"ticks": [screen_soak.ticked_document(each) for each in told]})
                return code
            time.sleep(until_next(left))
    finally:
        ticker.close()
        store.close()


def until_next(running: tuple[Soak, ...]) -> float:
    """Seconds until the next slot of any soak, a tenth into it."""
    now = soaks.now()
    return max(0.01, min((0.1 - soak.slot(now)) % 1 * soak.every_s for soak in running))


def status(out: Output, environment: str = "") -> int:
    """The newest soak of each environment, with the verdict so far."""
    store = Store()
    try:
        found = newest(store, environment, lambda soak: soak_news.tell(store, soak, out.mask, out.warn))
        if not found:
            out.show("no soak was started" + (f" of {environment}" if environment else ""))
        for each in found:
            out.show(*screen_soak.status(each))
        out.document({"soaks": [screen_soak.document(each, promotion.overrides(store, each.soak)) for each in found]})
        return 0
    finally:
        store.close()


def newest(store: Store, environment: str, news: Callable[[Soak], None]) -> list[Assessment]:
    """The newest soak of each environment, judged; those whose time is over are ended."""
    found: dict[str, Soak] = {}
    for soak in Soaks(store).all(environment=environment or None):
        found.setdefault(soak.environment, soak)
    return [soaking.assessed(store, ended(store, soak, news)) for soak in found.values()]


def ended(store: Store, soak: Soak, news: Callable[[Soak], None]) -> Soak:
    """The soak, ended (and told of) where its time is over: the program that ticks may be gone."""
    if soak.state != "running":
        return soak
    done = soaking.end(store, soak, soaks.now())
    if done is None:
        return Soaks(store).get(soak.id) or soak
    news(done)
    return done


def stop(out: Output, environment: str) -> int:
    """Ends the running soak of an environment before its time, and tells its receivers."""
    store = Store()
    try:
        running = Soaks(store).all(environment=environment, running=True)
        if not running:
            raise InputError(f"no soak of {environment} runs", key="--env", mend="see ./inv soak.status")
        why = f"stopped by {operator()} before its end"
        done = [each for soak in running if (each := soaking.stop(store, soak, why))]
        for each in done:
            soak_news.tell(store, each, out.mask, out.warn)
            out.show(*screen_soak.verdict(soaking.assessed(store, each)))
        out.document({"soaks": [screen_soak.document(soaking.assessed(store, each), ()) for each in done]})
        return 0
    finally:
        store.close()


def report(out: Output, environment: str = "", *, soak: str = "", html: str = "") -> int:
    """All that a soak measured, and its verdict: 0 passed, 3 failed, 7 inconclusive (also while it runs)."""
    store = Store()
    try:
        found = chosen(store, environment, soak)
        assessment = soaking.assessed(
            store, ended(store, found, lambda soak: soak_news.tell(store, soak, out.mask, out.warn))
        )
        overridden = promotion.overrides(store, found)
        out.show(*screen_soak.report(assessment, overridden))
        out.document(screen_soak.document(assessment, overridden))
        if html:
            page = report_html.page(gather(store, assessment), overridden, out.mask)
            # Whoever may read other files there may read a report.
            whole.write(Path(html), page, key="--html", mode=0o666)
        return CODES[assessment.outcome]
    finally:
        store.close()


def chosen(store: Store, environment: str, soak: str) -> Soak:
    """The named soak, else the newest of an environment, else the newest of all. Raises InputError."""
    kept = Soaks(store)
    if soak:
        found = kept.get(soak)
        if found is None:
            raise InputError(f"there is no soak {soak}", key="--soak", mend="see ./inv soak.status")
        return found
    every = kept.all(environment=environment or None, limit=1)
    if not every:
        where = f" of {environment}" if environment else ""
        raise InputError(f"no soak{where} was started", key="--env", mend="begin one with ./inv soak.start")
    return every[0]

"""`./inv demo`: phase 1 on practice hosts, for real, with figures before and after, the rollback, and the proof."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict

from inventory.errors import HostFailed, InputError, Refused
from inventory.link import Link
from lab import coldstart, figures, hosts, progress
from lab.coldstart import ColdStart
from lab.figures import Figures
from lab.measure import clients, gaps, rounds
from lab.state import MARKER, PROJECT_DIR, ROOT
from runbooks import book, propose, session
from runbooks.commands import migrating, rolling_back
from runbooks.commands.choice import Choice
from runbooks.commands.looking import all_probes
from runbooks.output import Output
from runbooks.plan_model import HostPlan
from runbooks.session import Session
from runbooks.survey import survey

ENVIRONMENT, FOLDER = "staging", ROOT / "inventory"
MIGRATED, BESIDE = "staging-1", "staging-2"
"""The host that the tool migrates, and the one that gets the very same files by a plain `up -d`, for comparison."""
BYTES = (
    'cd "$1" && find . -type f | sort | while read -r path; do sha256sum "$path"; stat -c \'%a %U %G\' "$path"; done'
)
IMAGES = "cd \"$1\" && docker inspect -f '{{.Name}} {{.Image}}' $(docker compose ps -aq) | sort"
SETTLED = 'until [ -z "$(docker ps -q --filter health=starting)" ]; do sleep 0.5; done'
PUT = 'cat >"$1" && cd "$2" && docker compose up -d --no-build --pull never >/dev/null 2>&1; echo $?'
SETTLE_LIMIT_S = 240.0


def chosen(out: Output, phase: str = "", *, every: bool = False, colds: int = 1, scale: float = 1.0, picture: str = "") -> int:  # fmt: skip
    """The demo of a phase (1, where none is named), or of all of them. Raises InputError where there is none."""
    if every and phase:
        raise InputError("are two demos", key="--all, --phase", mend="name one of them")
    if every:
        from lab import demo_all

        return demo_all.demo(out, scale=scale, picture=picture)
    if phase in ("", "1"):
        return demo(out, colds=colds, scale=scale, picture=picture)
    if phase == "2":
        from lab import demo_2

        return demo_2.demo(out, scale=scale, picture=picture)
    if phase != "3":
        raise InputError(f"there is no demo of phase {phase}", key="--phase", mend="name 1, 2 or 3")
    from lab import demo_3

    return demo_3.demo(out, scale=scale, picture=picture)


def demo(out: Output, *, colds: int = 1, scale: float = 1.0, picture: str = "") -> int:
    """Tells the whole story; returns 0 when it went as it should.

    `colds`: cold starts before and after. `scale`: of the stand-ins' start-up times.
    """
    out.may_picture(picture)
    with progress.bars() as tell:
        hosts.up(tell, scale=scale)
    with out.pictured(picture, "./inv demo"):
        return story(out, colds, scale)


def story(out: Output, colds: int, scale: float) -> int:
    """What happens, on hosts that are up."""
    with session.opened(ENVIRONMENT, FOLDER, None, out.mask) as opened:
        found, state = before(opened, out, colds)
        code = during(opened, out, found, scale)
        if code:
            return code
        after(opened, out, found, colds)
    out.show(f"\n[rollback]  {MIGRATED}", style="bold")
    code, found.rollback_s = timed(
        lambda: rolling_back.rollback(quiet(out), ENVIRONMENT, folder=FOLDER, limit=MIGRATED)
    )
    if code:
        return code
    with session.opened(ENVIRONMENT, FOLDER, MIGRATED, out.mask) as opened:
        same = state == state_of(opened.links[MIGRATED])
    found.sha256 = hashlib.sha256(state[0].encode()).hexdigest()
    out.show("", *figures.tables(found))
    out.show(f"migrated in {found.migrate_s:.0f} s, rolled back in {found.rollback_s:.0f} s")
    out.show(proof(found, same=same), style="bold green" if same else "bold red")
    out.document({**asdict(found), "same": same, "table": figures.rows(found), "gaps": figures.gap_rows(found)})
    return 0 if same else 1


def before(opened: Session, out: Output, colds: int) -> tuple[Figures, tuple[str, str]]:
    """The stack as the proposal found it: its figures, and every byte of it."""
    for error in opened.errors.values():
        raise error
    for each in opened.links.values():
        only_practice(each)
    link = opened.links[MIGRATED]
    out.show(f"\n[before]  {MIGRATED}", style="bold")
    state = state_of(link)
    measured = [cold_start(link, out) for _ in range(colds)]
    served = clients.measure(link)
    out.show(figures.clients_line(served))
    settle(link)
    announced: dict[str, float] = {}
    for restart in planned(opened).restarts:
        announced[restart.service] = max(restart.downtime_s, announced.get(restart.service, 0.0))
    return Figures(served, measured, announced), state


def during(opened: Session, out: Output, found: Figures, scale: float) -> int:
    """Migrates one host while every service is asked, and does the same by hand on another. Returns the exit code."""
    plan = planned(opened)
    out.show(f"\n[migrate]  phase 1 on {MIGRATED}, every service asked ten times a second meanwhile", style="bold")
    choice = Choice("1", ENVIRONMENT, FOLDER, MIGRATED)
    with gaps.asked(opened.links[MIGRATED]) as measured:
        code, found.migrate_s = timed(lambda: migrating.migrate(quiet(out), choice, migrating.How()))
    if code:
        return code
    found.gaps_s = measured.longest_s
    found.start_s = own_times(scale)
    out.show(f"\n[beside]  the same files on {BESIDE} by a plain `up -d`", style="bold")
    found.gaps_plain_s = plain_up(opened.links[BESIDE], plan)
    longest = max(found.gaps_plain_s, key=lambda service: found.gaps_plain_s[service])
    out.show(f"  longest gap: {longest}, {found.gaps_plain_s[longest]:.0f} s")
    return 0


def after(opened: Session, out: Output, found: Figures, colds: int) -> None:
    """The same figures after phase 1, and a health round both ways."""
    link = opened.links[MIGRATED]
    out.show(f"\n[after]  {MIGRATED}", style="bold")
    found.cold_after = [cold_start(link, out) for _ in range(colds)]
    found.clients_after = clients.measure(link)
    out.show(figures.clients_line(found.clients_after))
    settle(link)
    surveyed = survey(link, opened.host(MIGRATED), out.mask)
    found.rounds = rounds.measure(link, all_probes(surveyed.stack, surveyed.facts), surveyed.compose.name)
    out.show(figures.rounds_line(found.rounds))


def only_practice(link: Link) -> None:
    """Raises Refused for a host that does not carry the lab's marker, whatever an inventory says."""
    if link.run('test -e "$1"', MARKER).exit != 0:
        raise Refused("is no practice host", host=link.host.name, mend="the demo runs only on hosts that lab.up made")


def never_migrated(link: Link) -> None:
    """Raises Refused for a host that is none of the lab's, or that an earlier run left migrated: its store may be another
    one, and what a demo takes back or requires would be missing only at its end."""
    only_practice(link)
    example = ROOT / "examples" / "reconciliation"
    for name in ("docker-compose.yml", ".env"):
        if link.run('cat "$1"', f"{PROJECT_DIR}/{name}").out != (example / name).read_bytes():
            raise Refused(f"was changed by an earlier run: {name} is not the example's", host=link.host.name, mend="run ./inv lab.down first")  # fmt: skip


def state_of(link: Link) -> tuple[str, str]:
    """Bytes, mode and owner of every file of the project, and the image of every container."""
    return link.run(BYTES, PROJECT_DIR).text, link.run(IMAGES, PROJECT_DIR).text


def quiet(out: Output) -> Output:
    """The same screen and Mask, for commands inside the story: they do not ask, and leave the document to it."""
    made = Output(yes=True)
    made.mask, made.console = out.mask, out.console
    return made


def cold_start(link: Link, out: Output) -> ColdStart:
    """Takes the whole stack down and up again as an operator would, until every service answers."""
    words = coldstart.arguments(PROJECT_DIR, cold=True)
    found = coldstart.read(link.run(coldstart.PROGRAM, *words, timeout_s=coldstart.LIMIT_S + 120.0).text)
    out.show(figures.cold_line(found))
    return found


def settle(link: Link) -> None:
    """Waits until the engine has a verdict about every service that has a check."""
    link.run(SETTLED, timeout_s=SETTLE_LIMIT_S)


def planned(opened: Session) -> HostPlan:
    """The plan of the host that is to be migrated."""
    made = propose.live(opened, book.load("1"), lambda _event: None)
    for error in opened.errors.values():
        raise error
    return made.host(MIGRATED)


def own_times(scale: float) -> dict[str, float]:
    """Seconds that a service itself needs to stop and start: the stand-ins' table; for the real programs their launch."""
    from lab.standins.startup import SECONDS
    from runbooks.compose.startup import LAUNCH_S
    from runbooks.restarts import STOP_S

    return {name: round(STOP_S + LAUNCH_S + SECONDS.get(name, (0.5, ""))[0] * scale, 1) for name in gaps.TARGETS}


def plain_up(link: Link, plan: HostPlan) -> dict[str, float]:
    """What the same change costs without the tool: the planned file copied there, and `up -d`. Undone afterwards."""
    if len(plan.files) != 1:
        raise HostFailed("the demo's comparison knows one file", host=link.host.name)
    path, new, old = plan.files[0].path, plan.files[0].data or b"", plan.files[0].data_before or b""
    with gaps.asked(link) as measured:
        link.run(PUT, path, PROJECT_DIR, data=new, timeout_s=coldstart.LIMIT_S)
        all_answer(link)
    link.run(PUT, path, PROJECT_DIR, data=old, timeout_s=coldstart.LIMIT_S)
    all_answer(link)
    return measured.longest_s


def all_answer(link: Link) -> None:
    """Brings up what a failed `up` left behind, and waits until every service answers."""
    words = coldstart.arguments(PROJECT_DIR, cold=False)
    coldstart.read(link.run(coldstart.PROGRAM, *words, timeout_s=coldstart.LIMIT_S + 120.0).text)


def proof(found: Figures, *, same: bool) -> str:
    """The last line: whether the rollback brought everything back."""
    if same:
        return f"every file has the bytes, mode and owner of before, every container its image (sha256 {found.sha256[:16]})"
    return "the files or images are NOT as before"


def timed(work: Callable[[], int]) -> tuple[int, float]:
    """A command's exit code, and how long it took."""
    begin = time.monotonic()
    code = work()
    return code, time.monotonic() - begin

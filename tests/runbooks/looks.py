"""Hosts that are opened and read by one process where that is plain: what its tests share."""

from inventory.link import Call
from inventory.model import Host, Project
from inventory.secrets import Mask
from runbooks import look, mending, programs, survey
from runbooks.session import Session
from tests.rollback.twins import COMPOSE, NEW, OLD

PLAIN = (COMPOSE, OLD, "none")


def written(twin, name="t-1"):
    host = twin.prepared()
    twin.written(host, twin.change(host, {COMPOSE: NEW}, name=name))
    host.note("gate", {"outcome": "pass"}, wait=False)
    host.release()


def files(**texts):
    def work(twin):
        for name, text in texts.items():
            (twin.bed.project / name).write_bytes(text)

    return work


def asked(twin, names, link=None):
    """The calls of an opening and of a reading, and the link that they are for."""
    host = twin.host()
    (opening,) = host.opening()
    data = "".join(programs.path_line(f"{twin.bed.project}/{name}") for name in names).encode()
    return link or host.link, opening, Call(programs.program("survey"), (str(twin.bed.project), look.FILES), data)


def plainly(link, opening, reading):
    return look.plainly(link, opening, reading, timeout_s=60, limit=1 << 26)


def surveyed(twin):
    """A survey as `migrate` makes it, and its link."""
    host = Host("here", "here", Project(str(twin.bed.project), state_dir=str(twin.bed.state)), connection="local")
    link = twin.host().link
    session = Session(None, Mask(), "e@l", "run-9", {"here": link})
    session.__dict__["_hosts"] = {"here": host}
    session.writer("here").plainly = twin.plainly
    opening = mending.mending(session, lambda _event: None)
    return survey.survey(opening("here", link), host, Mask(), engine=False), link

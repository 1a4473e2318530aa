"""The plain case: one process does what the shell's program does, and leaves to it, before it writes, whatever is not plain."""

import re
import shutil
import subprocess

import pytest

from inventory.errors import RunbookError
from lab.proof import calls, plain, power
from lab.proof.bed import Bed
from lab.proof.shell import ShellLink
from lab.proof.tracing import cannot, recorder
from rollback import door
from rollback.commit import HostWriter
from tests.rollback.twins import COMPOSE, DONE, ENV, LEFT, NEW, OLD, twins

__all__ = ["twins"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("perl"), reason="perl is not on this machine")]


def files(*names, reads=(), **more):
    return lambda twin: twin.written(
        host := twin.prepared(), twin.change(host, dict.fromkeys(names, NEW), reads, **more)
    )


def committed(twin, *names):
    host = twin.prepared()
    twin.written(host, twin.change(host, dict.fromkeys(names, NEW)))
    host.release()
    return host


def undone(twin, before=lambda _twin: None):
    host = committed(twin, COMPOSE, ENV)
    before(twin)
    made = host.snapshots()[0]
    host.lock(wait=False)
    host.undo(made)


def back_again(twin):
    undone(twin)
    twin.host().release()
    files(COMPOSE, ENV, name="t-2")(twin)


def damaged(twin):
    for path in (twin.bed.state / "objects").iterdir():
        path.write_bytes(b"?")


def changed_meanwhile(what, names=(COMPOSE,), reads=()):
    def work(twin):
        host = twin.prepared()
        change = twin.change(host, dict.fromkeys(names, NEW), reads)
        what(twin)
        twin.written(host, change)

    return work


def through_a_link(twin):
    twin.bed.project.rename(twin.bed.base / "real")
    twin.bed.project.symlink_to("real")
    files(COMPOSE)(twin)


def named(name):
    def work(twin):
        (twin.bed.project / name).write_text("a")
        files(name)(twin)

    return work


def large(twin):
    (twin.bed.project / "large").write_bytes(b"x" * (9 << 20))
    files("large")(twin)


def shared(twin):
    twin.bed.state.mkdir()
    twin.bed.state.chmod(0o2770)
    files(COMPOSE)(twin)


def below_a_link(twin):
    (twin.bed.project / "in").symlink_to("conf")
    files("in/app.env")(twin)


def journal(text):
    return lambda twin: (twin.bed.state / "journal").write_text(text)


def again_after(what):
    def work(twin):
        host = committed(twin, COMPOSE)
        what(twin)
        twin.written(host, twin.change(host, {ENV: NEW}, name="t-2"))

    return work


def noted(before=lambda _twin: None):
    def work(twin):
        host = twin.prepared()
        host.lock()
        before(twin)
        host.note("gate", {"outcome": "pass"}, wait=False)
        return bool(host.release())

    return work


def unseen(twin):
    (twin.bed.state / "commands" / "1-1").mkdir()
    (twin.bed.state / "commands" / "1-1" / "unseen").touch()


CASES = {
    "two files, one in a folder": (files(COMPOSE, ENV), DONE),
    "a file beside one that is read, and one that is absent": (files(COMPOSE, reads=(OLD, "none")), DONE),
    "another mode": (files(COMPOSE, mode=0o604), DONE),
    "a second transaction": (again_after(lambda _twin: None), DONE),
    "an undo": (undone, DONE),
    "bytes that are kept already": (back_again, DONE),
    "a name with blanks, quotes and dollars": (named("a 'b' $(id) \"c\""), DONE),
    "a name that is no ASCII": (named("größe.yml"), DONE),
    "a state folder that a group shares": (shared, DONE),
    "a name with a backslash": (named("a\\b"), LEFT),
    "a file that is made": (files("made.conf"), LEFT),
    "a link": (files(".env"), LEFT),
    "a file below a link": (below_a_link, LEFT),
    "a project behind a link": (through_a_link, LEFT),
    "a file of 9 MiB": (large, LEFT),
    "a file that changed": (changed_meanwhile(lambda twin: (twin.bed.project / COMPOSE).write_text("?")), LEFT),
    "a mode that changed": (changed_meanwhile(lambda twin: (twin.bed.project / COMPOSE).chmod(0o600)), LEFT),
    "a file that is gone": (changed_meanwhile(lambda twin: (twin.bed.project / COMPOSE).unlink()), LEFT),
    "a file that was read and changed": (changed_meanwhile(lambda twin: (twin.bed.project / OLD).write_text("?"), reads=(OLD,)), LEFT),
    "a file that was read as absent": (changed_meanwhile(lambda twin: (twin.bed.project / "x").touch(), reads=("x",)), LEFT),
    "another run's lock": (changed_meanwhile(lambda twin: twin.host("run-0").lock()), LEFT),
    "its own lock": (changed_meanwhile(lambda twin: twin.host().lock()), LEFT),
    "a pending transaction": (changed_meanwhile(lambda twin: (twin.bed.state / "pending").write_text("t-0\n")), LEFT),
    "what stands beside a file": (changed_meanwhile(lambda twin: (twin.bed.project / ".compose-runbook.t-1.1").mkdir()), LEFT),
    "a journal whose last line is cut off": (again_after(journal('{"a":1}\n{"b')), LEFT),
    "a journal with an empty line": (again_after(journal('{"a":1}\n\n')), LEFT),
    "a journal with a long line": (again_after(journal("x" * (1 << 16) + "\n")), LEFT),
    "a damaged object": (lambda twin: undone(twin, damaged), LEFT),
    "a damaged object that is to be kept anew": (again_after(damaged), LEFT),
    "no state folder": (lambda twin: twin.written(twin.host(), twin.change(twin.prepared(), {COMPOSE: NEW})) , DONE),
    "a note with the release": (noted(), DONE),
    "a note after others": (again_after(noted()), DONE),
    "a note without a lock": (noted(lambda twin: twin.host().release()), LEFT),
    "a note beside another run's lock": (noted(lambda twin: twin.host("run-8").unlock() and twin.host("run-8").lock()), LEFT),
    "a note after a command of which nobody was told": (noted(unseen), LEFT),
    "a note in a journal whose last line is cut off": (noted(journal('{"a":1}\n{"b')), LEFT),
    "a note where no journal can be": (noted(lambda twin: (twin.bed.state / "journal").mkdir()), LEFT),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_does_and_says_what_the_program_of_the_shell_does_and_says(twins, case):
    work, ended = CASES[case]
    said = []
    for twin in twins:
        try:
            said.append(work(twin))
        except RunbookError as error:
            said.append((type(error).__name__, twin.told(error)))
    assert said[0] == said[1]
    one, two = twins
    assert one.all() == two.all()
    assert int(one.codes.read_text().split()[-1]) == ended and not two.codes.exists()
    for twin in twins:
        after = twin.host("run-9")
        after.unlock()
        if "pending" not in case and "journal" not in case:  # which are none that this tool wrote
            assert after.recover() == () and after.journal() is not None


@pytest.mark.skipif(bool(cannot()), reason=cannot())
@pytest.mark.parametrize("operation", plain.OPERATIONS, ids=lambda operation: operation.name)
def test_its_effects_are_those_of_the_shell_in_the_same_order(tmp_path, operation):
    """Which the proof was run on (`test_effects`): names, what is synced between them, and modes."""
    found = []
    for plainly in (True, False):
        bed, log = Bed(tmp_path / f"{plainly}"), tmp_path / f"{plainly}.log"
        bed.make()
        operation.ready(bed)
        link = ShellLink(bed.project, bed.shell, through=recorder(log))
        before = power.tree(bed.base)
        operation.work(
            HostWriter(link, str(bed.project), "shop", run="run-1", who="eve@laptop", state_dir=str(bed.state), plainly=plainly), bed
        )  # fmt: skip
        found.append(effects(calls.record(log.read_text(), before, str(bed.base)), bed))
    assert found[0] == found[1]
    least = {"plain end": 3, "plain reading": 0, "plain reading of a host that is new": 9}
    assert len(found[0]) >= least.get(operation.name, 20)


def effects(recording, bed):
    """The operations of a recording by their names; of the lines of a journal and of modes only that they were written."""
    names, told = {node: path for path, node in recording.first.items()}, []
    for op in recording.ops:
        for name, node in op.names:
            if node is not None:
                names[node] = name
        where = op.synced if isinstance(op.synced, str) else names.get(op.node if op.synced is None else op.synced, "")
        words = [*(f"{name} {'gone' if node is None else 'there'}" for name, node in op.names)]
        if op.synced is not None:
            words.append(f"sync {where}")
        if op.meta is not None:
            words.append(f"mode {where} {op.meta[0]:o}")
        line = re.sub(
            r"\.[0-9]{2,}\b",
            ".N",
            " ".join(words)
            .replace(str(bed.project), "PROJECT")
            .replace(str(bed.state), "STATE")
            .replace(str(bed.base), "BED"),
        )
        # What the shell keeps of the data, and of what it reads, is no effect; nor is a mode that a file is made with.
        if (
            line
            and not re.search(r"/(payload|header|read)\.N", line)
            and not re.search(r"compose-runbook\.t-1\S* 700", line)
        ):
            told.append(line)
    return told


@pytest.mark.parametrize("verb", door.PLAIN)
def test_it_is_strict_and_has_nothing_to_warn_of(verb):
    done = subprocess.run(
        ["perl", "-Mstrict", "-wc"], input=door.plain(verb), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "- syntax OK\n")

"""A host that is opened and read by one process says what the shell's programs say, and leaves to them whatever is not plain."""

import re
import shutil
import subprocess

import pytest

from inventory import shell
from inventory.connection import LocalLink
from inventory.link import Call
from inventory.model import Host, Project
from inventory.secrets import Mask
from lab.proof.bed import Bed
from lab.proof.shell import ShellLink
from lab.proof.tracing import cannot, recorder
from rollback.commit import HostWriter
from runbooks import look, programs
from tests.rollback.twins import COMPOSE, ENV, OLD, twins
from tests.runbooks.looks import PLAIN, asked, files, plainly, written

__all__ = ["twins"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("perl"), reason="perl is not on this machine")]
LEFT = True


def twice(twin):
    written(twin)
    written(twin, "a-2")


def undone(twin):
    written(twin)
    host = twin.host()
    host.lock(wait=False)
    host.undo(host.snapshots()[0])
    host.release()


def told_of(twin):
    host = twin.prepared()
    host.lock()
    host.execute(["true"], 30)
    host.release()


def killed(twin):
    twin.prepared()
    folder = twin.bed.state / "commands" / "1-1"
    folder.mkdir()
    for name in ("unseen", "about", "argv"):
        (folder / name).touch()


def commands(count):
    def work(twin):
        twin.prepared()
        for number in range(count):
            (twin.bed.state / "commands" / f"1-{number}").mkdir()

    return work


def with_file(name, text="x", where="state"):
    def work(twin):
        written(twin)
        path = getattr(twin.bed, where) / name
        if isinstance(text, str):
            path.write_text(text)
        else:
            text(path)

    return work


def project_is_a_link(twin):
    twin.bed.project.rename(twin.bed.base / "real")
    twin.bed.project.symlink_to("real")


def state_is_a_link(twin):
    (twin.bed.base / "kept").mkdir()
    twin.bed.state.symlink_to("kept")


def shared(twin):
    twin.bed.state.mkdir()
    twin.bed.state.chmod(0o2770)


def modes(twin):
    for name, mode in ((COMPOSE, 0o4751), (OLD, 0o0)):
        (twin.bed.project / name).chmod(mode)


# world -> (what is done to it, the files that are read, whether it is left to the shell)
WORLDS = {
    "a host that is new": (lambda _twin: None, PLAIN, False),
    "a host that is prepared": (lambda twin: twin.prepared(), PLAIN, False),
    "a transaction": (written, PLAIN, False),
    "two transactions": (twice, PLAIN, False),
    "an undone one": (undone, PLAIN, False),
    "a command of which somebody was told": (told_of, PLAIN, False),
    "twenty commands": (commands(20), PLAIN, False),
    "a state folder behind a link": (state_is_a_link, PLAIN, False),
    "a state folder that a group shares": (shared, PLAIN, False),
    "no files": (written, (), False),
    "an empty file, and one without an end": (files(a=b"", b=b"x: 1"), ("a", "b", COMPOSE), False),
    "any byte": (files(a=bytes(range(256)) * 9, b=b"\n\n"), ("a", "b"), False),
    "a file as large as may be": (files(a=b"x" * (2 << 20)), ("a",), False),
    "odd names": (files(**{"a 'b' $(id) \"c\"": b"1", "größe": b"2", "a\\b": b"3", "-n": b"4"}), ("a 'b' $(id) \"c\"", "größe", "a\\b", "-n"), False),
    "the same file twice": (written, (COMPOSE, COMPOSE), False),
    "modes": (modes, (COMPOSE, OLD), False),
    "what stands beside": (with_file(".compose-runbook.lock.x", where="project"), PLAIN, False),
    "a folder in the project's": (written, (ENV,), LEFT),
    "a link": (written, (".env",), LEFT),
    "a folder": (written, ("conf",), LEFT),
    "a file that is too large": (files(a=b"x" * ((2 << 20) + 1)), ("a",), LEFT),
    "the folder above": (written, ("..",), LEFT),
    "a project behind a link": (project_is_a_link, PLAIN, LEFT),
    "a project that is gone": (lambda twin: shutil.rmtree(twin.bed.project), PLAIN, LEFT),
    "another run's lock": (lambda twin: twin.prepared() and twin.host("run-0").lock(), PLAIN, LEFT),
    "its own lock": (lambda twin: twin.prepared() and twin.host().lock(), PLAIN, LEFT),
    "a lock that was being renewed": (with_file(".compose-runbook.lock.77", where="project"), PLAIN, LEFT),
    "a pending transaction": (with_file("pending", "t-0\n"), PLAIN, LEFT),
    "an empty mark": (with_file("pending", ""), PLAIN, LEFT),
    "leftovers": (with_file("tmp/x"), PLAIN, LEFT),
    "half an object": (with_file("objects/.new.7"), PLAIN, LEFT),
    "half a snapshot": (with_file("snapshots/.t-9.json"), PLAIN, LEFT),
    "files without a snapshot": (with_file("snapshots/t-9.files"), PLAIN, LEFT),
    "a snapshot that is a folder": (with_file("snapshots/t-9.json", lambda path: path.mkdir()), PLAIN, LEFT),
    "a snapshot that is a link": (with_file("snapshots/t-9.json", lambda path: path.symlink_to("t-1.json")), PLAIN, LEFT),
    "a command of which nobody was told": (killed, PLAIN, LEFT),
    "many commands": (commands(21), PLAIN, LEFT),
    "a journal that is cut off": (with_file("journal", '{"a":1}\n{"b'), PLAIN, LEFT),
    "a journal that ends with an empty line": (with_file("journal", '{"a":1}\n\n'), PLAIN, LEFT),
    "a journal with a long line": (with_file("journal", "x" * (1 << 16) + "\n"), PLAIN, LEFT),
    "a journal without a line": (with_file("journal", ""), PLAIN, False),
    "a journal of one line": (with_file("journal", '{"a":1}\n'), PLAIN, False),
    "a journal that is long": (with_file("journal", '{"a":1}\n' * 20000), PLAIN, False),
    "a journal with a NUL": (with_file("journal", '{"a":1}\n{"\0"}\n'), PLAIN, LEFT),
    "a journal that is a folder": (with_file("journal", lambda path: (path.unlink(), path.mkdir())), PLAIN, LEFT),
}  # fmt: skip


def told(twin, replies):
    """What was said, without what is another's at another moment."""
    return [
        (reply.exit, re.sub(r"(clock|free) [0-9]+|[0-9]{9,}-[0-9]+", r"\1 N", twin.told(reply.out.decode("latin-1"))))
        for reply in replies
    ]


@pytest.mark.parametrize("world", WORLDS)
def test_it_says_what_the_programs_of_the_shell_say_or_nothing(twins, world):
    make, names, left = WORLDS[world]
    one, two = twins
    for twin in twins:
        make(twin)
    before = one.all()
    found = plainly(*asked(one, names))
    if left:
        assert found == ()
        assert {path: entry for path, entry in one.all().items() if path in before and "codes" not in path} == {
            path: entry for path, entry in before.items() if "codes" not in path
        }
        return
    link, *both = asked(two, names)
    other = link.together(both)
    assert told(one, found) == told(two, other)
    ones, twos = ({re.sub(r"[0-9]{9,}-[0-9]+", "N", path) for path in twin.all()} for twin in twins)
    assert ones - {"BED/codes"} == twos
    for path in (".", "objects", "snapshots", "tmp", "commands"):
        ones, twos = ((twin.bed.state / path).stat() for twin in twins)
        assert (ones.st_mode, ones.st_uid, ones.st_gid) == (twos.st_mode, twos.st_uid, twos.st_gid)
    assert one.host().heard(found[:1]) and two.host().heard(other[:1])


@pytest.mark.skipif(bool(cannot()), reason=cannot())
def test_a_state_folder_that_it_makes_is_synced_as_the_shell_does_it_before_anything_is_kept_in_it(tmp_path):
    found = []
    for name in ("one", "two"):
        bed, log = Bed(tmp_path / name), tmp_path / f"{name}.log"
        bed.make()
        state = bed.base / "var" / "lib" / "state"
        link = ShellLink(bed.project, bed.shell, through=recorder(log))
        host = HostWriter(link, str(bed.project), "shop", run="run-1", who="e@l", state_dir=str(state))
        (opening,) = host.opening()
        if name == "one":
            assert plainly(link, opening, Call(programs.program("survey"), (str(bed.project), look.FILES)))
        else:
            link.together([opening])
        calls = re.findall(r"(fsync|mkdir)\((?:\d+<)?\"?((?:\\x[0-9a-f]{2})+)", log.read_text())
        paths = [(call, bytes.fromhex(path.replace("\\x", "")).decode()) for call, path in calls]
        assert paths[-1] == ("mkdir", f"{state}/commands")
        found.append([path.replace(str(bed.base), "BED") for call, path in paths if call == "fsync"])
    assert found[0] == found[1]
    assert found[0][:4] == ["BED/var/lib/state", "BED/var/lib", "BED/var", "BED"] and found[0][-1] == "/"


def test_it_is_strict_and_has_nothing_to_warn_of():
    words = ["perl", "-Mstrict", "-wc"]
    done = subprocess.run(words, input=look.text(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "- syntax OK\n")


def test_a_kept_shell_has_it_as_a_function_and_this_machine_as_a_program(tmp_path):
    """Shorter, it would be a shell of its own each time."""
    assert len(programs.program("look")) > shell.INLINE
    reply = LocalLink(Host("here", "here", Project(str(tmp_path)), connection="local"), Mask()).run(
        programs.program("look"), 'print "@ARGV"', "a b", "c"
    )
    assert (reply.exit, reply.out) == (0, b"a b c")

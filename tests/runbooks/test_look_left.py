"""What one process leaves to the shell's programs when it opens a host and reads its files: a strange Perl, another's hand, no room."""

import os
import shutil
import subprocess

import pytest

from inventory.link import Call
from lab.proof.shell import ShellLink
from runbooks import look, programs
from tests.rollback.twins import COMPOSE, twins
from tests.runbooks.looks import PLAIN, asked, files, plainly, surveyed, written

__all__ = ["twins"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("perl"), reason="perl is not on this machine")]


# A perl that is none, or says something else; PATH with a part that leads into the project's folder.
STRANGE = {
    "it is not there": "exit 127; ",
    "it says nothing": "exit 0; ",
    "it says something": "echo 5; exit 0; ",
    "it says too little": "echo 500000; echo clock 1; exit 0; ",
    "it is killed": "kill -9 $$; ",
    "it leaves all": "exit 100; ",
}


@pytest.mark.parametrize("case", STRANGE)
def test_where_perl_is_strange_the_programs_of_the_shell_are_asked(twins, case):
    one = twins[0]
    written(one)
    one.perl(STRANGE[case])
    found, link = surveyed(one)
    assert (
        found.states[str(one.bed.project / COMPOSE)].sha256 and link.exchanges == 3
    )  # of this link two are one exchange


def test_a_plain_host_is_opened_and_read_by_one_program(twins):
    one = twins[0]
    written(one)
    one.bed.project.joinpath(".env").unlink()
    found, link = surveyed(one)
    assert found.states[str(one.bed.project / COMPOSE)].sha256 and link.exchanges == 1
    assert one.codes.read_text().split()[-1] == "0"


@pytest.mark.parametrize("path", [".:{}", ":{}", "{}:", "a:{}"])
def test_a_path_that_leads_into_the_project_is_left_to_who_can_do_without(twins, path):
    one = twins[0]
    written(one)
    tools = f"{one.bed.base / 'bin'}:/usr/bin:/bin"
    before = one.codes.read_text()
    link, *both = asked(one, PLAIN, ShellLink(one.bed.project, more={"PATH": path.format(tools)}))
    assert plainly(link, *both) == () and one.codes.read_text() == before


def test_a_file_that_becomes_a_link_meanwhile_is_not_read(twins):
    """The link is swapped in between the look at a file and its opening, as a container can."""
    one = twins[0]
    secret = one.bed.base / "secret"
    secret.write_text("of another folder")
    text = look.text().replace("-f _ && sysopen", f"-f _ && (unlink($_[0]), symlink('{secret}', $_[0])) && sysopen", 1)
    assert text != look.text()
    link, opening, _ = asked(one, ())
    data = programs.path_line(f"{one.bed.project}/{COMPOSE}").encode()
    reply = link.run(programs.program("look"), text, *opening.args[1:5], data=data)
    assert (reply.exit, reply.out) == (100, b"")


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'


@pytest.mark.parametrize("folder", ["project", "state"])
def test_a_folder_of_a_file_system_that_is_read_only_is_left_to_who_says_so(twins, folder):
    one = twins[0]
    written(one)
    path = getattr(one.bed, folder)
    through = ("unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(path))
    if os.geteuid() != 0 or subprocess.run([*through, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    link, *both = asked(one, PLAIN, ShellLink(one.bed.project, through=through))
    assert plainly(link, *both) == ()
    assert link.together(both)[0].exit == {"project": 12, "state": 13}[folder]


def test_of_another_runs_commit_no_more_is_told_than_what_undoes_it(twins):
    """The head is read before the snapshots: a line of the journal about a commit never comes without its snapshot."""
    one = twins[0]
    written(one)
    state = one.bed.state
    commit = f"system('sh', '-c', 'echo new >>\"$0/journal\" && echo t-9 >\"$0/snapshots/t-9.json\"', '{state}') == 0"
    text = look.text().replace("defined $last &&", f"{commit} && defined $last &&", 1)
    link, opening, _ = asked(one, ())
    said = link.run(programs.program("look"), text, *opening.args[1:5]).out
    assert b"last new" not in said and b"t-9" in said and (state / "journal").read_text().endswith("new\n")


def test_a_folder_of_any_number_of_files_takes_no_memory_for_their_names(twins):
    one = twins[0]
    written(one)
    for number in range(20000):
        (one.bed.project / f"{number:0200}").touch()
    link, *both = asked(one, PLAIN, ShellLink(one.bed.project, bounds="-v 24000"))
    assert plainly(link, *both)


def test_more_than_there_is_room_for_is_left(twins):
    files(**dict.fromkeys("abcdefghi", b"x" * (2 << 20)))(twins[0])
    assert plainly(*asked(twins[0], "abcdefgh")) != () and plainly(*asked(twins[0], "abcdefghi")) == ()


def test_who_wants_none_of_it_gets_none(twins):
    one, two = twins
    for twin in twins:
        written(twin)
        surveyed(twin)
    assert not two.codes.exists() and one.codes.exists()


def test_a_locale_that_is_not_there_is_no_word_on_standard_error(twins):
    link, *both = asked(twins[0], PLAIN, ShellLink(twins[0].bed.project, more={"LC_ALL": "xx_XX.UTF-8"}))
    assert {reply.err for reply in plainly(link, *both)} == {b""}


def test_a_pipe_is_left_and_not_waited_for(twins):
    os.mkfifo(twins[0].bed.project / "p")
    assert plainly(*asked(twins[0], ("p",))) == ()


def test_what_becomes_root_and_what_asks_the_engine_is_not_for_it(twins):
    link, opening, reading = asked(twins[0], PLAIN)
    for other in (
        Call(reading.program, reading.args, reading.data, become=True),
        Call(reading.program, (reading.args[0], "shop"), reading.data),
        Call("echo", reading.args, reading.data),
    ):
        assert plainly(link, opening, other) == () and link.exchanges == 0

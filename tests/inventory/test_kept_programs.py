"""Long programs, which the kept shell has as functions: each ends, fails and sets things as in a shell of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from paramiko import Channel

from inventory import connection
from inventory.connection import SshLink
from inventory.link import Call
from inventory.local import LocalLink
from inventory.model import Host, Project
from inventory.shell import INLINE, KEPT, Command, Shell
from rollback import door
from rollback.commit import HostWriter, write_of
from rollback.model import Transaction
from runbooks import programs
from runbooks.commands.errands import STILL_THERE
from tests.inventory.conftest import Server
from tests.inventory.test_shell import LONG, SHELLS, Pipe

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=SHELLS, ids=lambda words: words[0])
def shell(request: pytest.FixtureRequest) -> list[str]:
    words: list[str] = request.param
    return words


@pytest.fixture
def link(server: Server, links: Callable[..., SshLink], shell: list[str], tmp_path_factory: pytest.TempPathFactory,
         monkeypatch: pytest.MonkeyPatch) -> SshLink:  # fmt: skip
    """A link to a host where `sh` is this shell."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "sh").symlink_to(Path("/bin", shell[0]))
    monkeypatch.setattr(connection, "SHELL", f'env PATH="{folder}:$PATH" sh')
    server.known("{here} " + server.public())
    return links(server.host())


def of_its_own(link: SshLink, program: str, *args: str, data: bytes = b"") -> tuple[int, bytes, bytes]:
    (reply,) = link.together([Call(program, args, data, own=True)])
    return reply.exit, reply.out, reply.err


def kept(link: SshLink, program: str, *args: str, data: bytes = b"") -> tuple[int, bytes, bytes]:
    """How a program ends the second time, when only its call is sent, which is how it ended the first time too."""
    one, two = (link.run(LONG + program, *args, data=data) for _ in range(2))
    assert (one.exit, one.out) == (two.exit, two.out)
    return two.exit, two.out, two.err


def test_a_long_program_starts_no_shell_but_one_of_its_own_does(link: SshLink) -> None:
    one, two = (link.run(LONG + "echo $$").text for _ in range(2))
    assert one == two
    three, four = (of_its_own(link, LONG + "echo $$")[1] for _ in range(2))
    assert len({one.encode(), three, four}) == 3


def test_the_words_of_a_program_of_its_own_stand_in_the_process_list(link: SshLink) -> None:
    look = LONG + 'grep -lsF -e "$1" /proc/[0-9]*/cmdline | grep -qx "/proc/$$/cmdline"'
    assert of_its_own(link, look, "a-holder.1234")[0] == 0


PROGRAMS = {
    "ends well": "echo out; echo err >&2",
    "exit": "(exit 4); echo $?; exit 7; echo not",
    "exit within a function": "f() { exit 9; }; f | cat; f; echo not",
    "the end of a last command": "false",
    "no such program": "no-such-program 2>/dev/null",
    "return of a function": "f() { return 3; }; f",
    "a failure that ends": "set -e; false; echo not",
    "killed": "sh -c 'kill -9 $PPID'; echo not",
    "terminated": "sh -c 'kill -15 $PPID'; echo not",
    "trap": "trap 'echo gone' EXIT; trap 'exit 129' HUP TERM; sh -c 'kill -15 $PPID'; sleep 1; echo not",
    "ignored": "trap '' HUP PIPE; sh -c 'kill -1 $PPID'; echo goes on",
    "words": 'printf "[%s]" "$#" "$@"; shift; echo "$1"; set -- a; echo "$@"',
    "standard input": 'IFS= read -r line; echo "$line"; head -c 3; cat',
    "unread input": "echo done",
    "a comment at its end": "echo a\n# the end",
    "no line break at its end": "echo a",
    "line breaks at its end": "echo a\n\n\n",
    "here-document": "cat <<A; cat <<'B'\n$1 $((1 + 1))\nA\n$1 }\n}\nB\necho ')'",
    "here-document at its end": "cat <<A\n$1\n}\nA\n",
    "brackets": 'case x in x) echo "}" ;; esac; { echo "{"; }; (echo "a}"; exit 2)',
    "quotes": "echo 'a\"b' \"c'd\" \\} `echo e`",
    "in the background": "{ sleep 0.1; echo late; } & wait; echo $?; false & wait $! || echo no",
    "a subshell that sets": 'a=1; (a=2); b=$(a=3; echo 4); echo "$a$b"',
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_a_kept_program_ends_and_says_what_it_does_in_a_shell_of_its_own(link: SshLink, what: str) -> None:
    words = ("it's", "", "a b\n", "$HOME `id` \\", "ä\udcff\x01", "-n", "*")
    for data in (b"", b"line 1\nline 2\n", b"\0\xff\n" * 3):
        one = kept(link, PROGRAMS[what], *words, data=data)
        two = of_its_own(link, LONG + PROGRAMS[what], *words, data=data)
        # What a shell says of a process that was killed names the process and the command.
        assert one[:2] == two[:2] and (one[2] == two[2] or "kill" in PROGRAMS[what])


def test_a_mistake_that_ends_a_shell_ends_the_program_alone(link: SshLink) -> None:
    # Which code a shell then has is its own affair: that of bash is another in a subshell.
    one, two = (link.run(LONG + mistake + "; echo not") for mistake in ('set -u; : "$NOT_THERE"', ": ${1:?none}"))
    assert one.exit != 0 != two.exit and one.out == two.out == b"" and b"NOT_THERE" in one.err and b"none" in two.err
    assert link.run(LONG + "echo next").text == "next\n" and len(link._idle) == 1


def test_what_a_program_sets_is_not_seen_by_the_next(link: SshLink) -> None:
    look = LONG + (
        'echo "${name-} ${LC_ALL-} ${IFS-}"; umask; pwd; trap; echo "$-"; f 2>/dev/null || echo no f; ls -d /; ulimit -n; echo "$?" "$#"'
    )
    before = of_its_own(link, look)[1], link.run(look).out
    setting = (
        "name=1; export name LC_ALL=C; IFS=x; umask 077; cd /; set -uf; trap '' HUP; trap 'echo trap' EXIT; readonly name; "
        "f() { echo f; }; ls() { echo ls; }; alias ls='echo ls'; ulimit -n 64; PATH=/nowhere; set -- a b; exec >&2; exit 3"
    )  # fmt: skip
    assert link.run(LONG + setting).exit == 3
    assert (of_its_own(link, look)[1], link.run(look).out) == before
    assert b"no f" in before[1]


def test_functions_of_one_name_in_two_programs_are_two(link: SshLink) -> None:
    one, two = (LONG + f'main() {{ echo {name} "$1"; }}\nmain "$@"' for name in "ab")
    assert [link.run(each, "x").text for each in (one, two, one, two)] == ["a x\n", "b x\n"] * 2


def test_a_program_that_is_a_word_of_another_is_kept_as_both(link: SshLink) -> None:
    program = LONG + 'echo "${#1}"'
    assert [link.run(program, each).text for each in (program, "a", program)] == [
        f"{len(program)}\n",
        "1\n",
        f"{len(program)}\n",
    ]


def test_more_programs_than_a_shell_keeps_all_run(link: SshLink) -> None:
    calls = [Call(LONG + f"echo {number} $$") for number in range(KEPT + 3)]
    for replies in (link.together(calls), link.together(calls)):
        found = [reply.text.split() for reply in replies]
        assert [number for number, _ in found] == [str(number) for number in range(KEPT + 3)]
        assert len({process for _, process in found}) == 4


def test_a_kept_program_is_sent_once_also_within_one_exchange(link: SshLink, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    whole = Channel.sendall
    monkeypatch.setattr(Channel, "sendall", lambda self, data: (sent.append(data), whole(self, data))[1])
    program = LONG + "# once\necho hi"
    link.together([Call(program), Call(program)])
    link.run(program)
    assert b"".join(sent).count(b"# once") == 1


def test_what_a_program_began_goes_on_beside_the_next_and_without_the_link(link: SshLink, tmp_path: Path) -> None:
    begin = LONG + "(trap '' HUP INT; sleep 1; echo done >\"$1\") >/dev/null 2>&1 </dev/null & echo begun"
    assert link.run(begin, str(tmp_path / "one")).text == "begun\n"
    assert link.run(LONG + "wait; echo next").text == "next\n" and not (tmp_path / "one").exists()
    assert link.run(begin, str(tmp_path / "two")).text == "begun\n"
    link.close()
    until = time.monotonic() + 10
    while not (tmp_path / "two").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert (tmp_path / "one").exists() and (tmp_path / "two").exists()


def sent_by(shell: list[str], folder: Path, program: str, *args: str) -> Pipe:
    pipe = Pipe(shell, folder)
    with pytest.raises(OSError, match="enough"):
        Shell(pipe).exchange([Command(["sh", "-c", program, "sh", *args])], 0, 0, 0, "web-1")  # type: ignore[arg-type]
    return pipe


def test_a_definition_that_is_cut_off_anywhere_does_nothing(shell: list[str], tmp_path: Path) -> None:
    text = "echo >made\nmain() {\n    echo >made; cat <<A >made\n}\nA\n}\n{ echo >made; }\n: '}' \"}\" }\nmain\n# }\n"
    pipe = sent_by(shell, tmp_path, f"{text}# {'x' * INLINE}\n")
    end = pipe.sent.index(b"\n}\n{ printf")
    for count in [*range(len(text) + 40), end, end + 1, end + 2, end + 3]:
        pipe.first(count)
        assert not list(tmp_path.iterdir()), pipe.sent[:count][-60:]
    pipe.first(len(pipe.sent))
    assert (tmp_path / "made").exists()


SENT = ["rollback/host.sh", *sorted(f"runbooks/{path.name}" for path in Path(programs.__file__).parent.glob("*.sh"))]


@pytest.mark.parametrize("path", SENT)
def test_every_program_is_whole_as_a_function(shell: list[str], tmp_path: Path, path: str) -> None:
    pipe = sent_by(shell, tmp_path, (ROOT / path).read_text())
    define = pipe.sent[: pipe.sent.index(b"\n}\n{ printf") + 3]
    done = subprocess.run(
        shell, input=define + b"echo kept\n", capture_output=True, cwd=tmp_path, check=False, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"kept\n", b"")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def writer(link: SshLink, tmp_path: Path) -> Callable[..., HostWriter]:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "compose.yml").write_text("services: {}\n")

    def make(run: str = "run-1", holder: str = "") -> HostWriter:
        return HostWriter(
            link, str(folder), "shop", run=run, who="eve@laptop", state_dir=str(tmp_path / "state"), holder=holder
        )

    return make


def test_a_host_is_written_commanded_and_mended_through_one_kept_program(writer: Callable[..., HostWriter], tmp_path: Path) -> None:  # fmt: skip
    host, path = writer(), str(tmp_path / "project/compose.yml")
    host.prepare()
    host.lock()
    for number in range(3):
        state, data = host.read([path])[path]
        new = data + f"# {number}\n".encode()
        host.commit(
            Transaction(f"t-{number}", "run-1", "conditions", str(tmp_path / "project"), (write_of(state, new),))
        )
    # Within one second: each has notes of its own.
    assert [host.execute(["sh", "-c", f"echo {number}; exit {number}"], 10).exit for number in range(4)] == [0, 1, 2, 3]
    assert len(list((tmp_path / "state/commands").iterdir())) == 4
    assert host.last_command()[0].startswith("exit")
    host.note("gate", {"outcome": "pass"})
    host.release()
    assert host.owner() is None and len(host.snapshots()) == 3 and not list((tmp_path / "state/tmp").iterdir())
    assert Path(path).read_text() == "services: {}\n# 0\n# 1\n# 2\n"
    assert [event.kind for event in host.journal()].count("commit") == 3


def test_what_a_renewal_left_does_not_stand_in_the_way_of_the_next(writer: Callable[..., HostWriter], link: SshLink, tmp_path: Path) -> None:  # fmt: skip
    host = writer()
    host.prepare()
    host.lock()
    kept_by = link.run(LONG + "echo $$").text.strip()
    (tmp_path / f"project/.compose-runbook.lock.{kept_by}").symlink_to("left")
    host.renew()
    host.release()


@pytest.mark.parametrize("holder", ["", "sought-run.abc"])
def test_the_calls_of_a_holder_that_is_one_of_several_can_be_found_among_processes(
    writer: Callable[..., HostWriter], monkeypatch: pytest.MonkeyPatch, holder: str
) -> None:
    host = writer("sought-run", holder)
    host.prepare()
    monkeypatch.setattr(door, "program", lambda: LONG + f'printf %s "$4" | {STILL_THERE}; exit 0')
    assert bool(host._call("owner").text) is bool(holder)


def test_what_is_one_of_several_or_makes_a_name_of_its_number_is_a_process_of_its_own() -> None:
    here = LocalLink(Host("here", "here", Project("/srv/shop"), connection="local"))
    calls = {
        (verb, holder): door.Door(here, "/srv/shop", "shop", run="run-1", who="eve", holder=holder)._as_call(verb).own
        for verb in ("commit", "read", "execute", "renew") for holder in ("", "run-1", "run-1.abc")
    }  # fmt: skip
    assert {each for each, own in calls.items() if not own} == {
        (verb, holder) for verb in ("commit", "read") for holder in ("", "run-1")
    }

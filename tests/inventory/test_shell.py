"""The one shell that carries a link's exchanges, on a real SSH server: whole frames or nothing, bounded, one session."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from paramiko import Channel

from inventory import connection
from inventory.connection import SshLink
from inventory.errors import HostFailed, Unreachable
from inventory.link import Call
from inventory.shell import INLINE, LARGEST, Command, Shell
from tests.inventory.conftest import Server

SHELLS = [words for words in (["dash"], ["bash", "--posix"], ["busybox", "sh"]) if Path("/bin", words[0]).exists()]
LONG = f"# {'x' * INLINE}\n"


@pytest.fixture
def link(server: Server, links: Callable[..., SshLink]) -> SshLink:
    server.known("{here} " + server.public())
    return links(server.host())


def shell_of(link: SshLink) -> int:
    """The process of the link's shell on the host."""
    return int(link.run("echo $PPID").text)


def test_many_exchanges_are_carried_by_one_shell(link: SshLink) -> None:
    assert len({shell_of(link) for _ in range(20)}) == 1 and link.exchanges == 20


def test_several_programs_are_one_exchange_and_each_has_its_own_reply(link: SshLink) -> None:
    calls = [Call('cat; echo "$1" >&2; exit 3', ("a",), b"\0\xff"), Call("false"), Call("echo b")]
    found = link.together(calls)
    assert [(each.exit, each.out, each.err) for each in found] == [
        (3, b"\0\xff", b"a\n"),
        (1, b"", b""),
        (0, b"b\n", b""),
    ]
    assert link.exchanges == 1


def test_exchanges_of_several_threads_are_at_once_and_within_eight_sessions(link: SshLink) -> None:
    before, found = shell_of(link), []
    gate = threading.Barrier(connection.SESSIONS)

    def work() -> None:
        gate.wait(20)
        found.append(int(link.run("echo $PPID; sleep 0.5").text))

    threads = [threading.Thread(target=work) for _ in range(connection.SESSIONS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert before in found and len(found) == connection.SESSIONS >= len(set(found)) > 1
    assert len(link._idle) <= connection.IDLE


def test_a_server_that_allows_one_session_is_enough(
    serve: Callable[..., Server], links: Callable[..., SshLink]
) -> None:
    strict = serve("MaxSessions 1")
    strict.known("{here} " + strict.public())
    link = links(strict.host())
    assert [link.run("echo $1", str(number)).text for number in range(5)] == [f"{number}\n" for number in range(5)]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 70_000, LARGEST, LARGEST + 1])
@pytest.mark.parametrize("kind", ["text", "bytes"])
def test_data_of_any_size_and_kind_arrives_as_it_is(link: SshLink, size: int, kind: str) -> None:
    unit = b"it's $HOME `id` \\n\n" if kind == "text" else bytes(range(256))
    data = (unit * (size // len(unit) + 1))[:size]
    assert link.run("cat", data=data).out == data


def test_a_long_program_is_sent_once(link: SshLink, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    whole = Channel.sendall
    monkeypatch.setattr(Channel, "sendall", lambda self, data: (sent.append(len(data)), whole(self, data))[1])
    assert {link.run(LONG * 20 + 'echo "$1"', "hi").text for _ in range(3)} == {"hi\n"}
    assert sent[0] > 20 * INLINE and max(sent[1:]) < 1000


def test_what_a_program_left_running_says_does_not_stand_in_the_next_reply(link: SshLink) -> None:
    assert link.run("(sleep 0.2; echo late; echo late >&2) & echo early").text == "early\n"
    time.sleep(0.5)
    assert link.run("echo next").text == "next\n"


def test_a_command_of_its_own_session_is_over_when_nothing_holds_its_outputs(link: SshLink) -> None:
    assert link.run("(sleep 0.3; echo late) & echo early", alone=True).text == "early\nlate\n"


def test_after_a_program_that_took_too_long_the_next_has_a_new_shell(link: SshLink) -> None:
    before = shell_of(link)
    with pytest.raises(HostFailed, match="longer than"):
        link.run("sleep 5; echo late", timeout_s=0.2)
    assert shell_of(link) != before and link.run("echo next").text == "next\n"


def test_a_shell_that_died_while_nothing_was_asked_is_replaced(link: SshLink) -> None:
    pid = shell_of(link)
    os.kill(pid, 9)
    for _ in range(100):
        if not link._idle[-1].usable:
            break
        time.sleep(0.05)
    assert link.run("echo there").text == "there\n"


def test_a_shell_that_dies_in_an_exchange_is_an_error_and_never_a_result(link: SshLink) -> None:
    link.run(":")
    with pytest.raises(HostFailed, match="in the midst"):
        link.run("echo half; kill -9 $PPID")
    assert link.run("echo there").text == "there\n"


def test_a_host_without_a_shell_says_so(server: Server, links: Callable[..., SshLink], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    server.known("{here} " + server.public())
    monkeypatch.setattr(connection, "SHELL", "/no/such/sh")
    reply = links(server.host()).run("echo hi")
    assert reply.exit == 127 and b"/no/such/sh" in reply.err


def test_a_connection_that_is_cut_in_an_exchange_is_unreachable(server: Server, links: Callable[..., SshLink]) -> None:
    server.known("{here} " + server.public())
    before = set(server.sessions())
    link = links(server.host())
    (mine,) = set(server.sessions()) - before
    link.run(":")
    with pytest.raises(Unreachable, match="the link was lost"):
        link.run('kill -9 "$1"; sleep 20', str(mine), timeout_s=15)


class Pipe:
    """A channel to a shell of this machine, of which only the first bytes arrive."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self.words, self.folder, self.sent = words, folder, b""

    def sendall(self, data: bytes) -> None:
        self.sent += data
        raise OSError("enough")

    def first(self, count: int) -> None:
        subprocess.run(
            self.words, input=self.sent[:count], capture_output=True, cwd=self.folder, check=False, timeout=30
        )


@pytest.fixture(params=SHELLS, ids=lambda words: words[0])
def pipe(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pipe]:
    yield Pipe(request.param, tmp_path)


@pytest.mark.parametrize("data", [b"", b"some data\nit's so\n", b"\xff\0bytes"])
def test_a_frame_that_is_cut_off_anywhere_does_nothing(pipe: Pipe, data: bytes) -> None:
    shell = Shell(pipe)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="enough"):
        shell.exchange([Command(["sh", "-c", LONG + "echo >done; cat >data", "sh", "it's"], data)], 0, 0, 0, "web-1")
    # The last byte ends the line; what a shell makes of a whole compound command without it is its own affair.
    for count in [*range(0, 40, 7), *range(len(pipe.sent) - 400, len(pipe.sent) - 1, 5), len(pipe.sent) - 2]:
        pipe.first(count)
        assert not list(pipe.folder.iterdir()), pipe.sent[:count][-60:]
    pipe.first(len(pipe.sent))
    assert (pipe.folder / "done").exists() and (pipe.folder / "data").read_bytes() == data

"""Links to hosts: a real SSH server on loopback and the local machine keep the same contract."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from inventory.errors import HostFailed, InputError, Unreachable
from inventory.link import Link
from inventory.model import Host, Project

Links = Callable[..., Link]
HERE = Host("here", "here", Project("/srv/shop"), connection="local")


@pytest.fixture(params=["ssh", "local"])
def link(request: pytest.FixtureRequest, links: Links) -> Link:
    if request.param == "local":
        return links(HERE)
    server = request.getfixturevalue("server")
    server.known("{here} " + server.public())
    return links(server.host())


def test_a_program_gets_its_arguments_word_by_word(link: Link) -> None:
    words = ("two words", "", "quote ' and \" and $HOME and `id`", "line\nbreak", "-n", "ü*")
    reply = link.run('printf "<%s>" "$@"', *words)
    assert (reply.exit, reply.text, reply.err) == (0, "".join(f"<{word}>" for word in words), b"")


def test_a_program_reads_its_data_from_standard_input_byte_for_byte(link: Link) -> None:
    data = bytes(range(256)) * 4096
    assert link.run("cat", data=data).out == data


def test_without_data_standard_input_is_at_its_end(link: Link) -> None:
    assert link.run("wc -c").text.strip() == "0"


def test_data_that_is_not_read_is_no_error(link: Link) -> None:
    assert link.run("exec <&-; echo done", data=b"x" * 3_000_000).text == "done\n"


@pytest.mark.parametrize("code", [0, 1, 2, 127, 255])
def test_an_exit_code_is_a_result_and_not_an_error(link: Link, code: int) -> None:
    assert link.run('exit "$1"', str(code)).exit == code


def test_a_program_that_a_signal_ends_is_a_result_too(link: Link) -> None:
    assert link.run("kill -9 $$").exit == 137


def test_both_outputs_are_kept_apart_however_long_they_are(link: Link) -> None:
    program = 'head -c "$1" /dev/zero >&2; head -c "$1" /dev/zero; head -c "$1" /dev/zero >&2; exit 3'
    reply = link.run(program, "3000000")
    assert (reply.exit, len(reply.out), len(reply.err)) == (3, 3_000_000, 6_000_000)


@pytest.mark.parametrize("to", ["1", "2"])
def test_an_answer_longer_than_the_limit_is_refused(link: Link, to: str) -> None:
    with pytest.raises(HostFailed, match="longer than 1000 bytes"):
        link.run('head -c 2000 /dev/zero >&"$1"', to, limit=1000)
    assert link.run("echo still here").text == "still here\n"


@pytest.mark.parametrize("to", ["1", "2"])
def test_an_endless_answer_is_refused_at_the_limit_and_not_at_the_end_of_memory(link: Link, to: str) -> None:
    with pytest.raises(HostFailed, match="longer than 100000 bytes"):
        link.run('exec yes >&"$1"', to, limit=100_000)


@pytest.mark.parametrize("program", ["sleep 30", "sleep 30; echo late", "sleep 30 & wait"])
def test_a_program_that_takes_too_long_is_given_up(link: Link, program: str) -> None:
    with pytest.raises(HostFailed, match=r"took longer than 0\.3 s") as caught:
        link.run(program, timeout_s=0.3)
    assert caught.value.host == link.host.name and caught.value.code == 5


def test_what_a_program_left_running_with_its_output_is_waited_for_and_given_up_where_that_is_asked(link: Link) -> None:
    with pytest.raises(HostFailed, match=r"took longer than 0\.3 s"):
        link.run("sleep 30 & echo early", timeout_s=0.3, alone=True)


@pytest.mark.parametrize("program", [("echo\0",), ("echo", "a\0b")])
def test_a_word_with_a_nul_byte_is_bad_input(link: Link, program: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="NUL"):
        link.run(*program)


def test_exchanges_are_counted_and_timed(link: Link) -> None:
    before = link.exchanges
    replies = [link.run(":"), link.run("false")]
    assert link.exchanges == before + 2
    assert all(0 < reply.seconds < 60 for reply in replies)


def test_bytes_that_are_not_text_are_shown_as_such(link: Link) -> None:
    assert link.run(r"printf 'a\377b'").text == "a\ufffdb"


def test_many_threads_share_one_link(link: Link) -> None:
    """More threads than sessions: a server allows 10 at once, and the eleventh would be refused."""
    found: dict[int, str] = {}

    def work(number: int) -> None:
        found[number] = link.run('cat; echo "$1"', str(number), data=b"x").text

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f"x{number}\n" for number in range(12)}


def ended(pid: int) -> bool:
    """Whether a process ends within a few seconds: a signal is no instant."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10.0)[0])
    finally:
        os.close(handle)


def test_a_program_of_the_local_machine_that_is_given_up_leaves_nothing_behind(links: Links, tmp_path: Path) -> None:
    with pytest.raises(HostFailed):
        links(HERE).run('sleep 60 & echo $! >"$1"; wait', str(tmp_path / "pid"), timeout_s=0.3)
    assert ended(int((tmp_path / "pid").read_text()))


def test_a_link_that_is_lost_while_a_program_runs_is_one_clear_line(server, links: Links) -> None:
    server.known("{here} " + server.public())
    before = set(server.sessions())
    link = links(server.host())
    (mine,) = set(server.sessions()) - before
    with pytest.raises(Unreachable, match=r"^web-1: the link was lost") as caught:
        # The program ends the process that serves it: as when a cable is cut, no exit code is ever sent.
        link.run('kill -9 "$1"; sleep 30', str(mine), timeout_s=20)
    assert caught.value.code == 5
    with pytest.raises(Unreachable, match="the link was lost"):
        link.run("echo again")
    with pytest.raises(Unreachable, match="the link was lost"):
        link.dial("127.0.0.1", server.port, 1)


def test_after_close_no_thread_of_a_connection_is_left(server, links: Links) -> None:
    server.known("{here} " + server.public())
    before = threading.active_count()
    link = links(server.host())
    link.run("true")
    assert threading.active_count() > before
    link.close()
    for thread in threading.enumerate():
        if type(thread).__module__.startswith("paramiko"):
            thread.join(5)
    assert threading.active_count() <= before

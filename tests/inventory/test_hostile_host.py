"""A host that answers with rubbish, slowly, or without end: each kind of exchange ends at its limit, in one clear line."""

from __future__ import annotations

import gzip
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from checks.model import Probe
from checks.probes import round_
from inventory import connection
from inventory.connection import connect
from inventory.errors import Unreachable
from inventory.link import Link
from inventory.model import Host, Project
from inventory.secrets import Mask

Links = Callable[..., Link]
Talk = Callable[[socket.socket], None]
MEGABYTES = 200
"""What the tests' process may grow by while a host talks without end; an unbounded reader passes this in a second."""


class Talker:
    """Listens on loopback and says to each caller what it is told to; `stop` ends all of it."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.server.getsockname()[1]
        self.over = threading.Event()
        self.threads: list[threading.Thread] = []

    def say(self, talk: Talk) -> None:
        def serve() -> None:
            while not self.over.is_set():
                with suppress(OSError):
                    caller, _ = self.server.accept()
                    self.threads.append(threading.Thread(target=one, args=(caller,), daemon=True))
                    self.threads[-1].start()

        def one(caller: socket.socket) -> None:
            with caller, suppress(OSError):
                talk(caller)

        self.threads.append(threading.Thread(target=serve, daemon=True))
        self.threads[-1].start()

    def for_ever(self, data: bytes, pause_s: float = 0.0) -> Talk:
        def talk(caller: socket.socket) -> None:
            while not self.over.wait(pause_s):
                caller.sendall(data)

        return talk

    def stop(self) -> None:
        self.over.set()
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for thread in self.threads:
            thread.join(10)


@pytest.fixture
def talker() -> Iterator[Talker]:
    made = Talker()
    yield made
    made.stop()


@pytest.fixture
def modest() -> Iterator[None]:
    """Fails a test in which this process grew without bound."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1024


SSH = {
    "nothing at all": lambda talker: lambda _caller: talker.over.wait(),
    "rubbish without line breaks": lambda talker: talker.for_ever(b"\x00\xff" * 8192),
    "lines without end": lambda talker: talker.for_ever(b"not yet\r\n" * 1000),
    "one letter now and then": lambda talker: talker.for_ever(b"S", 0.05),
    "a banner, then rubbish": lambda talker: lambda caller: (
        caller.sendall(b"SSH-2.0-evil\r\n"), talker.for_ever(b"\xff" * 8192)(caller)),
    "a banner, then a packet of 2 GB": lambda talker: lambda caller: (
        caller.sendall(b"SSH-2.0-evil\r\n\x7f\xff\xff\xf4"), talker.for_ever(b"\x00" * 65536)(caller)),
    "a banner, then nothing": lambda talker: lambda caller: (caller.sendall(b"SSH-2.0-evil\r\n"), talker.over.wait()),
    "HTTP": lambda talker: lambda caller: caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", SSH)
def test_a_server_that_speaks_rubbish_instead_of_ssh_is_one_line(
    talker: Talker, case: str, monkeypatch: pytest.MonkeyPatch, modest: None
) -> None:
    monkeypatch.setattr(connection, "CONNECT_LIMIT_S", 1.0)
    talker.say(SSH[case](talker))
    host = Host("web-1", "127.0.0.1", Project("/srv/shop"), port=talker.port, user="eve",
                variables={"ansible_ssh_common_args": "-F /dev/null"})  # fmt: skip
    with pytest.raises(Unreachable, match=r"^web-1: ") as caught:
        connect(host, Mask())
    assert "\n" not in str(caught.value)
    assert caught.value.code == 5


HEAD = b"HTTP/1.1 200 OK\r\n"
BOMB = gzip.compress(b"\0" * (1 << 28))
HTTP = {
    "a status line without end": lambda talker: talker.for_ever(b"HTTP/1.1 200 " + b"O" * 65536),
    "a header, letter by letter": lambda talker: lambda caller: (
        caller.sendall(HEAD), talker.for_ever(b"x", 0.05)(caller)),
    "headers without end": lambda talker: lambda caller: (
        caller.sendall(HEAD), talker.for_ever(b"X-More: " + b"y" * 1000 + b"\r\n")(caller)),
    "a body, letter by letter": lambda talker: lambda caller: (
        caller.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n"), talker.for_ever(b"x", 0.05)(caller)),
    "a body without end": lambda talker: lambda caller: (
        caller.sendall(HEAD + b"\r\n"), talker.for_ever(b"x" * 65536)(caller)),
    "a chunk of 9 GB": lambda talker: lambda caller: (
        caller.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n200000000\r\n"), talker.for_ever(b"x" * 65536)(caller)),
    "a body that grows when it is unpacked": lambda talker: lambda caller: (
        caller.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB)),
    "a redirection to elsewhere": lambda talker: lambda caller: caller.sendall(
        b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data\r\nContent-Length: 0\r\n\r\n"),
    "rubbish": lambda talker: lambda caller: caller.sendall(os.urandom(65536)),
    "nothing": lambda talker: lambda _caller: None,
}  # fmt: skip


@pytest.fixture(params=["ssh", "local"])
def link(request: pytest.FixtureRequest, links: Links) -> Link:
    if request.param == "local":
        return links(Host("here", "here", Project("/srv/shop"), connection="local"))
    server = request.getfixturevalue("server")
    server.known("{here} " + server.public())
    return links(server.host())


@pytest.mark.parametrize("case", HTTP)
def test_a_service_that_answers_http_slowly_or_without_end_is_judged_within_the_probes_limit(
    link: Link, talker: Talker, case: str, modest: None
) -> None:
    talker.say(HTTP[case](talker))
    probe = Probe(
        "http", "front", "web", {"url": f"http://127.0.0.1:{talker.port}/", "contains": "wanted"}, timeout_s=0.5
    )
    (sample,) = round_(link, [probe], "shop")
    assert sample.ok is False
    assert "\n" not in sample.detail
    assert "169.254" not in sample.detail


PROGRAMS = {
    "without end": "exec yes",
    "one line without end": "exec cat /dev/zero",
    "frames of huge numbers": "printf '%0*d 0 0 eA==\\n' 5000 1",
    "frames of other people's digits": "printf '\\331\\243 0 0 eA==\\n0 \\302\\262 0 eA==\\n'",
    "no base64": "echo '0 0 5 !!!'",
    "nothing": ":",
}


@pytest.mark.parametrize("case", PROGRAMS)
def test_a_host_whose_programs_answer_rubbish_leaves_samples_unknown(
    link: Link, case: str, monkeypatch: pytest.MonkeyPatch, modest: None
) -> None:
    """The host's shell is not ours: it may print whatever it likes in place of a round's answer."""
    monkeypatch.setattr("checks.probes.PROGRAM", PROGRAMS[case])
    (sample,) = round_(link, [Probe("command", "answers", "web", {"command": ["true"]}, timeout_s=1)], "shop")
    assert sample.ok is None

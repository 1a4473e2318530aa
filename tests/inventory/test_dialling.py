"""What rides on a link besides programs: ssh_config, jumps, and connections that are dialled from the host."""

from __future__ import annotations

import getpass
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from inventory.connection import connect
from inventory.errors import HostFailed, Unreachable
from inventory.link import Link
from inventory.model import Host, Project
from inventory.secrets import Mask

Links = Callable[..., Link]


class Answer(BaseHTTPRequestHandler):
    """Says what it was asked and by whom; /slow begins an answer that never comes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.server.quiet.wait(10)  # type: ignore[attr-defined]
            return
        body = json.dumps({"path": self.path, "host": self.headers["Host"], "peer": self.client_address[1]}).encode()
        self.send_response(503 if self.path == "/ill" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def web() -> Iterator[ThreadingHTTPServer]:
    """A web server on loopback, as a service of the host would be."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    made.quiet = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    made.quiet.set()  # type: ignore[attr-defined]
    made.shutdown()
    made.server_close()


@pytest.fixture(params=["ssh", "local"])
def link(request: pytest.FixtureRequest, links: Links) -> Link:
    if request.param == "local":
        return links(Host("here", "here", Project("/srv/shop"), connection="local"))
    server = request.getfixturevalue("server")
    server.known("{here} " + server.public())
    return links(server.host())


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port that is held, and on which nobody answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_http_is_asked_from_the_host(link: Link, web: ThreadingHTTPServer) -> None:
    url = f"http://127.0.0.1:{web.server_port}"
    with link.http() as session:
        found = session.get(f"{url}/health?full=1", timeout=5)
        assert (found.status_code, found.json()["path"]) == (200, "/health?full=1")
        assert found.json()["host"] == f"127.0.0.1:{web.server_port}"
        assert session.get(f"{url}/ill", timeout=5).status_code == 503


def test_http_never_goes_through_a_proxy_of_the_controller(
    link: Link, web: ThreadingHTTPServer, nobody: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{nobody}")
    assert link.http().get(f"http://127.0.0.1:{web.server_port}/", timeout=5).ok


def test_a_refused_http_connection_is_an_error_that_probes_know(link: Link, nobody: int) -> None:
    with pytest.raises(requests.ConnectionError):
        link.http().get(f"http://127.0.0.1:{nobody}/", timeout=5)


def test_an_http_answer_that_does_not_come_ends_at_the_limit(link: Link, web: ThreadingHTTPServer) -> None:
    with pytest.raises((requests.Timeout, requests.ConnectionError)):
        link.http().get(f"http://127.0.0.1:{web.server_port}/slow", timeout=(5, 0.3))


def test_https_is_asked_from_the_host_and_its_certificate_checked(
    link: Link, web: ThreadingHTTPServer, tmp_path: Path
) -> None:
    certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    web.socket = context.wrap_socket(web.socket, server_side=True)
    url = f"https://127.0.0.1:{web.server_port}/"
    assert link.http().get(url, timeout=5, verify=str(certificate)).ok
    with pytest.raises(requests.exceptions.SSLError):
        link.http().get(url, timeout=5)


def make_certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, in one file."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    signed = made.add_extension(address, critical=False).sign(key, hashes.SHA256())
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "certificate.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, *form) + signed.public_bytes(pem))
    return path


def test_dial_measures_a_connection_that_is_made(link: Link, web: ThreadingHTTPServer) -> None:
    assert 0 < link.dial("127.0.0.1", web.server_port, 5) < 5


def test_dial_tells_a_refused_connection_as_such(link: Link, nobody: int) -> None:
    with pytest.raises(OSError, match=r"refused|Connect"):
        link.dial("127.0.0.1", nobody, 5)


def test_dial_gives_up_at_its_limit(link: Link) -> None:
    """A listener whose queue is full answers no further connection at all."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        held = [socket.socket() for _ in range(4)]
        for each in held:
            each.setblocking(False)
            each.connect_ex(address)
        with pytest.raises(TimeoutError):
            link.dial(*address, 0.4)
        for each in held:
            each.close()


def test_a_server_that_forbids_forwarding_says_what_to_do(serve, links: Links, web: ThreadingHTTPServer) -> None:
    server = serve("AllowTcpForwarding no")
    server.known("{here} " + server.public())
    link = links(server.host())
    for ask in (
        lambda: link.dial("127.0.0.1", web.server_port, 5),
        lambda: link.http().get(f"http://127.0.0.1:{web.server_port}/", timeout=5),
    ):
        with pytest.raises(HostFailed, match="forbids forwarding") as caught:
            ask()
        assert "AllowTcpForwarding local" in caught.value.mend
    assert link.run("echo still here").text == "still here\n"


def test_a_name_of_ssh_config_brings_address_port_user_and_key(server, links: Links, tmp_path: Path) -> None:
    server.known("{here} " + server.public())
    config = tmp_path / "config"
    config.write_text(
        f"Host shop-*\n  HostName 127.0.0.1\n  Port {server.port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {server.folder}/login\n  UserKnownHostsFile {server.folder}/known_hosts\n"
    )
    host = Host("web-1", "shop-1", Project("/srv"), variables={"ansible_ssh_common_args": f"-F {config}"})
    assert links(host).run('echo "$SSH_CONNECTION"').text.split()[3] == str(server.port)


def jumping(serve, tmp_path: Path, *, user: str) -> Host:
    """A host behind a jump: the server that forwards, and the one that lets in, are two."""
    jump, target = serve(), serve()
    known = tmp_path / "known_hosts"
    known.write_text("".join(f"[127.0.0.1]:{each.port} {each.public()}\n" for each in (jump, target)))
    config = tmp_path / "config"
    config.write_text(
        f"Host jump\n  HostName 127.0.0.1\n  Port {jump.port}\n  User {user}\n"
        f"Host inner\n  HostName 127.0.0.1\n  Port {target.port}\n  User {getpass.getuser()}\n  ProxyJump jump\n"
        f"Host *\n  IdentityFile {jump.folder}/login\n  UserKnownHostsFile {known}\n"
        "  GlobalKnownHostsFile /dev/null\n"
    )
    return Host("web-1", "inner", Project("/srv"), variables={"ansible_ssh_common_args": f"-F {config}"})


def test_a_host_behind_a_jump_is_reached_and_left_through_it(serve, links: Links, tmp_path: Path) -> None:
    before = threading.active_count()
    link = links(jumping(serve, tmp_path, user=getpass.getuser()))
    assert link.run("echo in").text == "in\n"
    link.close()
    for thread in threading.enumerate():
        if type(thread).__module__.startswith("paramiko"):
            thread.join(5)
    assert threading.active_count() <= before


@pytest.mark.parametrize("unknown", [0, 1], ids=["the jump", "the host behind it"])
def test_host_keys_are_strict_on_the_whole_way(serve, tmp_path: Path, unknown: int) -> None:
    host = jumping(serve, tmp_path, user=getpass.getuser())
    lines = (tmp_path / "known_hosts").read_text().splitlines(keepends=True)
    (tmp_path / "known_hosts").write_text(lines[1 - unknown])
    with pytest.raises(Unreachable, match="is not in known_hosts") as caught:
        connect(host, Mask())
    assert caught.value.host == ("web-1 (jump jump)" if unknown == 0 else "web-1")

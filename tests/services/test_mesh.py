"""Two real Envoys with the step's configuration and the real authority: what gets through, what is refused, and a renewal."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from runbooks.steps import envoy, mesh_services
from runbooks.steps.envoy import Pass, Port, Sidecar, Target
from tests.services import meshes, servers
from tests.services.mesh_pair import CALLERS, HTTP, SAYS, Mesh, asking, got, probed
from tests.services.meshes import DOMAIN

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(meshes.program() is None or not shutil.which("openssl"), reason="no Envoy or no OpenSSL here"),
]


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    with ExitStack() as held:
        yield Mesh(tmp_path, held).serving()


def test_a_caller_gets_through_and_the_service_is_told_who_it_is_whatever_it_says_itself(mesh: Mesh) -> None:
    assert got(mesh.outbound) == (200, "URI=spiffe://shop/caller")
    assert got(mesh.outbound, host="app") == (200, "URI=spiffe://shop/caller")
    # As a proxy hands it on: the name that it was asked for, and HTTP/1.0.
    assert got(mesh.outbound, host="www.example.com") == (200, "URI=spiffe://shop/caller")
    for more in ("", "Host: www.example.com\r\n"):
        with socket.create_connection(("127.0.0.1", mesh.outbound), 60) as plain:
            plain.sendall(f"GET / HTTP/1.0\r\n{more}\r\n".encode())
            said = plain.makefile("rb").read()
        assert b" 200 " in said.splitlines()[0]
        assert said.endswith(b"URI=spiffe://shop/caller")
        assert b"server: BaseHTTP" in said
        assert b"x-envoy" not in said


def test_plain_text_is_refused_and_so_is_who_shows_nothing_or_is_no_caller_or_comes_from_elsewhere(
    mesh: Mesh, tmp_path: Path
) -> None:
    assert mesh.answer(mesh.context("caller")).startswith(b"HTTP/1.1 200")
    for context in (None, mesh.context(), mesh.context("other")):
        assert not mesh.answer(context).startswith(b"HTTP/")
    (tmp_path / "elsewhere").mkdir()
    with meshes.authority(tmp_path / "elsewhere", "caller") as stranger:
        forged = mesh.context()
        folder = stranger.certificates / "caller" / "current"
        forged.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
        assert not mesh.answer(forged).startswith(b"HTTP/")
    assert mesh.answer(mesh.context("caller")).startswith(b"HTTP/1.1 200")


def test_private_keys_are_nobody_else_s_to_read_and_the_authority_s_is_not_with_them(mesh: Mesh) -> None:
    keys = [path for path in mesh.folder.rglob("*key*") if path.is_file()]
    assert sorted(path.name for path in keys) == ["authority.key", *["key.pem"] * 4]
    for path in keys:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {path.parent.name for path in keys if path.name == "authority.key"} == {"authority"}


def test_certificates_are_renewed_without_a_failed_request(tmp_path: Path) -> None:
    with ExitStack() as held:
        mesh = Mesh(tmp_path, held, renew_s=1).serving()
        seen: set[bytes] = set()
        with asking(mesh) as asked:

            def renewed() -> bool:
                """Whether the sidecar itself has shown three certificates, one after another."""
                with socket.create_connection(("127.0.0.1", mesh.inbound), 60) as plain:
                    context = mesh.context("caller")
                    context.maximum_version = ssl.TLSVersion.TLSv1_2
                    with context.wrap_socket(plain) as found:
                        seen.add(found.getpeercert(binary_form=True) or b"")
                return len(seen) >= 4 and asked.done > 20

            servers.until(renewed)
        assert asked.failed == []
        # It is the caller's own connections that were made anew, with its own new certificates.
        assert meshes.counted(mesh.caller_metrics, "envoy_cluster_ssl_handshake") >= 1


def test_who_cannot_be_reached_is_tried_again_and_who_answered_with_an_error_is_not(tmp_path: Path) -> None:
    with ExitStack() as held:
        mesh = Mesh(tmp_path, held)
        process = mesh.serve()
        servers.until(lambda: got(mesh.outbound)[0] == 200)

        def retries() -> float:
            return meshes.counted(mesh.metrics, "envoy_cluster_upstream_rq_retry", envoy_cluster_name="own_8000")

        before = retries()
        assert got(mesh.outbound, "/500")[0] == 500
        assert retries() == before
        process.terminate()
        process.wait(60)
        assert got(mesh.outbound)[0] == 503
        assert retries() == before + 3
        mesh.serving()


def test_a_replica_that_fails_five_times_in_a_row_is_left_out(tmp_path: Path) -> None:
    with ExitStack() as held:
        sick = meshes.port()
        words: list[str | Path] = [sys.executable, "-c", SAYS, str(sick), "500"]
        held.enter_context(servers.running(words, sick))
        mesh = Mesh(tmp_path, held, twin=sick)
        mesh.serve()
        # Before that the two of them answer in turn.
        servers.until(lambda: all(got(mesh.outbound)[0] == 200 for _ in range(8)))
        name = "envoy_cluster_outlier_detection_ejections_enforced_total"
        assert meshes.counted(mesh.metrics, name, envoy_cluster_name="own_8000") >= 1


def test_more_than_the_rate_is_refused_with_429(tmp_path: Path) -> None:
    with ExitStack() as held:
        mesh = Mesh(tmp_path, held, Port(8000, "http", rate=1)).serving()
        said = {200: 0, 429: 0}

        def asked() -> bool:
            said[got(mesh.outbound)[0]] += 1
            return min(said.values()) > 1

        servers.until(asked)


@pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not here")
def test_what_speaks_no_http_goes_through_as_it_is(tmp_path: Path) -> None:
    with ExitStack() as held:
        mesh = Mesh(tmp_path, held, Port(8000, "tcp"))
        words: list[str | Path] = ["redis-server", "--port", str(mesh.app), "--bind", "127.0.0.1", "--save", ""]
        held.enter_context(servers.running(words, mesh.app, cwd="/tmp"))
        asked = ["redis-cli", "-p", str(mesh.outbound), "ping"]
        servers.until(
            lambda: subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() == "PONG"
        )
        with socket.create_connection(("127.0.0.1", mesh.inbound), 60) as plain:
            plain.sendall(b"PING\r\n")
            assert b"PONG" not in plain.recv(64)


def test_the_authority_says_what_is_in_force_and_what_is_not(mesh: Mesh) -> None:
    (found,) = mesh.authority.document["services"]
    assert (found["service"], found["plain"], found["direct"], found["mutual"]) == ("app", "refused", "unreachable", "accepted")  # fmt: skip
    assert 6 * 86400 < found["expires_s"] <= 7 * 86400
    assert mesh.authority.document["failed"] == {}
    assert probed(mesh).ok is True
    # The service itself can be reached on loopback, at its own address.
    told = probed(mesh, f"?at=app=127.0.0.1:{mesh.app}")
    assert (told.ok, told.detail) == (False, "app is reachable past its sidecar")
    assert servers.get(mesh.authority.port, "/mesh?at=app").status == 400


def test_sabotage_a_sidecar_that_takes_plain_text_and_one_that_trusts_nobody_are_seen(tmp_path: Path) -> None:
    with ExitStack() as held:
        mesh = Mesh(tmp_path, held, inbound_of=lambda text: text.replace("mesh-authority", "somebody")).serving()
        told = probed(mesh)
        assert told.ok is False
        assert told.detail.startswith("app: mutual TLS: refused")
    (tmp_path / "2").mkdir()
    with ExitStack() as held:
        mesh = Mesh(tmp_path / "2", held, inbound_of=in_plain_text)
        mesh.serve()
        servers.until(lambda: mesh.answer(None).startswith(b"HTTP/1.1 200"))
        assert "plain text at its sidecar: accepted" in probed(mesh).detail


def in_plain_text(text: str) -> str:
    """The same configuration without TLS where it is taken."""
    document = json.loads(text)
    for listener in document["static_resources"]["listeners"]:
        for chain in listener["filter_chains"]:
            chain.pop("transport_socket", None)
    return json.dumps(document)


def judged(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """What the trial that a host makes before anything is written says of a file: its own words, with folders of this machine."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / "envoy").unlink(missing_ok=True)
    (folder / "bin" / "envoy").symlink_to(meshes.program() or "")
    here = {envoy.INSIDE: f"{folder}/inside", envoy.CERTIFICATES: f"{folder}/certificates"}
    words = [*mesh_services.trial(), text]
    for old, new in here.items():
        words = [word.replace(old, new) for word in words]
    own = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(
        words[:-1], input=words[-1], capture_output=True, text=True, check=False, timeout=120, env=own
    )


def test_envoy_itself_finds_nothing_wrong_with_a_file_of_every_kind_and_says_what_is_wrong(tmp_path: Path) -> None:
    targets = (Target("a", ("a", "a.example"), Port(80, "http"), "a-mesh", 15100), Target("b", ("b",), Port(80, "http"), "b-mesh", 15101))  # fmt: skip
    made = Sidecar("web", DOMAIN, "10.0.0.2", (Port(8000, "http", 5), Port(9000, "tcp", 5)), CALLERS, targets, (Pass(("db",), 5432, "db.shop_back"),))  # fmt: skip
    text = envoy.configuration(made)
    assert judged(tmp_path, text).returncode == 0
    wrong = judged(tmp_path, text.replace('"num_retries"', '"number_of_retries"'))
    assert wrong.returncode != 0
    assert "number_of_retries" in wrong.stdout + wrong.stderr


def test_a_sidecar_s_health_check_asks_envoy_itself(mesh: Mesh) -> None:
    def answers(port: int) -> bool:
        words = ["bash", "-c", mesh_services.READY.replace(f"/{envoy.ADMIN}", f"/{port}")]
        return subprocess.run(words, check=False, timeout=60, **servers.QUIET).returncode == 0

    # The administration is where the numbers come from; its port is in the file that this sidecar was started with.
    document = json.loads((mesh.folder / "inside-app" / "envoy.yaml").read_text())
    assert answers(document["admin"]["address"]["socket_address"]["port_value"])
    assert not answers(mesh.app)
    assert not answers(meshes.port())


def test_a_sidecar_that_starts_before_its_certificate_is_made_serves_as_soon_as_it_is(tmp_path: Path) -> None:
    """As after a boot of the host: what was in memory is gone, and nobody waits for anybody."""
    with ExitStack() as held:
        app, inbound = meshes.port(), meshes.port()
        certificates = tmp_path / "certificates"
        (certificates / "app").mkdir(parents=True)
        at = {("app", 8000): ("127.0.0.1", app), ("0.0.0.0", envoy.FIRST): ("127.0.0.1", inbound)}
        words, _ = meshes.started(Sidecar("app", DOMAIN, "10.0.0.2", (HTTP,), CALLERS), tmp_path, certificates, at)
        early = subprocess.Popen(list(map(str, words)), **servers.QUIET)
        held.callback(early.wait, 60)
        held.callback(early.terminate)
        asks = {"app": f"127.0.0.1:{inbound} 127.0.0.1:{meshes.port()}"}
        authority = held.enter_context(meshes.authority(tmp_path, "app", **asks))
        servers.until(lambda: authority.document["services"][0]["mutual"] == "accepted")

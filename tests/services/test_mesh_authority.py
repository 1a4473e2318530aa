"""Two real Envoys and the real authority, whose own certificate is old: another follows it under load."""

from __future__ import annotations

import shutil
import ssl
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.services import meshes
from tests.services.test_authority import of_before
from tests.services.test_mesh import Mesh, got, probed, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(meshes.program() is None or not shutil.which("openssl"), reason="no Envoy or no OpenSSL here"),
]


def trusting(pem: bytes, mesh: Mesh) -> ssl.SSLContext:
    """The caller as it is now, but that it trusts one certificate alone."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.load_verify_locations(cadata=pem.decode())
    folder = (mesh.authority.certificates / "caller" / "current").resolve()  # the two of one renewal
    made.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return made


def test_the_authority_s_own_certificate_is_followed_by_another_without_a_failed_request(tmp_path: Path) -> None:
    old = of_before(tmp_path / "authority", 200)
    with ExitStack() as held:
        mesh = Mesh(tmp_path, held, renew_s=1)
        mesh.serve()
        until(lambda: got(mesh.outbound)[0] == 200)
        ended, failed, done = threading.Event(), list[tuple[int, str]](), [0]

        def ask() -> None:
            while not ended.is_set():
                found = got(mesh.outbound)
                done[0] += 1
                if found != (200, "URI=spiffe://shop/caller"):
                    failed.append(found)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            bundle = mesh.authority.certificates / "caller" / "current" / "authority.pem"
            until(lambda: mesh.authority.document["authority"]["stage"] == "one" and old not in bundle.read_bytes())
            new = (tmp_path / "authority" / "authority.pem").read_bytes()
            # What the sidecar shows is the new one's, and it trusts what the new one signed.
            until(lambda: mesh.answer(trusting(new, mesh)).startswith(b"HTTP/1.1 200"))
            before = done[0]
            until(lambda: done[0] > before + 20)
        finally:
            ended.set()
            asking.join()
        assert failed == []
        assert new != old
        assert not mesh.answer(trusting(old, mesh)).startswith(b"HTTP/")
        assert bundle.read_bytes() == new
        assert 364 * 86400 < mesh.authority.document["authority"]["expires_s"] <= 365 * 86400
        until(lambda: probed(mesh).ok)

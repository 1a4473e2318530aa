"""The real authority of a mesh: what it says where it cannot go on, and, under load, another certificate in place of its own old one."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.services import meshes, servers
from tests.services.mesh_pair import Mesh, asking, got, probed
from tests.services.meshes import DOMAIN
from tests.services.test_authority import of_before

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
        servers.until(lambda: got(mesh.outbound)[0] == 200)
        with asking(mesh) as asked:
            bundle = mesh.authority.certificates / "caller" / "current" / "authority.pem"
            servers.until(
                lambda: mesh.authority.document["authority"]["stage"] == "one" and old not in bundle.read_bytes()
            )
            new = (tmp_path / "authority" / "authority.pem").read_bytes()
            # What the sidecar shows is the new one's, and it trusts what the new one signed.
            servers.until(lambda: mesh.answer(trusting(new, mesh)).startswith(b"HTTP/1.1 200"))
            before = asked.done
            servers.until(lambda: asked.done > before + 20)
        assert asked.failed == []
        assert new != old
        assert not mesh.answer(trusting(old, mesh)).startswith(b"HTTP/")
        assert bundle.read_bytes() == new
        assert 364 * 86400 < mesh.authority.document["authority"]["expires_s"] <= 365 * 86400
        servers.until(lambda: probed(mesh).ok)


def test_a_certificate_that_cannot_be_made_is_told_and_what_is_there_goes_on(tmp_path: Path) -> None:
    with ExitStack() as held:
        mesh = Mesh(tmp_path, held, renew_s=1).serving()
        assert servers.get(mesh.authority.port, "/live").status == 200
        shutil.rmtree(mesh.authority.certificates / "other")
        found = servers.until(lambda: mesh.authority.document["failed"])
        assert list(found) == ["other"]
        assert servers.get(mesh.authority.port, "/live").status == 503
        told = probed(mesh)
        assert (told.ok, told.detail.partition(": ")[0]) == (False, "no certificate for other")
        assert got(mesh.outbound)[0] == 200


def test_an_authority_that_is_made_anew_goes_on_with_its_key(tmp_path: Path) -> None:
    with meshes.authority(tmp_path, "app") as first:
        before, serial = (tmp_path / "authority" / "authority.pem").read_bytes(), first.serial("app")
    with meshes.authority(tmp_path, "app") as second:
        assert (tmp_path / "authority" / "authority.pem").read_bytes() == before
        assert second.serial("app") != serial
        folder = second.certificates / "app" / "current"
        words = ["openssl", "verify", "-CAfile", str(tmp_path / "authority" / "authority.pem"), str(folder / "certificate.pem")]  # fmt: skip
        assert subprocess.run(words, check=False, **servers.QUIET).returncode == 0
        # What was shown before is kept for who has just opened it, and no more than that.
        assert len(list((second.certificates / "app").glob("made-*"))) == 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"MEMBERS": ""}, "nobody needs a certificate: set MEMBERS"),
        ({"MEMBERS": "a/b"}, "DOMAIN and MEMBERS are names"),
        ({"DAYS": "0"}, "DAYS must be a number of days, from 1 to 90"),
        ({"RENEW_S": "604800"}, "RENEW_S must be a number of seconds, at most half of DAYS"),
        ({"ASK_app": "app-mesh:15100"}, "ASK_app is no pair of places: write SIDECAR:PORT SERVICE:PORT"),
        ({"AUTHORITY": "/proc/nowhere"}, "mesh-authority: "),
    ],
)
def test_an_authority_that_cannot_begin_says_why_in_one_line(more: dict[str, str], words: str, tmp_path: Path) -> None:
    own = {"PATH": os.environ["PATH"], "DOMAIN": DOMAIN, "MEMBERS": "app", "AUTHORITY": str(tmp_path), "CERTIFICATES": str(tmp_path), **more}  # fmt: skip
    done = subprocess.run([sys.executable, "-m", "services.authority"], env=own, cwd=servers.ROOT, capture_output=True, text=True, check=False, timeout=120)  # fmt: skip
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1

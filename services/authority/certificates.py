"""Certificates of one stack's mesh, that live for days, signed by the authority's own (roots.py).

Private keys are made where they are used, 0600: in the authority's volume, and in one of each sidecar's own. A new
certificate is written beside the old one and renamed into place as a whole, which is what Envoy watches for.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from services.authority.program import EC_KEY, openssl
from services.authority.roots import Roots

CURRENT = "current"


@dataclass(frozen=True)
class Authority:
    """`certificates`: a folder for each member. `domain`: what identities begin with."""

    roots: Roots
    certificates: Path
    domain: str

    def issue(self, member: str, days: int) -> None:
        """A new key and certificate for a member, in place of the ones before as a whole. Raises Failed, OSError."""
        folder = self.certificates / member
        made = Path(tempfile.mkdtemp(prefix="made-", dir=folder))
        request, extensions = made / "request", made / "extensions"
        extensions.write_text(
            f"subjectAltName=critical,URI:spiffe://{self.domain}/{member}\nbasicConstraints=critical,CA:FALSE\n"
            "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        openssl(*EC_KEY, str(made / "key.pem"))
        openssl("req", "-new", "-key", str(made / "key.pem"), "-subj", "/", "-out", str(request))
        openssl("x509", "-req", "-in", str(request), "-CA", str(self.roots.certificate), "-CAkey", str(self.roots.key),
                "-set_serial", str(1 + secrets.randbits(126)), "-days", str(days), "-extfile", str(extensions),
                "-out", str(made / "certificate.pem"))  # fmt: skip
        (made / "authority.pem").write_bytes(self.roots.trusted())
        request.unlink()
        extensions.unlink()
        _put(folder, made)


def _put(folder: Path, made: Path) -> None:
    """`current` names the new folder from one moment to the next; what it named before is taken away one renewal later."""
    link = folder / CURRENT
    before = {folder / link.readlink()} if link.is_symlink() else set[Path]()
    new = folder / f"{made.name}.link"
    new.symlink_to(made.name)
    new.rename(link)
    # Whoever opened `current` a moment ago may still read what it named then.
    for old in folder.glob("made-*"):
        if old != made and old not in before:
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()

"""An authority of one stack: its own key, and certificates that live for days. OpenSSL's command line does the arithmetic.

Private keys are made where they are used, 0600: in the authority's volume, and in one of each sidecar's own. A new
certificate is written beside the old one and renamed into place as a whole, which is what Envoy watches for.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

AUTHORITY_DAYS = 3650
CURRENT = "current"
_KEY = ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out")


class Failed(Exception):
    """OpenSSL would not: its last words."""


@dataclass(frozen=True)
class Authority:
    """`folder`: where its key is. `certificates`: a folder for each member. `domain`: what identities begin with."""

    folder: Path
    certificates: Path
    domain: str

    def prepare(self) -> None:
        """Makes the authority where there is none. One that was cut off while it was made is made again."""
        if (self.folder / "authority.pem").exists():
            return
        key, made = self.folder / "authority.key", self.folder / "authority.new"
        openssl(*_KEY, str(key))
        openssl("req", "-x509", "-new", "-key", str(key), "-subj", f"/CN={self.domain} mesh", "-days", str(AUTHORITY_DAYS),
                "-addext", "basicConstraints=critical,CA:TRUE,pathlen:0", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                "-out", str(made))  # fmt: skip
        made.rename(self.folder / "authority.pem")

    def issue(self, member: str, days: int) -> None:
        """A new key and certificate for a member, in place of the ones before as a whole. Raises Failed, OSError."""
        folder = self.certificates / member
        made = Path(tempfile.mkdtemp(prefix="made-", dir=folder))
        request, extensions = made / "request", made / "extensions"
        extensions.write_text(
            f"subjectAltName=critical,URI:spiffe://{self.domain}/{member}\nbasicConstraints=critical,CA:FALSE\n"
            "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
        )
        openssl(*_KEY, str(made / "key.pem"))
        openssl("req", "-new", "-key", str(made / "key.pem"), "-subj", "/", "-out", str(request))
        openssl("x509", "-req", "-in", str(request), "-CA", str(self.folder / "authority.pem"), "-CAkey", str(self.folder / "authority.key"),
                "-set_serial", str(1 + secrets.randbits(126)), "-days", str(days), "-extfile", str(extensions),
                "-out", str(made / "certificate.pem"))  # fmt: skip
        shutil.copyfile(self.folder / "authority.pem", made / "authority.pem")
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


def openssl(*words: str) -> None:
    """Runs OpenSSL; what it makes nobody else can read. Raises Failed."""
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False, umask=0o077, env={"PATH": os.environ["PATH"]})  # fmt: skip
    if done.returncode != 0:
        raise Failed((done.stderr.strip().splitlines() or [f"openssl {words[0]}: exit {done.returncode}"])[-1])

"""The authority's own certificate and the one that follows it. The new one is trusted by all before it signs, the old one
until nobody shows what it signed: at no time two members meet of whom one does not trust the other.

    one  --half of its life is over-->  announced  --all trust both-->  leaving  --all show the new one's-->  one

What is so far is told by the files that are there, so an authority that was cut off goes on where it was.
"""

from __future__ import annotations

import json
import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from services.authority.program import EC_KEY, openssl

DAY_S = 86400.0
TURNS = 3
"""As many as there are, at most one of each in a round: more than one only where the old one has ended, or nearly."""
Stage = Literal["one", "announced", "leaving"]
Turn = Literal["", "announce", "switch", "forget"]


@dataclass(frozen=True)
class Standing:
    """How far it is; times in seconds since 1970. `begun`, `ends`: of the certificate that signs.

    `known_at`: since when all members have what is trusted and signed now; None: not yet. `left_ends`: of the old one.
    """

    stage: Stage
    begun: float
    ends: float
    known_at: float | None = None
    left_ends: float = 0.0


def due(standing: Standing, now: float, days: int, leaf_days: int, settle_s: float) -> Turn:
    """What is to be done now. `settle_s`: how long all must have known before anything is built on it.

    A certificate that would end before what it signs is followed at once, whoever knows of it: it would be of no use.
    """
    late = standing.ends - now <= leaf_days * DAY_S
    settled = standing.known_at is not None and now - standing.known_at >= settle_s
    if standing.stage == "one":
        return "announce" if late or now - standing.begun >= days * DAY_S / 2 else ""
    if standing.stage == "announced":
        return "switch" if late or settled else ""
    return "forget" if settled or standing.left_ends <= now else ""


@dataclass(frozen=True)
class Roots:
    """`folder`: where they are, with the key of the one that signs. `days`: how long one is good."""

    folder: Path
    domain: str
    days: int
    clock: Callable[[], float] = time.time

    @property
    def certificate(self) -> Path:
        return self.folder / "authority.pem"

    @property
    def key(self) -> Path:
        return self.folder / "authority.key"

    @property
    def _next(self) -> Path:
        return self.folder / "next.pem"

    @property
    def _old(self) -> Path:
        return self.folder / "old.pem"

    @property
    def _known(self) -> Path:
        return self.folder / "known.json"

    def prepare(self) -> None:
        """Makes the first one where there is none. What was cut off is ended, or begun again. Raises Failed, OSError."""
        self._finish()
        if not self.certificate.exists():
            self._make("authority")

    def advance(self, leaf_days: int, settle_s: float) -> None:
        """Does what is due. Raises Failed, OSError; what is there then goes on."""
        self._finish()
        for _ in range(TURNS):
            turn = due(self.standing(), self.clock(), self.days, leaf_days, settle_s)
            if turn == "announce":
                self._make("next")
            elif turn == "switch":
                self._put(self._old, self.certificate.read_bytes())
                # From here on there is a key without its certificate, until the next line has run: see _finish.
                (self.folder / "next.key").rename(self.key)
                self._next.rename(self.certificate)
            elif turn == "forget":
                self._old.unlink()

    def trusted(self) -> bytes:
        """The certificates that members are to trust, the one that signs first."""
        found = [path.read_bytes() for path in (self.certificate, self._next, self._old) if path.exists()]
        return b"".join(dict.fromkeys(found))

    def given(self) -> None:
        """All members have what is trusted now, and a certificate by what signs now."""
        now, digest = self.clock(), sha256(self.trusted()).hexdigest()
        before = self._known_at(digest)
        if before is None or before > now:  # a clock that was set back would keep it waiting
            self._put(self._known, json.dumps({"of": digest, "since": now}).encode())

    def standing(self) -> Standing:
        """How far it is, by the files."""
        begun, ends = times(self.certificate)
        known = self._known_at(sha256(self.trusted()).hexdigest())
        if self._next.exists():
            return Standing("announced", begun, ends, known)
        if self._old.exists():
            return Standing("leaving", begun, ends, known, times(self._old)[1])
        return Standing("one", begun, ends, known)

    def _known_at(self, digest: str) -> float | None:
        try:
            found = json.loads(self._known.read_bytes())
            return float(found["since"]) if found["of"] == digest else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def _finish(self) -> None:
        """Ends a switch that was cut off between its two renames."""
        if self._next.exists() and not (self.folder / "next.key").exists():
            self._next.rename(self.certificate)

    def _make(self, name: str) -> None:
        """A key and its certificate; the certificate last, as a whole. Each has a name of its own: by it their signatures are told apart."""
        key, made = self.folder / f"{name}.key", self.folder / f"{name}.new"
        openssl(*EC_KEY, str(key))
        openssl("req", "-x509", "-new", "-key", str(key), "-subj", f"/CN={self.domain} mesh/serialNumber={secrets.token_hex(8)}",
                "-days", str(self.days), "-addext", "basicConstraints=critical,CA:TRUE,pathlen:0",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", str(made))  # fmt: skip
        made.rename(self.folder / f"{name}.pem")

    def _put(self, path: Path, data: bytes) -> None:
        made = path.with_suffix(".new")
        made.write_bytes(data)
        made.rename(path)


def times(certificate: Path) -> tuple[float, float]:
    """From when until when a certificate is good, in seconds since 1970. Raises Failed, OSError."""
    said = openssl("x509", "-noout", "-startdate", "-enddate", "-in", str(certificate))
    first, last = (line.partition("=")[2] for line in said.strip().splitlines())
    return ssl.cert_time_to_seconds(first), ssl.cert_time_to_seconds(last)

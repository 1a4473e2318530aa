"""Whether the mesh is in force, tried from beside it: plain text at a sidecar, the service itself, and mutual TLS."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.authority.settings import Asked

LIMIT_S = 2.0
PLAIN = b"GET / HTTP/1.0\r\n\r\n"
_TLS_RECORD = (0x15, 0x16)
"""The first bytes of a TLS alert or handshake: what somebody answers who speaks nothing else."""


def tried(each: Asked, member: str, own: Path, domain: str, more: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """What became of each try. `own`: the folder with the certificate that this program shows; `more`: the service's addresses."""
    mutual, expires_s = _mutual(each.sidecar, member, own, domain)
    reached = any(map(_reached, (each.direct, *more)))
    return {"plain": _plain(each.sidecar), "direct": "reachable" if reached else "unreachable", "mutual": mutual, "expires_s": expires_s}  # fmt: skip


def _plain(place: tuple[str, int]) -> str:
    """refused: closed without a word that is not TLS. accepted: anything else."""
    try:
        with socket.create_connection(place, LIMIT_S) as found:
            found.settimeout(LIMIT_S)
            found.sendall(PLAIN)
            said = found.recv(1)
    except TimeoutError:
        return "no answer"
    except ConnectionError:
        return "refused"
    except OSError as error:
        return f"away: {error}"
    return "refused" if not said or said[0] in _TLS_RECORD else "accepted"


def _reached(place: tuple[str, int]) -> bool:
    """Whether a way leads to the service itself. Nothing comes back over a border of networks, so the time is short."""
    try:
        with socket.create_connection(place, LIMIT_S):
            return True
    except OSError:
        return False


def _mutual(place: tuple[str, int], member: str, own: Path, domain: str) -> tuple[str, float]:
    """accepted, with the seconds that the certificate shown there is still good for; else why not."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Of TLS 1.3 a client knows only after its first request whether it was accepted.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False  # names in a mesh are identities, which are compared below
        context.load_verify_locations(own / "authority.pem")
        context.load_cert_chain(own / "certificate.pem", own / "key.pem")
        with socket.create_connection(place, LIMIT_S) as plain, context.wrap_socket(plain, server_hostname=member) as found:  # fmt: skip
            shown: Any = found.getpeercert() or {}
    except (OSError, ValueError) as error:
        return f"refused: {error}", 0.0
    if ("URI", f"spiffe://{domain}/{member}") not in shown.get("subjectAltName", ()):
        return "another answers", 0.0
    return "accepted", round(ssl.cert_time_to_seconds(shown["notAfter"]) - time.time())

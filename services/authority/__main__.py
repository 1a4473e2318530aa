"""Runs the authority: `python3 -m services.authority`. What it needs is in the environment (settings.py) and in two folders."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from services.authority import asking, settings
from services.authority.certificates import CURRENT, Authority
from services.authority.program import Failed
from services.authority.roots import Roots
from services.authority.settings import Settings

PORT = 8080
SELF = "mesh-authority"
"""Its own identity, with which it tries the mesh."""
ENDS = (signal.SIGTERM, signal.SIGINT)
ITS_OWN = "the authority itself"
"""Whose certificate failed, where it is no member's."""
AGAIN_S = 5.0
"""Seconds until it tries again what could not be made."""


class Keeper:
    """Makes certificates for all members, again and again. `failed`: members whose last one could not be made."""

    def __init__(self, found: Settings, authority: Authority) -> None:
        self.settings, self.authority = found, authority
        self.failed: dict[str, str] = {}
        self.renewed_at = 0.0
        self.stage, self.ends = "", 0.0

    def renew(self) -> None:
        """One certificate for each member, and one for itself; before them the authority's own, where it is time for that."""
        self._try(ITS_OWN, lambda: self.authority.roots.advance(self.settings.days, self.settings.renew_s / 2))
        for member in (*self.settings.members, SELF):
            self._try(member, lambda member=member: self.authority.issue(member, self.settings.days))  # type: ignore[misc]
        if ITS_OWN not in self.failed:
            self._try(ITS_OWN, self._said)
        self.renewed_at = time.time()

    def _said(self) -> None:
        """What became of this round. What follows from it is due in a later one, when all have taken it up."""
        if not self.failed:
            self.authority.roots.given()
        standing = self.authority.roots.standing()
        self.stage, self.ends = standing.stage, standing.ends

    def _try(self, whose: str, make: Callable[[], None]) -> None:
        try:
            make()
            self.failed.pop(whose, None)
        except (Failed, OSError) as error:
            self.failed[whose] = str(error)
            print(f"mesh-authority: {whose}: {error}", file=sys.stderr, flush=True)

    def run(self, ended: threading.Event) -> None:
        while not ended.wait(AGAIN_S if self.failed else self.settings.renew_s):
            self.renew()

    def document(self, more: Mapping[str, Sequence[tuple[str, int]]]) -> dict[str, Any]:
        """Whether each meshed service can be reached by mutual TLS, and in no other way. `more`: addresses of services."""
        own, domain = self.authority.certificates / SELF / CURRENT, self.settings.domain
        tries = [(name, each) for name, found in self.settings.asks.items() for each in found]
        with ThreadPoolExecutor(max_workers=16) as pool:
            found = pool.map(lambda one: asking.tried(one[1], one[0], own, domain, more.get(one[0], ())), tries)
            services = [{"service": name, **said} for (name, _), said in zip(tries, found, strict=True)]
        root = {"stage": self.stage, "expires_s": round(self.ends - time.time())}
        return {"services": services, "failed": self.failed, "renewed_at": self.renewed_at, "authority": root}


class Handler(BaseHTTPRequestHandler):
    """`/live`: every member has its certificate. `/mesh?at=SERVICE=ADDRESS:PORT&...`: what is in force, tried now."""

    keeper: Keeper

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if asked.path not in ("/live", "/mesh"):
            self._answer(404, {"reason": "there is /live and /mesh"})
        elif asked.path == "/live":
            self._answer(503 if self.keeper.failed else 200, {"failed": self.keeper.failed})
        else:
            more = places(parse_qs(asked.query).get("at", ()))
            self._answer(*((400, {"reason": "at is SERVICE=ADDRESS:PORT"}) if more is None else (200, self.keeper.document(more))))  # fmt: skip

    def _answer(self, status: int, document: Any) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        for name, value in (("Content-Type", "application/json"), ("Cache-Control", "no-store"), ("Content-Length", str(len(data)))):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a health check every few seconds is no news."""


def places(given: Sequence[str]) -> dict[str, list[tuple[str, int]]] | None:
    """service -> addresses of it; None where one is none."""
    found: dict[str, list[tuple[str, int]]] = {}
    for each in given:
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)=([0-9.]+):(\d{1,5})", each)
        if not match or int(match[3]) > 65535:
            return None
        found.setdefault(match[1], []).append((match[2], int(match[3])))
    return found


def main() -> int:
    # Waited for below: a handler would run in the midst of whatever waits, and must not touch what that holds.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    try:
        found = settings.read(os.environ)
        roots = Roots(Path(os.environ.get("AUTHORITY", "/authority")), found.domain, found.root_days)
        authority = Authority(roots, Path(os.environ.get("CERTIFICATES", "/certificates")), found.domain)
        roots.prepare()
        keeper = Keeper(found, authority)
        keeper.renew()
    except (settings.Wrong, Failed, OSError) as error:
        print(f"mesh-authority: {error}", file=sys.stderr)
        return 1
    ended = threading.Event()
    # Only its own container asks it: keys are near.
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", PORT))), type("Bound", (Handler,), {"keeper": keeper}))  # fmt: skip
    keeping = threading.Thread(target=keeper.run, args=(ended,))
    keeping.start()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"mesh-authority: {len(found.members)} members of {found.domain}", flush=True)
    signal.sigwait(ENDS)
    ended.set()
    keeping.join()
    server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())

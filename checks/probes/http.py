"""`http`: a GET over the host's link; well when the status, and the text if one is named, are as expected."""

from __future__ import annotations

import time

from checks.model import Probe
from checks.probes.kind import Judgement, Kind
from inventory.errors import InputError
from inventory.link import Link

LARGEST = 1 << 20


def dial(link: Link, probe: Probe) -> Judgement:
    import requests

    url = str(probe.settings.get("url", ""))
    if not url.startswith(("http://", "https://")):
        raise InputError("an http probe needs a url", key=probe.name, mend="write url: http://127.0.0.1:8080/health")
    begin = time.monotonic()
    try:
        with link.http().get(url, timeout=probe.timeout_s, allow_redirects=False, stream=True) as reply:
            body = next(reply.iter_content(LARGEST), b"") if probe.settings.get("contains") else b""
            took = time.monotonic() - begin
    except (requests.RequestException, OSError) as error:
        return Judgement(False, time.monotonic() - begin, detail=_short(error))
    expected = probe.settings.get("status")
    fits = reply.status_code == int(expected) if expected is not None else reply.status_code < 400
    if not fits:
        return Judgement(False, took, detail=f"status {reply.status_code}")
    if str(probe.settings.get("contains", "")).encode() not in body:
        return Judgement(False, took, detail="the expected text is not in the answer")
    return Judgement(True, took)


def _short(error: Exception) -> str:
    reason = getattr(error, "args", None) or [error]
    return f"{type(error).__name__}: {str(reason[0])[:120]}"


KIND = Kind(
    {"url": "as dialled from the host", "status": "expected; else any under 400", "contains": "text in the answer"},
    dial=dial,
)

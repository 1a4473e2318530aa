"""`cache`: what the keeper of a shared cache measures: an invalidation that arrives, warmed keys that are there, or the hits."""

from __future__ import annotations

import json
from typing import Any

from checks.model import Probe
from checks.probes.kind import Answer, Judgement, Kind, by_exit, in_service
from inventory.errors import InputError

# Its image has Python and no other client. A 503 has a body, too. The same words for all three, so that a round asks once.
ASK = (
    "import sys, urllib.error, urllib.request as r\n"
    "try: print(r.urlopen(sys.argv[1], timeout=60).read().decode())\n"
    "except urllib.error.HTTPError as e: print(e.read().decode())"
)
URL = "http://127.0.0.1:8080/state"
OF = ("invalidation", "warm", "hits")
WITHIN_MS = 500.0
"""An invalidation that takes longer is a failure: hundreds of times what it takes on an idle machine."""
SHARE = 0.9
"""Of the warmed keys that have not outlived their time: services may take some out again."""


def command(probe: Probe, project: str) -> tuple[str, ...]:
    if probe.settings.get("of") not in OF:
        raise InputError("a cache probe needs what it is of", key=probe.name, mend=f"write of: {', '.join(OF)}")
    return in_service(project, probe.service, "python3", "-c", ASK, str(probe.settings.get("url", URL)))


def judge(probe: Probe, answer: Answer) -> Judgement:
    if answer.exit != 0:
        return by_exit(answer)
    try:
        found = json.loads(answer.output)
        if "hits" not in found:
            return Judgement(False, answer.seconds, detail=f"the cache does not answer: {found['reason']}")
        return JUDGES[str(probe.settings["of"])](probe, answer, found)
    except (ValueError, KeyError, TypeError):
        return Judgement(None, detail="this is no answer of the cache keeper")


def _invalidation(probe: Probe, answer: Answer, found: Any) -> Judgement:
    took, within = found["invalidation_ms"], float(probe.settings.get("within_ms", WITHIN_MS))
    if took is None:
        return Judgement(False, answer.seconds, detail=f"an invalidation does not arrive: {found['invalidation_reason']}")  # fmt: skip
    late = f"an invalidation took {took:.0f} ms, more than {within:.0f}" if took > within else ""
    return Judgement(not late, took / 1000, float(took), late)


def _warm(probe: Probe, answer: Answer, found: Any) -> Judgement:
    warmed = found["warmed"]
    failed = ", ".join(f"{name} ({reason})" for name, reason in warmed["failed"].items())
    if not warmed["ended"] or failed:
        return Judgement(False, answer.seconds, 0.0, f"not warmed: {failed}"[:200] if failed else "warming has not ended")  # fmt: skip
    there, wanted = int(warmed["present"]), int(warmed["wanted"])
    share = there / wanted if wanted else 1.0
    well = share >= float(probe.settings.get("share", SHARE))
    return Judgement(well, answer.seconds, float(there), "" if well else f"only {there} of {wanted} warmed keys are there")  # fmt: skip


def _hits(probe: Probe, answer: Answer, found: Any) -> Judgement:
    ratio, least = found["hit_ratio"], probe.settings.get("least")
    if ratio is None:
        return Judgement(True, answer.seconds, detail="nobody reads")
    low = f"{100 * ratio:.0f} % of reads hit, less than {least}" if least is not None and 100 * ratio < least else ""
    return Judgement(not low, answer.seconds, 100 * float(ratio), low)


JUDGES = {"invalidation": _invalidation, "warm": _warm, "hits": _hits}
KIND = Kind(
    {
        "of": f"{', '.join(OF)}",
        "url": "the keeper's state as seen in its container",
        "within_ms": "an invalidation arrives within so many milliseconds",
        "share": "of the warmed keys that are there",
        "least": "percent of reads that hit",
    },
    command,
    judge,
)

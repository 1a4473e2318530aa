"""`breaker`: how often a circuit breaker has opened since it runs, by HAProxy's own statistics.

A breaker opens when HAProxy marks a server that is no backup as down (`chkdown`, which counts those that `observe` and
`error-limit` mark too). Proxies whose names begin with `_` are HAProxy's own ways, not breakers.
"""

from __future__ import annotations

import csv

from checks.model import Probe
from checks.probes.kind import Answer, Judgement, Kind, by_exit, in_service

ADDRESS = "127.0.0.1:8404/stats"
# Whatever the image has to ask with: nothing is installed for it. bash reads a socket by itself.
ASK = (
    'if command -v curl >/dev/null; then exec curl -fsS -m 5 "http://$1;csv"; fi; '
    'if command -v wget >/dev/null; then exec wget -q -T 5 -O - "http://$1;csv"; fi; '
    'exec bash -c \'place=${1%%/*}; exec 3<>"/dev/tcp/${place%%:*}/${place##*:}"; '
    'printf "GET /%s;csv HTTP/1.0\\r\\n\\r\\n" "${1#*/}" >&3; cat <&3\' sh "$1"'
)


def command(probe: Probe, project: str) -> tuple[str, ...]:
    address = str(probe.settings.get("address", ADDRESS))
    return in_service(project, probe.service, "sh", "-c", ASK, "sh", address)


def judge(probe: Probe, answer: Answer) -> Judgement:
    if answer.exit != 0:
        return Judgement(None, detail=by_exit(answer).detail)
    lines = answer.output.splitlines()
    begin = next((number for number, line in enumerate(lines) if line.startswith("# pxname")), None)
    if begin is None:
        return Judgement(None, detail="these are no statistics of HAProxy")
    trips, open_, servers = 0, list[str](), 0
    for row in csv.DictReader([lines[begin].removeprefix("# "), *lines[begin + 1 :]]):
        if (
            row["pxname"].startswith("_")
            or row.get("svname") in ("FRONTEND", "BACKEND", None)
            or row.get("bck") == "1"
            or not row.get("chkdown")
        ):
            continue
        servers += 1
        trips += int(row["chkdown"]) if row["chkdown"].isdigit() else 0
        if row.get("status", "").startswith("DOWN"):
            open_.append(f"{row['pxname']}/{row['svname']}")
    if not servers:
        return Judgement(None, detail="it watches no server")
    well = not (open_ and probe.settings.get("closed"))
    return Judgement(well, answer.seconds, float(trips), f"open: {', '.join(open_)}" if open_ else "")


KIND = Kind(
    {"address": "its statistics as seen in its container, host:port/path", "closed": "well only while none is open"},
    command,
    judge,
    measures=True,
)

"""`mesh`: whether each meshed service takes mutual TLS from its callers, and nothing at all in plain text."""

from __future__ import annotations

import json

from checks.model import Probe
from checks.probes.aggregator import ASK
from checks.probes.kind import IN_SERVICE, Answer, Judgement, Kind, by_exit

URL = "http://127.0.0.1:8080/mesh"
# $1 project, $2 authority, $3 how a program is run in a service, $4 the program that asks, $5 the address, then SERVICE:PORT
# each. The addresses that a service's containers have now are the engine's to say: the authority is on none of their
# networks, and tries them all the same.
PROGRAM = r"""
project=$1 authority=$2 inside=$3 ask=$4 url=$5 more='?'
shift 5
for each in "$@"; do
    while read -r name id; do
        [ "$name" = "${each%:*}" ] || continue
        for address in $(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$id" 2>/dev/null); do
            more="${more}at=$name=$address:${each##*:}&"
        done
    done <<END
$RUNBOOK_RUNNING
END
done
exec sh -c "$inside" sh "$project" "$authority" python3 -c "$ask" "$url$more"
"""


def command(probe: Probe, project: str) -> tuple[str, ...]:
    served = probe.settings.get("services") or {}
    places = tuple(f"{name}:{port}" for name, ports in served.items() for port in ports)
    words = (project, probe.service, IN_SERVICE, ASK, str(probe.settings.get("url", URL)))
    return ("sh", "-c", PROGRAM, "sh", *words, *places)


def judge(_: Probe, answer: Answer) -> Judgement:
    """Well when all that should be refused is, and callers are accepted. Its value: seconds until the first certificate ends."""
    if answer.exit != 0:
        return by_exit(answer)
    try:
        found = json.loads(answer.output)
        words = [f"no certificate for {name}: {why}" for name, why in found["failed"].items()]
        ends = [float(each["expires_s"]) for each in found["services"] if each["mutual"] == "accepted"]
        # An authority of before has no word on its own.
        if float(found.get("authority", {}).get("expires_s", 1)) <= 0:
            words.append("the authority's own certificate has ended")
        for each in found["services"]:
            name = each["service"]
            if each["plain"] != "refused":
                words.append(f"{name}: plain text at its sidecar: {each['plain']}")
            if each["direct"] != "unreachable":
                words.append(f"{name} is {each['direct']} past its sidecar")
            if each["mutual"] != "accepted":
                words.append(f"{name}: mutual TLS: {each['mutual']}")
            elif float(each["expires_s"]) <= 0:
                words.append(f"{name}: its certificate has ended")
    except (ValueError, KeyError, TypeError, AttributeError):
        return Judgement(None, detail="this is no answer of the mesh's authority")
    return Judgement(not words, answer.seconds, min(ends, default=None), "; ".join(words)[:200])


KIND = Kind({"url": "the authority's word as seen in its container", "services": "service -> ports, tried at the addresses of its containers"}, command, judge)  # fmt: skip

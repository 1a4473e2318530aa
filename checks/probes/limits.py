"""`limits`: whether the engine holds a service's containers to the limits that were planned, read from the engine itself."""

from __future__ import annotations

from checks.model import Probe
from checks.probes.kind import Answer, Judgement, Kind, by_exit
from inventory.replies import count

STATE = (
    'ids=$(docker ps -q --filter "label=com.docker.compose.project=$1" --filter label=com.docker.compose.oneoff=False) '
    '|| exit 125; [ -n "$ids" ] || exit 0; docker inspect -f '
    "'{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}} {{.HostConfig.MemoryReservation}} "
    '{{index .Config.Labels "com.docker.compose.service"}}\' $ids'
)
"""The same words for every service of a project, so that a round asks the engine once for all of them."""
WORDS = {"cpus": "CPUs", "memory": "bytes of memory", "reservation": "bytes reserved"}


def command(_: Probe, project: str) -> tuple[str, ...]:
    return ("sh", "-c", STATE, "sh", project)


def judge(probe: Probe, answer: Answer) -> Judgement:
    if answer.exit != 0:
        return by_exit(answer)
    lines = [line.split() for line in answer.output.strip().splitlines()]
    if any(len(words) != 4 or None in map(count, words[:3]) for words in lines):
        return Judgement(None, detail="the engine's answer cannot be understood")
    own = [words for words in lines if words[3] == probe.service]
    if not own:
        return Judgement(False, answer.seconds, detail="no running container")
    for words in own:
        nano, memory, reserved = (count(word) or 0 for word in words[:3])
        for name, found in (("cpus", nano / 1e9), ("memory", memory), ("reservation", reserved)):
            wanted = probe.settings.get(name)
            if wanted is not None and abs(float(wanted) - found) > 1e-6:
                return Judgement(
                    False, answer.seconds, found, f"{found:.12g} {WORDS[name]}, planned {float(wanted):.12g}"
                )
    return Judgement(True, answer.seconds)


KIND = Kind(
    {"cpus": "the CPU limit", "memory": "the memory limit in bytes", "reservation": "the reserved memory in bytes"},
    command,
    judge,
)

"""`resources`: how much of its CPU or memory limit a service uses, in percent; of the host's where it has no limit."""

from __future__ import annotations

from checks.model import Probe
from checks.probes.kind import Answer, Judgement, Kind, by_exit

STATE = (
    'ids=$(docker ps -q --filter "label=com.docker.compose.project=$1" --filter label=com.docker.compose.oneoff=False) '
    '|| exit 125; echo cpus "$(docker info -f \'{{.NCPU}}\')"; [ -n "$ids" ] || exit 0; '
    "docker inspect -f 'limit {{.Id}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpuQuota}} {{.HostConfig.CpuPeriod}} "
    '{{index .Config.Labels "com.docker.compose.service"}}\' $ids; '
    "docker stats --no-stream --no-trunc --format 'used {{.ID}} {{.CPUPerc}} {{.MemPerc}}' $ids"
)
"""The same words for every service of a project. The engine itself looks twice, a second apart."""
OF = ("cpu", "memory")


def command(_: Probe, project: str) -> tuple[str, ...]:
    return ("sh", "-c", STATE, "sh", project)


def judge(probe: Probe, answer: Answer) -> Judgement:
    if answer.exit != 0:
        found = by_exit(answer)
        return Judgement(None, detail=found.detail)
    host_cpus, limits, used = 0.0, dict[str, float](), dict[str, tuple[float, float]]()
    for words in map(str.split, answer.output.splitlines()):
        try:
            match words:
                case ["cpus", count]:
                    host_cpus = float(count)
                case ["limit", id_, nano, quota, period, service] if service == probe.service:
                    limits[id_] = float(nano) / 1e9 or (max(0.0, float(quota)) / (float(period) or 1e5))
                case ["used", id_, cpu, memory]:
                    used[id_] = float(cpu.rstrip("%")), float(memory.rstrip("%"))
        except ValueError:
            continue  # a container that has just ended has "--" in place of figures
    shares = [
        used[id_][1] if probe.settings.get("of") == "memory" else used[id_][0] / (cpus or host_cpus or 1.0)
        for id_, cpus in limits.items()
        if id_ in used
    ]
    if not shares:
        return Judgement(None, detail=f"{probe.service}: no running container")
    return Judgement(True, value=sum(shares) / len(shares))


KIND = Kind({"of": "cpu or memory"}, command, judge, measures=True)

"""`sentinel`: a Redis with replicas and Sentinels: one master, the others follow it, and all Sentinels see each other and agree on it.

A replica that a Sentinel does not know yet, or that may not lead yet, cannot become the master: it looks every 10 s.

Asked in a Sentinel's container, which reaches all others. A name is taken for what Sentinels announce, so they must announce names.
"""

from __future__ import annotations

from collections.abc import Iterable

from checks.model import Probe
from checks.probes.kind import Answer, Judgement, Kind, by_exit, in_service

# $1 the set's name, $2 the nodes' port, $3 the nodes, parted by blanks, then the Sentinels. A line each: "node NAME ROLE LINK",
# "sentinel NAME MASTER OTHERS REPLICAS QUORUM" with the counts of those that are well; all at once, as one that is away takes its whole limit.
ASK = r"""
set=$1 port=$2 nodes=$3; shift 3
[ -z "${REDIS_PASSWORD:-}" ] || export REDISCLI_AUTH="$REDIS_PASSWORD"
ask() { timeout 3 redis-cli -h "$@" 2>&1 | tr -d '\r'; }
for node in $nodes; do
    { said=$(ask "$node" -p "$port" info replication)
      echo "node $node $(printf '%s\n' "$said" | sed -n 's/^role://p') $(printf '%s\n' "$said" | sed -n 's/^master_link_status://p')"; } &
done
for each in "$@"; do
    { master=$(ask "$each" -p 26379 sentinel get-master-addr-by-name "$set" | head -n 1)
      others=$(ask "$each" -p 26379 sentinel sentinels "$set" | grep -A 1 -x flags | grep -cx sentinel)
      replicas=$(ask "$each" -p 26379 sentinel replicas "$set" | awk 'key == "flags" { well = $0 == "slave" }
          key == "slave-priority" { count += well && $0 > 0 } { key = $0 } END { print count + 0 }')
      quorum=$(ask "$each" -p 26379 sentinel ckquorum "$set" | head -n 1)
      echo "sentinel $each ${master:-?} $others $replicas $quorum"; } &
done
wait
"""


def command(probe: Probe, project: str) -> tuple[str, ...]:
    given = probe.settings
    words = (str(given["master"]), str(given.get("port", 6379)), " ".join(_names(given["nodes"])))
    return in_service(project, probe.service, "sh", "-c", ASK, "sh", *words, *_names(given["sentinels"]))


def _names(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, Iterable) and not isinstance(value, str) else []


def judge(probe: Probe, answer: Answer) -> Judgement:
    """Well when nothing is amiss; `value` is how many Sentinels agree on the master."""
    if answer.exit != 0:
        return by_exit(answer)
    lines = [line.split(" ") for line in answer.output.splitlines()]
    roles = {words[1]: (words[2], words[3]) for words in lines if words[0] == "node" and len(words) == 4}
    told = {words[1]: words[2:] for words in lines if words[0] == "sentinel" and len(words) >= 6}
    nodes, sentinels = _names(probe.settings["nodes"]), _names(probe.settings["sentinels"])
    masters = [name for name in nodes if roles.get(name, ("",))[0] == "master"]
    wrong = [f"{name} does not answer" for name in nodes if not roles.get(name, ("",))[0]]
    wrong += [f"{name} says {' '.join(told.get(name, ['nothing']))[:80]}" for name in sentinels if told.get(name, ["?"])[0] not in nodes]  # fmt: skip
    if len(masters) != 1:
        wrong.append(f"masters: {', '.join(masters) or 'none'}")
    wrong += [f"{name} has lost its master" for name in nodes if roles.get(name, ("", ""))[0] == "slave" and roles[name][1] != "up"]  # fmt: skip
    agree = [name for name in sentinels if told.get(name, ["?"])[0] in masters]
    wrong += [f"{name} holds {told[name][0]} for the master" for name in sentinels if name not in agree and told.get(name, ["?"])[0] in nodes]  # fmt: skip
    for name in agree:
        if told[name][1] != str(len(sentinels) - 1):
            wrong.append(f"{name} sees {told[name][1]} of {len(sentinels) - 1} others")
        elif told[name][2] != str(len(nodes) - 1):
            wrong.append(f"{name} knows {told[name][2]} of {len(nodes) - 1} replicas that may lead")
        elif told[name][3] != "OK":
            wrong.append(f"{name}: {' '.join(told[name][3:])[:120]}")
    return Judgement(not wrong, answer.seconds, float(len(agree)), "; ".join(wrong)[:300])


KIND = Kind(
    {
        "master": "what the Sentinels call the set",
        "port": "of its nodes",
        "nodes": "master and replicas, by name",
        "sentinels": "the Sentinels, by name",
    },
    command,
    judge,
)

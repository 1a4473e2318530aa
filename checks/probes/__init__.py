"""The table of probe kinds, and one round of all probes of a host: in parallel, one exchange for what runs there."""

from __future__ import annotations

import base64
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from difflib import get_close_matches

from checks.model import Probe, Sample
from checks.probes import (
    aggregator,
    breaker,
    cache,
    command,
    container,
    files,
    http,
    limits,
    mesh,
    pgbouncer,
    postgres,
    redis,
    registry,
    resources,
    sentinel,
    startup,
    tcp,
)
from checks.probes.kind import IN_SERVICE, Answer, Judgement, Kind
from inventory.errors import HostFailed, InputError, RunbookError, Unreachable
from inventory.link import Link

KINDS: Mapping[str, Kind] = {
    "aggregator": aggregator.KIND,
    "breaker": breaker.KIND,
    "cache": cache.KIND,
    "command": command.KIND,
    "container": container.KIND,
    "files": files.KIND,
    "http": http.KIND,
    "limits": limits.KIND,
    "mesh": mesh.KIND,
    "pgbouncer": pgbouncer.KIND,
    "postgres": postgres.KIND,
    "redis": redis.KIND,
    "registry": registry.KIND,
    "resources": resources.KIND,
    "sentinel": sentinel.KIND,
    "startup": startup.KIND,
    "tcp": tcp.KIND,
}
SLACK_S = 10.0
"""Seconds that a round may take besides its slowest probe: starting the programs, and the exchange."""
OUTPUT_LIMIT = 16384
_FRAME = re.compile(r"([0-9]{1,9}) ([0-9]{1,3}) ([0-9]{1,12}|-) ([A-Za-z0-9+/=]*)\Z")

# Standard input: of each probe a line with its time limit, the number of lines that follow, which are its words as a shell quotes
# them, and "timed" where it is. All run at once; an answer is "number exit-code milliseconds base64-of-output".
#
# The containers are looked up once for all ($1: the project, empty when no probe is asked in one). Who did not answer in
# time is asked once more: on a host that is busy with all the other probes the asking itself may be what was slow.
PROGRAM = r"""
if [ -n "$1" ]; then
    RUNBOOK_RUNNING=$(docker ps --filter "label=com.docker.compose.project=$1" --filter label=com.docker.compose.oneoff=False \
        --format '{{.Label "com.docker.compose.service"}} {{.ID}}' 2>&1) || RUNBOOK_RUNNING="down $RUNBOOK_RUNNING"
    export RUNBOOK_RUNNING
fi
one() {
    limit=$2 number=$1 timed=$3 took=-
    eval "set -- $4"
    for time in first second; do
        [ -z "$timed" ] || begin=$(date +%s%N)
        out=$(timeout "$limit" "$@" 2>&1 </dev/null); code=$?
        case $code in 124 | 143) ;; *) break ;; esac
    done
    if [ -n "$timed" ]; then
        end=$(date +%s%N)
        case $begin$end in *N*) took=0 ;; *) took=$(( (end - begin) / 1000000 )) ;; esac
    fi
    printf '%s %s %s %s\n' "$number" "$code" "$took" "${out:+$(printf %s "$out" | tail -c 16384 | base64 | tr -d '\n')}"
}
number=0
while read -r limit lines timed; do
    IFS= read -r words
    while [ "$lines" -gt 1 ]; do
        IFS= read -r line
        words="$words
$line" lines=$((lines - 1))
    done
    one "$number" "$limit" "$timed" "$words" &
    number=$((number + 1))
done
wait
"""


def validate(probe: Probe, path: str = "", line: int | None = None) -> None:
    """Raises InputError, with "did you mean", for an unknown kind or setting of a probe."""
    kind = KINDS.get(probe.kind)
    if kind is None:
        near = get_close_matches(probe.kind, KINDS, n=1)
        mend = f"did you mean {near[0]}?" if near else f"kinds: {', '.join(KINDS)}"
        raise InputError(f"{probe.kind} is no kind of probe", path=path, line=line, key=probe.name, mend=mend)
    for name in probe.settings:
        if name not in kind.settings:
            near = get_close_matches(name, kind.settings, n=1)
            mend = f"did you mean {near[0]}?" if near else f"settings: {', '.join(kind.settings) or 'none'}"
            raise InputError(
                f"{name} is no setting of a {probe.kind} probe", path=path, line=line, key=probe.name, mend=mend
            )


def round_(link: Link, probes: Sequence[Probe], project: str) -> list[Sample]:
    """One sample of each probe of one host, measured at once. A link that is cut off gives samples that are unknown."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    on_host = [probe for probe in probes if KINDS[probe.kind].command is not None]
    over_link = [probe for probe in probes if KINDS[probe.kind].command is None]
    found: dict[str, Judgement] = {}
    if not over_link:  # nothing is asked beside it, so no thread is made for it
        found = _ask_host(link, on_host, project)
    else:
        with ThreadPoolExecutor(max_workers=4) as pool:
            asked = pool.submit(_ask_host, link, on_host, project)
            dialled = {probe.name: pool.submit(_ask_link, link, probe) for probe in over_link}
            found |= asked.result()
            found |= {name: future.result() for name, future in dialled.items()}
    host = link.host.name
    return [
        Sample(probe.name, host, at, *_parts(found.get(probe.name, Judgement(None, detail="no answer"))))
        for probe in probes
    ]


def _parts(found: Judgement) -> tuple[bool | None, float | None, float | None, str]:
    return found.ok, found.latency_s, found.value, found.detail


def _ask_host(link: Link, probes: Sequence[Probe], project: str) -> dict[str, Judgement]:
    """Runs all probes that are programs on the host, in one exchange."""
    if not probes:
        return {}
    asked: dict[tuple[str, ...], float] = {}
    timed: set[tuple[str, ...]] = set()
    words_of: dict[str, tuple[str, ...]] = {}
    for probe in probes:
        make = KINDS[probe.kind].command
        assert make is not None  # noqa: S101 - chosen by the caller
        words_of[probe.name] = words = make(probe, project)
        # Probes that ask the same are asked once.
        asked[words] = max(asked.get(words, 0.0), probe.timeout_s)
        if KINDS[probe.kind].timed:
            timed.add(words)
    texts = [_quoted(words, timeout_s, words in timed) for words, timeout_s in asked.items()]
    limit = 2 * max(asked.values()) + SLACK_S
    looked_up = project if any(IN_SERVICE in words for words in asked) else ""
    data = "".join(texts).encode("utf-8", "surrogateescape")
    try:
        reply = link.run(
            PROGRAM, looked_up, data=data, timeout_s=limit, become=link.host.become,
            limit=len(texts) * 3 * OUTPUT_LIMIT + 65536,
        )  # fmt: skip
    except (Unreachable, HostFailed) as error:
        return {probe.name: Judgement(None, detail=error.message) for probe in probes}
    numbers = {words: number for number, words in enumerate(asked)}
    answers = _answers(reply.text)

    def judged(probe: Probe) -> Judgement:
        answer = answers.get(numbers[words_of[probe.name]])
        return KINDS[probe.kind].judge(probe, answer) if answer else Judgement(None, detail="no answer")

    return {probe.name: judged(probe) for probe in probes}


def _quoted(words: Sequence[str], timeout_s: float, timed: bool) -> str:
    """A probe as the program on the host reads it."""
    text = shlex.join(words)
    return f"{timeout_s:g} {text.count(chr(10)) + 1}{' timed' if timed else ''}\n{text}\n"


def _answers(text: str) -> dict[int, Answer]:
    """The frames of a reply; a line that is none is not an answer."""
    found: dict[int, Answer] = {}
    for line in text.splitlines():
        match = _FRAME.match(line)
        if match:
            try:
                output = base64.b64decode(match[4], validate=True).decode("utf-8", "replace")
            except ValueError:
                continue
            found[int(match[1])] = Answer(int(match[2]), output, None if match[3] == "-" else int(match[3]) / 1000)
    return found


def _ask_link(link: Link, probe: Probe) -> Judgement:
    """Runs one probe from the controller, over the host's link."""
    dial = KINDS[probe.kind].dial
    assert dial is not None  # noqa: S101 - chosen by the caller
    begin = time.monotonic()
    try:
        return dial(link, probe)
    except Unreachable as error:
        return Judgement(None, detail=error.message)
    except RunbookError as error:
        return Judgement(None, latency_s=time.monotonic() - begin, detail=error.message)

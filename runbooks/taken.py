"""Files that a plan would create and that are there: somebody's own, or what an earlier run wrote. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256

from rollback.model import FileState
from runbooks.draft import Draft
from runbooks.plan_model import HostPlan, PlannedFile


def why(path: str) -> str:
    """Why a file is not created, with the mend."""
    return f"{path} would be created and is there already: move it away, or rename it"


def lines(draft: Draft, states: Mapping[str, FileState]) -> Iterable[str]:
    """Files that the plan would create and that are there already with other bytes, a line each. Those that an earlier
    run wrote, and nobody changed, may be written anew: that is known where the snapshots are (`own_files`)."""
    for drafted in draft.stages:
        for path, data in drafted.created.items():
            there = states.get(path)
            if there is not None and there.sha256 not in (None, sha256(data).hexdigest()):
                yield why(path)


def own_files(host: HostPlan, written: Mapping[str, bytes]) -> HostPlan:
    """The plan of a host on which files, by path with their bytes, are as earlier runs wrote them: those are changed,
    not created over somebody's own."""
    mine = {file.path: written[file.path] for file in host.files if file.path in written and file.data_before is None}
    if not mine:
        return host
    free = {why(path) for path in mine}
    stages = tuple(
        replace(stage, files=tuple(replace(file, data_before=_known(file, mine)) for file in stage.files))
        for stage in host.stages
    )
    return replace(host, stages=stages, blocked=tuple(line for line in host.blocked if line not in free))


def _known(file: PlannedFile, mine: Mapping[str, bytes]) -> bytes | None:
    """A file's bytes before its stage: what stands there now, where it is that."""
    there = mine.get(file.path)
    return there if there is not None and sha256(there).hexdigest() == file.before.sha256 else file.data_before

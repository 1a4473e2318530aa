"""What the program does, in which order: the effects on which the proof was run.

What a power cut may leave depends on nothing but the order of writes, syncs and renames, and the proof of it takes long. So
the commands of each operation that change anything stand in `effects/`, without what differs from run to run. Who changes
them has to run `./inv proof` again, and only then writes them anew: RUNBOOK_EFFECTS=new.
"""

import os
import re
from pathlib import Path

import pytest

from lab.proof import strikes
from lab.proof.bed import Bed

pytestmark = pytest.mark.slow

KEPT = Path(__file__).parent / "effects"
EFFECTS = ("chmod", "chown", "cp", "dd", "ln", "mkdir", "mv", "rm", "rmdir", "sync")
OPERATIONS = {operation.name: operation for operation in strikes.OPERATIONS}


def plain(call, bed):
    """A command without what differs between runs and machines."""
    # The folders above all, which a first transaction syncs too, have other names on each machine.
    own = " ".join(word for word in call.split(" ") if Path(word) not in bed.state.parents)
    text = own.removesuffix("/").replace(str(bed.project), "PROJECT").replace(str(bed.state), "STATE")
    text = re.sub(r"[0-9a-f]{64}", lambda found: f"SUM-{found[0][:6]}", text)
    text = re.sub(r"(?<=since=|newed=)[0-9]+", "N", text)
    text = re.sub(r"commands/[0-9]+-[0-9]+", "commands/N", text)
    text = re.sub(r"(?<=[.])[0-9]{2,}\b", "N", text)
    return re.sub(r"(?<=seek=)[0-9]+", "N", text)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_effects_of_an_operation_are_those_on_which_the_proof_was_run(tmp_path, name):
    bed, operation = Bed(tmp_path / "bed"), OPERATIONS[name]
    bed.make()
    operation.ready(bed)
    bed.keep()
    bed.again()
    calls = strikes.measured(bed, operation)
    found = "".join(f"{plain(call, bed)}\n" for call in calls if call.split()[0] in EFFECTS)
    kept = KEPT / f"{name.replace(' ', '-')}.txt"
    if os.environ.get("RUNBOOK_EFFECTS") == "new":
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(found)
    assert found.splitlines() == kept.read_text().splitlines()

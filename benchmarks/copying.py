"""What both ways of mutation testing share: a copy of the checkout, how a part scored, and the lowest priority."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Score:
    """What became of the mutants of one file. `survivors` are their names, or what they do."""

    path: str
    made: int
    caught: int
    survivors: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        return self.caught / self.made if self.made else 1.0


def copied(place: Path) -> None:
    """Copies the checkout's files as they are now, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )  # fmt: skip
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)


def low(words: Sequence[str]) -> list[str]:
    """The words at the lowest priority."""
    return ["nice", "-n", "15", *words]

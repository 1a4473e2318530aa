"""The programs that steps bring into a stack, as the build contexts of their images: `services/` of this tool itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("aggregator", "authority", "cache", "registrar")
"""The programs that there are, each a folder below `services/`."""


@cache
def program(name: str) -> Mapping[str, bytes]:
    """The build context of one program: its Dockerfile, the locked requirements that all of them share, and itself."""
    folder = ROOT / "services"
    programs = [folder / "__init__.py", *sorted((folder / name).glob("*.py"))]
    return {
        "Dockerfile": (folder / name / "Dockerfile").read_bytes(),
        "requirements.txt": (ROOT / "requirements" / "aggregator.txt").read_bytes(),
        **{str(path.relative_to(ROOT)): path.read_bytes() for path in programs},
    }


def aggregator() -> Mapping[str, bytes]:
    """The build context of the health aggregator."""
    return program("aggregator")


@cache
def script(name: str) -> str:
    """A program of sh that a step brings along, for containers that have nothing else."""
    return (Path(__file__).parent / f"{name}.sh").read_text()


def image(name: str, context: Mapping[str, bytes]) -> str:
    """An image's name that tells its content, so that another content is another image, and the same is not built again."""
    digest = sha256()
    for path, data in sorted(context.items()):
        digest.update(f"{path} {len(data)}\n".encode() + data)
    return f"compose-runbook/{name}:{digest.hexdigest()[:12]}"

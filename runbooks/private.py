"""Runs commands on a host beside files that only they see: a private temporary folder, gone afterwards; one exchange."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import field

from inventory.errors import HostFailed
from inventory.link import Link
from inventory.values import frozen
from runbooks.programs import Part, answers, program

LANES = 4
"""Commands at once: each starts Compose, which costs about 0.1 s of processor time."""
OUTPUT_LIMIT = 4 << 20


@frozen
class Bench:
    """What to run beside what. Names are words of letters, digits and dots.

    `files` land in the private folder; `mirrors` are copies of the project made of links, in which some files (paths
    relative to the project) have other bytes. A command's word that begins with `@` is a path in the private folder.
    """

    project_dir: str
    commands: Mapping[str, Sequence[str]]
    files: Mapping[str, bytes] = field(default_factory=dict)
    mirrors: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)


@frozen
class Ran:
    """How each command ended. `folder` is where the private folder was, for paths in their output."""

    folder: str
    parts: Mapping[str, Part]


def run(link: Link, bench: Bench, *, timeout_s: float = 120.0) -> Ran:
    """Runs all commands and returns how each ended. Raises Unreachable, HostFailed."""
    lines = [f"file {name} {_word(data)}\n" for name, data in bench.files.items()]
    for name, changed in bench.mirrors.items():
        lines += [f"mirror {name} {_word(path.encode())} {_word(data)}\n" for path, data in changed.items()]
    for name, words in bench.commands.items():
        lines.append(
            " ".join(["run", name, *(_word(word.encode("utf-8", "surrogateescape")) for word in words)]) + "\n"
        )
    lanes = max(1, min(LANES, len(bench.commands)))
    reply = link.run(
        program("private"), bench.project_dir, str(lanes), str(OUTPUT_LIMIT), data="".join(lines).encode(),
        timeout_s=timeout_s, become=link.host.become,
    )  # fmt: skip
    if reply.exit != 0:
        raise HostFailed(
            f"nothing could be tried in a private folder: {reply.complaint}",
            host=link.host.name, mend="see that /tmp is writable, and that mktemp and base64 work there",
        )  # fmt: skip
    found = answers(reply.out, link.host.name).parts
    return Ran(found.pop("folder", Part(0, b"")).out.decode(), found)


def _word(data: bytes) -> str:
    return base64.b64encode(data).decode() or "-"

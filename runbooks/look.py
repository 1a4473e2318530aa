"""A host is opened and its files are read by one process, where both are plain: to start programs is most of what that takes a host.

Which cases are plain is said in `look.pl`; all others are asked of the shell's programs, by an exchange more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from inventory.link import Call, Link, Reply
from rollback import door
from runbooks import programs

DONE, FILES = 0, "--files"
_LENGTH = re.compile(rb"([0-9]{1,9})\n")


@cache
def text() -> str:
    """The program in Perl."""
    return door.common() + (Path(__file__).parent / "look.pl").read_text()


def plainly(link: Link, opening: Call, reading: Call, *, timeout_s: float, limit: int) -> Sequence[Reply]:
    """What the opening of a host and the reading of its files reply; none where it is not plain, and both are still to be asked.

    Raises what an exchange raises.
    """
    _, state, project, run, who, *_ = opening.args
    if (reading.program, reading.args) != (programs.program("survey"), (project, FILES)) or reading.become:
        return ()
    words = (text(), state, project, run, who)
    reply = link.run(programs.program("look"), *words, data=reading.data, timeout_s=timeout_s, limit=limit)
    length = _LENGTH.match(reply.out)
    if reply.exit != DONE or length is None:
        return ()
    at = length.end()
    end = at + int(length[1])
    return (replace(reply, out=reply.out[at:end]), replace(reply, out=reply.out[end:])) if end <= len(reply.out) else ()

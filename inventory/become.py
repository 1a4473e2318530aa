"""`ansible_become`: how a program is run as root by sudo, and how a password gets there: on standard input alone.

sudo reads the password from standard input only when it wants one (a rule may say NOPASSWD, a login may be fresh), so a
line that marks the end follows it, and the program begins by reading up to that line: its data begins after it either way.
"""

from __future__ import annotations

import re

from inventory.errors import InputError, Unreachable
from inventory.link import Reply
from inventory.model import Host
from inventory.secrets import Mask, resolve

MARK = "compose-runbook: the data begins"
_PAST_MARK = f"while IFS= read -r line && [ \"$line\" != '{MARK}' ]; do :; done\n"
_SAID = re.compile(r"^sudo: (.*)$", re.MULTILINE)
_ABSENT = re.compile(r"\bsudo: (?:command |)not found")
KEY = "ansible_become_password"


def password(host: Host, mask: Mask) -> str | None:
    """What sudo asks this user for, from its source; None where the inventory names none. Raises InputError."""
    given = host.variables.get(KEY, host.variables.get("ansible_become_pass"))
    if given is None:
        return None
    found = resolve(given, mask, key=KEY)
    if "\n" in found or "\0" in found:
        raise InputError("has a line break or NUL in it", host=host.name, key=KEY, mend="see what its source gives")
    return found


def words(
    program: str, args: tuple[str, ...], data: bytes, secret: str | None, *, root: bool
) -> tuple[list[str], bytes]:
    """The words that run a program as root, and what its standard input gets. `root`: the user is root already."""
    if root:
        return ["sh", "-c", program, "sh", *args], data
    if secret is None:
        return ["sudo", "-n", "sh", "-c", program, "sh", *args], data
    begin = f"{secret}\n{MARK}\n".encode()
    return ["sudo", "-S", "-p", "", "sh", "-c", _PAST_MARK + program, "sh", *args], begin + data


def check(reply: Reply, host: Host) -> None:
    """Raises Unreachable, with the mend, when it was sudo that ended a program: it was never begun then."""
    text = reply.err.decode("utf-8", "replace")
    if reply.exit == 127 and _ABSENT.search(text):
        raise Unreachable("there is no sudo", host=host.name, mend="install it, or take ansible_become out")
    said = _SAID.findall(text)
    if reply.exit != 1 or not said or reply.out:
        return
    source = f"give {KEY} a source: {{from_command: ...}} or {{from_env: ...}}; or allow it without one in sudoers"
    raise Unreachable(f"sudo refused: {said[-1].strip()[:200]}", host=host.name, mend=source)

"""Which host keys are trusted: known_hosts as OpenSSH reads it, and a refusal that says what to verify."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inventory.errors import Unreachable

if TYPE_CHECKING:
    import paramiko
    from fabric import Connection

VERIFY = (
    "compare the fingerprint with the one that the host's owner reads on its console, then mend known_hosts by hand"
)


def make_strict(connection: Connection, name: str) -> None:
    """Gives a connection, and each jump before it, the known host keys and a policy that refuses others."""
    from fabric import Connection

    lookup = connection.config.base_ssh_config.lookup(connection.original_host)
    alias = lookup.get("hostkeyalias", connection.host)
    plain = alias if connection.port == 22 or "hostkeyalias" in lookup else f"[{alias}]:{connection.port}"
    asked_for = connection.host if connection.port == 22 else f"[{connection.host}]:{connection.port}"
    known, revoked, authorities = read_known_hosts(known_hosts_files(lookup), plain)
    connection.client.get_host_keys().clear()
    for key in known:
        connection.client.get_host_keys().add(asked_for, key.get_name(), key)
    connection.client.set_missing_host_key_policy(refusal(name, revoked, authorities))
    wanted = {fingerprint(key) for key in known} & {fingerprint(key) for key in revoked}
    if wanted:
        raise Unreachable(f"its host key {min(wanted)} is @revoked in known_hosts", host=name, mend=VERIFY)
    if isinstance(connection.gateway, Connection):
        make_strict(connection.gateway, f"{name} (jump {connection.gateway.original_host})")


def known_hosts_files(lookup: Any) -> list[Path]:
    """The known_hosts files that an ssh_config names, else the usual ones."""
    user = lookup.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2")
    system = lookup.get("globalknownhostsfile", "/etc/ssh/ssh_known_hosts")
    return [Path(word).expanduser() for text in (user, system) for word in words(text)]


@lru_cache(maxsize=256)
def words(text: str) -> tuple[str, ...]:
    """The words of a line that most hosts of a fleet share, as a shell has them. Raises ValueError."""
    return tuple(shlex.split(text))


def read_known_hosts(files: list[Path], name: str) -> tuple[list[paramiko.PKey], list[paramiko.PKey], int]:
    """The keys known for `name`, those revoked for anyone, and how many @cert-authority lines cannot be used here."""
    from paramiko.hostkeys import HostKeyEntry

    known: list[paramiko.PKey] = []
    revoked: list[paramiko.PKey] = []
    authorities = 0
    for path in files:
        if not path.is_file():
            continue
        plain, others = read_lines(path, path.stat().st_mtime_ns)
        for number, marker, text in sorted((*plain.get(name.lower(), ()), *others)):
            if marker == "@cert-authority":
                authorities += 1
                continue
            # Reading a key takes long, and most lines of a fleet's file are about other hosts.
            if not marker and not names_host(text.split()[0].split(","), name):
                continue
            try:
                entry = HostKeyEntry.from_line(text, number)
            except Exception:  # noqa: S112 - a line that cannot be read is no known key
                continue
            if entry is None or entry.key is None:
                continue
            if marker == "@revoked":
                revoked.append(entry.key)
            elif not marker:
                known.append(entry.key)
    return known, revoked, authorities


Lines = tuple[tuple[int, str, str], ...]
"""Number, marker and the rest of each line."""


@lru_cache(maxsize=32)
def read_lines(path: Path, _changed_ns: int) -> tuple[Mapping[str, Lines], Lines]:
    """A known_hosts file, once for all hosts: lines by the one name that they are about, and those that have to be tried."""
    plain: dict[str, Lines] = {}
    others: list[tuple[int, str, str]] = []
    for number, raw in enumerate(path.read_text(errors="replace").splitlines(), 1):
        text, marker = raw.strip(), ""
        if text.startswith("@"):
            marker, _, text = text.partition(" ")
            text = text.strip()
        if not text or text.startswith("#"):
            if marker:
                others.append((number, marker, text))
            continue
        names = text.split()[0].lower()
        if marker or set(names) & set("*?!,|"):
            others.append((number, marker, text))
        else:
            plain[names] = (*plain.get(names, ()), (number, marker, text))
    return plain, tuple(others)


def names_host(patterns: list[str], name: str) -> bool:
    """Whether a line of known_hosts is about a host: hashes, `*` and `?`, and `!` that takes a host out."""
    from paramiko.hostkeys import HostKeys

    def fits(pattern: str) -> bool:
        if pattern.startswith("|1|"):
            return str(HostKeys.hash_host(name, pattern)) == pattern
        if not {"*", "?"} & set(pattern):  # as most lines are, and each form is compiled anew
            return pattern.lower() == name.lower()
        form = re.escape(pattern.lower()).replace(r"\*", ".*").replace(r"\?", ".")
        return re.fullmatch(form, name.lower()) is not None

    return any(fits(each) for each in patterns if each[:1] != "!") and not any(
        fits(each[1:]) for each in patterns if each[:1] == "!"
    )


def refusal(name: str, revoked: list[paramiko.PKey], authorities: int) -> paramiko.MissingHostKeyPolicy:
    """A policy that refuses a host whose key is not known, and says so with its fingerprint."""
    from paramiko import MissingHostKeyPolicy

    class Refuse(MissingHostKeyPolicy):
        def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
            if any(fingerprint(key) == fingerprint(other) for other in revoked):
                raise Unreachable(f"its host key {fingerprint(key)} is @revoked in known_hosts", host=name, mend=VERIFY)
            words = (
                f"; {authorities} @cert-authority lines were left out: they cannot be read here" if authorities else ""
            )
            raise Unreachable(
                f"its host key {fingerprint(key)} is not in known_hosts (known: none){words}", host=name, mend=VERIFY
            )

    return Refuse()


def fingerprint(key: paramiko.PKey) -> str:
    """A key's type and SHA256 fingerprint as `ssh-keygen -l` prints it."""
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"

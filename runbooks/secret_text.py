"""Finds what looks like a secret in a file's text, wherever it stands: labels, comments, build arguments, health checks.

A diff shows the lines around a change, so what must be hidden is more than what the model of a stack holds. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from inventory.secrets import NAMES

_VALUE = r"""["']?(?P<value>(?:\$\{[^}\s]{0,200}\}|[^\s"',;{}\[\]]){1,400})"""
_GIVEN = re.compile(
    rf"""(?im)(?:^|[\s"'{{,#.-])(?P<name>[\w.-]{{0,60}}(?:{NAMES.pattern})[\w-]{{0,40}})["']?(?:[ \t]*=[ \t]*|[ \t]*:[ \t]+|["']?:){_VALUE}"""
)
"""`NAME: value`, `NAME=value` and `"NAME":"value"`, also behind a comment's mark. Bounded, so that no text takes long."""
_FLAGS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?i)--?[\w-]{0,40}(?:pass|password|requirepass|masterauth|secret|token)[= \"',]{1,6}([^\s\"',\]]{1,400})",
        r"\b(?:redis|valkey|keydb)-cli\b[^\n]{0,200}?[\s\"']-a[\s\"',]{1,6}([^\s\"',\]]{1,400})",
        r"\b(?:mysql|mysqladmin|mysqldump|mariadb|mariadb-admin|mongo|mongosh)\b[^\n]{0,200}?[\s\"']-p([^\s\"',\]]{1,400})",
        r"\b(?:curl|wget)\b[^\n]{0,200}?[\s\"'](?:-u|--user)[\s\"',=]{1,6}[^\s:\"']{0,80}:([^\s\"',\]]{1,400})",
        r"(?i)\bauthorization: *(?:basic|bearer|token) +([^\s\"',\]]{1,400})",
        r"(\${1,2}(?:apr1|2[abxy]|5|6|y|argon2\w{0,3})\$[^\s\"',:]{1,400})",
    )
)
"""Options that clients take a password by, headers that carry one, and what crypt(3) makes of one."""
_KEY = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(.{1,20000}?)-----END", re.DOTALL)
_COUNT = re.compile(r"[0-9]{1,7}(?:\.[0-9]+)?(?:ms|s|m|h|[kKmMgG][bB]?)?\Z")


def given(text: str) -> Iterator[tuple[str, str]]:
    """Names and values of which the name says that the value is secret."""
    done = 0
    for found in NAMES.finditer(text):
        if found.start() < done:
            continue
        # The whole pattern is slow, and no match reaches beyond its line.
        begin, done = text.rfind("\n", 0, found.start()) + 1, text.find("\n", found.start()) + 1 or len(text) + 1
        for match in _GIVEN.finditer(text[begin : done - 1]):
            if not _COUNT.match(match["value"]):
                yield match["name"], match["value"]


def bare(text: str) -> Iterator[str]:
    """Secrets that stand for themselves. A reference to a variable is none."""
    for pattern in _FLAGS:
        for match in pattern.finditer(text):
            if not match[1].startswith(("${", "$$", "\\$")) or re.match(r"\$\$[a-z0-9]+\$", match[1]):
                yield match[1]
    for match in _KEY.finditer(text):
        yield match[1]

"""Where secrets come from, and the one Mask of a run that keeps them off every screen and out of every log."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from inventory.errors import InputError

MASKED = "********"
SHORTEST = 4
"""Characters; a shorter secret would blank out ordinary words, and is hidden only where it stands in a URL."""
NAMES = re.compile(r"pass|pwd|secret|token|api_?key|private_?key|credential|auth_?key|salt", re.IGNORECASE)
_NAME_OF_FILE = re.compile(r"_FILE$|_PATH$", re.IGNORECASE)
# The first form of a password ends at the last @ before the path, as URLs are read (people forget to encode an @); the
# second lets it hold ? and #. The steps are atomic and the scheme is bounded, so that no text takes more than linear time.
_LOGIN = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,40}://)(?P<user>(?:(?>\$\{[^}\s]{0,200}\}|[^\s:/@\"'{}]))*+)"
    r":(?P<password>(?:(?>\$\{[^}\s]{0,200}\}|[^\s/?#\"']))+(?=@)|(?:(?>\$\{[^}\s]{0,200}\}|[^\s/@\"']))+)@"
)
_REFERENCE = re.compile(r"(?:\$\w+|\$\{\w+(?::?\?[^}]*)?\})+\Z")
_DEFAULT = re.compile(r"\$\{\w+:?[-+]([^{}]*)\}")
_PASSWORD_FIELD = re.compile(r"(?i)(\b(?:password|pwd)\s*=\s*)('[^']+'|\"[^\"]+\"|[^\s;&\"']+)")
_ORDINARY = frozenset(("true", "false", "none", "null", "auto", "enabled", "disabled", "required", "optional"))


class Mask:
    """Holds every secret of a run and hides them in text. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._secrets: frozenset[str] = frozenset()
        self._public: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self._weak: re.Pattern[str] | None = None
        self._stale = False

    def add(self, secret: str) -> None:
        """Hides `secret` from now on, as it is, percent-encoded and as files write it; of one with several lines each long
        one too."""
        forms = {secret, unquote(secret), *(line.strip() for line in secret.splitlines() if len(line.strip()) >= 8)}
        forms |= {encode(form) for form in (secret, unquote(secret)) for encode in (_quoted, quote_plus)}
        forms |= set(_written(secret))
        with self._lock:
            fresh = {form for form in forms if len(form) >= SHORTEST} - self._secrets
            if fresh:
                self._secrets |= fresh
                self._stale = True

    def reveal(self, words: Iterable[str]) -> None:
        """Names that everybody may see: a password that is one of them (`postgres`) is hidden only where it is given.

        Hiding it everywhere would blank out services and images, and tell by that what it is.
        """
        with self._lock:
            self._public |= {word for word in words if len(word) >= SHORTEST}
            self._stale = True

    def known(self) -> tuple[frozenset[str], frozenset[str]]:
        """What is hidden, and what everybody may see: for another mask's `take`."""
        with self._lock:
            return self._secrets, self._public

    def take(self, known: tuple[frozenset[str], frozenset[str]]) -> None:
        """Hides from now on what another mask hides."""
        with self._lock:
            if known[0] <= self._secrets and known[1] <= self._public:
                return  # of a fleet with one stack every host but the first says nothing new
            self._secrets, self._public = self._secrets | known[0], self._public | known[1]
            self._stale = True

    def _patterns(self) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
        """What hides the secrets; made when it is asked for, as a stack teaches many before one text is shown."""
        with self._lock:
            if self._stale:
                self._compile()
                self._stale = False
            return self._pattern, self._weak

    def _compile(self) -> None:
        def either(words: Iterable[str]) -> str:
            return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))

        strong, weak = self._secrets - self._public, self._secrets & self._public
        self._pattern = re.compile(either(strong)) if strong else None
        named = rf"(?i:[\w-]{{0,60}}(?:{NAMES.pattern})[\w-]{{0,60}})[\"']?\s*[:=]\s*[\"']?"
        self._weak = re.compile(rf"({named})(?:{either(weak)})(?!\w)") if weak else None

    def learn(self, name: str, value: str) -> None:
        """Adds what is secret about a variable: its value when its name says so, and the password in a URL or DSN."""
        if NAMES.search(name) and not _NAME_OF_FILE.search(name):
            for secret in _DEFAULT.findall(value) if "${" in value else [value]:
                if secret.lower() not in _ORDINARY:
                    self.add(secret)
        for match in _LOGIN.finditer(value):
            if not _REFERENCE.match(match["password"]):
                self.add(match["password"])
        for match in _PASSWORD_FIELD.finditer(value):
            if not _REFERENCE.match(match[2].strip("\"'")):
                self.add(match[2].strip("\"'"))

    def hide(self, text: str) -> str:
        """`text` with every known secret, and every password in a URL or DSN, replaced."""
        pattern, weak = self._patterns()
        if pattern is not None:
            text = pattern.sub(MASKED, text)
        if weak is not None:
            text = weak.sub(lambda match: match[1] + MASKED, text)
        text = _LOGIN.sub(lambda match: f"{match['scheme']}{match['user']}:{_kept(match['password'])}@", text)
        return _PASSWORD_FIELD.sub(lambda match: match[1] + _kept(match[2]), text)

    def hide_in(self, found: Any, name: str = "") -> Any:
        """A document with every text in it hidden: done before it becomes JSON, whose escapes would split a secret.

        `name` is the key that it stands under, which may say that a text is secret although everybody may see it elsewhere.
        """
        if isinstance(found, str):
            given = NAMES.search(name) and not _NAME_OF_FILE.search(name) and found in self._secrets
            return MASKED if given else self.hide(found)
        if isinstance(found, Mapping):
            return {self.hide(str(key)): self.hide_in(item, str(key)) for key, item in found.items()}
        return [self.hide_in(item) for item in found] if isinstance(found, (list, tuple)) else found

    def hides(self, text: str) -> bool:
        """Whether `text` holds something that must not be shown."""
        return self.hide(text) != text


def _kept(password: str) -> str:
    """A password as it is shown: a reference to a variable says nothing that is secret, unless it has a default."""
    return password if _REFERENCE.match(password.strip("\"'")) else MASKED


def _written(secret: str) -> Iterable[str]:
    """A secret as Compose files and env files have it: dollars doubled, in single or double quotes with their escapes."""
    if not any(char in secret for char in "'\"\\$"):
        return
    double = secret.replace("\\", "\\\\").replace('"', '\\"')
    yield double.replace("$", "\\$")
    for text, escaped in ((secret, double), (secret.replace("$", "$$"), double.replace("$", "$$"))):
        yield from (text, text.replace("'", "''"), text.replace("'", "\\'"), escaped)


def _quoted(text: str) -> str:
    return quote(text, safe="")


def resolve(value: Any, mask: Mask, *, key: str = "", path: str = "") -> str:
    """The text of a secret given as it is, as `{from_env: NAME}` or as `{from_command: "pass show x"}`.

    The mask learns it. Raises InputError when the source gives nothing.
    """
    if isinstance(value, Mapping):
        if set(value) == {"from_env"}:
            found = os.environ.get(str(value["from_env"]))
            if found is None:
                raise InputError(
                    f"{value['from_env']} is not set", path=path, key=key, mend="export it, or name another source"
                )
        elif set(value) == {"from_command"}:
            found = _from_command(str(value["from_command"]), path, key)
        else:
            raise InputError(
                "is not a secret's source", path=path, key=key, mend="write from_env: NAME or from_command: COMMAND"
            )
    else:
        found = str(value)
    mask.add(found)
    return found


def _from_command(command: str, path: str, key: str) -> str:
    import shlex

    try:
        words = shlex.split(command)
        if not words:
            raise ValueError("an empty command")
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise InputError(
            f"the command did not run: {type(error).__name__}", path=path, key=key, mend="try it in a shell"
        ) from None
    if done.returncode != 0 or not done.stdout.strip():
        raise InputError(
            f"the command gave no secret (exit {done.returncode})", path=path, key=key, mend="try it in a shell"
        )
    return done.stdout.rstrip("\n")

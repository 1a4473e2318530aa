"""Mutants of a POSIX sh program: each command dropped, each test turned round, each order swapped, each rule weakened.

mutmut knows Python only; this does the same to `rollback/host.sh`, which makes every write to a host. Pure: a mutant is
a splice of the program's text, and one that is no shell program any more is left out by whoever runs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

KEYWORDS = frozenset(("if", "then", "elif", "else", "fi", "for", "while", "until", "do", "done", "case", "esac", "in", "{", "}", "!"))  # fmt: skip
SEPARATORS = ("&&", "||", ";;", ";", "|", "&", "\n", "(", ")")
WEAKER = (
    (r"\[ -s ", "[ -e ", "empty is as good as full"),
    (r"\[ -e ", "[ -h ", "only a link is there"),
    (r"\[ -h ", "[ -e ", "anything is a link"),
    (r"\[ -f ", "[ -e ", "anything is a file"),
    (r"\[ -d ", "[ -e ", "anything is a folder"),
    (r"\[ -w ", "[ -e ", "whatever is there may be written"),
    (r"\[ -n ", "[ -z ", "nothing is something"),
    (r"\[ -z ", "[ -n ", "something is nothing"),
    (r" = ", " != ", "equal is different"),
    (r" != ", " = ", "different is equal"),
    (r" >>", " >", "replaces instead of adding"),
    (r"\bumask 077", "umask 022", "all may read"),
    (r"\bumask 007", "umask 022", "all may read"),
    (r"\breturn 0\b", "return 1", "good is bad"),
    (r"\breturn 1\b", "return 0", "bad is good"),
    (r"\brefuse 1[0-4] ", "say ", "says so and goes on"),
    (r"\bmv -f ", "cp ", "copies instead of renaming"),
    (r"\brm -f ", "ls ", "removes nothing"),
    (r"\bhead -c ", "tail -c ", "the other end"),
    (r"\btail -c ", "head -c ", "the other end"),
    (r"\bhead -n ", "tail -n ", "the other end"),
    (r"\btail -n ", "head -n ", "the other end"),
    (r"\+ 1\b", "+ 2", "one further"),
    (r" -F ", " ", "a pattern instead of text"),
    (r"IFS= read -r", "read", "reads blanks and backslashes away"),
)
"""(pattern, replacement, what it does), tried at each place outside comments."""

_FUNCTION = re.compile(r"(?m)^(?P<name>\w+)\(\) (?P<opened>[{(]) ?(?:#.*\n)?")
_END = {"{": re.compile(r"(?m)^}"), "(": re.compile(r"(?m)^\)")}


@dataclass(frozen=True)
class Mutant:
    """One change: characters `start:end` become `text`. `line` counts from 1."""

    line: int
    start: int
    end: int
    text: str
    what: str

    def applied(self, program: str) -> str:
        return program[: self.start] + self.text + program[self.end :]


@dataclass(frozen=True)
class Word:
    """A piece of a program: a separator, or the text between two, without blanks around it."""

    start: int
    end: int
    text: str
    separator: bool = False


def mutants(program: str) -> tuple[Mutant, ...]:
    """Every mutant, in the order of the program, each text once."""
    found: dict[str, Mutant] = {}
    pieces = list(words(program))
    for mutant in (
        *_dropped(program, pieces),
        *_joined(program, pieces),
        *_swapped(program, pieces),
        *_weaker(program),
    ):
        text = mutant.applied(program)
        if text != program:
            found.setdefault(text, mutant)
    return tuple(sorted(found.values(), key=lambda each: (each.start, each.end)))


def function_of(program: str, at: int) -> str:
    """The function whose body holds a place of a program; empty for what stands outside of all."""
    for match in _FUNCTION.finditer(program):
        line = program[match.start() : program.index("\n", match.start())]
        end = match.start() + len(line)
        if not line.endswith(("}", ")")):
            found = _END[match["opened"]].search(program, match.end())
            end = found.end() if found else len(program)
        if match.start() <= at < end:
            return match["name"]
    return ""


def traced(program: str, path: str) -> str:
    """The program, each of whose functions adds its name to a file when it begins."""
    return _FUNCTION.sub(
        lambda match: f"{match[0]} {{ printf '%s\\n' {match['name']} >>'{path}'; }} 2>/dev/null; ", program
    )


def words(program: str) -> Iterator[Word]:
    """The simple commands and separators of a program; quotes, expansions and comments stay within their command."""
    begin = at = 0
    while at <= len(program):
        separator = (
            next((each for each in SEPARATORS if program.startswith(each, at)), "") if at < len(program) else "\n"
        )
        if at < len(program) and program[at] == "#" and (at == 0 or program[at - 1] in " \n\t"):
            yield from _piece(program, begin, at)
            at = begin = (
                (program.find("\n", at) + len(program)) % len(program) if "\n" in program[at:] else len(program)
            )
        elif separator and not (separator == "&" and program[at - 1 : at] == ">"):
            yield from _piece(program, begin, at)
            yield Word(at, at + len(separator), separator, separator=True)
            at = begin = at + max(1, len(separator))
        else:
            at = _past(program, at)


def _piece(program: str, begin: int, end: int) -> Iterator[Word]:
    """A command without the keywords before it, which are pieces of their own."""
    text = program[begin:end]
    while text.strip():
        begin += len(text) - len(text.lstrip())
        text = re.sub(r"[\s\\]+\Z", "", program[begin:end])
        if not text:
            return
        first = text.split(None, 1)[0]
        if first not in KEYWORDS:
            yield Word(begin, begin + len(text), text)
            return
        yield Word(begin, begin + len(first), first)
        begin += len(first)
        text = program[begin:end]


def _past(program: str, at: int) -> int:
    """The place after one character, or after the whole quote or expansion that begins there."""
    if program[at] == "\\":
        return at + 2
    if program[at] == "'":
        return program.index("'", at + 1) + 1
    if program[at] == '"':
        at += 1
        while program[at] != '"':
            at = _past(program, at)
        return at + 1
    if program.startswith(("$(", "${"), at):
        close = {"(": ")", "{": "}"}[program[at + 1]]
        at += 2
        while program[at] != close:
            at = _past_group(program, at) if program[at] == "(" else _past(program, at)
        return at + 1
    return at + 1


def _past_group(program: str, at: int) -> int:
    at += 1
    while program[at] != ")":
        at = _past_group(program, at) if program[at] == "(" else _past(program, at)
    return at + 1


def _line(program: str, at: int) -> int:
    return program.count("\n", 0, at) + 1


def _is_command(piece: Word) -> bool:
    """Whether a piece is something that runs: no keyword, pattern of `case`, header of a function or bare assignment."""
    return (
        not piece.separator
        and piece.text not in KEYWORDS
        and not re.match(r"[\w\"'*|$ .-]+\Z", piece.text.partition(" ")[0] + ")")
        and bool(re.match(r"[a-z\[.:\"$]", piece.text))
    )


def _commands(pieces: list[Word]) -> Iterator[tuple[int, Word]]:
    for number, piece in enumerate(pieces):
        before = pieces[number - 1].text if number else "\n"
        after = pieces[number + 1].text if number + 1 < len(pieces) else "\n"
        header = after == "(" or before in ("for", "case")
        pattern = after == ")" and before in (";;", "\n", "in", "|")
        if _is_command(piece) and not header and not pattern:
            yield number, piece


def _dropped(program: str, pieces: list[Word]) -> Iterator[Mutant]:
    """Each command is left out: it succeeds and does nothing; a test also fails and does nothing."""
    for _, piece in _commands(pieces):
        short = piece.text if len(piece.text) <= 60 else piece.text[:57] + "..."
        yield Mutant(_line(program, piece.start), piece.start, piece.end, ":", f"dropped: {short}")
        if piece.text.startswith(("[ ", "grep", "holds_lock", "has_bytes")):
            yield Mutant(_line(program, piece.start), piece.start, piece.end, "false", f"never: {short}")


def _joined(program: str, pieces: list[Word]) -> Iterator[Mutant]:
    """`&&` becomes `||`, and the other way."""
    for piece in pieces:
        if piece.separator and piece.text in ("&&", "||"):
            other = "||" if piece.text == "&&" else "&&"
            yield Mutant(_line(program, piece.start), piece.start, piece.end, other, f"{piece.text} is {other}")


def _swapped(program: str, pieces: list[Word]) -> Iterator[Mutant]:
    """Two commands that follow each other change places."""
    listed = dict(_commands(pieces))
    for number, first in listed.items():
        second = listed.get(number + 2)
        if second is None or pieces[number + 1].text not in ("&&", ";"):
            continue
        between = program[first.end : second.start]
        yield Mutant(
            _line(program, first.start), first.start, second.end, second.text + between + first.text,
            f"swapped: {first.text[:30]} <-> {second.text[:30]}",
        )  # fmt: skip


def _weaker(program: str) -> Iterator[Mutant]:
    """Each rule of the table at each place that is no comment."""
    comments = [(match.start(), match.end()) for match in re.finditer(r"(?m)(?:^|(?<=[ \t]))#.*$", program)]
    for pattern, text, what in WEAKER:
        for match in re.finditer(pattern, program):
            if not any(start <= match.start() < end for start, end in comments):
                yield Mutant(
                    _line(program, match.start()), match.start(), match.end(), text, f"{match[0].strip()}: {what}"
                )

"""YAML text, bounded and with positions: the one reader of inventories, phase files and Compose files.

`parse` gives the node tree of ruamel.yaml's C composer, whose marks count characters from after the byte order mark;
`value` turns nodes into plain data by the rules that Compose uses (YAML 1.2's core schema with `<<`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from inventory import composer
from inventory.errors import InputError

LIMIT = 2 << 20
"""Bytes of one file; the longest of 324 public Compose files has 0.1 MB (FACTS)."""
DEPTH = composer.DEPTH
EXPANDED = 200_000
"""Nodes after aliases are written out: what keeps an alias bomb from being expanded."""
BOM = b"\xef\xbb\xbf"

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0o[0-7_]*[0-7]|0x[0-9a-fA-F_]*[0-9a-fA-F]|0b[01_]*[01]|0[0-7_]+)\Z")
LONGEST = 400
"""Characters of a number; what is longer is text, as Python refuses to read numbers without bound."""
_MARKED = frozenset("0123456789+-.~tTfFnN")
"""How every scalar begins that is not a text (but for an empty one)."""
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?\Z")


def parse(data: bytes, path: str, *, limit: int = LIMIT) -> Node | None:
    """The root node of one YAML document, or None when it is empty. Raises InputError with path, line and mend."""
    text = decode(data, path, limit)
    root = composed(text, path)
    if root is not None:
        check_tree(root, path, text)
    return root


def load(data: bytes, path: str, *, limit: int = LIMIT) -> Any:
    """The plain value of one YAML document. Raises InputError as `parse` does."""
    root = parse(data, path, limit=limit)
    return None if root is None else value(root)


def read(path: Path) -> bytes:
    """A file's bytes, no more than can be parsed. Raises InputError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(LIMIT + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=shown(path), mend="see its mode and owner") from None


def shown(path: Path) -> str:
    """A path as people know it: relative to the working folder where it is under it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def number(raw: str) -> int | None:
    """A whole number in plain digits, or None for anything else."""
    return int(raw) if re.fullmatch(r"[0-9]{1,9}", raw) else None


def line(node: Node) -> int:
    """The line that a node begins on, from 1."""
    return int(node.start_mark.line) + 1


def value(node: Node, read: Callable[[ScalarNode], Any] | None = None) -> Any:
    """A node as plain data. Keys become text; a mapping's own keys win over merged ones, earlier merges over later.

    `read` reads the scalars in place of `scalar`.
    """
    if isinstance(node, ScalarNode):
        return (read or scalar)(node)
    if isinstance(node, SequenceNode):
        return [value(item, read) for item in node.value]
    merged: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for key, item in node.value:
        if is_merge(key):
            found = value(item, read)
            for source in found if isinstance(found, list) else [found]:
                if isinstance(source, dict):
                    merged = source | merged
        else:
            own[str(key.value)] = value(item, read)
    return merged | own


def scalar(node: ScalarNode) -> Any:
    """A scalar as Compose reads it: quoted and tagged text stays text, `yes` and `on` are text, `0o17` is a number."""
    raw = str(node.value)
    if node.style or (raw and raw[0] not in _MARKED) or composer.is_text(node):
        return raw
    if raw in ("", "~", "null", "Null", "NULL"):
        return None
    if raw in ("true", "True", "TRUE"):
        return True
    if raw in ("false", "False", "FALSE"):
        return False
    if len(raw) > LONGEST:
        return raw
    if _INTEGER.match(raw):
        digits = raw.replace("_", "")
        sign = -1 if digits.startswith("-") else 1
        digits = digits.lstrip("+-")
        for prefix, radix in (("0x", 16), ("0o", 8), ("0b", 2)):
            if digits.startswith(prefix):
                return sign * int(digits[2:], radix)
        return sign * int(digits, 8 if len(digits) > 1 and digits.startswith("0") else 10)
    if _FLOAT.match(raw):
        return float(raw.replace("_", ""))
    if re.fullmatch(r"[-+]?\.(?:inf|Inf|INF)", raw):
        return float(raw.replace(".", ""))
    return float("nan") if raw in (".nan", ".NaN", ".NAN") else raw


def is_merge(key: Node) -> bool:
    return isinstance(key, ScalarNode) and key.value == "<<" and not key.style


def decode(data: bytes, path: str, limit: int) -> str:
    """The text of a file without its byte order mark. Raises InputError when it is too large, binary or not UTF-8."""
    if len(data) > limit:
        raise InputError(f"has more than {limit} bytes", path=path, mend="is this the right file?")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError("is UTF-16", path=path, line=1, mend="save it as UTF-8")
    try:
        text = data.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        at = data.count(b"\n", 0, error.start) + 1
        raise InputError("is not UTF-8 text", path=path, line=at, mend="save it as UTF-8") from None
    if "\r" in text and "\n" not in text:
        raise InputError("ends its lines with a lone CR", path=path, line=1, mend="save it with LF or CRLF line ends")
    if "\0" in text:
        at = text.count("\n", 0, text.index("\0")) + 1
        raise InputError("has a NUL byte: it is binary", path=path, line=at, mend="is this the right file?")
    return text


def composed(text: str, path: str) -> Node | None:
    """The node tree of the C composer, its errors as one InputError."""
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return composer.compose(text)
    except composer.TooDeep as error:
        raise InputError(
            f"is nested deeper than {DEPTH}", path=path, line=error.line, mend="nest less deeply"
        ) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.problem, error.context) if part)
        at = mark.line + 1 if mark else None
        raise InputError(f"is not YAML: {problem}", path=path, line=at, mend=mend(text, at, problem)) from None
    except (YAMLError, ValueError) as error:
        raise InputError(f"is not YAML: {str(error).splitlines()[0]}", path=path, mend="mend the text") from None


def mend(text: str, at: int | None, problem: str) -> str:
    """What to do about a syntax error, from the line that it stands on."""
    lines = text.splitlines()
    here = lines[at - 1] if at and at <= len(lines) else ""
    if here[: len(here) - len(here.lstrip())].count("\t") or ("cannot start any token" in problem and "\t" in here):
        return "indent with spaces, not tabs"
    if "document" in problem:
        return "keep one document in the file"
    if "undefined alias" in problem:
        return "define the anchor before it is used"
    return "mend the text at this line, or the one before"


def check_tree(root: Node, path: str, text: str) -> None:
    """Refuses duplicate keys, keys that are not text, aliases to what holds them, and alias bombs. `text` is all of it."""
    if "*" in text or len(text) > EXPANDED:
        _check_expanded(root, path)
    else:
        _check_mappings(root, path)


def _check_mappings(root: Node, path: str) -> None:
    """All mappings of a tree without aliases, which has no more nodes than its text has characters."""
    todo = [] if type(root) is ScalarNode else [root]
    while todo:
        node = todo.pop()
        below = node.value
        if isinstance(node, MappingNode):
            check_keys(node, path)
            below = [item for _, item in below]
        todo += [item for item in reversed(below) if type(item) is not ScalarNode]


def _check_expanded(root: Node, path: str) -> None:
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: Node) -> int:
        known = sizes.get(id(node))
        if known is not None:
            return known
        if id(node) in open_nodes:
            raise InputError("has an alias to what holds it", path=path, line=line(node), mend="write the value out")
        open_nodes.add(id(node))
        total, below = 1, node.value
        if isinstance(node, MappingNode):
            check_keys(node, path)
            total, below = 1 + len(below), [item for _, item in below]
        for item in below:
            total += 1 if type(item) is ScalarNode else size(item)
        open_nodes.discard(id(node))
        sizes[id(node)] = total
        if total > EXPANDED:
            raise InputError(
                f"expands to more than {EXPANDED} values through its aliases", path=path, line=line(node),
                mend="use fewer aliases",
            )  # fmt: skip
        return total

    if type(root) is not ScalarNode:
        size(root)


def check_keys(node: MappingNode, path: str) -> None:
    """Refuses a key that stands twice in one mapping, naming both lines, and a key that is a collection."""
    if len({key.value for key, _ in node.value if type(key) is ScalarNode}) == len(node.value):
        return
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, ScalarNode):
            raise InputError("has a key that is not text", path=path, line=line(key), mend="write a plain key")
        if key.value in seen and not is_merge(key):
            raise InputError(
                f"stands twice: first on line {seen[key.value]}", path=path, line=line(key), key=str(key.value),
                mend="keep one of the two",
            )  # fmt: skip
        seen.setdefault(str(key.value), line(key))

"""YAML text: values by Compose's rules, positions, bounds; any bytes at all give a node, None or one clear error."""

from __future__ import annotations

import math
import os
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node

from inventory import composer, text
from inventory.errors import InputError

EXAMPLES = int(os.environ.get("RUNBOOK_EXAMPLES", "0")) or 300
PIECES = st.sampled_from(
    ["a", "b: ", "- ", "? ", ": ", "\n", "  ", "\t", "[", "]", "{", "}", ",", "&x ", "*x", "<<: ", "|\n", ">-\n", "'", '"',
     "#", "---\n", "...\n", "!!str ", "!!int ", "!vault ", "%YAML 1.2\n", "%TAG ! x\n", "0x", "_", "1e999", "9" * 5000, "~", "\\u",
     "\ufeff", "\u2028", "\x85", "é", "\x00", "\x07", "\r", "@", "`", ".inf", "0o", "null", "!<tag:x> "]
)  # fmt: skip


# JSON writes what is beyond the basic plane as two escapes, which YAML does not read.
TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=8)


def attempt(data: bytes) -> Node | None:
    """Reads bytes; an error must be one line with its file, and a value must come of every node."""
    try:
        root = text.parse(data, "x.yml")
    except InputError as error:
        assert error.path == "x.yml" and error.mend and "\n" not in str(error)
        return None
    assert root is None or isinstance(root, Node)
    if root is not None:
        text.value(root)
    return root


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf")
@example(b"\xff\xfea\0")
def test_any_bytes_give_a_node_none_or_one_clear_error(data: bytes) -> None:
    attempt(data)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join))
@example("%YAML 9.9\n---\na: 1")
@example("a: !!int x")
@example("a: !!binary '*'")
@example("a: !!timestamp x")
@example("? ? ? a")
@example("<<: 5\na: 1")
@example("a: " + "9" * 5000)
@example("a: 0x_")
def test_any_pieces_of_yaml_give_a_node_none_or_one_clear_error(data: str) -> None:
    attempt(data.encode())


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.recursive(
        TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
        max_leaves=12,
    )
)
def test_what_json_writes_is_read_back(found: Any) -> None:
    import json

    data = json.dumps({"x": found}, ensure_ascii=True).encode()
    assert text.load(data, "x.yml") == {"x": found}


SCALARS: dict[str, Any] = {
    "text": "text", "yes": "yes", "no": "no", "on": "on", "y": "y", "true": True, "True": True, "TRUE": True, "tRue": "tRue",
    "false": False, "null": None, "~": None, "''": "", "'null'": "null", '"5"': "5", "5": 5, "-5": -5, "+5": 5, "0": 0,
    "0o17": 15, "017": 15, "0x1F": 31, "0b101": 5, "1_000": 1000, "1.5": 1.5, ".5": 0.5, "1e3": 1000.0, "-1.5e-3": -0.0015,
    "08": 8.0, "1:30": "1:30", "22:22": "22:22", "2001-01-01": "2001-01-01", ".inf": math.inf, "-.inf": -math.inf,
    "!!str 5": "5", "!!str true": "true", "!!str 1.5": "1.5", "0x": "0x", "0x_": "0x_", "0b_": "0b_", "0o_": "0o_", "1.2.3": "1.2.3", "5m": "5m", "1e999": math.inf,
    "9" * 5000: "9" * 5000, "9" * 300: int("9" * 300),
}  # fmt: skip


@pytest.mark.parametrize("raw", SCALARS, ids=lambda raw: raw[:20])
def test_a_scalar_is_read_as_compose_reads_it(raw: str) -> None:
    found = text.load(f"a: {raw}\n".encode(), "x.yml")["a"]
    assert (found, type(found)) == (SCALARS[raw], type(SCALARS[raw]))


def test_not_a_number_is_one() -> None:
    assert math.isnan(text.load(b"a: .nan\n", "x.yml")["a"])


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", None), (b"# remark\n", None), (b"---\n", None), (b"a: 1\n", {"a": 1}), (b"\xef\xbb\xbfa: 1\n", {"a": 1}),
        (b"a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}), (b"1: a\ntrue: b\n", {"1": "a", "true": "b"}),
        (b"x: &x {a: 1, b: 1}\ny: {<<: *x, b: 2}\n", {"x": {"a": 1, "b": 1}, "y": {"a": 1, "b": 2}}),
        (b"y: {b: 2, <<: {a: 1, b: 1}}\n", {"y": {"a": 1, "b": 2}}),
        (b"y: {<<: [{a: 1}, {a: 2, b: 2}]}\n", {"y": {"a": 1, "b": 2}}),
        (b"y: {'<<': {a: 1}}\n", {"y": {"<<": {"a": 1}}}),
        (b"a: |\n  x\n  y\n", {"a": "x\ny\n"}), (b"a: >-\n  x\n  y\n", {"a": "x y"}), (b"- 1\n- [2]\n", [1, [2]]),
    ],
)  # fmt: skip
def test_a_document_is_read_as_plain_data(data: bytes, found: Any) -> None:
    assert text.load(data, "x.yml") == found


def test_positions_count_characters_after_the_byte_order_mark() -> None:
    root = text.parse("\ufeffé: 1\nb:\n  c: 2\n".encode(), "x.yml")
    assert isinstance(root, MappingNode)
    (first, _), (second, below) = root.value
    assert (first.start_mark.index, second.start_mark.index) == (0, 5)
    assert (text.line(first), text.line(second), text.line(below)) == (1, 2, 3)


@pytest.mark.parametrize("size", [text.LIMIT - 10, text.LIMIT + 1])
def test_a_file_is_read_up_to_its_limit(size: int) -> None:
    data = b"a: |\n  " + b"x" * (size - 7)
    if size <= text.LIMIT:
        assert len(text.load(data, "x.yml")["a"]) == size - 7
    else:
        with pytest.raises(InputError, match="has more than"):
            text.load(data, "x.yml")


@pytest.mark.parametrize("form", ["[", "{a: "])
def test_nesting_is_read_up_to_its_limit(form: str) -> None:
    close = {"[": "]", "{a: ": "}"}[form]
    for depth, fits in ((text.DEPTH, True), (text.DEPTH + 1, False)):
        data = (form * depth + close * depth).encode()
        if fits:
            assert text.load(data, "x.yml") is not None
        else:
            with pytest.raises(InputError, match="nested deeper"):
                text.load(data, "x.yml")


DEEP = {
    "keys and items in turn": "".join(f"{' ' * (2 * level)}- a:\n" for level in range(300)),
    "items as far left as their key": "".join(
        f"{' ' * (2 * level)}{'- ' if level else ''}a:\n" for level in range(300)
    ),
    "explicit keys": "? " * 300 + "a",
    "wide gaps": "-   " * 300 + "a",
    "returns alone": "a:\n" + "\r".join(" " * level + "a:" for level in range(1, 300)),
    "other line ends": "\u2028".join(" " * level + "a:" for level in range(300)),
    "another in Latin 1": "\x85".join(" " * level + "a:" for level in range(300)),
}


@pytest.mark.parametrize("data", DEEP.values(), ids=DEEP)
def test_whatever_form_nesting_has_it_is_seen_while_composing(data: str) -> None:
    with pytest.raises(InputError, match="nested deeper"):
        text.parse(f"b:\n{data}\n".encode(), "x.yml")


@pytest.mark.parametrize("form", ["indented", "in one line"])
def test_deep_blocks_are_refused_with_their_line_before_anything_recurses(form: str) -> None:
    depth = 5 * text.DEPTH
    lines = [" " * level + "a:" for level in range(depth)] if form == "indented" else ["- " * depth + "a"]
    with pytest.raises(InputError, match="nested deeper") as caught:
        text.parse("\n".join(lines).encode(), "x.yml")
    assert caught.value.line == (text.DEPTH if form == "indented" else 1)


@pytest.mark.parametrize("raw", ["010", "0x10", "1.10", "yes", "true", "null", "~", "12", ".inf", "2024-01-01"])
def test_a_tag_makes_a_text_of_anything(raw: str) -> None:
    data = f"a: !!str {raw}\nb: !<tag:yaml.org,2002:str> {raw}\n"
    assert text.load(data.encode(), "x.yml") == {"a": raw, "b": raw}


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join))
@example("a: &x 1\nb: *x\nc: [1, {d: e}]\n")
@example("a: !!str 1\nb: ! 2\nc: 'x'\nd: |\n  y\n")
def test_nodes_are_those_of_ruamel_yaml_s_own_composer_but_for_guessed_tags(data: str) -> None:
    def told(node: Any) -> Any:
        mark = (node.start_mark.index, node.start_mark.line, node.end_mark.index)
        inner = node.value if isinstance(node.value, str) else [
            tuple(map(told, child)) if isinstance(child, tuple) else told(child) for child in node.value
        ]  # fmt: skip
        return type(node).__name__, mark, getattr(node, "style", None), inner

    def attempted(compose: Any) -> Any:
        try:
            root = compose(data)
            return None if root is None else told(root)
        except (YAMLError, ValueError, RecursionError) as error:
            return type(error).__name__

    assert attempted(composer.compose) == attempted(lambda found: YAML(typ="safe", pure=False).compose(found))


def test_brackets_in_text_are_no_nesting() -> None:
    assert text.load(b"a: '" + b"[{" * 500 + b"'\n", "x.yml") == {"a": "[{" * 500}


def test_a_file_that_cannot_be_read_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match="cannot be read: Is a directory") as caught:
        text.read(tmp_path)
    assert caught.value.path == str(tmp_path)

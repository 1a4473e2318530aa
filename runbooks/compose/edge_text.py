"""How `depends_on` is written: the cuts that add, change and remove an edge in each of its forms."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ruamel.yaml.nodes import ScalarNode, SequenceNode

from runbooks.compose import layout, scalars
from runbooks.compose.desk import Blocked
from runbooks.compose.intent import wanted_edge
from runbooks.compose.layout import Cut, Form, Value
from runbooks.compose.nodes import (
    Document,
    content_end,
    content_start,
    end,
    entries,
    entry_end,
    item_range,
    start,
)
from runbooks.compose.operations import AddDependency
from runbooks.compose.tree import Item

Edges = dict[str, dict[str, Any]]
STARTED = AddDependency("", "", "service_started")


def named(part: Item) -> list[str]:
    if isinstance(part.value, list):
        return [str(element.value) for element in part.value]
    return list(part.value) if isinstance(part.value, dict) else []


def winning(parts: Sequence[Item], name: str, key: str) -> Item:
    """The strongest place that says `key` of an edge; else the strongest that names the edge."""
    naming = [part for part in parts if name in named(part)]
    saying = [
        part
        for part in naming
        if isinstance(part.value, list) or (isinstance(part.value[name].value, dict) and key in part.value[name].value)
    ]
    return (saying or naming)[-1]


def edge_value(edge: Mapping[str, Any], *, full: bool = False) -> dict[str, Value]:
    """An edge as it is written: what is the default is left out, unless it has to win over an earlier file (`full`)."""
    made: dict[str, Value] = {"condition": edge["condition"]}
    if full or edge.get("required") is not True:
        made["required"] = edge["required"]
    if edge.get("restart") is not False:
        made["restart"] = edge["restart"]
    return made | {key: value for key, value in edge.items() if key not in ("condition", "required", "restart")}


def new_entry(part: Item, name: str, edge: Mapping[str, Any]) -> list[Cut]:
    document, node = part.source.document, part.node
    above = document.key_of(node)
    found = entries(node)
    parent = document.column(start(above)) if above is not None else 0
    shape = layout.form(document, node, parent) if found else Form(2, None, document.newline)
    if not node.flow_style and found and getattr(found[-1][1], "flow_style", False):
        sibling: Any = found[-1][1]
        pad = layout.pad_of(document, sibling)
        line = " " * layout.column(document, node) + layout.pair(name, edge_value(edge), shape.quote, pad)
        return layout.add_lines(document, node, [line])
    return layout.add_entry(document, node, name, edge_value(edge), shape)


def appended(part: Item, names: list[str]) -> list[Cut]:
    document, node = part.source.document, part.node
    style = style_of(node)
    if node.flow_style:
        return layout.add_in_flow(
            document, node, ", ".join(scalars.write(name, style=style, flow=True) for name in names)
        )
    dash = dash_of(document, node, 0)
    indent = " " * document.column(dash)
    return layout.add_lines(document, node, [f"{indent}- {scalars.write(name, style=style)}" for name in names])


def style_of(node: SequenceNode) -> str | None:
    styles = {item.style for item in node.value if isinstance(item, ScalarNode)}
    return styles.pop() if len(styles) == 1 else None


def dash_of(document: Document, node: SequenceNode, number: int) -> int:
    return document.text.rfind("-", 0, item_range(document, node, number)[0])


def item_key(part: Item, number: int, name: str) -> str:
    """An item of a list as a mapping's key, in the quotes that it has."""
    element = part.value[number]
    node = element.node
    if "$" in node.value:
        raise Blocked(
            part.source.document.place(node),
            "the dependency's name comes from a variable, and Compose does not look for those in keys",
            "write the name itself",
        )
    return scalars.write(name, style=node.style, key=True)


def outspoken(part: Item, parts: Sequence[Item]) -> set[str]:
    """Items of a list for which a weaker place says `required`: a list's item says true, and so must what replaces it."""
    weaker = [each.value for each in parts[: list(parts).index(part)] if isinstance(each.value, dict)]
    return {
        name
        for name in named(part)
        for edges in weaker
        if name in edges and isinstance(edges[name].value, dict) and "required" in edges[name].value
    }


def flow_map(part: Item, changed: Edges, added: Edges, full: Collection[str] = ()) -> list[Cut]:
    """`[a, b]` as `{a: {...}, b: {...}}`."""
    document, node = part.source.document, part.node
    begin = content_start(document, node)
    cuts = [Cut(begin, begin + 1, "{"), Cut(end(node) - 1, end(node), "}")]
    quote = style_of(node)
    quoted = quote if quote == '"' else None
    for number, name in enumerate(named(part)):
        edge = changed.get(name) or wanted_edge(None, STARTED)
        text = f"{item_key(part, number, name)}: {layout.flow(edge_value(edge, full=name in full), quoted)}"
        cuts.append(Cut(*item_range(document, node, number), text))
    for name, edge in added.items():
        cuts += layout.add_in_flow(document, node, layout.pair(name, edge_value(edge), quote))
    return cuts


def block_map(part: Item, changed: Edges, added: Edges, full: Collection[str] = ()) -> list[Cut]:
    """Lines of `- a` as a mapping, each comment where it was."""
    document, node = part.source.document, part.node
    above = document.key_of(node)
    parent = document.column(start(above)) if above is not None else 0
    dash = document.column(dash_of(document, node, 0))
    step = dash - parent if dash > parent else step_of(document, above)
    indent = dash if dash > parent else parent + step
    cuts: list[Cut] = []
    quote = '"' if style_of(node) == '"' else None
    for number, name in enumerate(named(part)):
        begin, stop = item_range(document, node, number)
        mark = dash_of(document, node, number)
        line = document.line_start(mark)
        # Behind an explicit key (`? depends_on` and `: - db`) the first item does not begin its line.
        opening = not document.text[line:mark].strip()
        if "\n" in document.text[mark:begin]:
            raise Blocked(
                document.place_at(mark), "this item does not stand beside its dash", "write - NAME in one line"
            )
        edge = changed.get(name) or wanted_edge(None, STARTED)
        until = document.line_end(stop)
        lines = entry_lines(edge_value(edge, full=name in full), indent + step, document, quote)
        text = item_key(part, number, name) + ":"
        cuts.append(Cut(line, stop, " " * indent + text) if opening else Cut(mark, stop, text))
        cuts.append(Cut(until, until, lines))
    if added:
        shape = Form(step, quote, document.newline)
        for name, edge in added.items():
            new = layout.block(edge_value(edge), name, indent, shape)
            cuts.append(Cut(until, until, "".join(document.newline + line for line in new)))
    return cuts


def step_of(document: Document, above: ScalarNode | None) -> int:
    """A level's indentation around a key: from the key that its mapping stands under."""
    mapping = document.mapping_of(above) if above is not None else None
    holder = document.key_of(mapping) if mapping is not None else None
    if holder is None or above is None:
        return 2
    step = document.column(start(above)) - document.column(start(holder))
    return step if 1 <= step <= 8 else 2


def entry_lines(edge: Mapping[str, Value], indent: int, document: Document, quote: str | None) -> str:
    pairs = (layout.pair(key, value, quote) for key, value in edge.items())
    return "".join(f"{document.newline}{' ' * indent}{pair}" for pair in pairs)


def removal(part: Item, name: str, gone: bool) -> list[Cut]:
    """An edge's lines taken out; the whole section's where no edge stays."""
    document, node = part.source.document, part.node
    above = document.key_of(node)
    if gone and above is not None and not in_flow(document, above):
        return [layout.remove_lines(document, start(above), content_end(document, node))]
    if isinstance(node, SequenceNode):
        areas = [item_range(document, node, number) for number in range(len(node.value))]
        at = named(part).index(name)
    else:
        found = entries(node)
        areas = [(start(key), entry_end(document, key, value)) for key, value in found]
        at = next(number for number, (key, _) in enumerate(found) if key.value == name)
    if not node.flow_style:
        return [layout.remove_lines(document, *areas[at])]
    begin, stop = areas[at]
    if at + 1 < len(areas):
        return [Cut(begin, areas[at + 1][0], "")]
    return [Cut(areas[at - 1][1], stop, "")] if at else [Cut(begin, stop, "")]


def in_flow(document: Document, key: ScalarNode) -> bool:
    line = document.text[document.line_start(start(key)) : start(key)]
    return bool(line.strip())

"""A small directed graph as a picture: boxes in columns, arrows with a word each, what belongs to a finding in red.

Columns follow the arrows from left to right; inside a column a box stands near those it is tied to (one barycentre sweep each way,
Sugiyama et al. 1981). Meant for some dozens of boxes, not for thousands.

>>> nodes = [Node(key="a", label="mail.exe", mark="found"), Node(key="b", label="pay.exe", mark="found")]
>>> graph_png(nodes, [Edge(source="a", target="b", label="started", mark="found")])[1:4]
b'PNG'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Literal, TypeAlias

from core.errors import BadInput

Mark: TypeAlias = Literal["found", "added", "plain"]
Shape: TypeAlias = Literal["process", "file", "address", "other"]

COLOURS: dict[Mark, str] = {"found": "#c62828", "added": "#1565c0", "plain": "#6b7280"}
FILLS: dict[Shape, str] = {"process": "#ffffff", "file": "#fff7e0", "address": "#e6f4ea", "other": "#f3e8fd"}
GAP_IN, HIGH_IN = 0.68, 0.5
"""Between the columns, where the word of an arrow stands, and from one box to the one below."""
BOX_IN, LETTER_IN = 0.2, 0.06
DPI = 88
LONGEST = 24
"""Characters of a box's label."""
MAX_COLUMNS = 9
"""Boxes further along share the last column."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A box: `mark` colours its border, `shape` (what sort of thing it is) its ground."""

    key: str
    label: str
    shape: Shape = "process"
    mark: Mark = "plain"


@dataclass(frozen=True, kw_only=True)
class Edge:
    """An arrow between two boxes, with a word."""

    source: str
    target: str
    label: str = ""
    mark: Mark = "plain"


def graph_png(nodes: Sequence[Node], edges: Sequence[Edge]) -> bytes:
    """PNG of a graph.

    Raises:
        BadInput: no node, or an edge to a node that is not there.
    """
    keys = {node.key for node in nodes}
    strange = [e for e in edges if not {e.source, e.target} <= keys]
    if not nodes or strange:
        raise BadInput(f"graph: expected nodes and edges between them, got {len(nodes)} nodes and the edges {strange[:2]!r}.")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    place = placed(nodes, edges)
    rows = 1 + max(y for _, y in place.values())
    half = {node.key: (BOX_IN + LETTER_IN * len(_short(node.label))) / 2 for node in nodes}
    middle, wide_in = _columns(place, half)
    figure = Figure(figsize=(max(4.0, wide_in), max(1.6, HIGH_IN * (rows + 1))), dpi=DPI)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0.0, max(4.0, wide_in))
    axes.set_ylim(rows - 0.5 + 0.2, -0.7)
    axes.axis("off")
    told: dict[tuple[str, str], list[Edge]] = {}
    for edge in edges:
        told.setdefault((edge.source, edge.target), []).append(edge)
    for (source, target), alike in told.items():
        if source == target:
            continue  # what a process does to itself is told, not drawn
        (x0, y0), (x1, y1) = ((middle[x], y) for x, y in (place[source], place[target]))
        mark: Mark = next((m for m in ("found", "added") if any(e.mark == m for e in alike)), "plain")  # type: ignore[misc]
        side = _side(x1 - x0)
        start, end = (x0 + side * half[source], y0), (x1 - side * half[target], y1)
        bend = "arc3,rad=0.25" if x0 == x1 else "arc3,rad=0.04"
        axes.annotate(
            "", end, start, arrowprops={"arrowstyle": "-|>", "color": COLOURS[mark], "lw": 1.3, "connectionstyle": bend}
        )
        text = ", ".join(dict.fromkeys(e.label for e in alike if e.label))
        if text:  # nearer to the target, where arrows of one box have parted
            axes.text(start[0] + 0.62 * (end[0] - start[0]), start[1] + 0.62 * (end[1] - start[1]) - 0.12, _short(text), fontsize=6.5,
                      color=COLOURS[mark], ha="center", va="bottom", parse_math=False,
                      bbox={"boxstyle": "square,pad=0.05", "fc": "white", "ec": "none", "alpha": 0.75})  # fmt: skip
    for node in nodes:
        x, y = place[node.key]
        axes.text(middle[x], y, _short(node.label), fontsize=8, ha="center", va="center", parse_math=False,
                  bbox={"boxstyle": "round,pad=0.35", "fc": FILLS[node.shape], "ec": COLOURS[node.mark],
                        "lw": 2.0 if node.mark == "found" else 1.2})  # fmt: skip
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def placed(nodes: Sequence[Node], edges: Sequence[Edge]) -> dict[str, tuple[int, float]]:
    """Column and height of every node: a node stands right of whoever reaches it first, cycles and all.

    >>> made = [Node(key=k, label=k) for k in "abc"]
    >>> place = placed(made, [Edge(source="a", target="b"), Edge(source="b", target="c"), Edge(source="c", target="a")])
    >>> [place[k][0] for k in "abc"]
    [0, 1, 2]
    """
    outward: dict[str, list[str]] = {node.key: [] for node in nodes}
    inward: dict[str, list[str]] = {node.key: [] for node in nodes}
    column: dict[str, int] = {}
    for backbone in (True, False):  # the finding is laid out first, what was added goes round it
        for edge in edges:
            if edge.source != edge.target and (edge.mark == "found") == backbone:
                outward[edge.source].append(edge.target)
                inward[edge.target].append(edge.source)
        if backbone:
            mine = {key for edge in edges if edge.mark == "found" for key in (edge.source, edge.target)}
            roots = [n.key for n in nodes if n.key in mine and not inward[n.key]] + [n.key for n in nodes if n.key in mine]
        else:
            roots = [n.key for n in nodes if not inward[n.key]] + [n.key for n in nodes]
            _reach(list(column), outward, column)
        for root in roots:
            if root not in column:
                beside = [column[k] for k in outward[root] if k in column]
                column[root] = min(beside) - 1 if beside else 0
                _reach([root], outward, column)
    left = min(column.values())
    column = {key: min(x - left, MAX_COLUMNS - 1) for key, x in column.items()}
    height: dict[str, float] = {}
    for x in range(1 + max(column.values())):
        members = [node.key for node in nodes if column[node.key] == x]
        _stack(members, {k: [height[o] for o in inward[k] + outward[k] if o in height] for k in members}, height)
    for x in reversed(range(max(column.values()))):
        members = [node.key for node in nodes if column[node.key] == x]
        _stack(members, {k: [height[o] for o in outward[k]] or [height[k]] for k in members}, height)
    return {key: (column[key], height[key]) for key in column}


def _reach(waiting: list[str], outward: Mapping[str, Sequence[str]], column: dict[str, int]) -> None:
    """Give everything that can be reached from what waits, and has no column yet, the one after whoever reaches it first."""
    while waiting:
        key = waiting.pop(0)
        for target in outward[key]:
            if target not in column:
                column[target] = column[key] + 1
                waiting.append(target)


def _stack(members: Sequence[str], near: Mapping[str, Sequence[float]], height: dict[str, float]) -> None:
    """Put the members of a column one below the other, in the order of what they are tied to, as high as that allows."""
    wanted = {key: sum(near[key]) / len(near[key]) if near[key] else 0.0 for key in members}
    last = -1.0
    for key in sorted(members, key=lambda k: (wanted[k], members.index(k))):
        last = height[key] = max(wanted[key], last + 1.0) if near[key] else last + 1.0


def _columns(place: Mapping[str, tuple[int, float]], half: Mapping[str, float]) -> tuple[list[float], float]:
    """The middle of each column, as wide as its widest box, and the width of all, in inches."""
    middle, end = [], GAP_IN / 4
    for column in range(1 + max(x for x, _ in place.values())):
        reach = max((half[key] for key, (x, _) in place.items() if x == column), default=0.0)
        middle.append(end + reach)
        end += 2 * reach + GAP_IN
    return middle, end - 3 * GAP_IN / 4


def _side(step: float) -> int:
    return 0 if step == 0 else 1 if step > 0 else -1


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST // 2 - 1]}…{plain[-LONGEST // 2 :]}"

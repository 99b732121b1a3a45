"""Draws the fences of the language mermaid as SVG, so that a page needs no program from elsewhere.

It knows what the documents use: `graph TD`, nodes as `name[text]`, thin and thick arrows between two nodes, and
subgraphs, each of which becomes a box of its own below the one before.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from mkdocs.config.defaults import MkDocsConfig

NODE = re.compile(r"(\w+)\[([^\]]+)\]")
ARROW = re.compile(r"(\w+) (-->|==>) (\w+)")
LETTER, HEIGHT, GAP, ROW, PAD = 7.4, 28, 16, 62, 18  # pixels: of a letter, a node, between nodes, from row to row
SWEEPS = 8  # times that the rows are put in order again; fewer crossings need no more


@dataclass
class _Box:
    """A subgraph; a name that no node has stands for a bend of an arrow over several rows."""

    title: str
    texts: dict[str, str] = field(default_factory=dict)
    arrows: list[tuple[str, str]] = field(default_factory=list)

    def width(self, name: str) -> float:
        return LETTER * len(self.texts[name]) + 24 if name in self.texts else 6


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the fence to the Markdown that pages are written in."""
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences.append({"name": "mermaid", "class": "diagram", "format": _draw})
    return config


def _draw(source: str, *_: Any, **__: Any) -> str:
    boxes, between = _parse(source)
    drawn, top, width = [], 0.0, 0.0
    places: dict[str, float] = {}  # the bottom of each box
    for index, box in enumerate(boxes):
        inner, inner_width, height = _draw_box(box)
        label = f'<text class="title" x="{PAD}" y="24">{html.escape(box.title)}</text>' if box.title else ""
        drawn.append((top, inner_width, height, label + inner))
        width = max(width, inner_width)
        places[box.title] = top + height
        top += height + (44 if index + 1 < len(boxes) else 0)
    parts = []
    for start, inner_width, height, inner in drawn:
        left = (width - inner_width) / 2
        parts.append(f'<g transform="translate({left:.0f} {start:.0f})"><rect class="box" width="{inner_width:.0f}" '
                     f'height="{height:.0f}" rx="8"/>{inner}</g>')  # fmt: skip
    for start, _end in between:
        bottom = places[start]
        parts.append(f'<path class="thick" d="M{width / 2:.0f} {bottom:.0f} v36" marker-end="url(#thick)"/>')
    size = f'viewBox="-2 -2 {width + 4:.0f} {top + 4:.0f}"'
    heads = "".join(
        f'<marker id="{name}" class="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerUnits="userSpaceOnUse" '
        f'markerWidth="{side}" markerHeight="{side}" orient="auto"><path d="M0 0 8 4 0 8z"/></marker>'
        for name, side in (("arrow", 7), ("thick", 14))
    )
    return f'<svg class="diagram" {size} style="max-width:{width:.0f}px"><defs>{heads}</defs>{"".join(parts)}</svg>'


def _parse(source: str) -> tuple[list[_Box], list[tuple[str, str]]]:
    boxes, current, between = [], _Box(""), []
    for line in (line.strip() for line in source.splitlines()[1:]):
        if line.startswith("subgraph "):
            current = _Box(line.removeprefix("subgraph "))
        elif line == "end":
            boxes.append(current)
            current = _Box("")
        elif node := NODE.fullmatch(line):
            current.texts[node[1]] = node[2]
        elif arrow := ARROW.fullmatch(line):
            (current.arrows if arrow[2] == "-->" else between).append((arrow[1], arrow[3]))
        elif line:
            raise ValueError(f"docs/hooks/diagrams.py does not know the line {line!r} of a diagram")
    return boxes or [current], between


def _draw_box(box: _Box) -> tuple[str, float, float]:
    """Returns the SVG of a box, and its width and height."""
    rows, steps = _rows(box)
    widths = [sum(map(box.width, row)) + GAP * (len(row) - 1) for row in rows]
    wide, first = max(widths), 40 if box.title else PAD
    places: dict[str, tuple[float, float]] = {}
    for index, (row, row_width) in enumerate(zip(rows, widths, strict=True)):
        x = PAD + (wide - row_width) / 2
        for name in row:
            places[name] = (x + box.width(name) / 2, first + ROW * index)
            x += box.width(name) + GAP
    parts = []
    for chain in steps:
        points = [(places[name][0], places[name][1] + (HEIGHT if name in box.texts else 0)) for name in chain[:-1]]
        ends = [places[name] for name in chain[1:]]
        curve = f"M{points[0][0]:.0f} {points[0][1]:.0f}"
        for (x1, y1), (x2, y2) in zip(points, ends, strict=True):
            middle = (y1 + y2) / 2
            curve += f" C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2:.0f}"
        parts.append(f'<path class="thin" d="{curve}" marker-end="url(#arrow)"/>')
    for name, text in box.texts.items():
        (x, y), width = places[name], box.width(name)
        place = f'x="{x - width / 2:.0f}" y="{y:.0f}" width="{width:.0f}" height="{HEIGHT}"'
        parts.append(f'<rect class="node" {place} rx="4"/>')
        parts.append(f'<text x="{x:.0f}" y="{y + 19:.0f}" text-anchor="middle">{html.escape(text)}</text>')
    return "".join(parts), wide + 2 * PAD, first + ROW * (len(rows) - 1) + HEIGHT + PAD


def _rows(box: _Box) -> tuple[list[list[str]], list[list[str]]]:
    """Returns the names in each row, and for each arrow the names that it passes, from row to row."""
    rank = dict.fromkeys(box.texts, 0)
    for _ in box.texts:  # as many times as the longest way can be
        for start, end in box.arrows:
            rank[end] = max(rank[end], rank[start] + 1)
    for name in box.texts:  # what nothing points to stands right above what it points to
        below = [rank[end] for start, end in box.arrows if start == name]
        if below and not any(end == name for _, end in box.arrows):
            rank[name] = min(below) - 1
    rows: list[list[str]] = [[] for _ in range(max(rank.values()) + 1)]
    for name in box.texts:
        rows[rank[name]].append(name)
    steps = []
    for start, end in box.arrows:
        bends = [f"{start} to {end} {row}" for row in range(rank[start] + 1, rank[end])]
        for bend, row in zip(bends, range(rank[start] + 1, rank[end]), strict=True):
            rows[row].append(bend)
        steps.append([start, *bends, end])
    return _ordered(rows, steps), steps


def _ordered(rows: list[list[str]], steps: list[list[str]]) -> list[list[str]]:
    """Puts each row in the order of the mean places of its neighbours, downwards and upwards."""
    neighbours: dict[str, list[str]] = {}
    for chain in steps:
        for upper, lower in pairwise(chain):
            neighbours.setdefault(upper, []).append(lower)
            neighbours.setdefault(lower, []).append(upper)
    for sweep in range(SWEEPS):
        order = range(len(rows)) if sweep % 2 == 0 else range(len(rows) - 1, -1, -1)
        for index in order:
            place = {name: at / max(1, len(row) - 1) for row in rows for at, name in enumerate(row)}
            rows[index].sort(key=lambda name, place=place: _mean(place, neighbours.get(name, [name])))
    return rows


def _mean(place: dict[str, float], names: list[str]) -> float:
    return sum(place[name] for name in names) / len(names)

"""The drawing in docs/architecture.md shows the imports as they are."""

from __future__ import annotations

import ast
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("sdk", "exporters", "trainers", "runtimes")
# files that lie beside the sub-packages of a folder, as the nodes that they are drawn in
LOOSE = {
    "runtimes": {
        "perceiver": ("warm_up", "load", "connect"),
        "types": (
            "types",
            "errors",
            "choices",
            "preprocess",
            "region",
            "crop",
            "text",
            "markdown",
            "redaction",
            "setting_types",
        ),
    },
    "trainers": {
        "choices": ("choices",),
        "data": ("torchvision_import", "image_tensors"),
        "training": ("quiet_loggers",),
    },
    "exporters": {
        "export": ("checkpoint_export", "addition", "checkpoint_jobs"),
        "compilation": ("compilation", "candidates"),
        "job": ("job", "parity", "calibration", "latency", "choices", "installed"),
    },
    "sdk": {
        "doctor": ("doctor", "optional_dependencies"),
        "benchmark": ("benchmark",),
        "enough_images": ("enough_images",),
        "journey": ("journey",),
    },
}

Node = tuple[str, str]  # folder and name


def node_of(module: str) -> Node | None:
    """The folder and the drawn node of a module's dotted name; None for the package's front door."""
    parts = module.split(".")[1:]
    folder = parts.pop(0) if parts and parts[0] in FOLDERS else "sdk"
    if not parts:
        return None
    for node, files in LOOSE[folder].items():
        if parts[0] in files:
            return folder, node
    return (folder, parts[0]) if (ROOT / folder / parts[0]).is_dir() else None


def arrows() -> dict[Node, set[Node]]:
    found: dict[Node, set[Node]] = defaultdict(set)
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            above = node_of(".".join(("allweather", *(parts[1:] if folder == "sdk" else parts))))
            if above is None:
                assert path.name in ("__init__.py", "__main__.py"), (
                    f"{path} is in no node of the drawing; add it to LOOSE"
                )
                continue
            found.setdefault(above, set())
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "allweather":
                    for name in [f"{node.module}.{alias.name}" for alias in node.names]:
                        below = node_of(name)
                        if below and below != above:
                            found[above].add(below)
    return found


def without_shortcuts(
    graph: dict[Node, set[Node]],
) -> set[tuple[Node, Node]]:
    """The arrows that do not follow from others."""

    def reached(node: Node) -> set[Node]:
        found: set[Node] = set()
        waiting = list(graph.get(node, ()))
        while waiting:
            below = waiting.pop()
            if below not in found:
                found.add(below)
                waiting += graph.get(below, ())
        return found

    return {
        (above, below)
        for above, all_below in graph.items()
        for below in all_below
        if not any(below in reached(other) for other in all_below - {below})
    }


def drawing() -> str:
    """Inside each folder the arrows that do not follow from others; between the folders one arrow each."""
    graph = arrows()
    inside = {above: {below for below in graph[above] if below[0] == above[0]} for above in graph}
    edges = without_shortcuts(inside)
    lines = ["graph TD"]
    for folder in FOLDERS:
        lines.append(f"  subgraph {folder}")
        lines += [f"    {node[0]}_{node[1]}[{node[1]}]" for node in sorted(graph) if node[0] == folder]
        lines += [f"    {a[0]}_{a[1]} --> {b[0]}_{b[1]}" for a, b in sorted(edges) if a[0] == folder]
        lines.append("  end")
    lines += [f"  {above} ==> {below}" for above, below in pairwise(FOLDERS)]
    return "\n".join(lines)


@pytest.mark.slow
def test_the_drawing_is_true() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    shown = text.split("```mermaid\n")[1].split("\n```")[0]
    assert shown == drawing(), f"docs/architecture.md should show:\n\n{drawing()}\n"

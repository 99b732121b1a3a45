"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="reading pyproject.toml needs Python 3.11: packaging is not checked")

ROOMS = {"sdk": 3, "exporters": 2, "trainers": 1, "runtimes": 0}  # imports point from a larger number to a smaller
LONGEST = 300
PUBLIC = [
    "AllweatherError",
    "Budget",
    "Bundle",
    "Decision",
    "Frame",
    "InputSpec",
    "NoAnswerError",
    "Perceiver",
    "Region",
    "connect",
    "load",
    "open_camera",
    "watch",
]
HEAVY = ("cv2", "numpy", "torch", "openvino", "onnx", "onnxruntime", "pydantic", "typer", "rich", "matplotlib")


def sources() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def room_of(name: str) -> str | None:
    parts = name.split(".")
    if parts[0] != "allweather":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "sdk"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    home = path.relative_to(ROOT).parts[0]
    for name in imports(path):
        room = room_of(name)
        if room is not None and name != "allweather.runtimes":
            assert ROOMS[room] <= ROOMS[home], f"{home} must not import {name}"


def test_the_device_never_needs_torch() -> None:
    allowed = {
        "cv2",
        "numpy",
        "prometheus_client",
        "pydantic",
        "openvino",
        "onnxruntime",
        "tensorrt",
        "allweather",
        *sys.stdlib_module_names,
    }
    for path in sorted((ROOT / "runtimes").rglob("*.py")):
        strange = {name.split(".")[0] for name in imports(path)} - allowed
        assert not strange, f"{path.name} imports {strange}"


def test_no_imports_in_a_circle() -> None:
    top = {}
    for path in sources():
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(("allweather", *(parts[1:] if parts[0] == "sdk" else parts))).removesuffix(".__init__")
        top[name] = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)]
    graph = {
        name: {
            # a submodule taken from its package is that submodule, not the package
            submodule if (submodule := f"{node.module}.{alias.name}") in top else str(node.module)
            for node in nodes
            for alias in node.names
        }
        for name, nodes in top.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"imports in a circle: {' -> '.join((*trail, name))}"
        if name in graph and name not in done:
            for target in graph[name] - {name}:
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", [*sources(), *sorted((ROOT / "tests").rglob("*.py"))], ids=lambda path: path.name)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


def test_samples_are_short() -> None:
    samples = sorted((ROOT / "samples").rglob("*.py"))
    assert samples
    for path in samples:
        assert len(path.read_text().splitlines()) <= 60, path.name


def test_every_package_is_listed() -> None:
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    there = set()
    for path in sources():
        if path.name == "__init__.py":
            parts = path.parent.relative_to(ROOT).parts
            there.add(".".join(("allweather", *(parts[1:] if parts[0] == "sdk" else parts))))
    assert set(setup["packages"]) == there
    for package, folder in setup["package-dir"].items():
        assert (ROOT / folder / "__init__.py").is_file(), package


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_allweather_brings_in_nothing_heavy() -> None:
    loaded = json.loads(run_python("import sys, json, allweather; print(json.dumps(sorted(sys.modules)))"))
    assert not [name for name in HEAVY if name in loaded]


def test_loading_a_bundle_does_not_bring_in_torch() -> None:
    code = "import sys, allweather; allweather.load, allweather.watch, allweather.Bundle; print('torch' in sys.modules)"
    assert run_python(code).strip() == "False"


def test_public_names() -> None:
    import allweather

    assert allweather.__all__ == PUBLIC
    for name in PUBLIC:
        assert getattr(allweather, name).__doc__
    assert set(PUBLIC) <= set(dir(allweather))
    with pytest.raises(AttributeError, match="it has AllweatherError"):
        _ = allweather.lode


def test_lint() -> None:
    for arguments in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *arguments, str(ROOT)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_types(tmp_path: Path) -> None:
    """Type checkers cannot see through the editable install: the folders are copied as they will be installed."""
    package = tmp_path / "allweather"
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "sdk", package, ignore=skip)
    for room in ("exporters", "trainers", "runtimes"):
        shutil.copytree(ROOT / room, package / room, ignore=skip)
    config = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *config, "-p", "allweather"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr

"""The rules of the architecture that a machine can check: packages, imports, sizes, public names."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="reading pyproject.toml needs Python 3.11: packaging is not checked")

FOLDERS = {"sdk": 3, "exporters": 2, "trainers": 1, "runtimes": 0}  # imports point from a larger number to a smaller
MAX_LINES = 300
MAX_FILES = 14  # Python files in a folder of source; the commands, one a file, aside
MIN_FILES = 3
DEVICE_LIBRARIES = {
    "cv2", "numpy", "prometheus_client", "pydantic", "openvino", "onnxruntime", "tensorrt", "paho", "pyarrow",
    "allweather",
}  # fmt: skip
HEAVY = ("cv2", "numpy", "torch", "openvino", "onnx", "onnxruntime", "pydantic", "typer", "rich", "matplotlib")


def sources() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def module_name(path: Path) -> str:
    """allweather.runtimes.types for runtimes/types.py, allweather.cli.app for sdk/cli/app.py."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("allweather", *(parts[1:] if parts[0] == "sdk" else parts))).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sources()}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it; of `from package import module` the module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def siblings(importer: str, imported: str) -> tuple[str, str, str] | None:
    """The package that holds both modules, and the parts of it that they lie in; None where one holds the other."""
    one, other = importer.split("."), imported.split(".")
    shared = 0
    while shared < min(len(one), len(other)) and one[shared] == other[shared]:
        shared += 1
    if shared in (len(one), len(other)):
        return None
    return ".".join(one[:shared]), one[shared], other[shared]


def folder_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FOLDERS else "sdk"


def test_imports_point_down() -> None:
    upwards = [
        f"{name} must not import {imported}"
        for name, path in MODULES.items()
        for imported in imports(path)
        if imported.split(".")[0] == "allweather" and FOLDERS[folder_of(imported)] > FOLDERS[folder_of(name)]
    ]
    assert upwards == []


@pytest.mark.slow
def test_no_package_imports_in_a_circle() -> None:
    """Inside each package, its files and sub-packages can be put in an order in which imports point down only."""
    arrows: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, path in MODULES.items():
        if path.name == "__init__.py":  # it names what lies in its package
            continue
        for imported in imports(path):
            found = siblings(name, imported) if imported.split(".")[0] == "allweather" else None
            if found:
                package, above, below = found
                arrows[package][above].add(below)
    for package, graph in arrows.items():
        waiting = {name: set(below) for name, below in graph.items()}
        while waiting:
            free = [name for name, below in waiting.items() if not below & set(waiting)]
            assert free, f"{package}: imports in a circle among {', '.join(sorted(waiting))}"
            for name in free:
                del waiting[name]


@pytest.mark.slow
def test_the_device_never_needs_torch() -> None:
    allowed = DEVICE_LIBRARIES | set(sys.stdlib_module_names)
    for name, path in MODULES.items():
        if folder_of(name) == "runtimes":
            strange = {imported.split(".")[0] for imported in imports(path)} - allowed - {"cuda"}
            assert not strange, f"{name} imports {strange}"


def test_folders_are_small_and_say_what_they_are_for() -> None:
    for folder in {path.parent for path in sources()}:
        files = list(folder.glob("*.py"))
        if folder != ROOT / "sdk" / "cli":
            assert len(files) <= MAX_FILES, f"{folder} holds {len(files)} files; make two packages of it"
        entries = [path for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
        assert len(entries) >= MIN_FILES, f"{folder} holds {len(entries)} files; merge it with another package"
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in [*sources(), *(ROOT / "tests").rglob("*.py")]}
    assert len(lengths) > 800
    assert {str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_samples_are_short() -> None:
    samples = sorted((ROOT / "samples").rglob("*.py"))
    assert samples
    for path in samples:
        assert len(path.read_text().splitlines()) <= 60, path.name


def test_tests_mirror_the_folders() -> None:
    for folder in FOLDERS:
        for path in (ROOT / "tests" / folder).rglob("test_*.py"):
            assert (ROOT / path.parent.relative_to(ROOT / "tests")).is_dir(), f"{path} tests no package"


def test_every_package_is_installed() -> None:
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert set(setup["packages"]) == {name for name, path in MODULES.items() if path.name == "__init__.py"}
    for package, folder in setup["package-dir"].items():
        assert (ROOT / folder / "__init__.py").is_file(), package


def test_no_package_starts_another_program() -> None:
    for name, path in MODULES.items():
        assert "subprocess" not in set(imports(path)), name


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_allweather_brings_in_nothing_heavy() -> None:
    loaded = json.loads(run_python("import sys, json, allweather; print(json.dumps(sorted(sys.modules)))"))
    assert not [name for name in HEAVY if name in loaded]


@pytest.mark.slow
def test_loading_a_bundle_does_not_bring_in_torch() -> None:
    code = "import sys, allweather; allweather.load, allweather.watch, allweather.Bundle; print('torch' in sys.modules)"
    assert run_python(code).strip() == "False"


@pytest.mark.slow
def test_what_trains_nothing_imports_neither_lightning_fabric_nor_the_compiler_of_torch() -> None:
    modules = ("enough_images", "trainers.policies.tuning", "trainers.methods.train", "exporters.foreign.import_model")
    code = f"import sys, allweather.{', allweather.'.join(modules)}; print(*sys.modules)"
    assert not {"lightning_fabric", "torch._dynamo"} & set(run_python(code).split())


def test_lint() -> None:
    for arguments in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *arguments, str(ROOT)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_types() -> None:
    make = shutil.which("make")
    assert make, "make is needed: it lays the link tree that mypy reads"
    done = subprocess.run([make, "-C", str(ROOT), "--no-print-directory", "types"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

"""Checks our use of TensorRT against the real bindings, without a GPU: tensorrt_names.py WHEEL [WHEEL ...].

The wheels are such as tensorrt_cu12_bindings-10.3.0-cp311-*.whl; they need a Python of their tag, and cc. Three empty
libraries with TensorRT's nine C symbols stand in for the real ones, so the bindings load and tell their signatures.
What we use is read from our source: the type of every name follows from what made it, or from its annotation.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

SOURCES = (
    "runtimes/engines/tensorrt/library.py",
    "runtimes/engines/tensorrt/session.py",
    "exporters/tensorrt/build.py",
    "exporters/tensorrt/progress.py",
)
SYMBOLS = (
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL", "getBuilderPluginRegistry",
    "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins",
)  # fmt: skip
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
RENAMED = {"nvonnxparser::IParserError": "ParserError"}  # how a docstring calls a class that Python knows otherwise
ABSENT = "behind hasattr, not in this version"
FAKE = "tests/fakes/fake_tensorrt.py"
SIGNATURE = re.compile(r"^(?:\d+\. )?\w*\((.*)\) -> (.+)$", re.MULTILINE)


class Uses(ast.NodeVisitor):
    """Walks one of our files beside the real module.

    Attributes:
        seen: dotted names of TensorRT that were found, with what is wrong with each; empty where it is right.
    """

    def __init__(self, trt: Any) -> None:
        self._trt, self._names, self._guarded = trt, {"trt": trt}, set[str]()
        self.seen: dict[str, str] = {}
        self._absent = False  # inside what is run only where there is more than in this version

    def visit_If(self, node: ast.If) -> None:
        """What is behind a hasattr that is false here may be missing."""
        self.visit(node.test)
        before = self._absent
        self._absent |= any(self._lacks(each) for each in ast.walk(node.test))
        for each in node.body:
            self.visit(each)
        self._absent = before
        for each in node.orelse:
            self.visit(each)

    def _lacks(self, node: ast.AST) -> bool:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hasattr"):
            return False
        owner = self.type_of(node.args[0])
        name = node.args[1]
        return owner is not None and isinstance(name, ast.Constant) and not hasattr(owner, str(name.value))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """A name has the type of its annotation."""
        if node.value is not None:
            self.type_of(node.value)
        if isinstance(node.target, ast.Name):
            self._bind(node.target.id, self._annotated(node.annotation))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Arguments have the types of their annotations; names of a function end with it."""
        before = dict(self._names)
        for argument in node.args.args:
            self._names.pop(argument.arg, None)
            self._bind(argument.arg, self._annotated(argument.annotation))
        self._names["trt"] = self._trt  # that name is its module's in all our files
        for each in node.body:
            self.visit(each)
        self._names = before

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """What overrides a method of TensorRT has its arguments."""
        for base in node.bases:
            real = self.type_of(base)
            if real is None or not isinstance(real, type):
                continue
            for method in (each for each in node.body if isinstance(each, ast.FunctionDef)):
                if method.name != "__init__":
                    ours = [argument.arg for argument in method.args.args][1:]
                    self._check(f"{real.__name__}.{method.name}", getattr(real, method.name, None), len(ours), ours)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        """A name has the type of what it is given."""
        made = self.type_of(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._bind(target.id, made)
            elif isinstance(target, ast.Attribute):
                self.type_of(target)

    def visit_Expr(self, node: ast.Expr) -> None:
        """A call for its effect."""
        self.type_of(node.value)

    def generic_visit(self, node: ast.AST) -> None:
        """All expressions inside."""
        if isinstance(node, ast.expr):
            self.type_of(node)
            return
        super().generic_visit(node)

    def type_of(self, node: ast.expr) -> Any:
        """The class, module or method that an expression stands for; None for what is not TensorRT's."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id)
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        for child in ast.iter_child_nodes(node):
            self.visit(child)
        return None

    def check_fake(self, tree: ast.AST) -> None:
        """Whether the methods of the tests' fake have the arguments of the real ones."""
        for kind in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            real = getattr(self._trt, kind.name, None)
            for method in (each for each in kind.body if isinstance(each, ast.FunctionDef)):
                if real is not None and not method.name.startswith("_"):
                    ours = [argument.arg for argument in method.args.args][1:]
                    self._check(
                        f"the fake {kind.name}.{method.name}", getattr(real, method.name, None), len(ours), ours
                    )

    def _attribute(self, node: ast.Attribute) -> Any:
        if node.attr == "trt":
            return self._trt
        owner = self.type_of(node.value)
        if owner is None:
            return None
        name = f"{getattr(owner, '__name__', 'trt').rpartition('.')[2]}.{node.attr}"
        found = inspect.getattr_static(owner, node.attr, None) or getattr(owner, node.attr, None)
        self.seen.setdefault(name, "")
        if found is None:
            self.seen[name] = ABSENT if self._absent or name in self._guarded else "MISSING"
            return None
        if isinstance(found, property):
            return self._returned(found.fget)
        return found

    def _call(self, node: ast.Call) -> Any:
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.visit(argument)
        if isinstance(node.func, ast.Name) and node.func.id in ("hasattr", "getattr"):
            owner = self.type_of(node.args[0])
            if owner is not None and isinstance(node.args[1], ast.Constant):
                name = f"{getattr(owner, '__name__', 'trt').rpartition('.')[2]}.{node.args[1].value}"
                self._guarded.add(name)
                self.seen[name] = "" if hasattr(owner, str(node.args[1].value)) else ABSENT
            return None
        made = self.type_of(node.func)
        if made is None:
            return None
        if isinstance(made, type):
            if not issubclass(made, self._trt.ILogger):
                self._check(f"{made.__name__}.__init__", made.__init__, len(node.args))
            return made
        if isinstance(node.func, ast.Attribute):
            owner = self.type_of(node.func.value)
            itself = node.func.attr == "__init__"  # called of the class, with the object
            name = f"{getattr(owner, '__name__', 'trt').rpartition('.')[2]}.{node.func.attr}"
            self._check(name, made, len(node.args) - itself)
        return self._returned(made)

    def _check(self, name: str, method: Any, count: int, names: list[str] | None = None) -> None:
        """Whether a method takes that many arguments, with these names."""
        text = inspect.getdoc(getattr(method, "__func__", method)) or ""
        forms = [found[1].split(", ") for found in SIGNATURE.finditer(text)]
        if name.endswith("__init__") and not forms:
            return
        fits = False
        for form in forms:
            taken = [part for part in form if not part.startswith("self")]
            wanted = sum("=" not in part for part in taken)
            called = [part.partition(":")[0] for part in taken]
            fits |= wanted <= count <= len(taken) and (names is None or called == names)
        self.seen[f"{name}()"] = "" if fits else f"TAKES {forms or 'nothing known'}, is given {names or count}"

    def _returned(self, method: Any) -> Any:
        found = SIGNATURE.search(inspect.getdoc(getattr(method, "__func__", method)) or "")
        if found is None:
            return None
        name = RENAMED.get(found[2].strip(), found[2].strip().rpartition(".")[2])
        return getattr(self._trt, name, None)

    def _annotated(self, node: ast.expr | None) -> Any:
        text = ast.unparse(node).removesuffix(" | None") if node else ""
        return getattr(self._trt, text.removeprefix("tensorrt."), None) if text.startswith("tensorrt.") else None

    def _bind(self, name: str, made: Any) -> None:
        if made is None:
            self._names.pop(name, None)
        else:
            self._names[name] = made


def inspect_here() -> int:
    """In a process that has the bindings: prints each name, and returns how many are wrong."""
    trt = importlib.import_module("tensorrt_bindings.tensorrt")
    version = importlib.import_module("tensorrt_bindings").__version__
    uses = Uses(trt)
    for source in SOURCES:
        uses.visit(ast.parse((Path(__file__).parents[2] / source).read_text()))
    uses.check_fake(ast.parse((Path(__file__).parents[2] / FAKE).read_text()))
    wrong = {name: fault for name, fault in uses.seen.items() if fault and "hasattr" not in fault}
    guarded = sorted(name for name, fault in uses.seen.items() if "hasattr" in fault)
    print(f"TensorRT {version}: {len(uses.seen)} names and calls, {len(wrong)} wrong")
    print(f"  behind hasattr, and not in this version: {', '.join(guarded) or 'none'}")
    for name, fault in sorted(uses.seen.items()):
        print(f"  {name}: {fault or 'there'}")
    return len(wrong)


def main(wheels: list[str]) -> int:
    """Runs the check for each wheel in a process of its own; returns 1 if anything is wrong."""
    failed = 0
    for wheel in wheels:
        with tempfile.TemporaryDirectory() as folder:
            zipfile.ZipFile(wheel).extractall(folder)
            source = Path(folder, "stubs.c")
            source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in SYMBOLS))
            for library in LIBRARIES:
                for major in (10, 11):
                    out = Path(folder, f"lib{library}.so.{major}")
                    subprocess.run(["cc", "-shared", "-fPIC", "-o", out, source], check=True)  # noqa: S603, S607 - ours
            there = {**os.environ, "LD_LIBRARY_PATH": folder, "PYTHONPATH": folder}
            line = [sys.executable, __file__, "--here"]
            failed += bool(subprocess.run(line, env=there, check=False).returncode)  # noqa: S603 - this file
    return 1 if failed or not wheels else 0


if __name__ == "__main__":
    sys.exit(min(1, inspect_here()) if sys.argv[1:] == ["--here"] else main(sys.argv[1:]))

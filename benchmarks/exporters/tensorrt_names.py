"""Checks every TensorRT name and call in our source against the real Python bindings, without a GPU.

    python benchmarks/exporters/tensorrt_names.py WHEEL [WHEEL ...]

A wheel is one such as tensorrt_cu12_bindings-10.3.0-cp311-*.whl; it needs a Python of its tag, and a C compiler (cc).
Three empty libraries with TensorRT's nine C symbols stand in for the real ones, so that the bindings can be imported
and their signatures read. The names we use are read from our source, where the type of a variable follows from the
expression assigned to it, or from its annotation. It measures no time and has no rival.
"""

from __future__ import annotations

import argparse
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
RENAMED = {"nvonnxparser::IParserError": "ParserError"}  # C++ names in docstrings, and the Python names for them
ABSENT = "behind hasattr, not in this version"
FAKE = "tests/fakes/fake_tensorrt.py"
SIGNATURE = re.compile(r"^(?:\d+\. )?\w*\((.*)\) -> (.+)$", re.MULTILINE)


class Uses(ast.NodeVisitor):
    """Walks through one of our files, and looks up each TensorRT name that it uses in the real module.

    Attributes:
        faults: Dotted TensorRT names that our files use, each with its fault; "" for a correct use.
    """

    def __init__(self, trt: Any) -> None:
        self._trt, self._names, self._guarded = trt, {"trt": trt}, set[str]()
        self.faults: dict[str, str] = {}
        self._absent = False  # True inside a branch that this version does not run

    def visit_If(self, node: ast.If) -> None:
        """Allows names to be missing that are only used behind a hasattr that is false in this version."""
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
        """Gives a variable the type of its annotation."""
        if node.value is not None:
            self.type_of(node.value)
        if isinstance(node.target, ast.Name):
            self._bind(node.target.id, self._annotated(node.annotation))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Gives parameters the types of their annotations; forgets the variables at the end of the function."""
        before = dict(self._names)
        for argument in node.args.args:
            self._names.pop(argument.arg, None)
            self._bind(argument.arg, self._annotated(argument.annotation))
        self._names["trt"] = self._trt  # in all our files `trt` is the module
        for each in node.body:
            self.visit(each)
        self._names = before

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Checks that a method that overrides one of TensorRT's has the same parameters."""
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
        """Gives a variable the type of the expression that is assigned to it."""
        value_type = self.type_of(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._bind(target.id, value_type)
            elif isinstance(target, ast.Attribute):
                self.type_of(target)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Checks an expression whose value is not used, such as a call."""
        self.type_of(node.value)

    def generic_visit(self, node: ast.AST) -> None:
        """Checks all expressions inside a node."""
        if isinstance(node, ast.expr):
            self.type_of(node)
            return
        super().generic_visit(node)

    def type_of(self, node: ast.expr) -> Any:
        """Returns the class, module or method of TensorRT that an expression stands for; None for any other."""
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
        """Checks that the methods of the tests' fake have the parameters of the real ones."""
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
        member = inspect.getattr_static(owner, node.attr, None) or getattr(owner, node.attr, None)
        self.faults.setdefault(name, "")
        if member is None:
            self.faults[name] = ABSENT if self._absent or name in self._guarded else "MISSING"
            return None
        if isinstance(member, property):
            return self._returned(member.fget)
        return member

    def _call(self, node: ast.Call) -> Any:
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.visit(argument)
        if isinstance(node.func, ast.Name) and node.func.id in ("hasattr", "getattr"):
            owner = self.type_of(node.args[0])
            if owner is not None and isinstance(node.args[1], ast.Constant):
                name = f"{getattr(owner, '__name__', 'trt').rpartition('.')[2]}.{node.args[1].value}"
                self._guarded.add(name)
                self.faults[name] = "" if hasattr(owner, str(node.args[1].value)) else ABSENT
            return None
        callee = self.type_of(node.func)
        if callee is None:
            return None
        if isinstance(callee, type):
            if not issubclass(callee, self._trt.ILogger):
                self._check(f"{callee.__name__}.__init__", callee.__init__, len(node.args))
            return callee
        if isinstance(node.func, ast.Attribute):
            owner = self.type_of(node.func.value)
            passes_self = node.func.attr == "__init__"  # called on the class, with the object as first argument
            name = f"{getattr(owner, '__name__', 'trt').rpartition('.')[2]}.{node.func.attr}"
            self._check(name, callee, len(node.args) - passes_self)
        return self._returned(callee)

    def _check(self, name: str, method: Any, count: int, names: list[str] | None = None) -> None:
        """Checks that a method takes that many arguments, with these names."""
        text = inspect.getdoc(getattr(method, "__func__", method)) or ""
        overloads = [match[1].split(", ") for match in SIGNATURE.finditer(text)]
        if name.endswith("__init__") and not overloads:
            return
        fits = False
        for overload in overloads:
            parameters = [part for part in overload if not part.startswith("self")]
            required = sum("=" not in part for part in parameters)
            real_names = [part.partition(":")[0] for part in parameters]
            fits |= required <= count <= len(parameters) and (names is None or real_names == names)
        self.faults[f"{name}()"] = (
            "" if fits else f"TAKES {overloads or 'unknown parameters'}, but gets {names or count}"
        )

    def _returned(self, method: Any) -> Any:
        match = SIGNATURE.search(inspect.getdoc(getattr(method, "__func__", method)) or "")
        if match is None:
            return None
        name = RENAMED.get(match[2].strip(), match[2].strip().rpartition(".")[2])
        return getattr(self._trt, name, None)

    def _annotated(self, node: ast.expr | None) -> Any:
        text = ast.unparse(node).removesuffix(" | None") if node else ""
        return getattr(self._trt, text.removeprefix("tensorrt."), None) if text.startswith("tensorrt.") else None

    def _bind(self, name: str, type_: Any) -> None:
        if type_ is None:
            self._names.pop(name, None)
        else:
            self._names[name] = type_


def inspect_bindings() -> int:
    """Prints each name with its fault, in a process that can import the bindings; returns the number of faults."""
    trt = importlib.import_module("tensorrt_bindings.tensorrt")
    version = importlib.import_module("tensorrt_bindings").__version__
    uses = Uses(trt)
    for source in SOURCES:
        uses.visit(ast.parse((Path(__file__).parents[2] / source).read_text()))
    uses.check_fake(ast.parse((Path(__file__).parents[2] / FAKE).read_text()))
    incorrect = {name: fault for name, fault in uses.faults.items() if fault and "hasattr" not in fault}
    guarded = sorted(name for name, fault in uses.faults.items() if "hasattr" in fault)
    print(f"TensorRT {version}: {len(uses.faults)} names and calls, {len(incorrect)} incorrect")
    print(f"  behind hasattr, not in this version: {', '.join(guarded) or 'none'}")
    for name, fault in sorted(uses.faults.items()):
        print(f"  {name}: {fault or 'correct'}")
    return len(incorrect)


def main() -> int:
    """Checks each wheel in a process of its own; returns 1 if a use is incorrect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", nargs="+", metavar="WHEEL")
    failed = 0
    for wheel in parser.parse_args().wheels:
        with tempfile.TemporaryDirectory() as folder:
            zipfile.ZipFile(wheel).extractall(folder)
            source = Path(folder, "stubs.c")
            source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in SYMBOLS))
            for library in LIBRARIES:
                for major in (10, 11):
                    out = Path(folder, f"lib{library}.so.{major}")
                    subprocess.run(["cc", "-shared", "-fPIC", "-o", out, source], check=True)  # noqa: S603, S607 - ours
            environment = {**os.environ, "LD_LIBRARY_PATH": folder, "PYTHONPATH": folder}
            command = [sys.executable, __file__, "--inspect"]
            failed += bool(subprocess.run(command, env=environment, check=False).returncode)  # noqa: S603 - this file
    return min(1, failed)


if __name__ == "__main__":
    sys.exit(min(1, inspect_bindings()) if sys.argv[1:] == ["--inspect"] else main())

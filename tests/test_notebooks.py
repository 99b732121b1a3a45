"""The notebooks of samples/notebooks are those of their tutorials, and every cell runs."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "samples" / "notebooks"
specification = importlib.util.spec_from_file_location("notebooks", ROOT / "docs" / "notebooks.py")
assert specification
assert specification.loader
notebooks: Any = importlib.util.module_from_spec(specification)
specification.loader.exec_module(notebooks)


@pytest.mark.parametrize("name", notebooks.TUTORIALS)
def test_a_notebook_is_that_of_its_tutorial(name: str) -> None:
    text = (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text == notebooks.text_of(name), "run: python docs/notebooks.py"


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", notebooks.TUTORIALS)
def test_every_cell_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is missing: the notebooks were not run")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is missing: the notebooks were not run")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "samples" / "notebooks").mkdir(parents=True)
    for each in ("bundles", "images"):
        (tmp_path / "samples" / each).symlink_to(ROOT / "samples" / each)
    file = shutil.copy(NOTEBOOKS / f"{name}.ipynb", tmp_path / "samples" / "notebooks")
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    resources = {"metadata": {"path": str(Path(file).parent)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    printed = [output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("crossing" in text for text in printed)

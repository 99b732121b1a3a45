"""The function for Spark in the documents decides as a perceiver does. Spark itself is not started: it needs Java."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import pytest

import allweather
from allweather.runtimes.bundle.bundle import Bundle

DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "many-machines.md"


@pytest.mark.slow
def test_the_function_for_spark_decides_on_tables_of_paths(sample_bundle: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed: the function for Spark was not checked")
    code = DOCUMENT.read_text().split("```python\n", 1)[1].split("```", 1)[0]
    assert "/shared/my.aw" in code
    names: dict[str, Any] = {}
    exec(code.replace("/shared/my.aw", str(sample_bundle)), names)  # noqa: S102 - the documents' own code

    frames = list(Bundle.open(sample_bundle).golden_frames())[:5]
    paths = [str(tmp_path / f"{index}.png") for index in range(len(frames))]
    for path, frame in zip(paths, frames, strict=True):
        cv2.imwrite(path, frame[..., ::-1])
    damaged, gone = tmp_path / "damaged.jpg", tmp_path / "gone.jpg"
    damaged.write_bytes(b"\xff\xd8\xff no image")
    tables = [
        pandas.DataFrame({"path": [paths[0], str(damaged), *paths[1:], paths[0]]}),
        pandas.DataFrame({"path": [str(gone)]}),
        pandas.DataFrame({"path": []}),
    ]
    first, second, empty = names["decide"](iter(tables))

    with allweather.load(sample_bundle, threads=1) as perceiver:
        labels = [decision.label for decision in perceiver.batch(frames)]
    assert list(first.columns) == list(empty.columns) == ["path", "label", "confidence", "reason"]
    assert list(first["path"]) == list(tables[0]["path"])
    assert list(first["label"].drop(1)) == [*labels, labels[0]]
    assert first["reason"].drop(1).isna().all()
    assert (
        first["reason"][1] == f"{damaged} cannot be used: it is damaged, cut off or not an image; remove or replace it"
    )
    assert second["label"].isna().all()
    assert "No such file" in second["reason"][0]
    assert not len(empty)

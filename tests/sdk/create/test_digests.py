"""Hashes of what stages are made from change with every file that belongs to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from allweather.create.digests import foreign_digest


@pytest.mark.parametrize("weights", ["m.onnx.data", "weights.bin", "parts/first"])
def test_external_weights_of_any_name_belong_to_an_onnx_file(weights: str, tmp_path: Path) -> None:
    values = numpy_helper.from_array(np.ones((3, 3), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [values],
    )
    file = tmp_path / "m.onnx"
    (tmp_path / weights).parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(graph), file, save_as_external_data=True, location=weights, size_threshold=0)
    before = foreign_digest(file)
    assert foreign_digest(file) == before
    (tmp_path / weights).write_bytes(np.zeros((3, 3), np.float32).tobytes())
    assert foreign_digest(file) != before


def test_the_weights_of_openvino_ir_belong_to_it(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text("<net/>")
    (tmp_path / "m.bin").write_bytes(b"1")
    before = foreign_digest(tmp_path / "m.xml")
    (tmp_path / "m.bin").write_bytes(b"2")
    assert foreign_digest(tmp_path / "m.xml") != before

"""Arguments of another type are told in one line by the functions that make bundles and repositories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allweather import exporters
from allweather.exporters.serving import write_repository
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.errors import UsageError
from allweather.runtimes.tta.policy_names import parse_policy

ANYTHING: list[Any] = [3, 1.5, b"x", object(), np.zeros((8, 4)), {"a": parse_policy("hflip")}, ["hflip"], "hflip"]
CALLS: dict[str, Callable[[Path, Path, Any], object]] = {
    "policies": lambda bundle, out, value: exporters.add_to_bundle(bundle, None, value, None, out),
    "predictor": lambda bundle, out, value: exporters.add_to_bundle(bundle, value, None, None, out),
    "data of a calibration": lambda bundle, out, value: exporters.calibration_set(value),
    "data of a foreign model": lambda bundle, out, value: exporters.export_onnx("a.onnx", value, out),
    "served bundle": lambda bundle, out, value: write_repository(value, "triton", out),
    "layout": lambda bundle, out, value: write_repository(Bundle.open(bundle), value, out),
    "engine": lambda bundle, out, value: write_repository(Bundle.open(bundle), "triton", out, engine=value),
    "precision": lambda bundle, out, value: write_repository(Bundle.open(bundle), "triton", out, precision=value),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_argument_of_another_type_is_told_in_one_line(name: str, sample_bundle: Path, tmp_path: Path) -> None:
    for value in ANYTHING:
        with pytest.raises(UsageError) as caught:
            CALLS[name](sample_bundle, tmp_path / "out", value)
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_one_policy_alone_is_no_list(sample_bundle: Path, tmp_path: Path) -> None:
    policy: Any = parse_policy("hflip")
    with pytest.raises(UsageError, match="policies are a list of Policy; got Policy"):
        exporters.add_to_bundle(sample_bundle, None, policy, None, tmp_path / "out")

from __future__ import annotations

import cv2
import numpy as np
import pytest

from allweather.reports import plots

ROWS = tuple(f"augmentation {index}" for index in range(9))
HISTORY = [{"epoch": epoch, "loss": 1 / epoch, "val_accuracy": 0.5, **dict.fromkeys(ROWS, 0.4)} for epoch in (1, 2, 3)]
ERRORS = {name: [0.1, 0.2, 0.3, 0.4, 0.5] for name in ("fog", "snow", "spatter")}
PLOTS = {
    "confusion matrix": lambda: plots.confusion_matrix([[3, 1], [0, 4]], ["car", "dog"]),
    "confusion matrix of many classes": lambda: plots.confusion_matrix(np.eye(40, dtype=int).tolist(), ["x"] * 40),
    "confusion matrix with an empty row": lambda: plots.confusion_matrix([[0, 0], [0, 4]], ["car", "dog"]),
    "reliability diagram": lambda: plots.reliability_diagram([(0, 0.0, 0.0), (8, 0.9, 0.8)], 0.1),
    "error heat map": lambda: plots.error_heatmap([ERRORS, ERRORS], ["a", "b"], (["fog", "snow"], ["spatter"])),
    "stage bars": lambda: plots.stage_bars(["openvino int8 k=1"], [{"infer": 2.0, "rank": 0.5}], [(3.0, 4.0)]),
    "view heat map": lambda: plots.view_heatmap({"clean": [0.2, 0.8]}, ["identity", "hflip"], "top:1"),
    "finetuning curves": lambda: plots.finetuning_curves(HISTORY, ROWS),
    "training curves": lambda: plots.training_curves(HISTORY),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_is_a_png_with_something_on_it(name: str) -> None:
    image = cv2.imdecode(np.frombuffer(PLOTS[name](), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert np.ptp(image) > 100


@pytest.mark.slow
@pytest.mark.parametrize(("count", "length"), [(3, 1), (12, 40), (12, 300), (30, 25)])
def test_nothing_of_a_confusion_matrix_is_cut_off(count: int, length: int) -> None:
    png = plots.confusion_matrix(np.eye(count, dtype=int).tolist(), ["w" * length] * count)
    ink = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE) < 250
    border = [ink[:2], ink[-2:], ink[:, :2], ink[:, -2:]]
    assert not any(edge.any() for edge in border)
    first = ink.any(0).nonzero()[0][0]  # the label "true class" is leftmost, and there in full: about 75 pixels long
    assert np.ptp(ink[:, first : first + 18].any(1).nonzero()[0]) > 60

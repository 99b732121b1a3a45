"""INT8 for OpenVINO by NNCF: after training, with control of the accuracy where that is needed."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from types import ModuleType

import numpy as np
import numpy.typing as npt
import openvino

from allweather.exporters.calibration import CalibrationSet
from allweather.runtimes.engines.registry import BATCH
from allweather.runtimes.types import Image
from allweather.trainers.quiet_loggers import silenced

QUIET = {"NNCF_CI": "1"}  # with it NNCF builds a stub for its telemetry: nothing is sent from a user's machine


def quantize_openvino(model: openvino.Model, calibration: CalibrationSet) -> openvino.Model:
    """INT8 weights and activations for OpenVINO; `model` itself is left as it is."""
    with _nncf() as nncf:
        data = nncf.Dataset([image[None] for image in calibration.images])
        quantized: openvino.Model = nncf.quantize(
            model,
            data,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(calibration.images),
            advanced_parameters=_unsaturated(nncf),
        )
    return quantized


def quantize_with_accuracy(
    model: openvino.Model,
    calibration: CalibrationSet,
    images: Image,
    labels: npt.NDArray[np.int64],
    drop: float,
) -> openvino.Model:
    """INT8, with layers given back to float one by one, the costliest first, until the accuracy is kept.

    Args:
        model: float, left as it is.
        calibration: pictures that set the ranges.
        images: uint8 [n, h, w, 3], to measure the accuracy on.
        labels: int64 [n], the truth.
        drop: of the accuracy that may be lost, 0..1.
    """

    def accuracy(compiled: openvino.CompiledModel, items: Iterable[int]) -> tuple[float, None]:
        chosen = list(items)
        answers = [compiled(images[chosen[i : i + BATCH]])[0] for i in range(0, len(chosen), BATCH)]
        return float((np.concatenate(answers).argmax(1) == labels[chosen]).mean()), None

    with _nncf() as nncf:
        with_margin: openvino.Model = nncf.quantize_with_accuracy_control(
            model,
            nncf.Dataset([image[None] for image in calibration.images]),
            nncf.Dataset(list(range(len(images)))),
            accuracy,
            max_drop=drop,
            drop_type=nncf.DropType.ABSOLUTE,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(calibration.images),
            advanced_quantization_parameters=_unsaturated(nncf),
        )
    return with_margin


def _unsaturated(nncf: ModuleType) -> object:
    """Weights in seven bits: on x86 without VNNI sums of 16 bits saturate else, by up to 2.5 logits (ResNet-20)."""
    return nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE)


@contextmanager
def _nncf() -> Iterator[ModuleType]:
    """NNCF with its telemetry off and its progress bars and advice silenced; the environment is put back."""
    before = {key: os.environ.get(key) for key in QUIET}
    os.environ.update(QUIET)
    # its progress bars go to stdout, which belongs to the command's result
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            import nncf

            with silenced("nncf"):  # not nncf.set_log_level: that turns down the handlers of others as well
                yield nncf
        finally:
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key)
                else:
                    os.environ[key] = value

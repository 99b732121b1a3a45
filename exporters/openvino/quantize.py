"""INT8 for OpenVINO by NNCF: post-training quantization, with accuracy control where that is needed."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from types import ModuleType

import numpy as np
import numpy.typing as npt

from allweather.exporters.calibration import CalibrationSet
from allweather.runtimes.engines.open import BATCH_SIZE
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.types import Image
from allweather.trainers.quiet_loggers import silence_loggers

with isolated_imports():
    import openvino


def quantize_openvino(model: openvino.Model, calibration: CalibrationSet) -> openvino.Model:
    """Quantizes weights and activations to INT8.

    Args:
        model: Float model; it is not changed.
        calibration: Images that set the ranges of the activations.
    """
    with _nncf() as nncf:
        data = nncf.Dataset([image[None] for image in calibration.images])
        quantized: openvino.Model = nncf.quantize(
            model,
            data,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(calibration.images),
            advanced_parameters=_advanced_settings(nncf),
        )
    return quantized


def quantize_with_accuracy(
    model: openvino.Model,
    calibration: CalibrationSet,
    images: Image,
    labels: npt.NDArray[np.int64],
    max_drop: float,
) -> openvino.Model:
    """Quantizes to INT8, then changes layers back to float one by one until the accuracy drop is allowed.

    The layers that cost the most accuracy are changed back first.

    Args:
        model: Float model; it is not changed.
        calibration: Images that set the ranges of the activations.
        images: Images to compute the accuracy on, uint8 [n, h, w, 3].
        labels: Class indices, int64 [n].
        max_drop: How much lower the accuracy may be than that of the float model, 0..1.
    """

    def accuracy(compiled: openvino.CompiledModel, items: Iterable[int]) -> tuple[float, None]:
        indices = list(items)
        logits = [compiled(images[indices[i : i + BATCH_SIZE]])[0] for i in range(0, len(indices), BATCH_SIZE)]
        return float((np.concatenate(logits).argmax(1) == labels[indices]).mean()), None

    with _nncf() as nncf:
        quantized: openvino.Model = nncf.quantize_with_accuracy_control(
            model,
            nncf.Dataset([image[None] for image in calibration.images]),
            nncf.Dataset(list(range(len(images)))),
            accuracy,
            max_drop=max_drop,
            drop_type=nncf.DropType.ABSOLUTE,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(calibration.images),
            advanced_quantization_parameters=_advanced_settings(nncf),
        )
    return quantized


def _advanced_settings(nncf: ModuleType) -> object:
    """Returns the settings with which NNCF limits weights to seven bits, and activations to what was seen.

    With eight bits, the 16-bit sums of an x86 CPU without VNNI saturate: logits of a ResNet-20 were off by up to 2.5.
    By default NNCF averages the limits of the single images, and so clips the input of every image that is brighter
    than the average: of signs in snow a ResNet-20 then misread 77 % instead of 11 %.
    """
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    return nncf.AdvancedQuantizationParameters(
        overflow_fix=nncf.OverflowFix.ENABLE, activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
    )


@contextmanager
def _nncf() -> Iterator[ModuleType]:
    """Imports NNCF without its telemetry, progress bars and warnings."""
    # NNCF prints its progress bars to stdout, where only the result of a command belongs
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), isolated_imports():
        warnings.simplefilter("ignore")
        import nncf

        with silence_loggers("nncf"):  # nncf.set_log_level would change the handlers of other loggers, too
            yield nncf

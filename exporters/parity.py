"""The parity gate: checks that a compiled model predicts what its torch model predicts, before it goes into a bundle.

The gate uses validation images, because it selects models: clean ones, and the same ones corrupted. A model is rejected
for lost accuracy only if it loses more than the threshold and one standard error of the difference (as in McNemar's
test): of two equally good models that differ on some images, one is more accurate by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from allweather.runtimes.bundle.manifest import Parity, Precision
from allweather.runtimes.types import Floats

MAX_ACCURACY_DROP = 0.005  # of all images: half a point
OVERFLOW = 1e9  # recorded for infinite and NaN differences, as when fp16 overflows: a manifest holds finite numbers
# How far processors may differ on the golden frames, as a share of the range of the golden logits. The INT8 value was
# measured. fp16 rounds in steps of 0.0005 and was off by 0.0013 in ONNX Runtime, so a GPU is allowed several times
# that. bf16 rounds in steps of 0.004.
GOLDEN_TOLERANCES: dict[Precision, float] = {"fp16": 0.01, "bf16": 0.03, "int8": 0.03}
MIN_PREDICTOR_AGREEMENT = 0.95  # share of images for which a loss predictor must choose the view that torch chooses


@dataclass(frozen=True)
class Threshold:
    """What the parity gate requires of one precision.

    Attributes:
        max_logit_difference: Largest difference of a logit that is allowed; infinite if rounding may change single
            logits a lot.
        min_agreement: Share of images, clean and corrupted, whose predicted class must stay the same.
    """

    max_logit_difference: float
    min_agreement: float


THRESHOLDS: dict[Precision, Threshold] = {
    "fp32": Threshold(0.01, 0.999),  # engines differ by 2e-5 on an x86 CPU; an incorrect constant changes logits by > 1
    "fp16": Threshold(0.5, 0.99),
    "bf16": Threshold(float("inf"), 0.97),
    "int8": Threshold(float("inf"), 0.93),
}


@dataclass(frozen=True)
class ModelOutputs:
    """Outputs of one model for the images of the parity gate.

    Attributes:
        clean: Logits float32 [n, C] of a classifier, or predicted losses float32 [n, V] of a loss predictor.
        corrupted: Logits float32 [n, C] for the same images, all corrupted. None for a loss predictor, whose images are
            half clean and half corrupted.
    """

    clean: Floats
    corrupted: Floats | None


@dataclass(frozen=True)
class ParityResult:
    """Result of the parity gate for one model.

    Attributes:
        parity: Agreement with torch and accuracy, as the manifest records them.
        reason: Why the model is rejected; "" if it passes.
    """

    parity: Parity
    reason: str


def check_parity(
    outputs: ModelOutputs, reference: ModelOutputs, labels: npt.NDArray[np.int64] | None, precision: Precision
) -> ParityResult:
    """Compares one model with torch, and decides whether it may go into a bundle.

    Args:
        outputs: Outputs of the engine.
        reference: Outputs of the torch model for the same images.
        labels: Class indices, int64 [n]; None for a loss predictor, whose best view is the one of the lowest loss.
        precision: Precision of the model.
    """
    pairs = [(outputs.clean, reference.clean)]
    if outputs.corrupted is not None and reference.corrupted is not None:
        pairs.append((outputs.corrupted, reference.corrupted))
    difference = np.concatenate([np.abs(ours - theirs) for ours, theirs in pairs])
    difference = np.nan_to_num(difference, nan=OVERFLOW, posinf=OVERFLOW)
    best = [(_best(ours, labels), _best(theirs, labels)) for ours, theirs in pairs]
    agreement = float(np.mean([ours == theirs for ours, theirs in best]))
    correct = [] if labels is None else [(ours == labels, theirs == labels) for ours, theirs in best]
    accuracies = [float(each.mean()) for pair in correct for each in pair] + [None] * (4 - 2 * len(correct))
    parity = Parity(
        images=len(outputs.clean),
        largest_logit_difference=float(difference.max()),
        mean_logit_difference=float(difference.mean()),
        agreement=agreement,
        accuracy=accuracies[0],
        reference_accuracy=accuracies[1],
        corrupted_accuracy=accuracies[2],
        reference_corrupted_accuracy=accuracies[3],
    )
    return ParityResult(parity, "; ".join(_reasons(parity, correct, precision)))


def tolerance(precision: Precision, golden: Floats, reference: Floats) -> float:
    """Returns how far a device's golden outputs may be from the recorded ones, so that the bundle runs on every CPU.

    Processors with VNNI, without it, and ARM processors round an INT8 model differently: by up to 2.5 % of the range of
    its logits where that was measured (docs/results/arm64.md). The more rounding changes a model's outputs, the more
    processors differ.

    Args:
        precision: Precision of the model.
        golden: Its outputs for the golden frames, float32 [n, C or V].
        reference: Outputs of torch for the same frames, float32 [n, C or V].
    """
    if precision == "fp32":
        return THRESHOLDS["fp32"].max_logit_difference
    logit_range, difference = float(np.ptp(golden)), float(np.abs(golden - reference).max())
    if not math.isfinite(logit_range + difference):  # the parity gate rejects such a model
        return OVERFLOW
    return max(GOLDEN_TOLERANCES[precision] * logit_range, difference / 2, THRESHOLDS["fp32"].max_logit_difference)


def _best(outputs: Floats, labels: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
    """Returns for each image the class of the highest logit, or the view of the lowest loss."""
    best: npt.NDArray[np.int64] = outputs.argmin(1) if labels is None else outputs.argmax(1)
    return best


def _reasons(
    parity: Parity, correct: list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]], precision: Precision
) -> list[str]:
    """Returns a sentence for each requirement that the model does not meet."""
    threshold, reasons = THRESHOLDS[precision], []
    if parity.largest_logit_difference >= OVERFLOW:
        reasons.append(f"its logits are not finite, or differ from torch's by {OVERFLOW:g} or more")
    elif parity.largest_logit_difference > threshold.max_logit_difference:
        reasons.append(
            f"its logits differ from torch's by up to {parity.largest_logit_difference:.3g}; "
            f"{threshold.max_logit_difference:g} is allowed"
        )
    min_agreement = threshold.min_agreement if correct else MIN_PREDICTOR_AGREEMENT
    if not parity.agreement >= min_agreement:
        reasons.append(
            f"it agrees with torch on {100 * parity.agreement:.1f} % of images; {100 * min_agreement:g} % are needed"
        )
    for (ours, theirs), kind in zip(correct, ("clean", "corrupted"), strict=False):
        drop, standard_error = theirs.mean() - ours.mean(), np.sqrt((ours != theirs).sum()) / len(ours)
        if drop - standard_error > MAX_ACCURACY_DROP:
            reasons.append(
                f"it loses {100 * drop:.1f} points of accuracy on {kind} images; "
                f"{100 * MAX_ACCURACY_DROP:g} are allowed"
            )
    return reasons

"""The parity gate: checks that a compiled model predicts what its original predicts, before it goes into a bundle.

The original is the torch model, or the file of another program as its own library runs it.

The gate uses validation images, because it selects models: clean ones, the same ones corrupted, every second one
brightened and the others darkened, because INT8 ranges clip what they have not seen. A model is rejected for lost
accuracy only if it loses more than the threshold and one standard error of the difference (as in McNemar's test): of
two equally good models that differ on some images, one is more accurate by chance. For the same reason a few images
decide nothing, and `images_note` says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from allweather.runtimes.bundle.manifest import Parity, Precision
from allweather.runtimes.types import Floats
from allweather.trainers.training.uncertainty import LEVEL, MIN_IMAGES, unseen_share

MAX_ACCURACY_DROP = 0.005  # of all images: half a point
OVERFLOW = 1e9  # recorded for infinite and NaN differences, as when fp16 overflows: a manifest holds finite numbers
MAX_ROUNDING = 1e-6  # of the largest logit: what the roundings of all layers in float32 may add up to
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
        bright: Logits for every second image from index 0 on, brightened; None for a loss predictor.
        dark: Logits for every second image from index 1 on, darkened; None for a loss predictor.
    """

    clean: Floats
    corrupted: Floats | None
    bright: Floats | None = None
    dark: Floats | None = None

    def by_kind(self, labels: npt.NDArray[np.int64] | None) -> dict[str, tuple[Floats, npt.NDArray[np.int64] | None]]:
        """Returns (outputs, labels) of each kind of images that there is."""
        parts = {"clean": (self.clean, slice(None)), "corrupted": (self.corrupted, slice(None))}
        parts |= {"bright": (self.bright, slice(0, None, 2)), "dark": (self.dark, slice(1, None, 2))}
        return {
            kind: (outputs, None if labels is None else labels[rows])
            for kind, (outputs, rows) in parts.items()
            if outputs is not None and len(outputs)
        }


@dataclass(frozen=True)
class ParityResult:
    """Result of the parity gate for one model.

    Attributes:
        parity: Agreement with the original and accuracy, as the manifest records them.
        reason: Why the model is rejected; "" if it passes.
    """

    parity: Parity
    reason: str


def check_parity(
    outputs: ModelOutputs,
    reference: ModelOutputs,
    labels: npt.NDArray[np.int64] | None,
    precision: Precision,
    original: str = "torch",
) -> ParityResult:
    """Compares one model with its original, and decides whether it may go into a bundle.

    Args:
        outputs: Outputs of the engine.
        reference: Outputs of the original for the same images.
        labels: Class indices, int64 [n]; None for a loss predictor, whose best view is the one of the lowest loss.
        precision: Precision of the model.
        original: What runs the original, for the reasons.
    """
    references, differences, correct, agreeing = reference.by_kind(labels), [], {}, []
    for kind, (ours, true) in outputs.by_kind(labels).items():
        theirs = references[kind][0]
        differences.append(np.abs(ours - theirs).ravel())
        our_best, their_best = _best(ours, true), _best(theirs, true)
        if kind in ("clean", "corrupted"):  # where a model is at a loss, as in the dark, it changes its mind easily
            agreeing.append(our_best == their_best)
        if true is not None:
            correct[kind] = our_best == true, their_best == true
    difference = np.nan_to_num(np.concatenate(differences), nan=OVERFLOW, posinf=OVERFLOW)
    agreement = float(np.concatenate(agreeing).mean())
    accuracies = [float(each.mean()) for kind in ("clean", "corrupted") for each in correct.get(kind, ())]
    accuracies_or_none = [*accuracies, *[None] * (4 - len(accuracies))]
    parity = Parity(
        images=len(outputs.clean),
        largest_logit_difference=float(difference.max()),
        mean_logit_difference=float(difference.mean()),
        agreement=agreement,
        accuracy=accuracies_or_none[0],
        reference_accuracy=accuracies_or_none[1],
        corrupted_accuracy=accuracies_or_none[2],
        reference_corrupted_accuracy=accuracies_or_none[3],
    )
    largest = float(np.nan_to_num(np.abs(reference.clean).max()))
    return ParityResult(parity, "; ".join(_reasons(parity, correct, precision, original, largest)))


def images_note(count: int) -> str:
    """Says what the gate cannot see with so few images; "" if there are enough of them to see half a point.

    Args:
        count: Number of validation images that the gate uses.
    """
    hidden = unseen_share(count)
    if hidden <= MAX_ACCURACY_DROP:
        return ""
    verdict = "decide nothing" if count < MIN_IMAGES else "decide little"
    return (
        f"the parity gate has {count} validation images, which {verdict}: even where a model agrees with its original "
        f"on all of them, it may still differ on up to {100 * hidden:.2g} % of others (at 95 %); the limit, half a "
        f"point of accuracy, can be seen with about {math.ceil(math.log(1 - LEVEL) / math.log(1 - MAX_ACCURACY_DROP))}"
    )


def tolerance(precision: Precision, golden: Floats, reference: Floats) -> float:
    """Returns how far a device's golden outputs may be from the recorded ones, so that the bundle runs on every CPU.

    Processors with VNNI, without it, and ARM processors round an INT8 model differently: by up to 2.5 % of the range of
    its logits where that was measured (docs/results/arm64.md). The more rounding changes a model's outputs, the more
    processors differ.

    Args:
        precision: Precision of the model.
        golden: Its outputs for the golden frames, float32 [n, C or V].
        reference: Outputs of the original for the same frames, float32 [n, C or V].
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


def _rounding_note(allowed: float, largest: float) -> str:
    """Says so where logits are so large that float32 rounds them by as much as is allowed; "" where they are not."""
    if largest * MAX_ROUNDING < allowed:
        return ""
    return f", and its logits reach {largest:.1g}, as those of a classifier that is hardly trained: train it for longer"


def _reasons(
    parity: Parity,
    correct: Mapping[str, tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]],
    precision: Precision,
    original: str,
    largest: float,
) -> list[str]:
    """Returns a sentence for each requirement that a model does not meet; `largest` is the original's largest logit."""
    threshold, reasons = THRESHOLDS[precision], []
    if parity.largest_logit_difference >= OVERFLOW:
        reasons.append(f"its logits are not finite, or differ from those of {original} by {OVERFLOW:g} or more")
    elif parity.largest_logit_difference > threshold.max_logit_difference:
        reasons.append(
            f"its logits differ from those of {original} by up to {parity.largest_logit_difference:.3g}; "
            f"{threshold.max_logit_difference:g} is allowed{_rounding_note(threshold.max_logit_difference, largest)}"
        )
    min_agreement = threshold.min_agreement if correct else MIN_PREDICTOR_AGREEMENT
    if not parity.agreement >= min_agreement:
        reasons.append(
            f"it agrees with {original} on {100 * parity.agreement:.1f} % of images; "
            f"{100 * min_agreement:g} % are needed"
        )
    for kind, (ours, theirs) in correct.items():
        drop, standard_error = theirs.mean() - ours.mean(), np.sqrt((ours != theirs).sum()) / len(ours)
        if drop - standard_error > MAX_ACCURACY_DROP:
            reasons.append(
                f"it loses {100 * drop:.1f} points of accuracy on {kind} images; "
                f"{100 * MAX_ACCURACY_DROP:g} are allowed"
            )
    return reasons

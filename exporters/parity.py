"""The parity gate: no model leaves without proof that it answers as the torch network it was made from.

It judges on validation pictures, as it chooses: clean ones, and the same ones corrupted. An accuracy that is lost must
be lost for sure before a model is refused: of the pictures on which two models differ, chance alone makes either the
winner, and one standard error of that (McNemar) is allowed on top of the threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from allweather.runtimes.bundle.manifest import Parity, Precision
from allweather.runtimes.types import Floats

MAX_ACCURACY_DROP = 0.005  # of all pictures: half a point
OVERFLOW = 1e9  # stands for a difference that is no number, as when fp16 overflows; a manifest holds finite ones
# Of the span of golden logits, that processors may differ by. INT8 was measured; fp16 rounds in steps of 0.0005, and
# was 0.0013 off in ONNX Runtime, so a GPU gets several times that; bf16 has steps of 0.004.
SPANS: dict[Precision, float] = {"fp16": 0.01, "bf16": 0.03, "int8": 0.03}
RANKS_ALIKE = 0.95  # share of pictures in which a predictor must pick the view that torch picks


@dataclass(frozen=True)
class Threshold:
    """What a precision is allowed.

    Attributes:
        largest: logit difference; infinite where rounding may turn single logits over.
        agreement: share of pictures, clean and corrupted, that keep their top class.
    """

    largest: float
    agreement: float


THRESHOLDS: dict[Precision, Threshold] = {
    "fp32": Threshold(0.01, 0.999),  # engines differ by 2e-5 on an x86 CPU, a wrong constant by whole units
    "fp16": Threshold(0.5, 0.99),
    "bf16": Threshold(float("inf"), 0.97),
    "int8": Threshold(float("inf"), 0.93),
}


@dataclass(frozen=True)
class ModelOutputs:
    """A network's answers to the pictures of the gate.

    Attributes:
        clean: float32 [n, C or V].
        corrupted: float32 [n, C], to the same pictures corrupted; None for a predictor, half of whose are.
    """

    clean: Floats
    corrupted: Floats | None


@dataclass(frozen=True)
class ParityResult:
    """What was measured, and what is held against the model; "" where nothing is."""

    parity: Parity
    reason: str


def check_parity(
    got: ModelOutputs, wanted: ModelOutputs, labels: npt.NDArray[np.int64] | None, precision: Precision
) -> ParityResult:
    """Compares one model with torch, and refuses it or not.

    Args:
        got: the engine's answers.
        wanted: torch's.
        labels: int64 [n], the truth; None for a predictor, of whose losses the lowest is the best.
        precision: of the model.
    """
    pairs = [(got.clean, wanted.clean)]
    if got.corrupted is not None and wanted.corrupted is not None:
        pairs.append((got.corrupted, wanted.corrupted))
    difference = np.concatenate([np.abs(ours - theirs) for ours, theirs in pairs])
    difference = np.nan_to_num(difference, nan=OVERFLOW, posinf=OVERFLOW)
    best = [(_best(ours, labels), _best(theirs, labels)) for ours, theirs in pairs]
    agreement = float(np.mean([ours == theirs for ours, theirs in best]))
    right = [] if labels is None else [(ours == labels, theirs == labels) for ours, theirs in best]
    shares = [float(hits.mean()) for pair in right for hits in pair] + [None] * (4 - 2 * len(right))
    parity = Parity(
        images=len(got.clean),
        largest_logit_difference=float(difference.max()),
        mean_logit_difference=float(difference.mean()),
        agreement=agreement,
        accuracy=shares[0],
        reference_accuracy=shares[1],
        corrupted_accuracy=shares[2],
        reference_corrupted_accuracy=shares[3],
    )
    return ParityResult(parity, "; ".join(_held_against(parity, right, precision)))


def tolerance(precision: Precision, golden: Floats, wanted: Floats) -> float:
    """How far a device's golden answers may be from those recorded, so that it holds across processors.

    Processors with VNNI, without, and ARM ones round an INT8 model differently: by up to 2.5 % of the span of its
    logits where that was measured (docs/results/arm64.md), and the more, the more rounding costs this network.

    Args:
        precision: of the model.
        golden: float32 [n, C or V], its answers to the golden frames.
        wanted: torch's.
    """
    if precision == "fp32":
        return THRESHOLDS["fp32"].largest
    span, off = float(np.ptp(golden)), float(np.abs(golden - wanted).max())
    if not math.isfinite(span + off):  # no device need answer so; the gate leaves it out
        return OVERFLOW
    return max(SPANS[precision] * span, off / 2, THRESHOLDS["fp32"].largest)


def _best(answers: Floats, labels: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
    best: npt.NDArray[np.int64] = answers.argmin(1) if labels is None else answers.argmax(1)
    return best


def _held_against(
    parity: Parity, right: list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]], precision: Precision
) -> list[str]:
    allowed, found = THRESHOLDS[precision], []
    if parity.largest_logit_difference > allowed.largest or parity.largest_logit_difference >= OVERFLOW:
        found.append(
            f"its logits are off by {parity.largest_logit_difference:.3g} from torch's, {allowed.largest:g} is allowed"
        )
    agreement = allowed.agreement if right else RANKS_ALIKE
    if not parity.agreement >= agreement:
        found.append(
            f"it gives torch's answer to {100 * parity.agreement:.1f} % of pictures, {100 * agreement:g} % are needed"
        )
    for (ours, theirs), kind in zip(right, ("clean", "corrupted"), strict=False):
        lost, error = theirs.mean() - ours.mean(), np.sqrt((ours != theirs).sum()) / len(ours)
        if lost - error > MAX_ACCURACY_DROP:
            found.append(
                f"it loses {100 * lost:.1f} points of accuracy on {kind} images; "
                f"{100 * MAX_ACCURACY_DROP:g} are allowed"
            )
    return found

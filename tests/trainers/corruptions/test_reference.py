"""Compares the corruptions with the original implementation, on the same 120 CIFAR-10 images."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest
import torch

from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Image
from allweather.trainers.checkpoint.state_dict import checkpoint_from_state_dict
from allweather.trainers.corruptions import CORRUPTIONS
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets.random_streams import image_rngs
from allweather.trainers.inference.forward import logits

MAX_MEAN_DIFFERENCE = {  # of 255, of a deterministic corruption; measured differences are at most half of it
    "defocus_blur": 0.05,
    "zoom_blur": 0.01,
    "brightness": 0.08,
    "contrast": 0.001,
    "pixelate": 0.001,
    "jpeg_compression": 0.001,
    "saturate": 0.15,
    "gaussian_blur": 0.01,
}
RANDOM = tuple(name for name in CORRUPTIONS if name not in MAX_MEAN_DIFFERENCE)
DRAWS = 6
# standard deviations of one draw, estimated from few draws, that one of some 600 comparisons may differ by at random
MAX_DEVIATIONS = 6
TOLERANCE = {"frost": 0.15}  # relative; its sheets of ice are drawn here, and photographs in the original
SIMILAR_TO_NEXT = {  # severities whose parameters hardly differ from those of the next severity
    ("motion_blur", 3): "6 or 8 pixels of radius for a deviation of 2: the same line",
    ("frost", 3): "0.9 or 0.85 of the image, the same ice",
    ("elastic_transform", 1): "the field of shifts of severity 2 is so smooth that it hardly warps anything",
    ("elastic_transform", 2): "in 120 images, the random affine warps hide the rest",
}
BANDS = (0.04, 0.1, 0.2, 0.3, 0.4, 0.75)  # cycles per pixel, in any direction
ROW_BANDS = ((1, 4), (4, 9), (9, 17))  # cycles per image, from left to right
STATISTICS = (
    "mean",
    "mean absolute change",
    "deviation",
    *(f"power from {low} up" for low in BANDS[:-1]),
    "low",
    "mid",
    "high",
)
Values = npt.NDArray[np.float64]


@pytest.fixture(scope="session")
def reference(published: Path) -> Path:
    return published.parent / "data" / "cifar10c"


@lru_cache(maxsize=1)
def clean(reference: Path) -> Image:
    return np.asarray(np.load(reference / "clean.npy"))


def original(reference: Path, name: str, severity: int) -> Image:
    count = len(clean(reference))
    return np.asarray(np.load(reference / f"{name}.npy")[(severity - 1) * count : severity * count])


def ours(reference: Path, name: str, severity: int, seed: int = 0) -> Image:
    images = clean(reference)
    return CORRUPTIONS[name](images, severity, image_rngs(seed, name, severity, 0, len(images)))


@pytest.mark.parametrize("name", MAX_MEAN_DIFFERENCE)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_deterministic_corruptions_agree_pixel_by_pixel(reference: Path, name: str, severity: int) -> None:
    difference = np.abs(original(reference, name, severity).astype(int) - ours(reference, name, severity))
    assert difference.max() <= 1, f"{name} {severity}: a value differs by {difference.max()} of 255"
    assert difference.mean() <= MAX_MEAN_DIFFERENCE[name], (
        f"{name} {severity}: {difference.mean():.4f} of 255 on average"
    )


def statistics(reference: Path, images: Image) -> Values:
    """`STATISTICS` of the change from the clean images, with the power in bands of its spectrum."""
    change = images.astype(np.float32) - clean(reference)
    gray = change.mean(axis=3)
    gray -= gray.mean(axis=(1, 2), keepdims=True)
    side = gray.shape[1]
    power = (np.abs(np.fft.rfft2(gray)) ** 2).mean(axis=0) / side**2
    row_power = (np.abs(np.fft.rfft(gray, axis=2)) ** 2).mean(axis=(0, 1)) / side
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    rings = [power[(low <= frequency) & (frequency < high)].mean() for low, high in pairwise(BANDS)]
    rows = [row_power[low:high].mean() for low, high in ROW_BANDS]
    return np.array([change.mean(), np.abs(change).mean(), change.std(), *rings, *rows])


@lru_cache(maxsize=100)
def statistics_of_ours(reference: Path, name: str, severity: int) -> tuple[Values, Values]:
    """Mean and standard deviation of the statistics over several draws."""
    draws = np.stack([statistics(reference, ours(reference, name, severity, seed)) for seed in range(DRAWS)])
    return draws.mean(axis=0), draws.std(axis=0, ddof=1)


def disagreements(reference: Path, name: str, severity: int, ours_at: int) -> list[str]:
    """The statistics in which the original at `severity` differs from ours at `ours_at`."""
    theirs = statistics(reference, original(reference, name, severity))
    mean, deviation = statistics_of_ours(reference, name, ours_at)
    allowed = MAX_DEVIATIONS * deviation + TOLERANCE.get(name, 0.03) * np.abs(mean)
    return [
        f"{statistic} is {mine:.3f} here and {their:.3f} in the original, and may differ by {limit:.3f}"
        for statistic, mine, their, limit in zip(STATISTICS, mean, theirs, allowed, strict=True)
        if abs(their - mine) > limit
    ]


@pytest.mark.slow
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", RANDOM)
def test_random_corruptions_agree_in_distribution(reference: Path, name: str, severity: int) -> None:
    differences = disagreements(reference, name, severity, severity)
    assert not differences, f"{name} {severity}: {'; '.join(differences)}"


@pytest.mark.slow
@pytest.mark.parametrize("name", RANDOM)
def test_the_statistics_tell_severities_apart(reference: Path, name: str) -> None:
    """The parameters of the next severity must fail the test above; otherwise it would prove nothing."""
    for severity in SEVERITIES[:-1]:
        if (name, severity) in SIMILAR_TO_NEXT:
            continue
        assert disagreements(reference, name, severity, severity + 1), f"{name} {severity} passes for {severity + 1}"


def wilson_interval(incorrect: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % confidence interval of a share, in percent."""
    z = NormalDist().inv_cdf(0.975)
    center = (incorrect + z**2 / 2) / (count + z**2)
    half_width = z / (count + z**2) * math.sqrt(incorrect * (count - incorrect) / count + z**2 / 4)
    return 100 * (center - half_width), 100 * (center + half_width)


@pytest.mark.slow
@pytest.mark.parametrize(("severities", "draws"), [((2, 4), 2), ((3,), 1)])
def test_a_classifier_is_incorrect_as_often(
    reference: Path, published: Path, severities: tuple[int, ...], draws: int
) -> None:
    """Compares errors on the random corruptions, at some severities for speed; the others agree pixel by pixel.

    The original is one draw of 120 images, so a cell may differ by 5 points, or by what the confidence interval allows.
    """
    weights = published / "cifar10_resnet20.safetensors"
    model = checkpoint_from_state_dict(weights, "resnet20", tuple("abcdefghij"), InputSpec(32, 32)).classifier()
    labels = np.load(reference / "labels.npy")[: len(clean(reference))]

    def count_incorrect(images: Image) -> int:
        return int((logits(model, torch.from_numpy(images)).argmax(1).numpy() != labels).sum())

    differences = []
    for name in RANDOM:
        for severity in severities:
            theirs = count_incorrect(original(reference, name, severity))
            mine = sum(count_incorrect(ours(reference, name, severity, seed)) for seed in range(draws)) / draws
            error, their_error = 100 * mine / len(labels), 100 * theirs / len(labels)
            low, high = wilson_interval(theirs, len(labels))
            differences.append(error - their_error)
            assert abs(error - their_error) <= 5 or low <= error <= high, (
                f"{name} {severity}: error {error:.1f} %; of the original {their_error:.1f} % ({low:.1f} to {high:.1f})"
            )
    mean = np.mean(differences)
    assert abs(mean) <= 2, f"the mean error differs from that of the original by {mean:+.2f} points"

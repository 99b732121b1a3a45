"""The corruptions beside what the original implementation made of the same 120 CIFAR-10 pictures."""

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
from allweather.trainers.checkpoint.checkpoint import checkpoint_from_state_dict
from allweather.trainers.corruptions import CORRUPTIONS
from allweather.trainers.corruptions.corruption import SEVERITIES, Images
from allweather.trainers.corruptions.sets.random_streams import streams
from allweather.trainers.training.inference import logits

MEAN_GRAY_LEVELS = {  # that a deterministic corruption may differ by on average; measured: half of it at most
    "defocus_blur": 0.05,
    "zoom_blur": 0.01,
    "brightness": 0.08,
    "contrast": 0.001,
    "pixelate": 0.001,
    "jpeg_compression": 0.001,
    "saturate": 0.15,
    "gaussian_blur": 0.01,
}
RANDOM = tuple(name for name in CORRUPTIONS if name not in MEAN_GRAY_LEVELS)
DRAWS = 6
DEVIATIONS = 6  # of one draw: what chance may do to one of some 600 comparisons, known from few draws
SLACK = {"frost": 0.15}  # of the value: its sheets of ice are drawn here, the original's were photographed
ALIKE = {  # severities whose parameters hardly differ from those of the next
    ("motion_blur", 3): "6 or 8 pixels of radius for a deviation of 2: the same line",
    ("frost", 3): "0.9 or 0.85 of the picture, the same ice",
    ("elastic_transform", 1): "the rubber warp of severity 2 is so smooth that it hardly bends anything",
    ("elastic_transform", 2): "how far the affine warp happens to go hides the rest in 120 pictures",
}
BANDS = (0.04, 0.1, 0.2, 0.3, 0.4, 0.75)  # cycles a pixel, in any direction
LINES = ((1, 4), (4, 9), (9, 17))  # cycles a picture, from left to right
MEASURES = ("mean", "mean distance", "deviation", *(f"power from {low} up" for low in BANDS[:-1]), "low", "mid", "high")
Values = npt.NDArray[np.float64]


@pytest.fixture(scope="session")
def truth(published: Path) -> Path:
    return published.parent / "data" / "cifar10c"


@lru_cache(maxsize=1)
def clean(truth: Path) -> Images:
    return np.asarray(np.load(truth / "clean.npy"))


def cell(truth: Path, name: str, severity: int) -> Images:
    count = len(clean(truth))
    return np.asarray(np.load(truth / f"{name}.npy")[(severity - 1) * count : severity * count])


def ours(truth: Path, name: str, severity: int, seed: int = 0) -> Images:
    pictures = clean(truth)
    return CORRUPTIONS[name](pictures, severity, streams(seed, name, severity, 0, len(pictures)))


@pytest.mark.parametrize("name", MEAN_GRAY_LEVELS)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_deterministic_corruptions_agree_pixel_by_pixel(truth: Path, name: str, severity: int) -> None:
    apart = np.abs(cell(truth, name, severity).astype(int) - ours(truth, name, severity))
    assert apart.max() <= 1, f"{name} {severity}: a value is {apart.max()} gray levels away"
    assert apart.mean() <= MEAN_GRAY_LEVELS[name], f"{name} {severity}: {apart.mean():.4f} gray levels on average"


def measures(truth: Path, images: Images) -> Values:
    """What a corruption did to the clean pictures: mean, distance, deviation, and power in bands of its spectrum."""
    change = images.astype(np.float32) - clean(truth)
    gray = change.mean(axis=3)
    gray -= gray.mean(axis=(1, 2), keepdims=True)
    side = gray.shape[1]
    around = (np.abs(np.fft.rfft2(gray)) ** 2).mean(axis=0) / side**2
    across = (np.abs(np.fft.rfft(gray, axis=2)) ** 2).mean(axis=(0, 1)) / side
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    rings = [around[(low <= frequency) & (frequency < high)].mean() for low, high in pairwise(BANDS)]
    lines = [across[low:high].mean() for low, high in LINES]
    return np.array([change.mean(), np.abs(change).mean(), change.std(), *rings, *lines])


@lru_cache(maxsize=100)
def measured(truth: Path, name: str, severity: int) -> tuple[Values, Values]:
    """Mean and deviation of the measures over several draws."""
    draws = np.stack([measures(truth, ours(truth, name, severity, seed)) for seed in range(DRAWS)])
    return draws.mean(axis=0), draws.std(axis=0, ddof=1)


def disagreements(truth: Path, name: str, severity: int, ours_at: int) -> list[str]:
    """In which measures the original at `severity` is not ours at `ours_at`."""
    theirs = measures(truth, cell(truth, name, severity))
    mean, deviation = measured(truth, name, ours_at)
    allowed = DEVIATIONS * deviation + SLACK.get(name, 0.03) * np.abs(mean)
    return [
        f"{what} is {mine:.3f} here and {their:.3f} there, {most:.3f} is chance"
        for what, mine, their, most in zip(MEASURES, mean, theirs, allowed, strict=True)
        if abs(their - mine) > most
    ]


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", RANDOM)
def test_random_corruptions_agree_in_distribution(truth: Path, name: str, severity: int) -> None:
    found = disagreements(truth, name, severity, severity)
    assert not found, f"{name} {severity}: {'; '.join(found)}"


@pytest.mark.parametrize("name", RANDOM)
def test_the_measures_tell_severities_apart(truth: Path, name: str) -> None:
    """Else the test above would say nothing: the parameters of the next severity must not pass for this one's."""
    for severity in SEVERITIES[:-1]:
        if (name, severity) in ALIKE:
            continue
        assert disagreements(truth, name, severity, severity + 1), f"{name} {severity} passes for {severity + 1}"


def interval(wrong: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, in per cent."""
    z = NormalDist().inv_cdf(0.975)
    middle = (wrong + z**2 / 2) / (count + z**2)
    reach = z / (count + z**2) * math.sqrt(wrong * (count - wrong) / count + z**2 / 4)
    return 100 * (middle - reach), 100 * (middle + reach)


@pytest.mark.parametrize(("arch", "severities", "draws"), [("resnet20", (2, 4), 2), ("resnet56", (3,), 1)])
def test_a_classifier_errs_as_often(
    truth: Path, published: Path, arch: str, severities: tuple[int, ...], draws: int
) -> None:
    """On the random corruptions, some severities for speed; of the others every pixel is known to agree.

    The original is one draw of 120 pictures: cells beyond 5 points must lie in the interval that so few pictures leave.
    """
    weights = published / f"cifar10_{arch}.safetensors"
    model = checkpoint_from_state_dict(weights, arch, tuple("abcdefghij"), InputSpec(32, 32)).classifier()
    labels = np.load(truth / "labels.npy")[: len(clean(truth))]

    def wrong(images: Images) -> int:
        return int((logits(model, torch.from_numpy(images)).argmax(1).numpy() != labels).sum())

    apart = []
    for name in RANDOM:
        for severity in severities:
            theirs = wrong(cell(truth, name, severity))
            mine = sum(wrong(ours(truth, name, severity, seed)) for seed in range(draws)) / draws
            error, their_error = 100 * mine / len(labels), 100 * theirs / len(labels)
            low, high = interval(theirs, len(labels))
            apart.append(error - their_error)
            assert abs(error - their_error) <= 5 or low <= error <= high, (
                f"{name} {severity}: error {error:.1f} % here, {their_error:.1f} % there, {low:.1f} to {high:.1f} %"
            )
    assert abs(np.mean(apart)) <= 2, f"the mean error is {np.mean(apart):+.2f} points from the original's"

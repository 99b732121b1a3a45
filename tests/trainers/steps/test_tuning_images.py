"""Which validation images choose a policy, and which show the risk of its accepted decisions."""

from __future__ import annotations

import pytest
import torch

from allweather.runtimes.errors import UsageError
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.data.dataset import Split
from allweather.trainers.methods.loss_predictor.held_back import policy_images
from allweather.trainers.steps.tuning_images import few_images_sentences, tuning_images


def val(count: int) -> Split:
    """A val split whose labels number its images."""
    return Split(torch.zeros(count, 1, 1, 3, dtype=torch.uint8), torch.arange(count))


@pytest.mark.parametrize("has_predictor", [False, True])
@pytest.mark.parametrize("count", [1, 2, 999, 1000, 1003])
def test_no_image_both_chooses_and_shows(count: int, has_predictor: bool) -> None:
    images = val(count)
    allowed = set(policy_images(images, has_predictor).labels.tolist())
    assert set(tuning_images(images, has_predictor)[0].labels.tolist()) == allowed
    compared, target = tuning_images(images, has_predictor, 0.02)
    assert target is not None
    first = set(compared.labels.tolist())
    with_predictor, without = (
        set(target.images_for(parse_policy(text)).labels.tolist()) for text in ("top:1", "hflip")
    )
    assert first | with_predictor == allowed
    assert first | without == set(range(count))
    assert not first & without
    assert with_predictor <= without
    assert 0 <= len(first) - len(with_predictor) <= 1


def test_a_risk_is_a_share() -> None:
    with pytest.raises(UsageError, match="risk of accepted decisions is above 0 and below 1; got 2"):
        tuning_images(val(4), has_predictor=False, risk=2.0)


def test_few_images_are_told_with_what_to_do() -> None:
    (line,) = few_images_sentences(150, 1500, 1)
    assert "rest on 150 images of the 1500 of the val split, a corrupted copy of each" in line
    assert "the val split, or at least take 8 copies of each (--copies 8; in a file of create, tune.copies)" in line
    (line,) = few_images_sentences(300, None, 8)
    assert "rest on 300 images, 8 corrupted copies of each" in line
    assert line.endswith("add images to the val split")  # copies of the same images are no new ones
    assert few_images_sentences(1000, None, 1) == ()

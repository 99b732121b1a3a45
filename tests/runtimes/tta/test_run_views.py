"""The early exit compares the confidence of what the policy averages with its threshold."""

from __future__ import annotations

import numpy as np
import pytest

from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.run_views import run_views, steps_without_deadline
from allweather.runtimes.types import Floats, Image

LOGITS = ([0, 0], [6, 0], [-1, 0])  # of the first, the second and the third view


@pytest.mark.parametrize(
    ("text", "views_run", "confidence"),
    [
        ("set:identity,hflip,zoom1.2@0.9", 3, 0.5888),  # 0.5, 0.9975 and 0.2689, whose mean never exceeds 0.9
        ("set:identity,hflip,zoom1.2+logits@0.9", 2, 0.9526),  # the softmax of 3 and 0
        ("set:identity,hflip,zoom1.2+logits@0.96", 3, 0.8411),  # of 5/3 and 0
        ("set:identity,hflip,zoom1.2+logits", 3, 0.8411),
    ],
)
def test_an_early_exit_is_that_of_the_policy_s_average(text: str, views_run: int, confidence: float) -> None:
    policy, calls = parse_policy(text), [0]

    def infer(images: Image) -> Floats:
        calls[0] += len(images)
        return np.array(LOGITS[calls[0] - len(images) : calls[0]], np.float32)

    image, steps = np.zeros((8, 8, 3), np.uint8), steps_without_deadline(3, policy)
    result = run_views(infer, image, policy.views, (1.0,) * 3, policy, steps, lambda: 0.0)
    assert result.views_run == views_run
    assert float(result.probabilities.max()) == pytest.approx(confidence, abs=1e-4)

"""An evaluation averages the views of many images as the camera loop does those of one."""

from __future__ import annotations

import numpy as np
import pytest

from allweather.runtimes.tta.policy import LARGE, Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.run_views import run_views, steps_without_deadline
from allweather.runtimes.types import Floats, Image
from allweather.trainers.policies.average import average_views

VIEWS = ("identity", "hflip", "zoom1.2", "rotate+20")
WEIGHTED = Policy("learned", "all", VIEWS, 4, weights=(0.5, 2.0, 0.1, 1.0))
TEXTS = (
    "center", "hflip", "set:identity,hflip,zoom1.2,rotate+20", "set:identity,hflip,zoom1.2,rotate+20@0.7",
    "set:identity,hflip:5", "learned", "learned@0.8", "center+large@0.7", "hflip+large", "learned+large@0.8",
)  # fmt: skip


def with_logits(text: str) -> str:
    base, at, share = text.partition("@")
    return f"{base}+logits{at}{share}"


@pytest.mark.parametrize("text", [*TEXTS, *map(with_logits, TEXTS)])
def test_the_average_of_many_images_is_that_of_each(text: str) -> None:
    policy, rng = parse_policy(text, [WEIGHTED]), np.random.default_rng(0)
    by_view = {name: rng.normal(0, 3, (60, 4)).astype(np.float32) for name in VIEWS}
    by_view |= {LARGE + name: rng.normal(0, 3, (60, 4)).astype(np.float32) for name in VIEWS}
    for name, index, value in (("identity", 3, np.nan), ("hflip", 4, np.inf), ("identity", 5, -np.inf)):
        by_view[name][index, 1] = value
    chosen = policy.choose(None, rng, 60)
    averages, counts = average_views(policy, chosen, by_view)
    np.testing.assert_allclose(averages.sum(1), 1)
    assert text.endswith(("7", "8")) == (counts.min() < policy.planned_views)
    for index, indices in enumerate(chosen):
        names, weights = policy.with_large(*policy.views_for(indices))
        rows = np.stack([by_view[name][index] for name in names])
        done = [0]

        def infer(images: Image, rows: Floats = rows, done: list[int] = done) -> Floats:
            done[0] += len(images)
            return rows[done[0] - len(images) : done[0]]

        steps = steps_without_deadline(len(names), policy)
        result = run_views(infer, np.zeros((8, 8, 3), np.uint8), names, weights, policy, steps, lambda: 0.0, infer)
        assert result.views_run == counts[index]
        np.testing.assert_allclose(result.probabilities, averages[index], atol=1e-6)

"""The code of docs/how-to/each-idea-alone.md runs as it stands, with the names that its text gives a meaning to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from allweather.trainers.corruptions import COMMON

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "each-idea-alone.md"
SECTIONS = dict(re.findall(r"^## (.+?)\n\n```python\n(.*?)```", GUIDE.read_text(), re.MULTILINE | re.DOTALL))


class BrightOrDark(nn.Module):
    """Tells bright from dark images, and has something to learn."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        brightness = nn.functional.silu(self.scale * (x.mean((1, 2, 3)) - 0.5))
        return 20 * torch.stack([-brightness, brightness], 1)


@pytest.fixture
def names() -> dict[str, Any]:
    """What the sections assume."""
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(400, 1, 1, 1, generator=rng) + 0.1 * torch.rand(400, 3, 16, 16, generator=rng) - 0.05
    images = images.clamp(0, 1)
    return {
        "network": BrightOrDark(),
        "images": images,
        "labels": (images.mean((1, 2, 3)) > 0.5).long(),
        "clean": images,
        "augmented": images * 0.8,
        "image": np.full((20, 30, 3), 60, np.uint8),
        "rng": rng,
        "errors": dict.fromkeys(COMMON, 0.5),
        "predictor": nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 12)),
    }


@pytest.mark.parametrize(
    "section",
    [pytest.param(each, marks=pytest.mark.slow) if each == "Loss predictor" else each for each in SECTIONS],
)
def test_the_code_of_a_section_runs(section: str, names: dict[str, Any]) -> None:
    exec(compile(SECTIONS[section], f"{GUIDE.name}, {section}", "exec"), names)  # noqa: S102  # it is our own document
    results = {
        "Losses for pairs": lambda: names["network"].scale.grad is not None,
        "Augmentation strengths": lambda: names["darker"].mean() < names["clean"].mean(),
        "Corruptions": lambda: (names["foggy"] != names["image"]).mean() > 0.9,
        "Mean corruption error": lambda: names["mce"] == pytest.approx(100 * (0.31 / 0.4 + 0.42 / 0.45) / 2),
        "Test-time augmentation": lambda: names["best_two"](names["images"]).shape == (400, 2),
        "Loss predictor": lambda: names["predictor"](names["images"]).shape == names["losses"].shape == (400, 12),
    }
    assert results[section]()


def test_every_section_has_code_that_is_run() -> None:
    assert [*SECTIONS] == re.findall(r"^## (.+)$", GUIDE.read_text(), re.MULTILINE)
    assert len(SECTIONS) == 6

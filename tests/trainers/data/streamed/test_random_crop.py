from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.region import Region
from allweather.trainers.data.streamed.decoding import Copies, Decoder, Request
from allweather.trainers.data.streamed.image_source import FileSource
from allweather.trainers.data.streamed.random_crop import draw_region, largest_reduction
from allweather.trainers.torchvision_import import import_torchvision


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 1 << 32))
def test_a_region_lies_inside_its_image(height: int, width: int, seed: int) -> None:
    region = draw_region(height, width, np.random.default_rng(seed))
    assert 0 <= region.x <= region.x + region.width <= width
    assert 0 <= region.y <= region.y + region.height <= height


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width"), [(400, 500), (375, 500), (100, 900), (300, 80)])
def test_regions_are_distributed_as_those_of_torchvision(height: int, width: int) -> None:
    count = 2000
    transform = import_torchvision("transforms").RandomResizedCrop
    image, rng = torch.zeros(1, height, width), np.random.default_rng(0)
    torch.manual_seed(0)
    theirs = np.array([transform.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(count)], float)
    regions = [draw_region(height, width, rng) for _ in range(count)]
    ours = np.array([(each.y, each.x, each.height, each.width) for each in regions], float)
    for column in range(4):
        scale = (height, width)[column % 2]
        quantiles = [np.quantile(each[:, column] / scale, np.linspace(0.1, 0.9, 9)) for each in (ours, theirs)]
        assert np.abs(quantiles[0] - quantiles[1]).max() < 0.05
    assert np.corrcoef(ours[:, 2], ours[:, 3])[0, 1] == pytest.approx(np.corrcoef(theirs[:, 2:].T)[0, 1], abs=0.08)


@given(st.lists(st.tuples(st.integers(1, 4000), st.integers(1, 4000)), min_size=1, max_size=3))
def test_a_reduced_region_is_never_enlarged(sides: list[tuple[int, int]]) -> None:
    reduction = largest_reduction([Region(0, 0, width, height) for height, width in sides], 224, 160)
    if reduction > 1:
        assert all(height / reduction >= 224 and width / reduction >= 160 for height, width in sides)
    if reduction < 8:
        assert any(height / (2 * reduction) < 224 or width / (2 * reduction) < 160 for height, width in sides)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.slow
def test_decoding_at_a_reduced_scale_shows_the_same_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int
) -> None:
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (1600, 1200), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0\0\0\0\0"
    data = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    (tmp_path / "large.jpg").write_bytes(data)
    seeds = [(5, 0, number) for number in range(12)]
    copies = Copies(np.zeros((12, 1, 2), np.int64), np.zeros((12, 1), bool), (True,), seeds)
    request = Request(np.zeros(12, np.int64), copies)
    decoder = Decoder(FileSource([tmp_path / "large.jpg"]), InputSpec(64, 64))
    asked: list[int] = []
    reduction = Decoder._reduction

    def noted(self: Decoder, *arguments: object) -> int:
        asked.append(reduction(self, *arguments))  # type: ignore[arg-type]
        return asked[-1]

    monkeypatch.setattr(Decoder, "_reduction", noted)
    reduced = decoder.__getitems__(request).images.float()
    assert {4, 8} <= set(asked)
    monkeypatch.setattr(Decoder, "_reduction", lambda *arguments: 1)
    full = decoder.__getitems__(request).images.float()
    assert (reduced - full).abs().mean() < 5
    assert (reduced - full.roll(1, 0)).abs().mean() > 15

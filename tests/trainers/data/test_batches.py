from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.trainers.choices import Padding
from allweather.trainers.data.batches import gather, to_float, to_uint8
from allweather.trainers.data.dataset import Split
from allweather.trainers.data.epoch_plan import plan_epoch


def random_split(count: int, height: int, width: int) -> Split:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator)
    return Split(images, torch.arange(count))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(8, 20), st.integers(8, 20), st.integers(-7, 7), st.integers(-7, 7), st.booleans(),
    st.sampled_from(get_args(Padding)),
)  # fmt: skip
def test_gather_is_pad_crop_and_flip(
    height: int, width: int, down: int, right: int, flipped: bool, padding: Padding
) -> None:
    split = random_split(3, height, width)
    images, labels = gather(
        split.images, split.labels, torch.tensor([2]), torch.tensor([[down, right]]), torch.tensor([flipped]), padding
    )
    mode: Literal["reflect", "constant"] = "reflect" if padding == "reflect" else "constant"
    padded = np.pad(split.images[2].numpy(), ((7, 7), (7, 7), (0, 0)), mode=mode)
    expected = padded[7 + down : 7 + down + height, 7 + right : 7 + right + width]
    expected = expected[:, ::-1] if flipped else expected
    assert np.allclose(images[0].permute(1, 2, 0).numpy() * 255, expected, atol=1e-3)
    assert labels.tolist() == [2]
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_a_plan_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return plan_epoch(100, 10, shift=4, hflip=True, seed=seed, epoch=epoch).order.flatten().tolist()

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)
    assert sorted(order(1, 2)) == list(range(100))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=6).filter(lambda counts: sum(counts) >= 8), st.integers(0, 9))
def test_a_balanced_plan_draws_each_class_equally_often(counts: list[int], epoch: int) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(epoch))]

    def order() -> torch.Tensor:
        plan = plan_epoch(len(labels), 8, shift=4, hflip=True, seed=1, epoch=epoch, balanced=labels)
        assert plan.order.shape == (len(labels) // 8, 8)
        return plan.order.flatten()

    drawn = order()
    assert torch.equal(drawn, order())
    per_class = labels[drawn].bincount(minlength=len(counts))
    present = [int(number) for number, count in zip(per_class, counts, strict=True) if count]
    assert sum(present) == len(drawn)
    assert max(present) - min(present) <= 1
    for label, count in enumerate(counts):  # each image of a class is drawn as often as any other of it, or once more
        times = drawn.bincount(minlength=len(labels))[labels == label]
        assert not count or times.max() - times.min() <= 1


def test_nothing_is_flipped_if_classes_would_change() -> None:
    assert not plan_epoch(64, 8, shift=2, hflip=False, seed=0, epoch=0).hflip.any()
    share = plan_epoch(6400, 64, shift=2, hflip=True, seed=0, epoch=0).hflip.float().mean()
    assert 0.45 < share < 0.55


def test_copies_of_an_image_are_shifted_independently() -> None:
    alone = plan_epoch(64, 8, shift=4, hflip=True, seed=3, epoch=1)
    three = plan_epoch(64, 8, shift=4, hflip=True, seed=3, epoch=1, shifted=(True, False, True))
    assert torch.equal(alone.order, three.order)
    order, shift, hflip = three.for_step(2, slice(1, None, 2))
    assert torch.equal(order, three.order[2, 1::2].repeat(3))
    first, second, third = shift.chunk(3)
    assert torch.equal(first, three.shift[2, 1::2, 0])
    assert not second.any()
    assert not torch.equal(first, third)
    assert torch.equal(hflip, three.hflip[2, 1::2].T.flatten())
    assert alone.for_step(0, slice(None))[1].shape == (8, 2)


def test_floats_and_integers_round_trip() -> None:
    images = random_split(4, 9, 11).images
    assert np.array_equal(to_uint8(to_float(images)), images.numpy())

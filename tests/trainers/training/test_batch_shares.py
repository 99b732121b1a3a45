from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from allweather.runtimes.errors import UsageError
from allweather.trainers.data.epoch_plan import plan_epoch
from allweather.trainers.training.batch_shares import share, usable_batch_size
from allweather.trainers.training.settings import FitSettings


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 12), st.integers(12, 150), st.integers(0, 5))
def test_each_image_is_computed_once_an_epoch_by_one_process(
    processes: int, parts: int, images_each: int, count: int, epoch: int
) -> None:
    settings = FitSettings(batch_size=max(2, processes * parts * images_each), accumulate=parts)
    batch_size = usable_batch_size(settings, count, processes)
    plan = plan_epoch(count, batch_size, shift=2, hflip=True, seed=1, epoch=epoch)
    computed = []
    for step in range(len(plan.order)):
        shares = [
            plan.for_step(step, share(rank, processes, part, parts))[0]
            for rank in range(processes)
            for part in range(parts)
        ]
        assert {len(each) for each in shares} == {batch_size // processes // parts}
        assert sorted(torch.cat(shares).tolist()) == sorted(plan.order[step].tolist())
        computed += torch.cat(shares).tolist()
    assert len(set(computed)) == len(computed)  # none twice
    assert 0 <= count - len(computed) < batch_size  # those that do not fill a batch, other ones in each epoch


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(UsageError, match="batch of 10 images cannot be divided evenly among 4 processes; choose"):
        usable_batch_size(FitSettings(batch_size=10), 100, 4)
    with pytest.raises(UsageError, match=r"batch of 12 images .* into 8 parts; .*of processes \(2\) times accumulate"):
        usable_batch_size(FitSettings(batch_size=12, accumulate=4), 100, 2)
    with pytest.raises(UsageError, match="into 4 parts, and there are only 3 training images; take fewer processes"):
        usable_batch_size(FitSettings(batch_size=10), 3, 4)

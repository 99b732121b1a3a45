"""Ranking losses: ranks and correlations, and that minimizing each loss finds the best view."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from allweather.runtimes.errors import UsageError
from allweather.trainers.losses import ranking as rank_losses
from allweather.trainers.losses import sorter as sorter_module
from allweather.trainers.losses.ranking import RANK_LOSSES
from allweather.trainers.losses.soft_ranks import correlation, ranks, soft_ranks
from allweather.trainers.losses.sorter import random_sequences, train_sorter


@pytest.fixture(scope="module", autouse=True)
def quick_sorter() -> Iterator[None]:
    """Replaces the shared sorter by one that is trained, at its first use, for a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rank_losses, "shared_sorter", functools.cache(lambda: train_sorter(100)))
        yield


# only the loss that trains a sorter takes seconds
LOSSES = [pytest.param(name, marks=pytest.mark.slow if name == "sodeep" else ()) for name in RANK_LOSSES]


@pytest.mark.slow
def test_the_sorter_ranks_sequences_that_it_was_not_trained_on() -> None:
    values = random_sequences(500, torch.Generator().manual_seed(99))
    approximate = rank_losses.shared_sorter()(values)
    assert float(correlation(approximate, ranks(values)).mean()) > 0.9
    assert torch.allclose(rank_losses.shared_sorter()(5 * values + 3), approximate, atol=0.05)


VALUES = st.lists(st.integers(-5, 5), min_size=2, max_size=12)


@given(VALUES)
def test_ranks_are_those_of_scipy(values: list[int]) -> None:
    assert np.allclose(ranks(torch.tensor([values], dtype=torch.float32))[0], rankdata(values))


@settings(deadline=None)
@given(VALUES, st.integers(0, 1000))
@pytest.mark.slow
def test_correlation_of_ranks_is_spearmans(values: list[int], seed: int) -> None:
    other = np.random.default_rng(seed).permutation(len(values)).astype(np.float32)
    ours = correlation(ranks(torch.tensor(values, dtype=torch.float32)), ranks(torch.tensor(other)))
    expected = spearmanr(values, other).statistic if len(set(values)) > 1 else 0.0
    assert float(ours) == pytest.approx(expected, abs=1e-5)


def test_soft_ranks_become_ranks_and_ignore_the_scale() -> None:
    values = torch.randn(20, 12, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(soft_ranks(values, 1e-5), ranks(values), atol=1e-3)
    assert torch.allclose(soft_ranks(values), soft_ranks(1000 * values + 7), atol=1e-2)


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_finds_the_best_view(name: str) -> None:
    rng = torch.Generator().manual_seed(1)
    true = torch.rand(64, 12, generator=rng) * 4
    predicted = torch.zeros(64, 12, requires_grad=True)
    with torch.no_grad():
        predicted += 0.01 * torch.randn(64, 12, generator=rng)
    optimizer = torch.optim.Adam([predicted], 0.1)
    losses = []
    for _ in range(200):
        loss = RANK_LOSSES[name](predicted, true)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]
    assert float((predicted.argmin(1) == true.argmin(1)).float().mean()) > 0.9


@pytest.mark.parametrize("name", LOSSES)
def test_only_differences_of_predictions_count_and_equal_ones_have_gradients(name: str) -> None:
    true = torch.rand(8, 12, generator=torch.Generator().manual_seed(2))
    predicted = torch.randn(8, 12, generator=torch.Generator().manual_seed(3))
    assert RANK_LOSSES[name](predicted, true) == pytest.approx(float(RANK_LOSSES[name](predicted + 3, true)), abs=1e-4)
    equal = torch.zeros(8, 12, requires_grad=True)
    RANK_LOSSES[name](equal, true).backward()  # type: ignore[no-untyped-call]
    assert equal.grad is not None
    assert bool(equal.grad.isfinite().all())
    assert float(equal.grad.abs().sum()) > 0


@pytest.mark.parametrize("name", RANK_LOSSES)
@pytest.mark.parametrize(
    ("predicted", "true", "message"),
    [
        (torch.ones(4, 3), torch.ones(1, 3), r"got \[4, 3\] and \[1, 3\]"),  # torch stretches it
        (torch.ones(4, 1), torch.ones(4, 3), r"got \[4, 1\] and \[4, 3\]"),
        (torch.ones(4, 1), torch.ones(4, 1), "of two or more views"),  # nan for some losses
        (torch.ones(3), torch.ones(3), r"\[n, V\]"),
        (torch.ones(0, 3), torch.ones(0, 3), r"got \[0, 3\]"),
        (torch.ones(4, 3), torch.ones(4, 3, dtype=torch.int64), "got int64"),
        ([[1.0, 2.0]], torch.ones(1, 2), "got list"),
        (torch.ones(4, 3, device="meta"), torch.ones(4, 3), "dense tensors with values"),
        (torch.ones(4, 3), torch.ones(4, 3).to_sparse(), "dense tensors with values"),
    ],
)
def test_tables_that_are_none(name: str, predicted: torch.Tensor, true: torch.Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RANK_LOSSES[name](predicted, true)


@pytest.mark.slow
@pytest.mark.parametrize("name", RANK_LOSSES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_tables_of_another_precision_have_about_the_same_loss(name: str, dtype: torch.dtype) -> None:
    predicted, true = torch.rand(2, 8, 4, generator=torch.Generator().manual_seed(0)).unbind()
    loss = RANK_LOSSES[name](predicted.to(dtype), true.to(dtype))
    assert float(loss) == pytest.approx(float(RANK_LOSSES[name](predicted, true)), rel=0.1)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_shared_sorter_is_trained_within_any_mode(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorter_module, "train_sorter", lambda: train_sorter(1))
    table = torch.rand(2, 12, generator=torch.Generator().manual_seed(0))
    with mode():
        sorter = sorter_module.shared_sorter.__wrapped__()
    predicted = table.clone().requires_grad_()
    sorter(predicted).sum().backward()
    assert predicted.grad is not None

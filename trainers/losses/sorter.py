"""A recurrent network that approximates ranks and lets gradients through: SoDeep (Engilberge et al. 2019).

The loss predictor paper uses it in its loss (Kim et al. 2020, section 3.4). It is trained here on random sequences.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.losses.soft_ranks import ranks

HIDDEN_SIZE, NUM_LAYERS = 64, 2
STEPS, BATCH_SIZE, LEARNING_RATE = 1500, 128, 4e-3
CLUSTER_DEVIATIONS = (0.1, 1.0)  # range of the standard deviation in a cluster; losses of views form clusters


class Sorter(nn.Module):
    """Reads a sequence in both directions and returns the rank of each value."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, HIDDEN_SIZE, NUM_LAYERS, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(2 * HIDDEN_SIZE, 1)

    def forward(self, values: Tensor) -> Tensor:
        """Returns approximate ranks 1..V, float [n, V], of float [n, V]; scale and offset of a row do not matter."""
        scaled = (values - values.mean(1, keepdim=True)) / (values.std(1, keepdim=True) + 1e-6)
        centered: Tensor = self.linear(self.lstm(scaled[..., None])[0])[..., 0]
        return centered + (values.shape[1] + 1) / 2


def train_sorter(steps: int = STEPS, seed: int = 0) -> Sorter:
    """Trains a sorter on the CPU, on random sequences with as many values as there are views.

    Args:
        steps: Number of optimizer steps, each on 128 sequences.
        seed: Random seed; the same seed gives the same sorter.

    Returns:
        The sorter without gradients, in training mode: CUDA computes no gradients of an LSTM in eval mode.
    """
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sorter = Sorter()
    optimizer = torch.optim.Adam(sorter.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        values = random_sequences(BATCH_SIZE, rng)
        loss = functional.l1_loss(sorter(values), ranks(values))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(sorter.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return sorter.requires_grad_(requires_grad=False)


def random_sequences(count: int, rng: torch.Generator) -> Tensor:
    """Draws sequences to be ranked, float [count, V]: each is normal, uniform, or normal within three clusters."""
    views = len(VIEWS)
    normal, uniform = torch.randn(count, views, generator=rng), torch.rand(count, views, generator=rng)
    low, high = CLUSTER_DEVIATIONS
    deviation = low + (high - low) * torch.rand(count, 1, generator=rng)
    clustered = torch.randint(3, (count, views), generator=rng) + deviation * normal
    kind = torch.randint(3, (count, 1), generator=rng)
    return torch.where(kind == 0, normal, torch.where(kind == 1, uniform, clustered))


@lru_cache(maxsize=1)
def shared_sorter() -> Sorter:
    """Returns the sorter that losses share; the first call trains it, which takes about a minute."""
    with torch.inference_mode(mode=False), torch.enable_grad():  # whatever the loss is computed within
        return train_sorter()

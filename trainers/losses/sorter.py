"""A recurrent network that ranks, and so carries gradients through ranking: SoDeep (Engilberge et al. 2019).

It is the loss of the loss predictor paper (Kim et al. 2020, 3.4); trained here, on sequences that are drawn.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.losses.soft_ranks import ranks

WIDTH, LAYERS = 64, 2
STEPS, BATCH, RATE = 1500, 128, 4e-3
SPREADS = (0.1, 1.0)  # of the clusters that half of the values lie in: losses of views come in bunches


class Sorter(nn.Module):
    """Reads a sequence both ways and answers with the place of each value."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = nn.LSTM(1, WIDTH, LAYERS, batch_first=True, bidirectional=True)
        self.places = nn.Linear(2 * WIDTH, 1)

    def forward(self, values: Tensor) -> Tensor:
        """float [n, V] -> float [n, V], about the ranks 1..V; it knows neither scale nor offset of a row."""
        scaled = (values - values.mean(1, keepdim=True)) / (values.std(1, keepdim=True) + 1e-6)
        found: Tensor = self.places(self.reads(scaled[..., None])[0])[..., 0]
        return found + (values.shape[1] + 1) / 2


def train_sorter(steps: int = STEPS, seed: int = 0) -> Sorter:
    """Trains on drawn sequences of as many values as there are views; on the CPU, and the same for the same seed."""
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sorter = Sorter()
    optimizer = torch.optim.Adam(sorter.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        values = sequences(BATCH, rng)
        loss = functional.l1_loss(sorter(values), ranks(values))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(sorter.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return sorter.requires_grad_(requires_grad=False)  # not in eval mode, in which GPUs refuse gradients of LSTMs


def sequences(count: int, rng: torch.Generator) -> Tensor:
    """Values to be ranked, float [count, V]: normal ones, uniform ones, and ones in bunches."""
    views = len(VIEWS)
    normal, uniform = torch.randn(count, views, generator=rng), torch.rand(count, views, generator=rng)
    low, high = SPREADS
    spread = low + (high - low) * torch.rand(count, 1, generator=rng)
    bunches = torch.randint(3, (count, views), generator=rng) + spread * normal
    kind = torch.randint(3, (count, 1), generator=rng)
    return torch.where(kind == 0, normal, torch.where(kind == 1, uniform, bunches))


@lru_cache(maxsize=1)
def sorter() -> Sorter:
    """The one that losses use, trained when it is first asked for: about a minute."""
    return train_sorter()

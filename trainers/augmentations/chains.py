"""Mixes each image with chains of random operations, on whole batches: the frame that AugMix and PRIME share.

An image is mixed with a random average of three chains of one to three operations (Hendrycks et al. 2020,
arXiv:1912.02781, algorithm 1; Modas et al. 2022, arXiv:2112.13547). Every image has draws of its own. Nothing depends
on them but which rows of the batch an operation changes: lengths of chains and operations are dealt out in fixed shares
and at random, like cards. So each operation runs once for all images that get it, on shapes that never change, which
keeps a GPU busy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

WIDTH, DEPTH = 3, 3  # chains for each image, and operations in the longest of them
SMALLEST = 1e-7  # of a uniform number whose logarithm is taken


@dataclass(frozen=True)
class Operation:
    """One operation of a chain.

    Attributes:
        apply: Function of images (float [n, 3, h, w] in 0..1) and a random generator on their device that returns
            changed images of the same shape, in 0..1; it draws anew for each image.
        weight: How often the operation is drawn, relative to the others.
    """

    apply: Callable[[Tensor, torch.Generator], Tensor]
    weight: float = 1.0


@dataclass(frozen=True)
class ChainMixture:
    """An `Augmentation`: (1 - m) x + m sum_j w_j chain_j(x), with weights drawn for each image x.

    m is uniform in 0..1, and the w_j are uniform among all weights whose sum is 1.

    Attributes:
        name: Identifies the operations in a resumed run.
        operations: What chains are made of.
    """

    name: str
    operations: Sequence[Operation]

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Augments a batch; see `Augmentation`."""
        count, device = len(images), images.device
        images = images.contiguous()
        chains = images.repeat(WIDTH, 1, 1, 1)
        longest_first = torch.randperm(len(chains), generator=rng, device=device)
        for position in range(DEPTH):  # lengths are equally frequent: all have one operation, two thirds a second, ...
            active = longest_first[: len(chains) * (DEPTH - position) // DEPTH]
            shuffled = active[torch.randperm(len(active), generator=rng, device=device)]
            for rows, operation in zip(self._dealt(shuffled), self.operations, strict=True):
                if len(rows):
                    with torch.autocast(device.type, enabled=False):  # pixels have 8 bits, and bf16 has no more
                        chains.index_copy_(0, rows, operation.apply(chains.index_select(0, rows), rng))
        uniform = torch.rand(WIDTH + 1, count, 1, 1, 1, generator=rng, device=device, dtype=images.dtype)
        share, weights = uniform[0], -uniform[1:].clamp(min=SMALLEST).log()  # exponential: normalized, a Dirichlet draw
        mixed = (1 - share) * images
        for weight, chain in zip(share * weights / weights.sum(0), chains.chunk(WIDTH), strict=True):
            mixed.addcmul_(weight, chain)
        return mixed.contiguous(memory_format=torch.channels_last)

    def _dealt(self, rows: Tensor) -> Sequence[Tensor]:
        """Divides rows among the operations by their weights."""
        total = sum(operation.weight for operation in self.operations)
        sums = accumulate((operation.weight for operation in self.operations), initial=0.0)
        bounds = [round(len(rows) * each / total) for each in sums]
        return [rows[start:end] for start, end in pairwise(bounds)]

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The name."""
        return {"strategy": self.name}

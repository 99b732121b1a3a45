"""How an expert is chosen: which experts and pairs are kept, and what chooses one of them for an image.

What chooses maps images to predicted losses, with a column for each pair, the unchanged image under the network as it
is first; so a router and a loss predictor are used in the same way, and both get the margin that clean images need.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from expert_images import CellImages
from expert_models import Pair, PairLogits, Rows
from torch import Tensor, nn
from torch.nn import functional

from allweather.runtimes.tta.aggregate import probabilities
from allweather.runtimes.types import Image
from allweather.trainers.inference.forward import logits
from allweather.trainers.losses.ranking import MAX_LOSS
from allweather.trainers.methods.loss_predictor import ViewLosses
from allweather.trainers.models.classifier import Classifier

MIN_GAIN = 1e-4  # nats
RIDGE = 1e-2  # strength of the ridge regression, of standardized features
Array = npt.NDArray[np.floating]


class EarlyFeatures(nn.Module):
    """Means and deviations of the channels of the first convolutions of a CIFAR ResNet.

    Args:
        classifier: The network.
        convolutions: 1 or 5. The first is the same for all experts; the first five are a quarter of a forward pass.
    """

    def __init__(self, classifier: Classifier, convolutions: int) -> None:
        super().__init__()
        network = classifier.network
        layers = [classifier.normalize, network.conv1]
        if convolutions > 1:
            layers += [network.bn1, network.relu, *network.layer1[: (convolutions - 1) // 2]]  # type: ignore[index]
        self.layers = nn.Sequential(*layers)
        self.found: list[Tensor] = []
        for module in self.layers.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self.found += [output.mean((2, 3)), output.std((2, 3))]

    def forward(self, x: Tensor) -> Tensor:
        """Maps float [n, 3, h, w] in 0..1 to float [n, F]."""
        self.found = []
        self.layers(x)
        return torch.cat(self.found, 1)


class Router(nn.Module):
    """Logistic regression on early features; the predicted loss of a column is its negative logit.

    Args:
        features: The features.
        images: uint8 [n, h, w, 3] to learn from.
        columns: int64 [n], the column that each image should get.
        count: Number of columns.
    """

    def __init__(self, features: EarlyFeatures, images: Tensor, columns: Tensor, count: int) -> None:
        super().__init__()
        self.features = features
        found = logits(features, images)
        self.mean, self.std = found.mean(0), found.std(0) + 1e-6
        self.head = nn.Sequential(nn.Linear(found.shape[1], count))
        self._fit((found - self.mean) / self.std, columns)

    def _fit(self, standardized: Tensor, columns: Tensor) -> None:
        optimizer = torch.optim.LBFGS(self.head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            decay = sum((each.square().sum() for each in self.head.parameters()), start=torch.zeros(()))
            loss = functional.cross_entropy(-self.head(standardized), columns) + 1e-4 * decay
            loss.backward()
            return loss

        optimizer.step(closure)

    def forward(self, x: Tensor) -> Tensor:
        """Maps float [n, 3, h, w] in 0..1 to predicted losses, float [n, columns]."""
        out: Tensor = self.head((self.features(x) - self.mean) / self.std)
        return out


def view_losses(pairs: Sequence[Pair], run: PairLogits, cells: CellImages, rows: Rows) -> ViewLosses:
    """Returns the table that a loss predictor learns from: rows of images, int64 [m], and a column for each pair."""
    labels, columns = torch.from_numpy(cells.labels[rows]), [torch.from_numpy(run(pair, rows)) for pair in pairs]
    return ViewLosses(
        images=torch.from_numpy(cells.images[rows]),
        losses=torch.stack([functional.cross_entropy(each, labels, reduction="none") for each in columns], 1),
        correct=torch.stack([each.argmax(1) == labels for each in columns], 1),
        source=torch.from_numpy(cells.source[rows]),
        corruption=torch.from_numpy(cells.corruption[rows]),
        views=tuple(pair.name for pair in pairs),
    )


def greedy_columns(losses: Array, cells: Rows, count: int, kept: Sequence[int] = (0,)) -> list[int]:
    """Chooses experts or pairs one by one, each by what it gains where the best of those before is worse.

    Args:
        losses: float [n, E] of each of them on each image.
        cells: int64 [n], the cell of each image: every cell gets the one with its lowest mean loss.
        count: Number of them to keep.
        kept: Columns that are kept already; the network as it is by default.

    Returns:
        The columns, those kept already first.
    """
    clipped, found = losses.clip(max=MAX_LOSS), list(kept)
    means = np.stack([clipped[cells == cell].mean(0) for cell in np.unique(cells)])
    while len(found) < count:
        with_each = np.minimum(means, means[:, found].min(1, keepdims=True)).mean(0)
        with_each[found] = np.inf
        found.append(int(with_each.argmin()))
    return found


def best_columns(losses: Array, cells: Rows, kept: Sequence[int]) -> dict[int, int]:
    """Returns for each cell the position in `kept` of the expert with the lowest mean loss."""
    clipped = losses[:, list(kept)].clip(max=MAX_LOSS)
    return {int(cell): int(clipped[cells == cell].mean(0).argmin()) for cell in np.unique(cells)}


def greedy_pairs(losses: Array, features: Array, count: int) -> tuple[list[int], list[float]]:
    """Chooses pairs one by one, each by what it gains if the choice among the kept ones is made by a prediction.

    What the best of many pairs gains by the true losses would mislead: no predictor knows them. The losses are
    therefore predicted by a ridge regression, for each half of the images by one on the other half.

    Args:
        losses: float [n, P] of each pair on each image; the first is the unchanged image.
        features: float [n, F] of the images.
        count: Number of pairs to keep at most; as soon as no other gains `MIN_GAIN`, no further one is kept.

    Returns:
        (columns, the unchanged image first; the mean loss with so many pairs, of each number of them).
    """
    true = losses.clip(max=MAX_LOSS)
    predicted, half = np.empty_like(true), np.arange(len(true)) % 2 == 0
    for part in (half, ~half):
        predicted[part] = _ridge(features[~part], true[~part], features[part])
    kept, curve = [0], [float(true[:, 0].mean())]
    best, loss = predicted[:, :1], true[:, :1]
    while len(kept) < count:
        with_each = np.where(predicted < best, true, loss)
        column = int(with_each.mean(0).argmin())
        if with_each[:, column].mean() > curve[-1] - MIN_GAIN:
            break
        best, loss = np.minimum(best, predicted[:, [column]]), with_each[:, [column]]
        kept.append(column)
        curve.append(float(loss.mean()))
    return kept, curve


def _ridge(features: Array, targets: Array, others: Array) -> Array:
    mean, std = features.mean(0), features.std(0) + 1e-6
    x, y = (features - mean) / std, targets - targets.mean(0)
    weights = np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y)
    return np.asarray((others - mean) / std @ weights + targets.mean(0))


def features_of(features: EarlyFeatures, images: Image) -> Array:
    """Returns the features of images, uint8 [n, h, w, 3]: float32 [n, F]."""
    found: Array = logits(features, torch.from_numpy(images)).numpy()
    return found


def incorrect_by_choice(
    predicted: Array, pairs: Sequence[Pair], top: int, flip: bool, run: PairLogits, labels: Rows
) -> npt.NDArray[np.bool_]:
    """Runs on each image the pairs with the lowest predicted losses, averages probabilities; bool [n], incorrect."""
    chosen = predicted.argsort(1, kind="stable")[:, :top]
    total = 0.0
    for column in chosen.T:
        total = total + mean_of(pairs, column, flip, run)
    return np.asarray(total.argmax(1) != labels)  # type: ignore[attr-defined]


def mean_of(pairs: Sequence[Pair], column: Rows, flip: bool, run: PairLogits) -> Array:
    """Returns the probabilities, float64 [n, C], of one pair for each image, averaged over its flip if asked."""
    found = np.zeros((len(column), run(pairs[0], np.arange(1)).shape[1]))
    for index in np.unique(column):
        rows, each = np.flatnonzero(column == index), pairs[index]
        for pair in (each, each.flipped) if flip else (each,):
            found[rows] += probabilities(run(pair, rows))
    return found

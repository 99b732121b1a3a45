"""How training samples act on the validation loss through the last layer (Koh and Liang 2017; Lee et al., section 3).

With features f (a 1 appended for the bias) and probabilities p the loss of a sample has the gradient (p - y) f^T and
the Hessian (diag(p) - p p^T) x f f^T, so nothing here needs automatic differentiation of the parameters. The damping
is the weight of half of the squared parameters in the training loss: it makes that loss strongly convex, so that there
is one minimum and the Hessian at it has an inverse.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from allweather.runtimes.errors import TrainingError

Product = Callable[[Tensor], Tensor]
NEWTON_STEPS = 50
HALVINGS = 40
SUFFICIENT = 1e-4  # share of the promised decrease that a step must keep (Armijo)


def with_one(features: Tensor) -> Tensor:
    """float [n, d] -> [n, d + 1], the last of them 1."""
    return torch.cat([features, features.new_ones(len(features), 1)], 1)


def mean_loss(weight: Tensor, features: Tensor, labels: Tensor, damping: float = 0.0) -> Tensor:
    """Mean cross-entropy in nats, and the damping's share.

    Args:
        weight: float [C, d + 1] of the last layer, its bias last.
        features: float [n, d + 1].
        labels: int64 [n].
        damping: see above.
    """
    return functional.cross_entropy(features @ weight.T, labels) + damping / 2 * weight.square().sum()


def mean_gradient(weight: Tensor, features: Tensor, labels: Tensor, damping: float = 0.0) -> Tensor:
    """Gradient of `mean_loss`, float [C, d + 1]."""
    return _errors(weight, features, labels).T @ features / len(features) + damping * weight


def hessian_product(weight: Tensor, features: Tensor, damping: float) -> Product:
    """What multiplies float [C, d + 1] by the Hessian of `mean_loss` at `weight`; labels do not matter to it."""
    shares = (features @ weight.T).softmax(1)

    def product(vector: Tensor) -> Tensor:
        along = features @ vector.T
        bent = shares * (along - (shares * along).sum(1, keepdim=True))
        return bent.T @ features / len(features) + damping * vector

    return product


def conjugate_gradients(product: Product, target: Tensor, *, tolerance: float = 1e-6, limit: int = 1000) -> Tensor:
    """Solves product(x) = target for a positive definite product.

    Args:
        product: linear, on tensors of the target's shape.
        target: float, of any shape.
        tolerance: of the residual, relative to the target.
        limit: products at most.

    Raises:
        TrainingError: it did not converge.
    """
    found, residual = torch.zeros_like(target), target.clone()
    direction, size = residual, float(residual.square().sum())
    enough = tolerance**2 * size
    for _ in range(limit):
        if size <= enough:
            return found
        turned = product(direction)
        length = size / float((direction * turned).sum())
        found, residual = found + length * direction, residual - length * turned
        size, before = float(residual.square().sum()), size
        direction = residual + size / before * direction
    raise TrainingError(
        f"conjugate gradients did not converge in {limit} steps; a larger damping helps, and a classifier that was "
        "trained for longer"
    )


def stochastic_inverse(
    weight: Tensor,
    features: Tensor,
    damping: float,
    target: Tensor,
    rng: torch.Generator,
    *,
    steps: int,
    batch: int = 256,
    repeats: int = 10,
) -> Tensor:
    """Inverse Hessian times target, estimated from batches (Agarwal et al. 2016; Koh and Liang, section 3).

    x <- x + (target - H_batch x) / scale, which stays where H x = target. The scale bounds the largest eigenvalue of
    any sample's Hessian: half of the longest squared feature, and the damping. What remains after the steps is a share
    (1 - damping / scale)^steps in the flattest directions, and noise of the batches, which the second half of the
    steps and the repeats average out.

    Args:
        weight: of the last layer.
        features: float [n, d + 1].
        damping: above 0.
        target: float [C, d + 1].
        rng: on the CPU.
        steps: of each repeat.
        batch: samples a step.
        repeats: independent runs to average.
    """
    scale = float(features.square().sum(1).max()) / 2 + damping
    mean = torch.zeros_like(target)
    for _ in range(repeats):
        found, tail = target / scale, torch.zeros_like(target)
        for step in range(steps):
            some = torch.randint(len(features), (batch,), generator=rng).to(features.device)
            found = found + (target - hessian_product(weight, features[some], damping)(found)) / scale
            if step >= steps // 2:
                tail += found / (steps - steps // 2)
        mean += tail / repeats
    return mean


def refit(weight: Tensor, features: Tensor, labels: Tensor, damping: float, *, tolerance: float = 1e-8) -> Tensor:
    """The last layer at the minimum of the training loss, where influence functions hold; by Newton's method.

    Args:
        weight: to start from, float [C, d + 1].
        features: float64 [n, d + 1] of the training samples; single precision cannot reach the tolerance.
        labels: int64 [n].
        damping: above 0.
        tolerance: of the gradient's norm.

    Raises:
        TrainingError: it did not converge.
    """
    for _ in range(NEWTON_STEPS):
        gradient = mean_gradient(weight, features, labels, damping)
        if float(gradient.norm()) <= tolerance:
            return weight
        step = conjugate_gradients(hessian_product(weight, features, damping), gradient, tolerance=1e-2, limit=5000)
        here, promised = float(mean_loss(weight, features, labels, damping)), float((gradient * step).sum())
        length = 1.0
        for _ in range(HALVINGS):
            if (
                float(mean_loss(weight - length * step, features, labels, damping))
                <= here - SUFFICIENT * length * promised
            ):
                break
            length /= 2
        weight = weight - length * step
    raise TrainingError(
        f"the last layer did not reach its minimum in {NEWTON_STEPS} Newton steps; "
        f"choose a larger damping than {damping:g}"
    )


def influence(inverse: Tensor, weight: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """I_up,loss of each sample (eq. 14): the slope of the mean validation loss along the sample's weight.

    Taking one of N training samples out changes the validation loss by about -1/N of it (eq. 10), and putting another
    in its place by 1/N of the other's less its own (eq. 15, 19).

    Args:
        inverse: float [C, d + 1]: the inverse Hessian of the training loss times the gradient of the validation loss.
        weight: float [C, d + 1].
        features: float [n, d + 1]; gradients reach them.
        labels: int64 [n].

    Returns:
        float [n]; negative for samples that lower the validation loss.
    """
    return -(_errors(weight, features, labels) * (features @ inverse.T)).sum(1)


def _errors(weight: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """p - y, float [n, C]."""
    return (features @ weight.T).softmax(1) - functional.one_hot(labels, len(weight)).to(features.dtype)

"""Influence of training samples on the validation loss through the last layer (Koh and Liang 2017; Lee et al., 3).

With features f (a 1 appended for the bias), one-hot label y and probabilities p, the loss of a sample has the gradient
(p - y) f^T and the Hessian (diag(p) - p p^T) x f f^T with respect to the weight of the last layer, so that automatic
differentiation is not needed. The damping is the factor of an L2 term of the training loss: half the sum of the squared
parameters. It makes that loss strongly convex, so that it has a single minimum and the Hessian there has an inverse.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from allweather.runtimes.errors import TrainingError

LinearMap = Callable[[Tensor], Tensor]
MAX_NEWTON_STEPS = 50
MAX_HALVINGS = 40  # of a Newton step's length
ARMIJO_SHARE = 1e-4  # share of the decrease predicted by the gradient that a step must reach (Armijo's rule)


def append_one(features: Tensor) -> Tensor:
    """Appends a column of ones: float [n, d] -> [n, d + 1]."""
    return torch.cat([features, features.new_ones(len(features), 1)], 1)


def mean_loss(weight: Tensor, features: Tensor, labels: Tensor, damping: float = 0.0) -> Tensor:
    """Returns the mean cross-entropy in nats plus the damping term.

    Args:
        weight: float [C, d + 1] of the last layer, with its bias as the last column.
        features: float [n, d + 1], with ones as the last column.
        labels: int64 [n].
        damping: Factor of half the sum of the squared parameters.
    """
    return functional.cross_entropy(features @ weight.T, labels) + damping / 2 * weight.square().sum()


def mean_gradient(weight: Tensor, features: Tensor, labels: Tensor, damping: float = 0.0) -> Tensor:
    """Returns the gradient of `mean_loss` with respect to the weight, float [C, d + 1]."""
    return _errors(weight, features, labels).T @ features / len(features) + damping * weight


def hessian_product(weight: Tensor, features: Tensor, damping: float) -> LinearMap:
    """Returns the function that multiplies float [C, d + 1] by the Hessian of `mean_loss` at `weight`.

    The Hessian does not depend on the labels.
    """
    probabilities = (features @ weight.T).softmax(1)

    def product(vector: Tensor) -> Tensor:
        logits_change = features @ vector.T
        mean_change = (probabilities * logits_change).sum(1, keepdim=True)
        return (probabilities * (logits_change - mean_change)).T @ features / len(features) + damping * vector

    return product


def conjugate_gradients(product: LinearMap, target: Tensor, *, tolerance: float = 1e-6, limit: int = 1000) -> Tensor:
    """Solves product(x) = target by conjugate gradients.

    Args:
        product: A positive definite linear map on tensors of the target's shape.
        target: float, of any shape.
        tolerance: Norm of the residual, as a share of the target's norm, at which the solution is accepted.
        limit: Largest number of products to compute.

    Raises:
        TrainingError: It did not converge within the limit.
    """
    solution, residual = torch.zeros_like(target), target.clone()
    direction, squared_norm = residual, float(residual.square().sum())
    accepted = tolerance**2 * squared_norm
    for _ in range(limit):
        if squared_norm <= accepted:
            return solution
        mapped = product(direction)
        length = squared_norm / float((direction * mapped).sum())
        solution, residual = solution + length * direction, residual - length * mapped
        squared_norm, previous = float(residual.square().sum()), squared_norm
        direction = residual + squared_norm / previous * direction
    raise TrainingError(
        f"conjugate gradients did not converge in {limit} steps; choose a larger damping, or train the classifier for "
        "longer"
    )


def stochastic_inverse(
    weight: Tensor,
    features: Tensor,
    damping: float,
    target: Tensor,
    rng: torch.Generator,
    *,
    steps: int,
    batch_size: int = 256,
    repeats: int = 10,
) -> Tensor:
    """Estimates the inverse Hessian times the target from batches (Agarwal et al. 2016; Koh and Liang, section 3).

    Each step computes x <- x + (target - H_batch x) / scale, whose fixed point solves H x = target. The scale bounds
    the largest eigenvalue of any sample's Hessian: half the largest squared feature norm, plus the damping. In the
    flattest directions a share of (1 - damping / scale)^steps of the error remains after the steps. The noise of the
    batches remains too; it is averaged over the second half of the steps and over the repeats.

    Args:
        weight: float [C, d + 1] of the last layer.
        features: float [n, d + 1].
        damping: Damping, above 0.
        target: float [C, d + 1].
        rng: Random generator on the CPU.
        steps: Number of steps in each repeat.
        batch_size: Samples per step.
        repeats: Number of independent runs that are averaged.
    """
    scale = float(features.square().sum(1).max()) / 2 + damping
    mean = torch.zeros_like(target)
    for _ in range(repeats):
        estimate, tail_mean = target / scale, torch.zeros_like(target)
        for step in range(steps):
            batch = torch.randint(len(features), (batch_size,), generator=rng).to(features.device)
            estimate = estimate + (target - hessian_product(weight, features[batch], damping)(estimate)) / scale
            if step >= steps // 2:
                tail_mean += estimate / (steps - steps // 2)
        mean += tail_mean / repeats
    return mean


def fit_last_layer(
    weight: Tensor, features: Tensor, labels: Tensor, damping: float, *, tolerance: float = 1e-8
) -> Tensor:
    """Minimizes the training loss of the last layer by Newton's method; influence functions hold at the minimum only.

    Args:
        weight: Weight to start from, float [C, d + 1].
        features: float64 [n, d + 1] of the training samples; single precision cannot reach the tolerance.
        labels: int64 [n].
        damping: Damping, above 0.
        tolerance: Norm of the gradient at which the weight is accepted.

    Raises:
        TrainingError: It did not converge.
    """
    for _ in range(MAX_NEWTON_STEPS):
        gradient = mean_gradient(weight, features, labels, damping)
        if float(gradient.norm()) <= tolerance:
            return weight
        step = conjugate_gradients(hessian_product(weight, features, damping), gradient, tolerance=1e-2, limit=5000)
        loss, slope = float(mean_loss(weight, features, labels, damping)), float((gradient * step).sum())
        length = 1.0
        for _ in range(MAX_HALVINGS):
            new_loss = float(mean_loss(weight - length * step, features, labels, damping))
            if new_loss <= loss - ARMIJO_SHARE * length * slope:
                break
            length /= 2
        weight = weight - length * step
    raise TrainingError(
        f"the last layer did not reach its minimum in {MAX_NEWTON_STEPS} Newton steps; "
        f"choose a larger damping than {damping:g}"
    )


def loss_influence(inverse: Tensor, weight: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """Returns the influence I_up,loss of each sample (eq. 14).

    It is the derivative of the mean validation loss with respect to the weight of the sample in the training loss.
    Removing one of N training samples changes the validation loss by about -1/N of its influence (eq. 10). Replacing it
    by another changes the validation loss by about 1/N of the difference of their influences, the other's less its own
    (eq. 15, 19).

    Args:
        inverse: float [C, d + 1]: the inverse Hessian of the training loss times the gradient of the validation loss.
        weight: float [C, d + 1] of the last layer.
        features: float [n, d + 1]; gradients reach them.
        labels: int64 [n].

    Returns:
        float [n]; negative for samples that lower the validation loss.
    """
    return -(_errors(weight, features, labels) * (features @ inverse.T)).sum(1)


def _errors(weight: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """Returns p - y, float [n, C]."""
    return (features @ weight.T).softmax(1) - functional.one_hot(labels, len(weight)).to(features.dtype)

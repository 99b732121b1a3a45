"""A wrapper that gives any classifier in torch test-time augmentation, by the policies of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from allweather.runtimes.errors import UsageError, unknown_name
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.setting_types import check_instance
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.predictor_views import check_ranked_views
from allweather.runtimes.tta.turns import Indices
from allweather.runtimes.tta.views import VIEWS
from allweather.runtimes.types import Floats
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.image_tensors import check_several_classes
from allweather.trainers.models.loss_predictor import predictor_input_spec
from allweather.trainers.tta.merge import MERGE_MODES, UNWEIGHTED, MergeMode, from_mean, merge, view_scores
from allweather.trainers.tta.tensor_views import ImageBatch

MIN_BATCH = 32  # views that run together even if fewer images are given

Group = tuple[str, Tensor, float]
"""Name of a view, the images to run it on (int64 [m]), and its weight."""


class TTAWrapper(nn.Module):
    """Runs the views of a policy on each image and merges their probabilities, or their logits if it averages these.

        model = TTAWrapper(model, "hflip").eval()
        probabilities = model(images)

    With merge mode "mean" the predictions are those of the same policy in `allweather evaluate` and in the camera loop,
    up to the differences of one gray level that `allweather.trainers.tta.tensor_views` describes.

    Args:
        module: float [n, 3, h, w], RGB in 0..1 -> logits, float [n, C]. If it wants normalized images, put the
            normalization in front: `nn.Sequential(Normalize(mean, std), module)`.
        policy: A policy, or its name as on the command line: "hflip", "5crop", "set:identity,zoom1.2", "top:2".
        predictor: For policies that rank views, such as "top:2": the `predictor` of a checkpoint, or a network that
            maps float [n, 3, h', w'] in 0..1 to predicted losses, float [n, V], for images reduced as for a
            `LossPredictor`. It always runs in eval mode.
        predictor_views: Names of the views whose losses such a network predicts, in the order of its outputs.
        merge_mode: How the probabilities of the views are merged; one of `MERGE_MODES`, the names of ttach. Only
            "mean" fits a policy that averages logits.
        seed: Random seed of policies that draw views.

    Raises:
        UsageError: There is no such policy or merge mode, or they do not fit together.
    """

    def __init__(
        self,
        module: nn.Module,
        policy: str | Policy,
        *,
        predictor: nn.Module | TrainedPredictor | None = None,
        predictor_views: Sequence[str] = tuple(VIEWS),
        merge_mode: MergeMode = "mean",
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_instance("module", module, nn.Module, "it is the network itself")
        if not isinstance(predictor, nn.Module | TrainedPredictor | None):
            cure = "load_checkpoint(path).predictor is one"
            raise UsageError(f"predictor is a network or that of a checkpoint; got {type(predictor).__name__}: {cure}")
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise UsageError(f"a seed is a whole number, at least 0; got {seed!r:.40}")
        self.module = module
        self._predictor_input: InputSpec | None = None
        if isinstance(predictor, TrainedPredictor):
            predictor_views, self._predictor_input = predictor.views, predictor.input
            predictor = predictor.model()
        self.policy = policy if isinstance(policy, Policy) else parse_policy(policy, (), predictor_views)
        self.predictor = predictor.eval() if predictor is not None else None
        self.merge_mode = merge_mode
        self._rng = np.random.default_rng(seed)
        self._check(predictor_views)

    def _check(self, predictor_views: Sequence[str]) -> None:
        policy = self.policy
        if not isinstance(self.merge_mode, str) or self.merge_mode not in MERGE_MODES:
            raise unknown_name("merge mode", str(self.merge_mode), MERGE_MODES)
        if policy.pick == "oracle":
            raise UsageError(f"policy {policy.name} needs the true losses, which only an evaluation knows; use top:K")
        if policy.needs_predictor and self.predictor is None:
            raise UsageError(f"policy {policy.name} needs a loss predictor; give one (predictor=...)")
        if policy.large:
            raise UsageError(
                f"policy {policy.name} needs a large classifier, which only bundles hold; leave +large out"
            )
        check_ranked_views([policy], predictor_views)
        if policy.exits_early and self.merge_mode != "mean":
            raise UsageError(f"policy {policy.name} exits early by the mean; merge mode {self.merge_mode} has none")
        if policy.averages == "logits" and self.merge_mode != "mean":
            raise UsageError(f"policy {policy.name} averages logits; merge mode {self.merge_mode} takes probabilities")
        if policy.weights and self.merge_mode in UNWEIGHTED:
            raise UsageError(f"policy {policy.name} has weights, and merge mode {self.merge_mode} has no use for them")

    def train(self, mode: bool = True) -> TTAWrapper:
        """Sets the mode of the classifier; the loss predictor stays in eval mode."""
        super().train(mode)
        if self.predictor is not None:
            self.predictor.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Classifies images.

        Args:
            images: RGB, [n, 3, h, w], uint8 or float in 0..1. The network gets floats of that type, and
                float32 for uint8.

        Returns:
            Probabilities, float32 [n, C], merged over the views; rows of other modes than "mean" need not sum to 1.

        Raises:
            DataError: The images are of another form.
            UsageError: The network gives no logits [n, C].
        """
        batch = ImageBatch(images)
        chosen = self.policy.choose(self._predict_losses(batch), self._rng, len(batch))
        if self.policy.exits_early:
            return self._until_confident(batch, chosen)
        groups = self._groups(chosen, images.device)
        merged = merge(self._run(batch, groups), _rows(groups), _weights(groups), len(batch), self.merge_mode)
        return from_mean(merged, self.policy.averages)

    def _predict_losses(self, batch: ImageBatch) -> Floats | None:
        """Returns the predicted losses, float32 [n, V]; None for a policy that needs none."""
        if not self.policy.needs_predictor or self.predictor is None:
            return None
        spec = self._predictor_input or predictor_input_spec(InputSpec(*batch.images.shape[2:]))
        with torch.no_grad():
            predicted = self.predictor(batch.prepared(spec))
        if not isinstance(predicted, Tensor):
            raise UsageError(f"the loss predictor gives {type(predicted).__name__}, and no tensor of losses")
        if predicted.shape != (len(batch), len(self.policy.views)):
            expected = f"[{len(batch)}, {len(self.policy.views)}]"
            raise UsageError(f"the loss predictor gives {list(predicted.shape)}; policy {self.policy.name} {expected}")
        return np.asarray(predicted.float().cpu().numpy(), np.float32)

    def _groups(self, chosen: Indices, device: torch.device) -> list[Group]:
        """Returns the views to run for the chosen indices, int64 [n, k], with the images that each is run on."""
        groups: list[Group] = []
        for column in chosen.T:
            for index in np.unique(column):
                rows = torch.from_numpy(np.flatnonzero(column == index)).to(device)
                names, weights = self.policy.views_for([index])
                groups += [(name, rows, weight) for name, weight in zip(names, weights, strict=True)]
        return groups

    def _run(self, batch: ImageBatch, groups: Sequence[Group]) -> Tensor:
        """Runs views in batches of about as many images as were given; returns scores, float32 [m, C]."""
        size, results, waiting = max(len(batch), MIN_BATCH), [], []
        for position, (name, rows, _) in enumerate(groups):
            waiting.append(batch.view(name, None if len(rows) == len(batch) else rows))
            following = len(groups[position + 1][1]) if position + 1 < len(groups) else size
            if sum(map(len, waiting)) + following > size:
                views = torch.cat(waiting) if len(waiting) > 1 else waiting[0]
                views = views.to(batch.dtype)
                # a network may change its input in place, and this may be the caller's
                results.append(self._classify(views.clone() if views is batch.images else views))
                waiting = []
        return torch.cat(results)

    def _classify(self, images: Tensor) -> Tensor:
        logits: Any = self.module(images)
        if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(images):
            came = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise UsageError(f"the network gives {came}; test-time augmentation needs logits [{len(images)}, C]")
        check_several_classes(logits)
        return view_scores(logits, self.policy.averages)

    def _until_confident(self, batch: ImageBatch, chosen: Indices) -> Tensor:
        """Runs one view after the other on the images whose mean is not yet confident enough."""
        device, total = batch.images.device, None
        weights, active = torch.zeros(len(batch), device=device), np.arange(len(batch))
        for column, part in product(chosen.T, range(self.policy.images_per_view)):
            groups: list[Group] = []
            for index in np.unique(column[active]):
                (names, view_weights), rows = self.policy.views_for([index]), active[column[active] == index]
                groups.append((names[part], torch.from_numpy(rows).to(device), view_weights[part]))
            if not groups:
                break
            scores, rows, run_weights = self._run(batch, groups), _rows(groups), _weights(groups)
            total = torch.zeros(len(batch), scores.shape[1], device=device) if total is None else total
            total = total.index_add(0, rows, run_weights[:, None] * scores)
            weights = weights.index_add(0, rows, run_weights)
            unsure = (
                from_mean(total / weights[:, None], self.policy.averages).amax(1) <= self.policy.early_exit_threshold
            )
            active = active[unsure.cpu().numpy()[active]]
        assert total is not None
        return from_mean(total / weights[:, None], self.policy.averages)

    def extra_repr(self) -> str:
        """Returns the policy and the merge mode, for `print`."""
        return f"policy={self.policy.name!r}, merge_mode={self.merge_mode!r}"


def _rows(groups: Sequence[Group]) -> Tensor:
    """Returns the image of each view, int64 [m]."""
    return torch.cat([rows for _, rows, _ in groups])


def _weights(groups: Sequence[Group]) -> Tensor:
    """Returns the weight of each view, float32 [m]."""
    return torch.cat([torch.full((len(rows),), weight, device=rows.device) for _, rows, weight in groups])

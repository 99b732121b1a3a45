"""The wrapper predicts what an evaluation of the same policy predicts, and merges as ttach does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from allweather.runtimes.errors import AllweatherError, DataError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.views import VIEWS, view
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.checkpoint.predictor_file import load_predictor
from allweather.trainers.data.signs.dataset import render_signs
from allweather.trainers.inference.forward import logits
from allweather.trainers.models.loss_predictor import build_predictor, predictor_input_spec
from allweather.trainers.policies.average import average_views
from allweather.trainers.tta import MERGE_MODES, MergeMode, TTAWrapper, apply_view, view_losses

CHECKPOINTS = Path(__file__).parents[3] / "samples" / "checkpoints"
PREDICTOR = load_predictor(CHECKPOINTS / "predictor-published-resnet20.safetensors")
POLICIES = (
    "center", "hflip", "10crop", "all", "set:identity,zoom1.2", "set:identity,zoom1.2:5", "random:3", "top:1",
    "top:2", "top:2+flip", "hflip@0.7", "top:3+flip@0.8", "random:4@0.6", "all+logits", "top:2+flip+logits",
    "top:3+flip+logits@0.8",
)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return load_checkpoint(CHECKPOINTS / "resnet20-fma-ca-0.safetensors").classifier().eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Signs, uint8 [20, 3, 32, 32]."""
    return torch.from_numpy(render_signs("test", count=20)[0]).permute(0, 3, 1, 2)


def evaluated(policy: Policy, model: nn.Module, images: Tensor) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    """What an evaluation computes for a policy: the probabilities, and the number of views run."""
    array = images.permute(0, 2, 3, 1).contiguous().numpy()
    names = set(policy.views_for(range(len(policy.views)))[0])
    batches = {name: np.stack([view(name).apply(image) for image in array]) for name in names}
    by_view = {name: logits(model, torch.from_numpy(each)).numpy() for name, each in batches.items()}
    losses = logits(PREDICTOR.model(), torch.from_numpy(array)).numpy() if policy.needs_predictor else None
    return average_views(policy, policy.choose(losses, np.random.default_rng(0), len(array)), by_view)


@pytest.mark.parametrize("text", POLICIES)
@pytest.mark.slow
def test_the_predictions_are_those_of_an_evaluation(text: str, model: nn.Module, images: Tensor) -> None:
    expected, _ = evaluated(parse_policy(text), model, images)
    for given in (images, images / 255) if text == "top:2" else (images,):
        with torch.no_grad():
            out = TTAWrapper(model, text, predictor=PREDICTOR)(given)
        np.testing.assert_allclose(out.numpy(), expected, atol=2e-5)
        assert out.argmax(1).tolist() == expected.argmax(1).tolist()


@pytest.mark.slow
def test_weights_count(model: nn.Module, images: Tensor) -> None:
    learned = Policy("learned", "all", ("identity", "zoom1.2", "color2"), 3, weights=(0.5, 0.3, 0.2))
    for policy in (learned, parse_policy("learned+logits", [learned])):
        expected, _ = evaluated(policy, model, images)
        with torch.no_grad():
            np.testing.assert_allclose(TTAWrapper(model, policy)(images).numpy(), expected, atol=2e-5)


class Counting(nn.Module):
    """Counts the images that reach a network, and the calls."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.images, self.calls = model, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        self.images, self.calls = self.images + len(x), self.calls + 1
        out: Tensor = self.model(x)
        return out


@pytest.mark.parametrize("text", ["top:3+flip@0.8", "top:3+flip+logits@0.8"])
@pytest.mark.slow
def test_an_early_exit_runs_as_many_views_as_an_evaluation(text: str, model: nn.Module, images: Tensor) -> None:
    counting, policy = Counting(model), parse_policy(text)
    _, views_run = evaluated(policy, model, images)
    with torch.no_grad():
        TTAWrapper(counting, policy, predictor=PREDICTOR)(images)
    assert counting.images == views_run.sum()
    assert len(images) < counting.images < 6 * len(images)


def test_the_views_of_one_image_run_together_and_batches_stay_as_small_as_the_user_s(images: Tensor) -> None:
    mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for count, calls in ((1, 1), (40, 12)):
        counting = Counting(mean)
        TTAWrapper(counting, "all")(images.repeat(2, 1, 1, 1)[:count])
        assert (counting.images, counting.calls) == (12 * count, calls)


def by_definition(mode: MergeMode, views: Tensor) -> Tensor:
    """The merge modes of ttach on probabilities, [k, n, C]."""
    return {
        "mean": views.mean(0),
        "gmean": views.prod(0) ** (1 / len(views)),
        "sum": views.sum(0),
        "max": views.amax(0),
        "min": views.amin(0),
        "tsharpen": (views**0.5).mean(0),
    }[mode]


def test_the_mean_of_logits_is_the_normalized_geometric_mean(model: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        geometric = TTAWrapper(model, "hflip", merge_mode="gmean")(images)
        out = TTAWrapper(model, "hflip+logits")(images)
    torch.testing.assert_close(out, geometric / geometric.sum(1, keepdim=True), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("mode", MERGE_MODES)
@pytest.mark.slow
def test_the_merge_modes_are_those_of_ttach(mode: MergeMode, model: nn.Module, images: Tensor) -> None:
    names = ("identity", "hflip", "zoom0.8")
    with torch.no_grad():
        views = torch.stack([model(apply_view(images / 255, name)).softmax(1) for name in names])
        out = TTAWrapper(model, f"set:{','.join(names)}", merge_mode=mode)(images)
    torch.testing.assert_close(out, by_definition(mode, views), atol=1e-5, rtol=1e-3)


def test_a_predictor_of_large_images_sees_them_reduced_as_on_the_device() -> None:
    large = torch.from_numpy(render_signs("test", size=100, count=4)[0]).permute(0, 3, 1, 2)
    spec = predictor_input_spec(InputSpec(100, 90))
    seen: list[Tensor] = []

    class Recording(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x.mean((1, 2, 3))[:, None].expand(-1, len(VIEWS))

    mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    TTAWrapper(mean, "top:1", predictor=Recording())(large[..., :90])
    expected = [spec.prepare(image) for image in large[..., :90].permute(0, 2, 3, 1).contiguous().numpy()]
    np.testing.assert_allclose(seen[0].permute(0, 2, 3, 1).numpy() * 255, np.stack(expected), atol=1e-4)


def test_the_predictor_stays_in_eval_mode_and_the_mode_of_the_network_is_the_caller_s() -> None:
    network, predictor = nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), build_predictor("tiny", InputSpec(32, 32))
    wrapper = TTAWrapper(network, "top:1", predictor=predictor).train()
    assert network.training
    assert not any(module.training for module in predictor.modules())
    assert not wrapper.eval().module.training
    assert "policy='top:1', merge_mode='mean'" in repr(wrapper)


def test_other_views_of_a_predictor_are_named() -> None:
    predictor = nn.Sequential(nn.Flatten(), nn.LazyLinear(2))
    wrapper = TTAWrapper(
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "top:2", predictor=predictor,
        predictor_views=("identity", "hflip"),
    )  # fmt: skip
    images = torch.rand(3, 3, 20, 20)
    torch.testing.assert_close(wrapper(images), images.mean((2, 3)).softmax(1))
    with pytest.raises(UsageError, match=r"the loss predictor gives \[3, 2\]; policy top:1 \[3, 12\]"):
        TTAWrapper(nn.Identity(), "top:1", predictor=predictor)(images)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_network_of_another_precision_gets_the_type_of_the_images(dtype: torch.dtype) -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)).to(dtype)
    images = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    out = TTAWrapper(network, "set:identity,zoom1.2")(images.to(dtype))
    expected = TTAWrapper(network.float(), "set:identity,zoom1.2")(images)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, expected, atol=0.02, rtol=0)
    assert view_losses(network.to(dtype), images.to(dtype), torch.tensor([0, 1])).dtype == torch.float32


@pytest.mark.parametrize(
    ("policy", "arguments", "message"),
    [
        ("top:2", {}, "policy top:2 needs a loss predictor; give one"),
        ("oracle:1", {}, "needs the true losses"),
        ("hflp", {}, "hflip"),
        ("gps:3", {}, "found by tuning"),
        ("hflip", {"merge_mode": "median"}, "mean"),
        ("hflip", {"merge_mode": None}, "merge mode"),
        ("hflip@0.9", {"merge_mode": "gmean"}, "exits early by the mean"),
        ("hflip+logits", {"merge_mode": "gmean"}, "averages logits; merge mode gmean takes probabilities"),
        (Policy("l", "all", ("identity", "hflip"), 2, weights=(1, 2)), {"merge_mode": "max"}, "has weights"),
        (7, {}, "a policy is a text"),
    ],
)
def test_policies_that_cannot_be_run(policy: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        TTAWrapper(nn.Identity(), policy, **arguments)
    assert "\n" not in str(caught.value)


ONE_OUTPUT = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))


@pytest.mark.parametrize(
    ("module", "images", "kind", "message"),
    [
        (nn.Identity(), torch.rand(2, 3, 20, 20), UsageError, r"gives \[4, 3, 20, 20\].*needs logits \[4, C\]"),
        (ONE_OUTPUT, torch.rand(2, 3, 20, 20), UsageError, r"two or more classes; got \[4, 1\]"),
        (nn.Identity(), 9 * torch.rand(2, 3, 20, 20), DataError, r"in 0\.\.1; got"),
        (nn.Identity(), torch.rand(2, 20, 20, 3), DataError, r"\.permute\(0, 3, 1, 2\)"),
        (nn.Identity(), np.zeros((2, 20, 20, 3)), DataError, "a torch tensor .*; got ndarray"),
    ],
)
def test_images_and_networks_that_cannot_be_used(
    module: nn.Module, images: Any, kind: type[AllweatherError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        TTAWrapper(module, "hflip")(images)
    assert "\n" not in str(caught.value)


class InPlace(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.sub_(0.5).mul_(2).mean((2, 3))


@pytest.mark.parametrize("policy", ["center", "hflip", "5crop", "set:identity,hflip,zoom1.2@0.99"])
def test_a_network_that_changes_its_input_in_place_changes_no_image_and_no_other_view(policy: str) -> None:
    images = torch.rand(40, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    usual = TTAWrapper(nn.Sequential(Doubled()), policy)(images)
    assert torch.equal(TTAWrapper(InPlace(), policy)(images), usual)
    assert torch.equal(images, before)


class Doubled(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return ((images - 0.5) * 2).mean((2, 3))


@pytest.mark.parametrize("images", [torch.rand(3, 24, 24, device="meta"), torch.rand(3, 24, 24).to_sparse()])
def test_a_tensor_without_values_in_memory_is_told(images: Tensor) -> None:
    with pytest.raises(DataError, match="got a nested, sparse, quantized or meta tensor"):
        TTAWrapper(InPlace(), "center")(images)


def test_a_predictor_that_gives_no_tensor_is_told() -> None:
    class Pair(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return images, images

    classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(UsageError, match="the loss predictor gives tuple"):
        TTAWrapper(classifier, "top:2", predictor=Pair())(torch.rand(2, 3, 16, 16))

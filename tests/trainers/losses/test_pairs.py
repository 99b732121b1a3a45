"""The losses that compare pairs, in a loop of the user's own and on networks of torchvision and timm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from allweather.runtimes.errors import AllweatherError, DataError, UsageError
from allweather.trainers.losses import (
    ai_loss,
    feature_map_loss,
    jensen_shannon_divergence,
    kl_divergence,
    run_pair,
    stability_loss,
)
from allweather.trainers.torchvision_import import import_torchvision


def images(count: int = 4, size: int = 32) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def mobilenet() -> nn.Module:
    model: nn.Module = import_torchvision("models").mobilenet_v3_small(num_classes=5)
    return model


def vision_transformer() -> nn.Module:
    """A vit_b_16 with two of its twelve blocks."""
    model = import_torchvision("models").VisionTransformer(32, 16, 2, 12, 768, 3072, num_classes=5)
    assert isinstance(model, nn.Module)
    return model


def timm_resnet() -> nn.Module:
    timm = pytest.importorskip("timm", reason="timm is not installed: its resnet18d is not tried")
    model: nn.Module = timm.create_model("resnet18d", num_classes=5)
    return model


@pytest.mark.parametrize(
    ("build", "fewest"),
    [
        (mobilenet, 15),
        pytest.param(vision_transformer, 2, marks=pytest.mark.slow),
        pytest.param(timm_resnet, 16, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_a_loop_of_three_lines_trains_the_network_that_it_is_given(build: Callable[[], nn.Module], fewest: int) -> None:
    torch.manual_seed(0)
    model, clean, labels = build(), images(), torch.arange(4)
    augmented = (clean * 1.4).clamp(0, 1)
    model.eval()
    same = run_pair(model, clean, clean)
    assert len(same.maps) >= fewest
    for loss in (feature_map_loss(same.maps), stability_loss(same.clean, same.augmented)):
        assert abs(float(loss.detach())) < 1e-6  # the halves of a batch are not computed alike to the last bit
    torch.testing.assert_close(same.clean, model(clean), atol=1e-4, rtol=1e-4)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    before = float(total_loss(model, clean, augmented, labels).detach())
    for _ in range(4):
        loss = total_loss(model, clean, augmented, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < before
    assert all(each.grad is not None for each in model.parameters())


def total_loss(model: nn.Module, clean: Tensor, augmented: Tensor, labels: Tensor) -> Tensor:
    outputs = run_pair(model, clean, augmented)
    loss = functional.cross_entropy(outputs.clean, labels) + feature_map_loss(outputs.maps)
    return loss + stability_loss(outputs.clean, outputs.augmented) + ai_loss(outputs.clean, outputs.augmented)


def test_named_layers_are_compared_and_the_mode_of_the_network_stays() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, 5)).train()
    clean = images(2, 8)
    outputs = run_pair(model, clean, clean.flip(3), layers=["1"])
    assert [list(each.shape) for each in outputs.maps] == [[4, 4, 6, 6]]
    assert model.training
    torch.testing.assert_close(outputs.maps[0], torch.tanh(model[0](torch.cat([clean, clean.flip(3)]))))


class Dictionary(nn.Module):
    """Gives no tensor."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": x}


class Pooled(nn.Module):
    """Gives one row for the whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(0, keepdim=True)


@pytest.mark.parametrize(
    ("model", "clean", "augmented", "kind", "message"),
    [
        (nn.Identity(), images(2), images(3), DataError, r"float32 \[2, 3, 32, 32\] on cpu and float32 \[3,"),
        (nn.Identity(), images(2), images(2).double(), DataError, "and float64"),
        (nn.Identity(), images(2)[:0], images(2)[:0], DataError, "at least one image"),
        (nn.Identity(), torch.tensor(1.0), torch.tensor(1.0), DataError, "at least one image"),
        (Dictionary(), images(2), images(2), UsageError, "a row for each of 4 images; got dict"),
        (Pooled(), images(2), images(2), UsageError, r"a row for each of 4 images; got float32 \[1, 3, 32, 32\]"),
    ],
)
def test_pairs_that_are_none(
    model: nn.Module, clean: Tensor, augmented: Tensor, kind: type[AllweatherError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        run_pair(model, clean, augmented)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_layers_of_a_compiled_network_are_not_seen_and_that_is_said() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    compiled: Any = torch.compile(model, backend="eager")
    compiled(images(4))
    with pytest.raises(UsageError, match=r"none of the layers 1 was run; .* before torch\.compile"):
        run_pair(compiled, images(2), images(2), layers=["1"])


def smooth(*shape: int, seed: int) -> Tensor:
    """Values in double precision that are not close to 0, where a magnitude has no derivative."""
    return (
        torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    ).requires_grad_()


@pytest.mark.parametrize("loss", [stability_loss, kl_divergence, lambda a, b: ai_loss(a, b, "euclidean")])
def test_gradients_are_finite_differences(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert torch.autograd.gradcheck(loss, (smooth(3, 4, seed=0), smooth(3, 4, seed=1)))


def test_no_gradient_of_the_ai_loss_flows_into_a_target() -> None:
    first, second = smooth(3, 4, seed=0), smooth(3, 4, seed=1)
    gradients = torch.autograd.grad(ai_loss(first, second), (first, second))
    followed = kl_divergence(second.detach(), first) + kl_divergence(first.detach(), second)
    for ours, expected in zip(gradients, torch.autograd.grad(followed, (first, second)), strict=True):
        torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(gradients[0], (first.softmax(1) - second.softmax(1)).detach() / len(first))


@pytest.mark.parametrize("shape", [(4, 3), (6, 2, 3, 2), (2, 5, 3)])
def test_gradients_of_the_feature_map_loss_are_finite_differences(shape: tuple[int, ...]) -> None:
    assert torch.autograd.gradcheck(
        lambda *maps: feature_map_loss(maps), (smooth(*shape, seed=0), smooth(4, 7, seed=1))
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_equal_outputs_cost_nothing_in_any_precision(dtype: torch.dtype) -> None:
    outputs = smooth(3, 4, seed=0).detach().to(dtype)
    for loss in (stability_loss(outputs, outputs), ai_loss(outputs, outputs), ai_loss(outputs, outputs, "both")):
        assert float(loss) == 0
    assert float(feature_map_loss([torch.cat([outputs, outputs])])) == 0


LOGITS = torch.zeros(3, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stability_loss(LOGITS, LOGITS[:1]), r"one shape, \[n, \.\.\.\]; got \[3, 4\] and \[1, 4\]"),
        (lambda: stability_loss(LOGITS[0], LOGITS[0]), r"got \[4\] and \[4\]"),
        (lambda: stability_loss(LOGITS[..., None], LOGITS[..., None]), r"logits are \[n, C\].*got \[3, 4, 1\]"),
        (lambda: stability_loss(LOGITS[:, :1], LOGITS[:, :1]), r"two or more classes; got \[3, 1\]"),
        (lambda: jensen_shannon_divergence([LOGITS[:, :1]] * 3), r"two or more classes; got \[3, 1\]"),
        (lambda: jensen_shannon_divergence([LOGITS[..., None]] * 3), r"logits are \[n, C\].*got \[3, 4, 1\]"),
        (lambda: stability_loss(LOGITS.long(), LOGITS), "floating-point numbers; got int64"),
        (lambda: stability_loss(LOGITS.to("meta"), LOGITS), "dense tensors with values; got a nested, sparse,"),
        (lambda: ai_loss(LOGITS, LOGITS.to_sparse()), "dense tensors with values"),
        (lambda: feature_map_loss([LOGITS.to("meta")]), "dense tensors with values"),
        (lambda: ai_loss(LOGITS, LOGITS.to(torch.float8_e4m3fn)), "floating-point numbers; got float8_e4m3fn"),
        (lambda: ai_loss(LOGITS, LOGITS.numpy()), "floating-point numbers; got ndarray"),  # type: ignore[arg-type]
        (lambda: ai_loss(LOGITS, LOGITS[:, :1]), r"got \[3, 4\] and \[3, 1\]"),
        (lambda: ai_loss(LOGITS, LOGITS, "cosine"), "cosine"),  # type: ignore[arg-type]
        (lambda: feature_map_loss(LOGITS), r"a list of maps; got one tensor \[3, 4\]"),
        (lambda: feature_map_loss([LOGITS]), r"\[2 n, \.\.\.\]; got \[3, 4\]"),
    ],
)
def test_outputs_that_cannot_be_compared(call: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_images_of_bytes_are_refused_in_one_line_if_the_network_takes_none() -> None:
    clean = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(
        DataError, match=r"^the network takes no images of uint8; give float ones .* images / 255"
    ) as told:
        run_pair(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()), clean, clean)
    assert "\n" not in str(told.value)
    with pytest.raises(RuntimeError, match="channels"):  # a fault of the network itself is no fault of the images
        run_pair(nn.Conv2d(4, 4, 3), torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8))


def test_a_network_that_takes_bytes_gets_them() -> None:
    class Normalized(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.float().flatten(1)

    clean = torch.ones(2, 3, 4, 4, dtype=torch.uint8)
    assert run_pair(Normalized(), clean, clean).clean.shape == (2, 48)


def test_images_with_their_channels_last_get_their_cure() -> None:
    images = torch.rand(4, 16, 16, 3)
    with pytest.raises(
        DataError, match=r"float32 \[4, 16, 16, 3\] on cpu: channels come before .* \.permute\(0, 3, 1, 2\)"
    ):
        run_pair(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten()), images, images)

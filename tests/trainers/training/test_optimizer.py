from __future__ import annotations

import pytest
import torch
from torch import nn

from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.models.architectures import ARCHITECTURES
from allweather.trainers.models.classifier import Classifier
from allweather.trainers.models.registry import build_model
from allweather.trainers.torchvision_import import import_torchvision
from allweather.trainers.training.optimizer import ADAMW_LR, build_optimizer, fill_defaults, highest_lr
from allweather.trainers.training.settings import FitSettings

VIT = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}


def torchvision_vit() -> nn.Module:
    network: nn.Module = import_torchvision("models.vision_transformer").VisionTransformer(**VIT, num_classes=3)
    return Classifier(network, InputSpec(32, 32))


def timm_network(name: str) -> nn.Module:
    import_torchvision("models")  # timm imports it
    import timm

    return Classifier(timm.create_model(name, pretrained=False, num_classes=3), InputSpec(224, 224))


def decayed(model: nn.Module, settings: FitSettings) -> dict[str, bool]:
    """Whether each parameter has weight decay, by name."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = build_optimizer(model, fill_defaults(settings, model)).param_groups
    result = {names[id(each)]: group["weight_decay"] > 0 for group in groups for each in group["params"]}
    assert set(result) == set(names.values()), "the optimizer has not all parameters"
    return result


def test_networks_with_layer_norm_alone_get_adamw() -> None:
    filled = fill_defaults(FitSettings(), torchvision_vit())
    assert (filled.optimizer, filled.weight_decay, filled.warmup) == ("adamw", 0.05, 0.2)
    assert fill_defaults(FitSettings(), timm_network("test_convnext")).optimizer == "adamw"
    assert fill_defaults(FitSettings(optimizer="sgd"), torchvision_vit()).weight_decay == 5e-4
    both = nn.Sequential(nn.BatchNorm2d(3), nn.LayerNorm(4))
    assert fill_defaults(FitSettings(), both).optimizer == "sgd"
    given = FitSettings(optimizer="adamw", weight_decay=0.0, warmup=0.0)
    assert fill_defaults(given, both) == given


@pytest.mark.parametrize("arch", ["resnet20", "mobilenetv2", "wrn16-4"])
def test_our_architectures_keep_sgd_and_decay_exactly_their_weights(arch: str) -> None:
    model = build_model(arch, 3, InputSpec(32, 32))
    assert fill_defaults(FitSettings(), model).optimizer == "sgd"
    shapes = {name: parameter.ndim for name, parameter in model.named_parameters()}
    assert decayed(model, FitSettings()) == {name: ndim >= 2 for name, ndim in shapes.items()}


def test_biases_norms_and_embeddings_of_a_transformer_have_no_weight_decay() -> None:
    for model in (torchvision_vit(), timm_network("test_vit")):
        has_decay = decayed(model, FitSettings())
        undecayed = {name.removeprefix("network.") for name, has in has_decay.items() if not has}
        assert undecayed & {"class_token", "cls_token"}
        assert undecayed & {"encoder.pos_embedding", "pos_embed"}
        shapes = {name: parameter.ndim for name, parameter in model.named_parameters()}
        assert {shapes[name] for name, has in has_decay.items() if has} == {2, 4}  # of linear layers and convolutions


def test_names_that_a_network_gives_itself_have_no_weight_decay() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.queries, self.table = nn.Parameter(torch.zeros(2, 4)), nn.Parameter(torch.zeros(2, 4))

        def no_weight_decay(self) -> set[str]:
            return {"queries"}

    expected = {"network.0.queries": False, "network.0.table": True}
    assert decayed(Classifier(nn.Sequential(Own()), InputSpec(32, 32)), FitSettings()) == expected


def test_the_learning_rate_is_the_optimizers_own_and_scales_with_the_batch() -> None:
    convolutional, transformer = build_model("resnet20", 3, InputSpec(32, 32)), torchvision_vit()
    sgd_lr = ARCHITECTURES["resnet20"].lr
    assert highest_lr(FitSettings(batch_size=64), convolutional, sgd_lr) == sgd_lr / 2
    assert highest_lr(FitSettings(batch_size=256), transformer, sgd_lr, 0.1) == pytest.approx(2 * 0.1 * ADAMW_LR)
    assert highest_lr(FitSettings(optimizer="adamw"), convolutional, sgd_lr) == ADAMW_LR
    assert highest_lr(FitSettings(lr=0.3), transformer, sgd_lr, 0.1) == 0.3

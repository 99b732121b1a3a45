from __future__ import annotations

import pytest
import torch
from torch import nn

from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.models.activation_hooks import capture_activations
from allweather.trainers.models.architectures import ARCHITECTURES
from allweather.trainers.models.classifier import Classifier
from allweather.trainers.models.registry import build_model, load_pretrained

# He et al. 2016, table 6; Zagoruyko and Komodakis 2016, table 4 (36.5 and 2.7 million)
PARAMETERS = {
    "resnet8": 75_290, "resnet20": 269_722, "resnet32": 464_154, "resnet56": 853_018, "wrn28-10": 36_479_194,
    "wrn16-4": 2_748_890,
}  # fmt: skip
RELUS = {
    "resnet8": 7, "resnet20": 19, "resnet32": 31, "resnet56": 55, "resnet18": 17, "resnet50": 49, "vgg16": 15,
    "mobilenetv2": 35, "wrn16-4": 13, "wrn28-10": 25,
}  # fmt: skip


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.slow
def test_logits_and_activations_of_every_architecture(arch: str) -> None:
    model = build_model(arch, 10, InputSpec(32, 32)).eval()
    with torch.no_grad(), capture_activations() as maps:
        out = model(torch.rand(2, 3, 32, 32))
        assert out.shape == (2, 10)
        assert torch.isfinite(out).all()
        assert len(maps) == RELUS[arch]
        assert all(value.min() >= 0 for value in maps)
    if arch in PARAMETERS:
        assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[arch]


@pytest.mark.slow
def test_the_stem_depends_on_the_input_size() -> None:
    small, large = build_model("resnet18", 5, InputSpec(32, 32)), build_model("resnet18", 5, InputSpec(224, 224))
    assert small.network.conv1.stride == (1, 1)
    assert large.network.conv1.stride == (2, 2)
    with torch.no_grad():
        assert large.eval()(torch.rand(1, 3, 224, 224)).shape == (1, 5)


def test_normalization_is_the_first_layer() -> None:
    spec = InputSpec(4, 4, (0.1, 0.2, 0.3), (0.5, 0.25, 1.0))
    model = Classifier(nn.Identity(), spec)
    x = torch.rand(2, 3, 4, 4)
    expected = (x - torch.tensor(spec.mean)[:, None, None]) / torch.tensor(spec.std)[:, None, None]
    assert torch.allclose(model(x), expected)


def test_what_cannot_be_built_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"no architecture is called 'resnet21'.* There are: resnet8"):
        build_model("resnet21", 10, InputSpec(32, 32))
    with pytest.raises(UsageError, match="at least two classes; got 1"):
        build_model("resnet20", 1, InputSpec(32, 32))
    with pytest.raises(UsageError, match="no pretrained weights for resnet20"):
        load_pretrained(build_model("resnet20", 10, InputSpec(32, 32)), "resnet20", 10, InputSpec(32, 32))


@pytest.mark.slow
def test_pretrained_weights_replace_all_but_stem_and_head(monkeypatch: pytest.MonkeyPatch) -> None:
    from allweather.trainers.torchvision_import import import_torchvision

    weights = import_torchvision("models").ResNet18_Weights
    state = import_torchvision("models").resnet18().state_dict()
    monkeypatch.setattr(weights, "get_state_dict", lambda self, **options: state)
    model = build_model("resnet18", 5, InputSpec(32, 32))
    load_pretrained(model, "resnet18", 5, InputSpec(32, 32))
    own = model.network.state_dict()
    kept = {key for key in own if own[key].shape != state[key].shape}
    assert kept == {"conv1.weight", "fc.weight", "fc.bias"}
    assert all(torch.equal(own[key], state[key]) for key in own if key not in kept)

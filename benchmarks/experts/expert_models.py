"""Experts: one network under BatchNorm statistics of several kinds of images, each set folded into its convolutions.

The statistics are those of training images under a corruption, mixed with the statistics that the network was trained
with (Schneider et al. 2020 take them from the test images). An expert costs what the network costs. A pair is a view of
an image and the expert that classifies it.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

sys.path.append(str(Path(__file__).resolve().parents[1] / "trainers"))  # a script finds only what is beside it
from batch_norm_rows import with_statistics

from allweather.runtimes.engines.openvino_core import openvino_core
from allweather.runtimes.tta.views import view
from allweather.runtimes.types import Floats, Image
from allweather.trainers.data.batches import to_float

BATCH_SIZE = 50
SOURCE = "source"  # the network as it is
Rows = npt.NDArray[np.int64]
Statistics = tuple[tuple[Tensor, Tensor], ...]
"""Mean and variance, float [C] each, of every BatchNorm layer."""


@dataclass(frozen=True)
class Mix:
    """Share of the corrupted images' statistics, 0..1, in the first and in the last layer; linear in between."""

    first: float
    last: float

    @property
    def name(self) -> str:
        """The share, or both."""
        return f"{self.first:g}" if self.first == self.last else f"{self.first:g} to {self.last:g}"

    def apply(self, source: Statistics, bank: Statistics) -> Statistics:
        """Returns the mixed statistics."""
        shares = torch.linspace(self.first, self.last, len(source)).tolist()
        return tuple(
            (mean + share * (bank_mean - mean), variance + share * (bank_variance - variance))
            for share, (mean, variance), (bank_mean, bank_variance) in zip(shares, source, bank, strict=True)
        )


@dataclass(frozen=True)
class Pair:
    """A view and the expert that classifies it."""

    view: str
    expert: str = SOURCE

    @property
    def name(self) -> str:
        """That of the view if the network is as it is, so that the unchanged image is called as everywhere."""
        return self.view if self.expert == SOURCE else f"{self.view} with {self.expert}"

    @property
    def flipped(self) -> Pair:
        """The same pair with the view flipped horizontally."""
        return Pair(f"{self.view}/hflip", self.expert)


def statistics(model: nn.Module) -> Statistics:
    """Returns the statistics that a network stores."""
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    return tuple((layer.running_mean.clone(), layer.running_var.clone()) for layer in layers)  # type: ignore[union-attr, operator]


def statistics_of(model: nn.Module, images: Image) -> Statistics:
    """Computes the statistics of images, uint8 [n, h, w, 3], of which each layer sees those normalized before."""
    return statistics(with_statistics(model, [to_float(torch.from_numpy(images))]))


class Experts:
    """Experts of one network by name, each compiled in OpenVINO when it is first asked for.

    The graph is converted once, and each expert has weights of its own in it.

    Args:
        model: The network; float [n, 3, h, w] in 0..1 -> float [n, C].
        found: Statistics of each expert.
        side: Side of the images in pixels.
        precision: OpenVINO's, "f32" or "bf16".
    """

    def __init__(self, model: nn.Module, found: Mapping[str, Statistics], side: int, precision: str) -> None:
        self._model, self._found, self._precision = copy.deepcopy(model).eval(), found, precision
        shape = [BATCH_SIZE, 3, side, side]
        template = folded(self._model)
        for name, parameter in template.named_parameters():
            if "conv" in name:
                nn.init.normal_(parameter)  # OpenVINO leaves out a bias of 0, and there would be nothing to replace
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about what OpenVINO calls
            self._graph = openvino.convert_model(template, example_input=torch.zeros(shape), input=shape)
        self._compiled: dict[str, openvino.CompiledModel] = {}

    def run(self, name: str, images: Image) -> Floats:
        """Runs an expert: uint8 [n, h, w, 3] -> logits, float32 [n, C]."""
        if name not in self._compiled:
            self._compiled[name] = self._compile(self._found[name])
        outputs = []
        for first in range(0, len(images), BATCH_SIZE):
            part = images[first : first + BATCH_SIZE]
            full = np.zeros((BATCH_SIZE, *part.shape[1:]), np.uint8)
            full[: len(part)] = part
            pixels = np.ascontiguousarray(full.transpose(0, 3, 1, 2).astype(np.float32) / 255)
            outputs.append(self._compiled[name](pixels)[0][: len(part)].copy())
        return np.concatenate(outputs)

    def _compile(self, found: Statistics) -> openvino.CompiledModel:
        graph, model = self._graph.clone(), folded(self._model, found)
        weights = {
            _constant_name(name): value.detach().numpy() for name, value in model.named_parameters() if "conv" in name
        }
        replaced = 0
        for node in graph.get_ops():
            if node.get_type_name() == "Constant" and node.get_friendly_name() in weights:
                value = weights[node.get_friendly_name()].reshape(list(node.output(0).shape))
                node.output(0).replace(openvino.opset13.constant(np.ascontiguousarray(value)).output(0))
                replaced += 1
        assert replaced == 2 * len(found)  # weights and biases of all convolutions
        options = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": self._precision}
        return openvino_core().compile_model(graph, "CPU", options)


def folded(model: nn.Module, found: Statistics | None = None) -> nn.Module:
    """Returns a copy of a CIFAR ResNet whose BatchNorm layers are folded into the convolutions before them.

    Args:
        model: The network; the layer `bn1` follows the convolution `conv1`, and so on.
        found: Statistics of the layers; those of the network if None.
    """
    model = copy.deepcopy(model).eval()
    layers = [name for name, module in model.named_modules() if isinstance(module, _BatchNorm)]
    for name, (mean, variance) in zip(layers, found or statistics(model), strict=True):
        layer, convolution = model.get_submodule(name), name.replace("bn", "conv")
        layer.running_mean, layer.running_var = mean, variance
        model.set_submodule(convolution, fuse_conv_bn_eval(model.get_submodule(convolution), layer))
        model.set_submodule(name, nn.Identity())
    return model


def _constant_name(parameter: str) -> str:
    """Returns OpenVINO's name of the constant that holds a parameter of a converted network."""
    module, _, kind = parameter.rpartition(".")
    if kind == "bias":
        return f"__module.{module}/aten::_convolution/Reshape"
    return f"self.{parameter}"


class PairLogits:
    """Logits of pairs on some images, each computed when it is first asked for.

    Args:
        images: uint8 [n, h, w, 3].
        experts: What runs them.
        classes: Number of classes C.
    """

    def __init__(self, images: Image, experts: Experts, classes: int) -> None:
        self.images, self._experts, self._classes = images, experts, classes
        self._found: dict[Pair, Floats] = {}

    def __call__(self, pair: Pair, rows: Rows | None = None) -> Floats:
        """Returns the logits of some rows, int64 [m], of all if None: float32 [m, C]."""
        if rows is None:
            rows = np.arange(len(self.images))
        found = self._found.setdefault(pair, np.full((len(self.images), self._classes), np.nan, np.float32))
        missing = rows[np.isnan(found[rows, 0])]
        if len(missing):
            apply = view(pair.view.removeprefix("identity/")).apply
            found[missing] = self._experts.run(pair.expert, np.stack([apply(self.images[row]) for row in missing]))
        return found[rows]

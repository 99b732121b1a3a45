"""Captures activations: the outputs of activation functions or named layers, and the input of the last linear layer."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from allweather.runtimes.errors import UsageError, check_choice
from allweather.runtimes.setting_types import check_instance
from allweather.trainers.choices import Layer as Layer

ACTIVATION_FUNCTIONS = frozenset(
    {
        functional.relu, functional.relu6, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, functional.leaky_relu,
        functional.leaky_relu_, functional.rrelu, functional.prelu, torch.prelu, Tensor.prelu, functional.silu,
        functional.gelu, functional.hardswish, functional.mish, functional.elu, functional.elu_, functional.selu,
        torch.selu, functional.celu, torch.celu, functional.softplus,
    }
)  # fmt: skip
GATES = frozenset({"sigmoid", "sigmoid_", "hardsigmoid", "hardsigmoid_"})  # the last step of a squeeze-excite block
PRODUCTS = frozenset({"mul", "mul_", "multiply", "multiply_"})
WRAPPERS = frozenset({"network", "module", "_forward_module", "_orig_mod"})  # around the network that the user knows
MAX_LISTED = 30  # layers that a message names
LAST = "last"  # in place of the name of a layer: the last activation function on feature maps
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
FEW = 0.1  # activations for each layer with weights; ResNets have 0.9, a vision transformer 0.24
NO_ACTIVATIONS = (
    "the feature-map loss needs the output of at least one activation function, and this classifier calls none that is "
    "known; name layers to compare (--layers), or use method st"
)
log = logging.getLogger(__name__)


@contextmanager
def capture_activations(model: nn.Module | None = None, layers: Sequence[str] = ()) -> Iterator[list[Tensor]]:
    """Captures the output of every activation function, or of the named layers, in this thread.

    Activation functions are ReLU, ReLU6, LeakyReLU, RReLU, PReLU, SiLU, GELU, Hardswish, Mish, ELU, SELU, CELU and
    Softplus of torch, whether they are called as a module, a function or a method. Those in the gate of a
    squeeze-excite block are left out: they act on averages of the feature maps. A function that is put together from
    others, such as x * sigmoid(x), is not seen; name its layer instead. A layer is only seen if it is a module.

    Open the context around a single forward pass to capture that pass. The captured tensors keep its autograd graph
    alive.

    Args:
        model: The network; only needed for names of layers.
        layers: Names of the modules whose outputs are captured instead, as in `model.named_modules()`; or "last" alone,
            for the last activation function on feature maps (of those on other outputs, if there are no maps).

    Yields:
        A list that grows with every call, in call order: float [n, channels, h, w] or [n, ..., features]. With "last"
        it has its one entry when the context has been closed.

    Raises:
        UsageError: There is no layer of such a name, its output is not a tensor, or the network is not given.
    """
    if not isinstance(layers, Sequence) or not all(isinstance(name, str) for name in layers):
        raise UsageError(f"layers are a list of names; got {type(layers).__name__} {layers!r:.40}")
    if model is not None:
        check_instance("model", model, nn.Module, "it is the network itself")
    if not layers:
        with _Collector() as collector:
            yield collector.outputs
        return
    if tuple(layers) == (LAST,):
        last: list[Tensor] = []
        with _Collector() as collector:
            yield last
        last += ([each for each in collector.outputs if each.dim() == 4] or collector.outputs)[-1:]
        return
    if model is None:
        raise UsageError(f"the layers {', '.join(layers)} are those of a network; name it as well (model=...)")
    outputs: list[Tensor] = []
    with ExitStack() as stack:
        for name, module in find_layers(model, layers).items():
            stack.callback(module.register_forward_hook(_layer_hook(name, outputs)).remove)
        yield outputs


def find_layers(model: nn.Module, layers: Sequence[str]) -> dict[str, nn.Module]:
    """Returns the modules of these names, by name; the names of what wraps the user's network may be left out.

    Raises:
        UsageError: There is no module of such a name; the message lists those that there are.
    """
    if isinstance(layers, str):
        raise UsageError(f"layers are a list of names; got the text {layers!r}: write [{layers!r}]")
    known = {_own_name(name): module for name, module in model.named_modules() if _own_name(name)}
    for layer in layers:
        if layer not in known:
            similar = difflib.get_close_matches(layer, known, n=5, cutoff=0.5)
            others = [name for name in known if name not in similar]
            listed = [*similar, *others][:MAX_LISTED]
            more = f" and {len(known) - len(listed)} more" if len(known) > len(listed) else ""
            raise UsageError(f"no layer is called {layer!r}. There are: {', '.join(listed)}{more}")
    return {layer: known[layer] for layer in layers}


def check_activations(model: nn.Module, size: tuple[int, int], layers: Sequence[str] = ()) -> int:
    """Runs two gray images and returns how many activations `capture_activations` captures; warns if they are few.

    Args:
        model: The network, on the CPU; float [n, 3, h, w] in 0..1 -> float [n, C]. It is put into eval mode.
        size: Height and width of its images.
        layers: As for `capture_activations`.

    Raises:
        UsageError: There is none, or one of the layers is unknown or not run.
    """
    model.eval()
    captured: list[Tensor] = []
    images = torch.full((2, 3, *size), 0.5)
    for name in (*layers,) or (None,):
        with torch.no_grad(), capture_activations(model, [name] if name else ()) as outputs:
            model(images)
        if not outputs and name not in (None, LAST):
            raise UsageError(f"layer {name} is not run when the network classifies images; name another layer")
        captured += outputs
    if not captured:
        raise UsageError(NO_ACTIVATIONS)
    weighted = sum(isinstance(module, WEIGHTED) for module in model.modules())
    if not layers and len(captured) < FEW * weighted:
        log.warning(
            "the feature-map loss compares %d activation%s, and the network has %d layers with weights: its other "
            "activations are no function of torch that is known; name layers to compare (--layers)",
            len(captured), "s"[: len(captured) != 1], weighted,
        )  # fmt: skip
    return len(captured)


def _own_name(name: str) -> str:
    """Returns the name of a module in the user's network, without the names of what wraps it."""
    parts = name.split(".")
    while parts and parts[0] in WRAPPERS:
        parts.pop(0)
    return ".".join(parts)


def _layer_hook(name: str, outputs: list[Tensor]) -> Callable[[nn.Module, object, object], None]:
    def capture(module: nn.Module, inputs: object, output: object) -> None:
        if not isinstance(output, Tensor) or not output.is_floating_point():
            raise UsageError(
                f"the output of layer {name} is not a tensor of numbers but {type(output).__name__}; name another layer"
            )
        outputs.append(output)

    return capture


@contextmanager
def capture_layer(model: nn.Module, layer: Literal["feature", "map"]) -> Iterator[list[Tensor]]:
    """Captures the output of one layer at each forward pass.

    Args:
        model: A classifier that ends in a linear layer.
        layer: "feature": the input of the last linear layer, float [n, features]. "map": the output of the last
            activation function that acts on feature maps, float [n, channels, h, w].

    Yields:
        A list that grows by one tensor with every forward pass.

    Raises:
        UsageError: The network has no linear layer, the layer is another one, or "map" is asked for and no activation
            function acts on feature maps.
    """
    check_choice("layer", layer, Literal["feature", "map"])
    linear = last_linear(model)
    captured: list[Tensor] = []

    def capture(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        maps = [each for each in activations if each.dim() == 4]
        activations.clear()  # they belong to this pass
        if layer == "map" and not maps:
            raise UsageError("the network has no activation function on feature maps; compare logits instead")
        captured.append(maps[-1] if layer == "map" else inputs[0])

    with ExitStack() as stack:
        activations: list[Tensor] = stack.enter_context(capture_activations()) if layer == "map" else []
        stack.callback(linear.register_forward_hook(capture).remove)
        yield captured


def last_linear(model: nn.Module) -> nn.Linear:
    """Returns the last linear layer of a network; its input is the network's feature.

    Raises:
        UsageError: The network has no linear layer.
    """
    linear = next((module for module in reversed(list(model.modules())) if isinstance(module, nn.Linear)), None)
    if linear is None:
        raise UsageError(
            "the network has no linear layer, so it has no feature; compare logits, or add a linear layer at the end"
        )
    return linear


class _Collector(TorchFunctionMode):
    """Collects the outputs of activation functions. It sees every torch function, but no calls inside that function.

    Two marks tell a gate: its activation is followed by a sigmoid whose result is multiplied with something; or the
    pass goes on with feature maps after an activation of averages, which the head of a classifier does not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outputs: list[Tensor] = []
        self._gates: list[tuple[Tensor, Tensor]] = []  # output of the sigmoid, output of the activation before it

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if func in ACTIVATION_FUNCTIONS or (func is functional.hardtanh and _lower_bound(args, kwargs) == 0):
            if not _is_average(out):
                self.outputs[:] = [each for each in self.outputs if not _is_average(each)]
            self.outputs.append(out)
        elif name in GATES and self.outputs and _is_average(self.outputs[-1]):
            self._gates.append((out, self.outputs[-1]))
        elif name in PRODUCTS and self._gates:
            self._drop_gates(args)
        return out

    def _drop_gates(self, factors: tuple[Any, ...]) -> None:
        """Drops the activations of the gates that are among the factors of a product, or that they are views of."""
        storages = {each.untyped_storage().data_ptr() for each in factors if isinstance(each, Tensor)}
        used = [each for each in self._gates if each[0].untyped_storage().data_ptr() in storages]
        self._gates = [each for each in self._gates if id(each[1]) not in {id(activation) for _, activation in used}]
        inside = {id(activation) for _, activation in used}
        self.outputs[:] = [each for each in self.outputs if id(each) not in inside]


def _is_average(output: Tensor) -> bool:
    """Returns whether an output has one value a channel, [n, c] or [n, c, 1, 1], as after global average pooling."""
    return output.dim() == 2 or (output.dim() == 4 and (output.shape[2:] == (1, 1) or output.shape[1:3] == (1, 1)))


def _lower_bound(args: tuple[Any, ...], kwargs: Mapping[str, Any] | None) -> float:
    """Returns the lower bound of a call of `hardtanh`; nn.ReLU6 calls it with 0."""
    bound: float = args[1] if len(args) > 1 else (kwargs or {}).get("min_val", -1.0)
    return bound

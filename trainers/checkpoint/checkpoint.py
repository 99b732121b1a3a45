"""The checkpoint: a trained classifier and a record of its training."""

from __future__ import annotations

import copy
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from allweather.runtimes.errors import CheckpointError, DataError, UsageError, first_line
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.setting_types import check_instance, check_text
from allweather.runtimes.text import printable
from allweather.runtimes.tta.policy import Policy
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.checkpoint.weights import check_finite, load_weights
from allweather.trainers.data.class_names import check_class_names
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.image_size import warn_of_other_crop
from allweather.trainers.models.classifier import Classifier
from allweather.trainers.models.own_model import OWN, check_network, import_own_model
from allweather.trainers.models.registry import build_model

RECORDED_LIBRARIES = ("allweather", "torch", "torchvision", "lightning-fabric", "numpy", "safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A trained classifier and a record of its training.

    Attributes:
        arch: Name of the architecture: one of `ARCHITECTURES`, timm:NAME, torchvision:NAME, or own:NAME for a network
            of the user's own, which only the user can name again.
        classes: Names of the classes, in the order of the logits.
        input: Input of the network: size in pixels, and the mean and std of the normalization.
        weights: State dict of the network, without the normalization, which is in `input`.
        data: Name of the data set that it was trained on, or "imported".
        seed: Random seed of the run.
        settings: Settings of the run, as plain values.
        metrics: Metrics of the run, by name; accuracies are in 0..1.
        history: One row of metrics for each epoch.
        strengths: Parameters of the photometric augmentations, by name, from the augmentation strength search; empty
            before the search.
        predictor: Loss predictor for this classifier; None before one was trained.
        policies: Tuned test-time augmentation policies, the chosen one first.
        versions: Versions of Python and of the libraries that made the checkpoint, by name.
        module: The network of the user's own, whose copies get the weights; None where `arch` says how it is built. It
            is not in the file.
    """

    arch: str
    classes: tuple[str, ...]
    input: InputSpec
    weights: Mapping[str, Tensor] = field(repr=False)
    data: str
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: tuple[Mapping[str, float], ...] = field(default=(), repr=False)
    strengths: Mapping[str, float] = field(default_factory=dict)
    predictor: TrainedPredictor | None = None
    policies: tuple[Policy, ...] = ()
    versions: Mapping[str, str] = field(default_factory=lambda: library_versions(RECORDED_LIBRARIES), repr=False)
    module: nn.Module | None = field(default=None, repr=False, compare=False)

    @staticmethod
    def of(
        module: nn.Module,
        classes: Sequence[str],
        input: InputSpec | int,  # noqa: A002 # the name of the attribute
        *,
        data: str = "imported",
        hflip: bool | None = None,
        name: str = "",
    ) -> Checkpoint:
        """Makes a checkpoint of any classifier in torch.

        Args:
            module: Maps normalized RGB images, float [n, 3, h, w], to logits, float [n, C]. It is not changed.
            classes: Names of the C classes, in the order of the logits.
            input: Size of the images, and mean and std that they are normalized with. One that normalizes them itself
                gets mean 0 and std 1. A number is the side in pixels, with ImageNet's mean and std.
            data: Name of the data set that it was trained on.
            hflip: Whether an image keeps its class when it is flipped horizontally; None for what the data says.
            name: What to call the network, such as package.module:function; the name of its class if empty.

        Raises:
            UsageError: It is no classifier of these classes and this size; the message says what it does instead.
            DataError: The class names are no different texts.
            CheckpointError: A weight is NaN or infinite.
        """
        cure = "of a file of weights, checkpoint_from_state_dict makes one"
        check_instance("the network", module, nn.Module, cure)
        if isinstance(classes, str) or not isinstance(classes, Iterable):
            raise DataError(f"classes are a list of names, in the order of the logits; got {classes!r:.40}")
        classes = tuple(classes)
        check_class_names(classes)
        check_text("data", data)
        check_text("name", name)
        if not isinstance(hflip, bool | None):
            raise UsageError(f"hflip is True, False or None; got {hflip!r:.40}")
        for key, value in module.state_dict().items():
            if not isinstance(value, Tensor):
                raise UsageError(
                    f"the state of the network holds {type(value).__name__} {printable(key[:80])}, and a checkpoint "
                    "holds tensors alone; give it no get_extra_state, or let that return a tensor"
                )
        spec = input if isinstance(input, InputSpec) else InputSpec(input, input)
        if any(is_lazy(value) for value in module.state_dict().values()):
            raise UsageError("the network has layers without weights (lazy ones); run it once on an image of its size")
        if any(value.is_meta for value in module.state_dict().values()):
            raise UsageError(
                "the network is on the meta device, so it has no weights; make it with torch.device('cpu')"
            )
        settings = {} if hflip is None else {"hflip": hflip}
        weights = {
            key: (value.float() if value.is_floating_point() else value).detach().cpu().clone()
            for key, value in module.state_dict().items()
        }
        check_finite(weights)
        made = Checkpoint(f"{OWN}{name or type(module).__name__}", classes, spec, weights, data, 0, settings)
        return made.with_module(module)

    def with_module(self, model: nn.Module | str) -> Checkpoint:
        """Returns the checkpoint with the network that gets its weights.

        Args:
            model: A network, or package.module:function of one, which is imported.

        Raises:
            UsageError: It cannot be imported, or is no classifier of these classes and this size.
            CheckpointError: The weights do not fit it.
        """
        if isinstance(model, str):
            arch, module = f"{OWN}{model}", import_own_model(model, len(self.classes))
        else:
            check_instance("model", model, nn.Module, "it is the network itself, or package.module:function as text")
            arch, module = self.arch, model
        result = replace(self, arch=arch if self.arch.startswith(OWN) else self.arch, module=module)
        size = self.input.height, self.input.width
        check_network(result.classifier(), len(self.classes), size, arch.removeprefix(OWN))
        return result

    def classifier(self) -> Classifier:
        """Builds the classifier with these weights, in eval mode.

        Raises:
            CheckpointError: There is no such architecture, or weights do not fit it; the message names the first of
                them. Or it is of a network of the user's own that was not given.
        """
        if self.module is not None:
            model = Classifier(_copy(self.module), self.input)
        elif self.arch.startswith(OWN):
            raise CheckpointError(
                f"the checkpoint holds weights of a network of your own, {self.arch.removeprefix(OWN)}; name it: "
                "--model package.module:function, or load_checkpoint(path, model=...)"
            )
        else:
            try:
                model = build_model(self.arch, len(self.classes), self.input)
            except UsageError as error:
                raise CheckpointError(f"the checkpoint cannot be built: {error}") from error
        load_weights(model, self.weights)
        return model.eval()

    def with_predictor(self, predictor: TrainedPredictor) -> Checkpoint:
        """Returns the checkpoint with a loss predictor; policies that rank views then rank those of this predictor.

        Args:
            predictor: A loss predictor for this classifier.

        Raises:
            UsageError: A policy chooses more views than the predictor has, this allweather does not know a view, or the
                predictor is a network of its own, which `TTAWrapper` takes.
        """
        cure = "trainers.train_predictor trains one for a checkpoint; TTAWrapper takes any network as its predictor"
        check_instance("predictor", predictor, TrainedPredictor, cure)
        policies = tuple(policy.with_predictor_views(predictor.views) for policy in self.policies)
        return replace(self, predictor=predictor, policies=policies)

    @property
    def hflip(self) -> bool | None:
        """Whether an image keeps its class when it is flipped horizontally; None where the training does not say."""
        value = self.settings.get("hflip")
        return value if isinstance(value, bool) else None

    def adapt(self, dataset: Dataset) -> Dataset:
        """Returns a data set with this classifier's order of the classes, flipped only if its training data may be.

        Args:
            dataset: Data of the same classes, which are matched by name.

        Raises:
            UsageError: The data set has other classes; the message names those that only one of them has.
        """
        adapted = dataset.with_classes(self.classes)
        warn_of_other_crop(dataset, self.input.crop, "the checkpoint")
        return adapted if self.hflip is None else replace(adapted, hflip=self.hflip)


def _copy(module: nn.Module) -> nn.Module:
    """Returns a copy of a network for 32-bit arithmetic on the CPU, all of whose weights may be trained."""
    try:
        copied = copy.deepcopy(module)
    except (RuntimeError, TypeError) as error:
        raise UsageError(
            f"the network cannot be copied ({first_line(error)}); name a function that makes it, as in "
            "load_checkpoint(path, model='package.module:function')"
        ) from error
    return copied.float().cpu()


def library_versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """Returns the versions of Python and of those libraries that are installed, by name."""
    versions = {"python": platform.python_version()}
    for name in libraries:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions

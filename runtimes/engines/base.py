"""What every engine has in common: the model that it runs, its two methods, and its row in the table of engines.

It imports no library, so that the command line can list the engines without loading any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from allweather.runtimes.errors import UsageError

if TYPE_CHECKING:
    from allweather.runtimes.choices import EngineName, Precision
    from allweather.runtimes.preprocess import InputSpec
    from allweather.runtimes.types import Floats, Image


@dataclass(frozen=True)
class CompiledModel:
    """A compiled model as it is stored in a bundle.

    Attributes:
        graph: The ONNX graph, or the .xml file of OpenVINO IR.
        weights: The .bin file of OpenVINO IR; empty where `graph` holds the weights.
        precision: Precision of its arithmetic: "fp32", "bf16", "fp16" or "int8".
        input: Size of the images that it takes.
        outputs: Number of outputs for each image: one for each class, or one for each view.
        threads: Number of CPU threads to run it on; None for the library's default, which is all cores.
    """

    graph: bytes
    weights: bytes
    precision: str
    input: InputSpec
    outputs: int
    threads: int | None = None


class Engine(Protocol):
    """Runs one model. An engine must not be used by several threads at the same time."""

    def infer(self, images: Image) -> Floats:
        """Runs the model on a batch of prepared images.

        Args:
            images: uint8 [n, h, w, 3], RGB, n >= 1; not modified. It need not be contiguous, and may be read-only.

        Returns:
            float32 [n, outputs]: a new array, which the caller may keep and modify.

        Raises:
            EngineError: The engine failed, or the images have another size or dtype than the model takes.
        """

    def close(self) -> None:
        """Frees everything that the engine holds. It cannot be used afterwards; closing it again does nothing."""


@runtime_checkable
class Interruptible(Protocol):
    """What an engine may have besides the methods of `Engine`, if its library can end a call that hangs."""

    def interrupt(self) -> None:
        """Ends the call of `infer` that another thread is in; it raises an error, as do all later ones."""


@runtime_checkable
class TimeLimited(Protocol):
    """What an engine may have besides the methods of `Engine`, if its library can give up waiting for a call.

    Its calls need no thread of their own, which saves two changes of threads in each.
    """

    def infer_within(self, images: Image, seconds: float) -> Floats:
        """Runs the model as `infer` does, and gives up after some time; the engine cannot be used then any more.

        Args:
            images: See `Engine.infer`. A batch of a size that the engine has run before.
            seconds: Time that the call may take.

        Raises:
            EngineError: See `Engine.infer`.
            TimeoutError: It took longer.
        """


class EngineModule(Protocol):
    """The two functions of an engine's module. The engine's library is imported only when they are called."""

    def probe(self, device: str, /) -> str:
        """Returns the version of the engine's library.

        Args:
            device: `EngineSpec.device`.

        Raises:
            DependencyError: The library, a driver or the device is missing. The message says how to install it.
        """

    def start(self, model: CompiledModel, device: str, /) -> Engine:
        """Loads a model.

        Args:
            model: The model to run.
            device: `EngineSpec.device`.

        Raises:
            DependencyError: The library, a driver or the device is missing.
            NotBuiltError: The engine has to be built on this device first.
            EngineError: The library cannot load the model.
        """


@dataclass(frozen=True)
class EngineSpec:
    """One row of the table of engines.

    Attributes:
        name: What users write, such as "openvino_gpu": a lower-case letter, then letters, digits and underscores.
        module: Full name of the module that runs it; see `EngineModule`. It is imported when the engine is first used.
        device: Passed to both functions of the module: for OpenVINO "CPU", "GPU" or "NPU", for TensorRT the name of its
            library.
        runs: Name of the engine whose models in a bundle it runs: its own name, or that of another engine, such as
            "onnx" for an engine that reads ONNX graphs. None for an engine that needs no model.
        extra: Extra of the package allweather that installs its library; "" where there is none.
        precisions: Precisions that a model can be exported in for this engine, in the order in which the export tries
            them. Empty for an engine that runs the models of another one.
        preference: Rank among the engines that are tried one after the other if the user names none, the lowest first.
            None for an engine that runs only if the user names it.
    """

    name: str
    module: str
    device: str = "CPU"
    runs: EngineName | None = None
    extra: str = ""
    precisions: tuple[Precision, ...] = ()
    preference: int | None = None

    def __post_init__(self) -> None:
        """Checks the types.

        Raises:
            UsageError: A value is of another type; the message names the field.
        """
        texts = {"name": self.name, "module": self.module, "device": self.device, "extra": self.extra}
        if self.runs is not None:
            texts["runs"] = self.runs
        for name, value in texts.items():
            if not isinstance(value, str):
                raise UsageError(f"the {name} of an engine must be text; got {value!r:.60}")
        precisions: object = self.precisions
        if not isinstance(precisions, tuple) or not all(isinstance(each, str) for each in precisions):
            raise UsageError(f"the precisions of an engine must be a tuple of texts; got {precisions!r:.60}")
        preference: object = self.preference
        if isinstance(preference, bool) or not isinstance(preference, int | None):
            raise UsageError(f"the preference of an engine must be a whole number or None; got {preference!r:.60}")


@dataclass(frozen=True)
class EngineStatus:
    """Whether an engine can run on this machine.

    Attributes:
        name: Name of the engine.
        version: Version of its library; None where the engine cannot run.
        reason: Why it cannot run and what to do about it; "" where it can.
    """

    name: str
    version: str | None
    reason: str

"""An ONNX file as a source of models for every engine: read, wrapped, and checked against the file as it is."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
import openvino

from allweather.exporters.foreign.dynamic_batch import with_dynamic_batch, with_sizes
from allweather.exporters.foreign.facts import (
    SUM_CLOSE,
    OutputFacts,
    are_probabilities,
    input_facts,
    output_facts,
    warn_of_probability,
)
from allweather.exporters.foreign.model_input import FROM_GRAPH, InputSettings, ModelInput, resolve_input
from allweather.exporters.foreign.original import OriginalModel
from allweather.exporters.foreign.read import read_onnx_file
from allweather.exporters.foreign.wrap import wrap
from allweather.exporters.onnx.precision import has_float16, to_float16, to_float32
from allweather.exporters.onnx.simplify import simplify
from allweather.exporters.openvino.convert import read_onnx
from allweather.runtimes.bundle.manifest import Precision
from allweather.runtimes.engines.base import CompiledModel
from allweather.runtimes.engines.onnx import OnnxEngine
from allweather.runtimes.errors import EngineError, UsageError, first_line
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable
from allweather.runtimes.types import Floats, Image

log = logging.getLogger(__name__)

PROBES = 5  # random images on which a rewritten graph is compared with the file
BATCHES = (1, 2, 5)
CLOSE = 1e-3  # largest difference that is rounding, as a share of the largest logit; float16 is allowed 20 times that


@dataclass(frozen=True)
class OnnxSource:
    """The model of an ONNX file as a `ModelSource`.

    Attributes:
        graph: The wrapped graph in float32.
        original: The file as it is.
        precision: See `ModelSource`.
        name: See `ModelSource`.
    """

    graph: onnx.ModelProto
    original: OriginalModel
    precision: Precision
    name: str = "the original"

    @cached_property
    def fp32(self) -> bytes:
        """See `ModelSource`."""
        content: bytes = self.graph.SerializeToString()
        return content

    @cached_property
    def fp16(self) -> bytes:
        """See `ModelSource`."""
        content: bytes = to_float16(self.graph).SerializeToString()
        return content

    def openvino(self) -> openvino.Model:
        """See `ModelSource`."""
        return read_onnx(self.fp32)

    def run(self, images: Image) -> Floats:
        """See `ModelSource`."""
        return self.original.run(images)

    def read(self, images: Image, taken: ModelInput) -> Floats:
        """Returns the logits of images that are prepared as `taken` says; see `Readable`."""
        return self.original.read(images, taken)


def open_onnx(
    path: Path | str, classes: tuple[str, ...], settings: InputSettings = FROM_GRAPH
) -> tuple[OnnxSource, ModelInput]:
    """Reads an ONNX classifier, and rewrites it to take uint8 NHWC images and to give logits, in batches of any size.

    Args:
        path: The file.
        classes: Names of the classes, in the order of its outputs.
        settings: What the user says about its input.

    Returns:
        (the source of models, what the file takes).

    Raises:
        EngineError: The file cannot be read, is no image classifier, or cannot be rewritten.
        UsageError: The settings or classes contradict the graph, or it does not tell what they leave out.
    """
    path = as_path(path)
    where = printable(str(path))
    model = read_onnx_file(path)
    facts = input_facts(model, where)
    taken = resolve_input(facts, settings, where)
    output = output_facts(model, where)
    original = OriginalModel(model, taken, output, facts.batch, where)
    probes = _probes(taken)
    outputs = _check_outputs(original, output, probes, classes, where)
    precision: Precision = "fp16" if has_float16(model) or taken.element == "float16" else "fp32"
    shape = (taken.spec.height, taken.spec.width)
    sizes = (1 if taken.gray else 3, *shape) if taken.layout == "nchw" else (*shape, 1 if taken.gray else 3)
    expected = _expected(original, probes if facts.batch else probes[:, None], where)
    reason = ""
    for fixed in (False, True):
        try:
            dynamic = with_dynamic_batch(model, facts.batch or 1, sizes) if fixed else with_sizes(model, "n", sizes)
            wrapped = wrap(dynamic, taken, output, is_probability=original.is_probability, outputs=outputs)
            graph = simplify(to_float32(wrapped))
            _check_engine(graph, taken, expected, probes, precision)
        except (EngineError, onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
            reason = first_line(error)
            continue
        return OnnxSource(graph, original, precision), taken
    batch = f"is fixed to batches of {facts.batch}" if facts.batch else "does not compute each image by itself"
    raise EngineError(
        f"{where} {batch}, and cannot be run on several images at once ({reason}); export it again with a dynamic "
        "batch, in eval mode"
    )


def _probes(taken: ModelInput) -> Image:
    """Returns random images, whose brightness differs, on which a rewritten graph is compared with the file."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (PROBES, taken.spec.height, taken.spec.width, 3))
    level = rng.integers(0, 256, (PROBES, 1, 1, 3))
    return np.asarray((noise + 3 * level) // 4, np.uint8)


def _check_outputs(
    original: OriginalModel, output: OutputFacts, probes: Image, classes: tuple[str, ...], where: str
) -> int:
    """Checks what the file gives against the classes, and finds out whether it gives probabilities.

    Returns:
        The number of its outputs.
    """
    values = original.values(probes, output.logits)
    outputs = int(values.shape[1])
    if outputs != len(classes) and not (outputs == 1 and len(classes) == 2):
        raise UsageError(
            f"{where} gives {outputs} outputs for each image, and --classes names {len(classes)} classes; "
            "name as many, in the order of its outputs"
        )
    if not np.isfinite(values).all():
        raise EngineError(f"{where} gives NaN or infinity; name a model of a training that succeeded")
    given = original.values(probes, output.name)
    if output.activation == "softmax" and outputs > 1 and not np.allclose(_softmax(values), given, atol=SUM_CLOSE):
        raise EngineError(f"{where} ends in a Softmax over something else than its classes; export it again")
    if output.activation == "sigmoid" and outputs > 1:
        log.warning(
            "%s ends in a Sigmoid, as for several labels of an image; here the one with the highest output is taken",
            where,
        )
    if output.activation is None:
        original.is_probability = are_probabilities(given)
    if output.activation is None and outputs == 1:
        warn_of_probability(given, classes[1], where)
    return outputs


def _expected(original: OriginalModel, batches: Image, where: str) -> Floats:
    """Returns what the file gives for a batch, or for several one after the other.

    Raises:
        EngineError: It gives something else for the same images a second time.
    """
    batches = batches if batches.ndim == 5 else batches[None]
    first, second = (np.concatenate([original.run(batch) for batch in batches]) for _ in range(2))
    if not np.allclose(first, second, atol=CLOSE, rtol=CLOSE):
        raise EngineError(
            f"{where} gives something else for the same image each time, as with dropout; export it again in eval mode"
        )
    return first


def _softmax(values: Floats) -> Floats:
    shifted = np.exp(values - values.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True), np.float32)


def _check_engine(
    graph: onnx.ModelProto, taken: ModelInput, expected: Floats, probes: Image, precision: Precision
) -> None:
    """Checks that the rewritten graph gives in batches of 1, 2 and 5 what the file gives for each image.

    Raises:
        EngineError: ONNX Runtime cannot run it, or it gives something else.
    """
    engine = OnnxEngine(CompiledModel(graph.SerializeToString(), b"", "fp32", taken.spec, expected.shape[1]))
    limit = CLOSE * max(1.0, float(np.abs(expected).max())) * (20 if precision == "fp16" else 1)
    for size in BATCHES:
        logits = engine.infer(probes[:size])
        if logits.shape != expected[:size].shape:
            raise EngineError(f"it gives {list(logits.shape)} for {size} images")
        difference = float(np.abs(logits - expected[:size]).max())
        if not difference <= limit:
            raise EngineError(f"in batches of {size}, its outputs differ by {difference:.3g}")

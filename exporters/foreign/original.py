"""Runs another program's ONNX file as it is, with images prepared in numpy: the reference of the parity gate."""

from __future__ import annotations

import numpy as np
import onnx

from allweather.exporters.foreign.facts import OutputFacts
from allweather.exporters.foreign.model_input import ModelInput
from allweather.exporters.foreign.wrap import FLOOR
from allweather.runtimes.engines.onnx import SEVERITY_FATAL, onnxruntime_errors
from allweather.runtimes.errors import EngineError, first_line
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.types import Floats, Image

with isolated_imports():
    import onnxruntime

BATCH_SIZE = 50  # images in a call where the batch is dynamic


class OriginalModel:
    """The model of a file, in a session of ONNX Runtime.

    Args:
        model: The model as it was read.
        taken: What it takes.
        output: Which of its tensors holds the logits.
        batch: Number of images in a call; None if that is dynamic.
        where: Name of the file, for messages.

    Raises:
        EngineError: ONNX Runtime cannot load it.
    """

    def __init__(
        self, model: onnx.ModelProto, taken: ModelInput, output: OutputFacts, batch: int | None, where: str
    ) -> None:
        self._taken, self._output, self._batch, self._where = taken, output, batch, where
        self._input = model.graph.input[0].name
        self.is_probability = False  # whether the output turned out to hold probabilities
        observed = onnx.ModelProto()
        observed.CopyFrom(model)
        if output.logits not in {each.name for each in observed.graph.output}:
            observed.graph.output.append(onnx.ValueInfoProto(name=output.logits))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = SEVERITY_FATAL
        try:
            self._session = onnxruntime.InferenceSession(
                observed.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except onnxruntime_errors() as error:
            raise EngineError(f"{where}: ONNX Runtime cannot run it ({first_line(error)}); export it again") from error

    def run(self, images: Image) -> Floats:
        """Returns the logits.

        Args:
            images: uint8 [n, h, w, 3], RGB.

        Returns:
            float32 [n, C].

        Raises:
            EngineError: The model fails.
        """
        return self.read(images, self._taken)

    def read(self, images: Image, taken: ModelInput) -> Floats:
        """Returns the logits of images that are prepared as `taken` says; see `run`."""
        logits = self.values(images, self._output.logits, taken=taken)
        if self.is_probability:
            logits = np.log(logits + np.float32(FLOOR))
        return logits * np.array([[0, 1]], np.float32) if logits.shape[1] == 1 else logits

    def values(self, images: Image, name: str, taken: ModelInput | None = None) -> Floats:
        """Returns one of the two tensors that the session gives, as float32 [n, outputs].

        Args:
            images: uint8 [n, h, w, 3], RGB.
            name: Name of the output, or of the logits.
            taken: How the images are prepared; as the model takes them if None.

        Raises:
            EngineError: The model fails, or the tensor has another shape.
        """
        size, taken = self._batch or BATCH_SIZE, taken or self._taken
        parts = []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            count = len(part)
            if self._batch is not None and count < size:  # the last image is repeated
                part = np.concatenate([part, np.repeat(part[-1:], size - count, axis=0)])
            try:
                (values,) = self._session.run([name], {self._input: taken.prepare(part)})
            except onnxruntime_errors() as error:
                raise EngineError(
                    f"{self._where} fails on images {taken.sentence()} ({first_line(error)}); "
                    "say what it takes with --layout and --size"
                ) from error
            parts.append(self._rows(np.asarray(values), len(part))[:count])
        return np.concatenate(parts)

    def _rows(self, values: np.ndarray, count: int) -> Floats:
        """Returns the values of each image in a row."""
        if values.ndim < 2 or values.shape[0] != count or values.size != count * values.shape[1]:
            raise EngineError(
                f"{self._where} gives {list(values.shape)} for {count} images, and a classifier gives [n, classes]; "
                "name an image classifier, or cut it there with onnx.utils.extract_model"
            )
        return values.reshape(count, -1).astype(np.float32)

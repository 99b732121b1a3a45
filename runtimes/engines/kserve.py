"""Requests and responses of the KServe v2 protocol over HTTP, as Triton and the OpenVINO Model Server both speak it.

Images are sent as bytes behind the JSON (the extension for binary tensors): as JSON numbers they would be four times as
large. Outputs are few numbers and are received as JSON. Nothing that a server sends is trusted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from allweather.runtimes.errors import EngineError, first_line
from allweather.runtimes.text import printable
from allweather.runtimes.types import Floats, Image

MAX_HEADER_BYTES = 1 << 16  # of a response, in addition to its numbers
MAX_NUMBER_BYTES = 40  # of one number in JSON: sign, 17 digits, exponent, separator, and some spaces
MAX_FLOAT32 = float(np.finfo(np.float32).max)
ADVICE = "check that the server serves a repository written by 'allweather export --layout'"


@dataclass(frozen=True)
class ModelMetadata:
    """A server's description of a model.

    Attributes:
        input_name: Name of its only input, which is uint8.
        output_name: Name of its only output, which is float32.
        image_shape: Height, width and 3 channels of an image; -1 where the model takes any size.
        outputs: Number of outputs for each image.
    """

    input_name: str
    output_name: str
    image_shape: tuple[int, int, int]
    outputs: int


def model_path(model: str) -> str:
    """Returns the path of a model on a server."""
    return f"/v2/models/{quote(model, safe='')}"


def encode_request(metadata: ModelMetadata, images: Image) -> tuple[dict[str, str], bytes]:
    """Returns the headers and the body of an inference request.

    Args:
        metadata: Metadata of the model.
        images: uint8 [n, h, w, 3].
    """
    pixels = np.ascontiguousarray(images).tobytes()
    tensor = {
        "name": metadata.input_name,
        "shape": list(images.shape),
        "datatype": "UINT8",
        "parameters": {"binary_data_size": len(pixels)},
    }
    header = json.dumps({"inputs": [tensor], "outputs": [{"name": metadata.output_name}]}).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(header))}
    return headers, header + pixels


def max_response_bytes(count: int, outputs: int) -> int:
    """Returns the largest size of a response for `count` images."""
    return MAX_HEADER_BYTES + MAX_NUMBER_BYTES * count * outputs


def read_metadata(text: bytes, source: str) -> ModelMetadata:
    """Reads a server's description of a model.

    Args:
        text: Body of the response.
        source: Name of the server and the model, for messages.

    Raises:
        EngineError: The text is no such description, or the model does not take images.
    """
    response = _parse(text, source)
    try:
        (input_tensor,), (output_tensor,) = response["inputs"], response["outputs"]
        _, height, width, channels = map(int, input_tensor["shape"])
        _, outputs = map(int, output_tensor["shape"])
        datatypes = (input_tensor["datatype"], output_tensor["datatype"])
        metadata = ModelMetadata(
            str(input_tensor["name"]), str(output_tensor["name"]), (height, width, channels), outputs
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise EngineError(
            f"{source}: the model must have one input of images and one output of numbers; {ADVICE}"
        ) from error
    if datatypes != ("UINT8", "FP32"):
        raise EngineError(
            f"{source}: takes {_shown(datatypes[0])} and gives {_shown(datatypes[1])}, not UINT8 and FP32; {ADVICE}"
        )
    return metadata


def decode_response(text: bytes, metadata: ModelMetadata, count: int, source: str) -> Floats:
    """Reads the outputs of an inference request.

    Args:
        text: Body of the response.
        metadata: Metadata of the model.
        count: Number of images in the request.
        source: Name of the server and the model, for messages.

    Returns:
        float32 [count, outputs], all finite.

    Raises:
        EngineError: The text holds no such outputs.
    """
    response = _parse(text, source)
    expected = [count, metadata.outputs]
    try:
        (tensor,) = (output for output in response["outputs"] if output["name"] == metadata.output_name)
        datatype, shape, numbers = tensor["datatype"], list(tensor["shape"]), tensor["data"]
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(f"{source}: the response has no output {metadata.output_name}; {ADVICE}") from error
    if datatype != "FP32" or shape != expected:
        raise EngineError(f"{source}: the output is {_shown(datatype)} {_shown(shape)}, not FP32 {expected}; {ADVICE}")
    if not isinstance(numbers, list) or len(numbers) != math.prod(expected) or not all(map(_is_float32, numbers)):
        raise EngineError(
            f"{source}: the response does not hold {math.prod(expected)} finite numbers; see the server's log"
        )
    return np.asarray(numbers, np.float32).reshape(expected)


def error_text(status: int, text: bytes) -> str:
    """Returns a server's reason for refusing a request, in one line that begins with the status code."""
    try:
        response = json.loads(text)
        message = str(response["error"]) if isinstance(response, Mapping) and "error" in response else ""
    except (ValueError, RecursionError):
        message = ""
    return f"{status} {printable(' '.join(message.split())[:200])}".strip()


def _parse(text: bytes, source: str) -> Mapping[str, Any]:
    try:
        response = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EngineError(f"{source}: the response is not JSON ({first_line(error)}); {ADVICE}") from error
    if not isinstance(response, dict):
        raise EngineError(f"{source}: the response is not a JSON object; {ADVICE}")
    return response


def _shown(value: object) -> str:
    """Returns what a server sent, for messages."""
    return printable(str(value)[:60])


def _is_float32(number: object) -> bool:
    """Whether a value of JSON is a finite number that float32 can hold; integers in JSON can have any length."""
    return isinstance(number, int | float) and not isinstance(number, bool) and abs(number) <= MAX_FLOAT32

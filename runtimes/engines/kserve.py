"""The words of the KServe v2 protocol over HTTP, as Triton and the OpenVINO Model Server both speak it.

Pictures go as bytes behind the JSON (the extension for binary tensors): as JSON numbers they are four times as many.
Answers are few numbers and come as JSON. What a server says is read with distrust.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from allweather.runtimes.errors import EngineError, first_line, printable
from allweather.runtimes.types import Floats, Image

HEAD = 1 << 16  # bytes of an answer beside its numbers
NUMBER = 40  # bytes of one number at most: sign, 17 digits, exponent, separator, and room for spaces
LARGEST = float(np.finfo(np.float32).max)
ADVICE = "see that it serves a repository written by 'allweather export --layout'"


@dataclass(frozen=True)
class Signature:
    """What a model on a server takes and gives.

    Attributes:
        taken: name of its one input, uint8.
        given: name of its one output, float32.
        picture: height, width and 3; -1 where any will do.
        outputs: numbers for each picture.
    """

    taken: str
    given: str
    picture: tuple[int, int, int]
    outputs: int


def path_of(model: str) -> str:
    """Where a server speaks of a model."""
    return f"/v2/models/{quote(model, safe='')}"


def question(signature: Signature, images: Image) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a request.

    Args:
        signature: of the model.
        images: uint8 [n, h, w, 3].
    """
    pixels = np.ascontiguousarray(images).tobytes()
    taken = {
        "name": signature.taken,
        "shape": list(images.shape),
        "datatype": "UINT8",
        "parameters": {"binary_data_size": len(pixels)},
    }
    head = json.dumps({"inputs": [taken], "outputs": [{"name": signature.given}]}).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return headers, head + pixels


def largest_answer(count: int, outputs: int) -> int:
    """Bytes that an answer for `count` pictures may have."""
    return HEAD + NUMBER * count * outputs


def read_signature(text: bytes, where: str) -> Signature:
    """Reads what a server says of a model.

    Raises:
        EngineError: it is no such text, or no model of pictures.
    """
    said = _parsed(text, where)
    try:
        (taken,), (given,) = said["inputs"], said["outputs"]
        _, height, width, colors = map(int, taken["shape"])
        _, outputs = map(int, given["shape"])
        kinds = (taken["datatype"], given["datatype"])
        found = Signature(str(taken["name"]), str(given["name"]), (height, width, colors), outputs)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise EngineError(f"{where}: has not one input of pictures and one output of numbers; {ADVICE}") from error
    if kinds != ("UINT8", "FP32"):
        raise EngineError(f"{where}: takes {kinds[0]!s:.20} and gives {kinds[1]!s:.20}, not UINT8 and FP32; {ADVICE}")
    return found


def read_answer(text: bytes, signature: Signature, count: int, where: str) -> Floats:
    """Reads the answer to `count` pictures: float32 [count, outputs].

    Raises:
        EngineError: it is none.
    """
    said = _parsed(text, where)
    shape = [count, signature.outputs]
    try:
        (given,) = (output for output in said["outputs"] if output["name"] == signature.given)
        kind, came, numbers = given["datatype"], list(given["shape"]), given["data"]
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(f"{where}: answers without {signature.given}; {ADVICE}") from error
    if kind != "FP32" or came != shape:
        raise EngineError(f"{where}: answers {kind!s:.20} {came!s:.60}, not FP32 {shape}; {ADVICE}")
    if not isinstance(numbers, list) or len(numbers) != math.prod(shape) or not all(map(_finite, numbers)):
        raise EngineError(f"{where}: does not answer with {math.prod(shape)} finite numbers; look at the server's log")
    return np.asarray(numbers, np.float32).reshape(shape)


def refusal(status: int, text: bytes) -> str:
    """What a server says when it refuses, in one line."""
    try:
        said = json.loads(text)
        words = str(said["error"]) if isinstance(said, Mapping) and "error" in said else ""
    except (ValueError, RecursionError):
        words = ""
    return f"{status} {printable(' '.join(words.split())[:200])}".strip()


def _parsed(text: bytes, where: str) -> Mapping[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EngineError(f"{where}: answers no JSON ({first_line(error)}); {ADVICE}") from error
    if not isinstance(said, dict):
        raise EngineError(f"{where}: answers no JSON object; {ADVICE}")
    return said


def _finite(number: object) -> bool:
    """Whether it is a number that float32 can hold; JSON knows integers of any length."""
    return isinstance(number, int | float) and not isinstance(number, bool) and abs(number) <= LARGEST

"""A server of the KServe v2 protocol for tests: it runs the models of a repository as its configuration says.

Triton's configuration is read with Triton's own published message, the Model Server's as JSON. Tests can make the
server misbehave.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import runpy
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from allweather.runtimes.engines.base import CompiledModel, Engine
from allweather.runtimes.engines.openvino_core import openvino_core
from allweather.runtimes.engines.registry import start_engine
from allweather.runtimes.preprocess import InputSpec


def model_config(text: str) -> Any:
    """Reads Triton's configuration with its published protobuf message; an unknown field or value raises."""
    from google.protobuf import text_format

    spec = importlib.util.find_spec("tritonclient")
    assert spec is not None, "pip install tritonclient: Triton's published configuration cannot be checked without it"
    assert spec.origin is not None
    # by path, because the package around it needs grpcio
    message = runpy.run_path(str(Path(spec.origin).with_name("grpc") / "model_config_pb2.py"))["ModelConfig"]
    return text_format.Parse(text, message())


@dataclass
class LoadedModel:
    """A model as the server runs it."""

    engine: Engine
    shape: tuple[int, int, int]
    outputs: int
    max_batch_size: int


def load_repository(root: Path) -> dict[str, LoadedModel]:
    """Loads every single model of a repository, each in its highest version."""
    if (root / "config.json").is_file():
        configs = [each["config"] for each in json.loads((root / "config.json").read_text())["model_config_list"]]
        return {config["name"]: _load(root / config["base_path"], 1000) for config in configs}
    models = {}
    for path in sorted(root.glob("*/config.pbtxt")):
        config = model_config(path.read_text())
        assert config.name == path.parent.name
        if config.backend == "onnxruntime":
            loaded = models[config.name] = _load(path.parent, config.max_batch_size)
            assert tuple(config.input[0].dims) == loaded.shape
            assert tuple(config.output[0].dims) == (loaded.outputs,)
    return models


def _load(folder: Path, max_batch_size: int) -> LoadedModel:
    newest = max((path for path in folder.iterdir() if path.is_dir()), key=lambda path: int(path.name))
    graph = newest / "model.onnx"
    labels = (folder / "labels.txt").read_text().splitlines()
    if graph.is_file():
        import onnxruntime

        (image_input,) = onnxruntime.InferenceSession(graph).get_inputs()
        shape = tuple(image_input.shape[1:])
        assert image_input.name == "images"
        model = CompiledModel(graph.read_bytes(), b"", "fp32", InputSpec(*shape[:2]), len(labels))
        return LoadedModel(start_engine("onnx", model), shape, len(labels), max_batch_size)
    image_input = openvino_core().read_model(newest / "model.xml").input("images")
    shape = tuple(int(image_input.partial_shape[axis].get_length()) for axis in (1, 2, 3))
    xml, weights = (newest / "model.xml").read_bytes(), (newest / "model.bin").read_bytes()
    model = CompiledModel(xml, weights, "fp32", InputSpec(*shape[:2]), len(labels))
    return LoadedModel(start_engine("openvino", model), shape, len(labels), max_batch_size)


@dataclass
class Faults:
    """What the server does wrong, and what it has seen.

    Attributes:
        delay: Seconds before a response, for each image of the request.
        body: What is sent instead of the outputs.
        drip: Seconds between the single bytes of a response.
        hang_up: Whether the connection is closed after each response, without a header that says so.
        metadata: What is sent instead of the model's metadata.
        batches: Number of images of each request so far.
        connections: Number of connections so far.
    """

    delay: float = 0.0
    body: bytes | None = None
    drip: float = 0.0
    hang_up: bool = False
    metadata: bytes | None = None
    batches: list[int] = field(default_factory=list)
    connections: int = 0


class KserveServer(ThreadingHTTPServer):
    """Serves a repository on a free port of this machine, in a thread, while its `with` block lasts."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models, self.faults, self.lock = load_repository(root), Faults(), threading.Lock()
        self.open: list[socket.socket] = []
        self.address = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> KserveServer:
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.thread.join()
        for connection in self.open:  # a handler would serve one that is kept open for ever
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignores clients that have given up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: KserveServer

    def setup(self) -> None:
        super().setup()
        self.server.faults.connections += 1
        self.server.open.append(self.connection)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- the name of the base class
        pass

    def do_GET(self) -> None:
        name = self._model_name(r"/v2/models/([^/]+)")
        if name is None:
            return
        model = self.server.models[name]
        tensors = [
            {"name": "images", "datatype": "UINT8", "shape": [-1, *model.shape]},
            {"name": "logits", "datatype": "FP32", "shape": [-1, model.outputs]},
        ]
        metadata = {"name": name, "versions": ["1"], "platform": "x", "inputs": tensors[:1], "outputs": tensors[1:]}
        self._send(200, self.server.faults.metadata or json.dumps(metadata).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = self._model_name(r"/v2/models/([^/]+)/infer")
        if name is None:
            return
        model, faults = self.server.models[name], self.server.faults
        header_bytes = int(self.headers["Inference-Header-Content-Length"])
        (tensor,), (output,) = (json.loads(body[:header_bytes])[key] for key in ("inputs", "outputs"))
        assert tensor["parameters"]["binary_data_size"] == len(body) - header_bytes
        assert (tensor["name"], tensor["datatype"], output["name"]) == ("images", "UINT8", "logits")
        if tuple(tensor["shape"][1:]) != model.shape or tensor["shape"][0] > model.max_batch_size:
            self._send(400, json.dumps({"error": f"unexpected shape\n{tensor['shape']}"}).encode())
            return
        images = np.frombuffer(body[header_bytes:], np.uint8).reshape(tensor["shape"])
        faults.batches.append(len(images))
        time.sleep(faults.delay * len(images))
        with self.server.lock:
            logits = model.engine.infer(images)
        output = {
            "name": "logits", "datatype": "FP32", "shape": list(logits.shape), "data": logits.ravel().tolist(),
        }  # fmt: skip
        response = json.dumps({"model_name": name, "model_version": "1", "outputs": [output]}).encode()
        self._send(200, response if faults.body is None else faults.body)

    def _model_name(self, pattern: str) -> str | None:
        match = re.fullmatch(pattern, self.path)
        if match and match[1] in self.server.models:
            return match[1]
        self._send(404, json.dumps({"error": f"Request for unknown model: '{self.path}'"}).encode())
        return None

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        step = 1 if self.server.faults.drip else len(body)
        for begin in range(0, len(body), max(step, 1)):
            self.wfile.write(body[begin : begin + step])
            time.sleep(self.server.faults.drip)
        self.close_connection = self.server.faults.hang_up

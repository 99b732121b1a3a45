"""A server of the KServe v2 protocol for tests: it runs what a written repository holds, as its configuration says.

Triton's is read with Triton's own published message, the Model Server's as JSON. It can be told to misbehave.
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

from allweather.runtimes.engines import engine_onnx, engine_openvino
from allweather.runtimes.engines.registry import Engine, Network
from allweather.runtimes.preprocess import InputSpec


def model_config(text: str) -> Any:
    """Triton's configuration as its published protobuf message; an unknown field or value raises."""
    from google.protobuf import text_format

    spec = importlib.util.find_spec("tritonclient")
    assert spec is not None, "pip install tritonclient: Triton's published configuration cannot be checked without it"
    assert spec.origin is not None
    # by path, as the package around it wants grpcio
    message = runpy.run_path(str(Path(spec.origin).with_name("grpc") / "model_config_pb2.py"))["ModelConfig"]
    return text_format.Parse(text, message())


@dataclass
class Loaded:
    """A network as the server runs it."""

    engine: Engine
    shape: tuple[int, int, int]
    outputs: int
    most: int


def load_repository(root: Path) -> dict[str, Loaded]:
    """All single networks of a repository, each in its highest version."""
    if (root / "config.json").is_file():
        configs = [each["config"] for each in json.loads((root / "config.json").read_text())["model_config_list"]]
        return {config["name"]: _load(root / config["base_path"], 1000) for config in configs}
    found = {}
    for path in sorted(root.glob("*/config.pbtxt")):
        config = model_config(path.read_text())
        assert config.name == path.parent.name
        if config.backend == "onnxruntime":
            loaded = found[config.name] = _load(path.parent, config.max_batch_size)
            assert tuple(config.input[0].dims) == loaded.shape
            assert tuple(config.output[0].dims) == (loaded.outputs,)
    return found


def _load(folder: Path, most: int) -> Loaded:
    newest = max((path for path in folder.iterdir() if path.is_dir()), key=lambda path: int(path.name))
    graph = newest / "model.onnx"
    labels = (folder / "labels.txt").read_text().splitlines()
    if graph.is_file():
        import onnxruntime

        (taken,) = onnxruntime.InferenceSession(graph).get_inputs()
        shape = tuple(taken.shape[1:])
        assert taken.name == "images"
        network = Network(graph.read_bytes(), b"", "fp32", InputSpec(*shape[:2]), len(labels))
        return Loaded(engine_onnx.start(network), shape, len(labels), most)
    import openvino

    taken = openvino.Core().read_model(newest / "model.xml").input("images")
    shape = tuple(int(taken.partial_shape[place].get_length()) for place in (1, 2, 3))
    xml, weights = (newest / "model.xml").read_bytes(), (newest / "model.bin").read_bytes()
    network = Network(xml, weights, "fp32", InputSpec(*shape[:2]), len(labels))
    return Loaded(engine_openvino.start(network), shape, len(labels), most)


@dataclass
class Mischief:
    """What the server does wrong.

    Attributes:
        delay: seconds before an answer, for each picture of the request.
        body: what is answered instead.
        drip: seconds between single bytes of an answer.
        hang_up: closes the connection after each answer without saying so.
        tell: what the model is said to be instead.
    """

    delay: float = 0.0
    body: bytes | None = None
    drip: float = 0.0
    hang_up: bool = False
    tell: bytes | None = None
    batches: list[int] = field(default_factory=list)
    connections: int = 0


class KserveServer(ThreadingHTTPServer):
    """Serves a repository on a free port of this machine, from a thread, while its `with` block lasts."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models, self.mischief, self.lock = load_repository(root), Mischief(), threading.Lock()
        self.open: list[socket.socket] = []
        self.address = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> KserveServer:
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.thread.join()
        for connection in self.open:  # those that are kept open would be answered for ever
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has given up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: KserveServer

    def setup(self) -> None:
        super().setup()
        self.server.mischief.connections += 1
        self.server.open.append(self.connection)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- the name of the base class
        pass

    def do_GET(self) -> None:
        name = self._name(r"/v2/models/([^/]+)")
        if name is None:
            return
        model = self.server.models[name]
        tensors = [
            {"name": "images", "datatype": "UINT8", "shape": [-1, *model.shape]},
            {"name": "logits", "datatype": "FP32", "shape": [-1, model.outputs]},
        ]
        told = {"name": name, "versions": ["1"], "platform": "x", "inputs": tensors[:1], "outputs": tensors[1:]}
        self._say(200, self.server.mischief.tell or json.dumps(told).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = self._name(r"/v2/models/([^/]+)/infer")
        if name is None:
            return
        model, mischief = self.server.models[name], self.server.mischief
        head = int(self.headers["Inference-Header-Content-Length"])
        (taken,), (given,) = (json.loads(body[:head])[key] for key in ("inputs", "outputs"))
        assert taken["parameters"]["binary_data_size"] == len(body) - head
        assert (taken["name"], taken["datatype"], given["name"]) == ("images", "UINT8", "logits")
        if tuple(taken["shape"][1:]) != model.shape or taken["shape"][0] > model.most:
            self._say(400, json.dumps({"error": f"unexpected shape\n{taken['shape']}"}).encode())
            return
        images = np.frombuffer(body[head:], np.uint8).reshape(taken["shape"])
        mischief.batches.append(len(images))
        time.sleep(mischief.delay * len(images))
        with self.server.lock:
            logits = model.engine.infer(images)
        output = {
            "name": "logits", "datatype": "FP32", "shape": list(logits.shape), "data": logits.ravel().tolist(),
        }  # fmt: skip
        answer = json.dumps({"model_name": name, "model_version": "1", "outputs": [output]}).encode()
        self._say(200, answer if mischief.body is None else mischief.body)

    def _name(self, pattern: str) -> str | None:
        found = re.fullmatch(pattern, self.path)
        if found and found[1] in self.server.models:
            return found[1]
        self._say(404, json.dumps({"error": f"Request for unknown model: '{self.path}'"}).encode())
        return None

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        step = 1 if self.server.mischief.drip else len(body)
        for begin in range(0, len(body), max(step, 1)):
            self.wfile.write(body[begin : begin + step])
            time.sleep(self.server.mischief.drip)
        self.close_connection = self.server.mischief.hang_up

"""A model repository for the OpenVINO Model Server.

Its configuration is JSON; the schema is `MODELS_CONFIG_SCHEMA` in src/schema.cpp of openvinotoolkit/model_server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from allweather.exporters.serving.models import BOTH, INPUT, LABELS, LOSSES, OUTPUT, SEEN, ServedModel
from allweather.runtimes.bundle.manifest import EngineName

ENGINES: tuple[EngineName, ...] = ("openvino", "onnx")
HINTS = {"bf16": "bf16", "fp16": "f16"}  # arithmetic of what is not INT8; OpenVINO's own choice answers otherwise


def repository(served: Sequence[ServedModel], version: int) -> Mapping[str, bytes]:
    """The files of a repository by their path.

    Args:
        served: the classifier, and the predictor where there is one.
        version: number of the folder that holds the networks.
    """
    config: dict[str, object] = {"model_config_list": [{"config": _single(network)} for network in served]}
    if len(served) == 2:
        config["pipeline_config_list"] = [_pipeline(*served)]
    files = {"config.json": json.dumps(config, indent=1).encode()}
    for network in served:
        folder = f"{network.role}/{version}"
        files[f"{network.role}/{LABELS}"] = network.label_file()
        if network.model.engine == "openvino":
            files[f"{folder}/model.xml"], files[f"{folder}/model.bin"] = network.graph, network.weights
        else:
            files[f"{folder}/model.onnx"] = network.graph
    return files


def _single(network: ServedModel) -> dict[str, object]:
    """One network. Its shape is left as it is, with any number of pictures: a pipeline refuses the shape "auto"."""
    return {
        "name": network.role,
        "base_path": network.role,  # beside config.json
        "target_device": "CPU",
        "plugin_config": {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": HINTS.get(network.model.precision, "f32"),
        },
    }


def _pipeline(classifier: ServedModel, predictor: ServedModel) -> dict[str, object]:
    """Both networks on one request. Pictures of two sizes are two inputs: no server resizes as `prepare` does."""
    sizes = [(network.input.height, network.input.width) for network in (classifier, predictor)]
    seen = INPUT if sizes[0] == sizes[1] else SEEN
    return {
        "name": BOTH,
        "inputs": list(dict.fromkeys((INPUT, seen))),
        "nodes": [_node(classifier, INPUT, OUTPUT), _node(predictor, seen, LOSSES)],
        "outputs": [
            {OUTPUT: {"node_name": classifier.role, "data_item": OUTPUT}},
            {LOSSES: {"node_name": predictor.role, "data_item": LOSSES}},
        ],
    }


def _node(network: ServedModel, taken: str, given: str) -> dict[str, object]:
    return {
        "name": network.role,
        "model_name": network.role,
        "type": "DL model",
        "inputs": [{INPUT: {"node_name": "request", "data_item": taken}}],
        "outputs": [{"data_item": OUTPUT, "alias": given}],
    }

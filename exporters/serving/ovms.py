"""A model repository for the OpenVINO Model Server.

Its configuration is JSON; the schema is `MODELS_CONFIG_SCHEMA` in src/schema.cpp of openvinotoolkit/model_server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from allweather.exporters.serving.models import (
    ENSEMBLE,
    INPUT,
    LABELS,
    LOSSES,
    OUTPUT,
    PREDICTOR_INPUT,
    ServedModel,
)
from allweather.runtimes.bundle.manifest import EngineName

ENGINES: tuple[EngineName, ...] = ("openvino", "onnx")
# Precision of the layers that are not INT8. It must be named, because OpenVINO's default gives other outputs.
PRECISION_HINTS = {"bf16": "bf16", "fp16": "f16"}


def repository(served: Sequence[ServedModel], version: int) -> Mapping[str, bytes]:
    """Returns the contents of a repository's files by their paths.

    Args:
        served: The classifier, then the loss predictor and the large classifier if there are any.
        version: Version of the models; the name of the folder that holds each.
    """
    config: dict[str, object] = {"model_config_list": [{"config": _model_config(model)} for model in served]}
    if len(served) > 1 and served[1].role == "predictor":
        config["pipeline_config_list"] = [_pipeline(*served[:2])]
    files = {"config.json": json.dumps(config, indent=1).encode()}
    for model in served:
        folder = f"{model.role}/{version}"
        files[f"{model.role}/{LABELS}"] = model.label_file()
        if model.model.engine == "openvino":
            files[f"{folder}/model.xml"], files[f"{folder}/model.bin"] = model.graph, model.weights
        else:
            files[f"{folder}/model.onnx"] = model.graph
    return files


def _model_config(served: ServedModel) -> dict[str, object]:
    """Returns the configuration of one model. Its batch size stays dynamic: a pipeline refuses the shape "auto"."""
    return {
        "name": served.role,
        "base_path": served.role,  # relative to config.json
        "target_device": "CPU",
        "plugin_config": {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": PRECISION_HINTS.get(served.model.precision, "f32"),
        },
    }


def _pipeline(classifier: ServedModel, predictor: ServedModel) -> dict[str, object]:
    """Returns a pipeline that runs both models on one request.

    If the models take images of two sizes, it has two inputs: no server resizes as `InputSpec.prepare` does.
    """
    sizes = [(served.input.height, served.input.width) for served in (classifier, predictor)]
    predictor_input = INPUT if sizes[0] == sizes[1] else PREDICTOR_INPUT
    return {
        "name": ENSEMBLE,
        "inputs": list(dict.fromkeys((INPUT, predictor_input))),
        "nodes": [_node(classifier, INPUT, OUTPUT), _node(predictor, predictor_input, LOSSES)],
        "outputs": [
            {OUTPUT: {"node_name": classifier.role, "data_item": OUTPUT}},
            {LOSSES: {"node_name": predictor.role, "data_item": LOSSES}},
        ],
    }


def _node(served: ServedModel, request_input: str, alias: str) -> dict[str, object]:
    return {
        "name": served.role,
        "model_name": served.role,
        "type": "DL model",
        "inputs": [{INPUT: {"node_name": "request", "data_item": request_input}}],
        "outputs": [{"data_item": OUTPUT, "alias": alias}],
    }

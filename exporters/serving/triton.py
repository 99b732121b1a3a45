"""A model repository for NVIDIA's Triton Inference Server.

Its configuration is protobuf text of `ModelConfig`, as published in triton-inference-server/common.
"""

from __future__ import annotations

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
from allweather.runtimes.preprocess import InputSpec

# ONNX only, which Triton's onnxruntime backend runs on CPUs and GPUs. Its OpenVINO backend fails on every batch size
# but the largest (its README, "Known Issues"), and a TensorRT plan must be built on the machine that runs it.
ENGINES: tuple[EngineName, ...] = ("onnx",)
MAX_BATCH_SIZE = 32  # enough for all 12 views of a frame in one request, batched with requests of other cameras


def repository(served: Sequence[ServedModel], version: int) -> Mapping[str, bytes]:
    """Returns the contents of a repository's files by their paths; a path that ends in a slash is an empty folder.

    Args:
        served: The classifier, then the loss predictor and the large classifier if there are any.
        version: Version of the models; the name of the folder that holds each.
    """
    files = {}
    for model in served:
        files[f"{model.role}/config.pbtxt"] = _model_config(model).encode()
        files[f"{model.role}/{LABELS}"] = model.label_file()
        files[f"{model.role}/{version}/model.onnx"] = model.graph
    if len(served) > 1 and served[1].role == "predictor":
        classifier, predictor = served[:2]
        files[f"{ENSEMBLE}/config.pbtxt"] = _ensemble(classifier, predictor).encode()
        files[f"{ENSEMBLE}/{LABELS}"] = classifier.label_file()
        # an ensemble has no file, but Triton requires a folder for its version; its steps run the newest models
        files[f"{ENSEMBLE}/1/"] = b""
    return files


def _model_config(served: ServedModel) -> str:
    """Returns the configuration of one model."""
    # Triton can return the labels of the highest outputs; of a loss predictor, those of the lowest would be needed
    labeled = served.role != "predictor"
    return (
        f'name: "{served.role}"\n'
        'backend: "onnxruntime"\n'
        f"max_batch_size: {MAX_BATCH_SIZE}\n"
        f"{_input(INPUT, served.input)}"
        f"{_output(OUTPUT, len(served.labels), labeled)}"
        "dynamic_batching { }\n"  # merges waiting requests; waiting for more would use up the latency budget of a frame
    )


def _ensemble(classifier: ServedModel, predictor: ServedModel) -> str:
    """Returns the configuration of an ensemble that runs both models on one request.

    If the models take images of two sizes, it has two inputs: no server resizes as `InputSpec.prepare` does.
    """
    same_size = _size(predictor.input) == _size(classifier.input)
    predictor_input = INPUT if same_size else PREDICTOR_INPUT
    inputs = _input(INPUT, classifier.input) + ("" if same_size else _input(PREDICTOR_INPUT, predictor.input))
    outputs = _output(OUTPUT, len(classifier.labels), True) + _output(LOSSES, len(predictor.labels), False)
    steps = _step(classifier.role, INPUT, OUTPUT) + _step(predictor.role, predictor_input, LOSSES)
    return (
        f'name: "{ENSEMBLE}"\n'
        'platform: "ensemble"\n'
        f"max_batch_size: {MAX_BATCH_SIZE}\n"
        f"{inputs}{outputs}"
        f"ensemble_scheduling {{\n{steps}}}\n"
    )


def _size(spec: InputSpec) -> tuple[int, int]:
    return spec.height, spec.width


def _input(name: str, spec: InputSpec) -> str:
    return f'input {{ name: "{name}" data_type: TYPE_UINT8 dims: [ {spec.height}, {spec.width}, 3 ] }}\n'


def _output(name: str, count: int, labeled: bool) -> str:
    labels = f' label_filename: "{LABELS}"' if labeled else ""
    return f'output {{ name: "{name}" data_type: TYPE_FP32 dims: [ {count} ]{labels} }}\n'


def _step(model: str, ensemble_input: str, ensemble_output: str) -> str:
    return (
        f'  step {{ model_name: "{model}" model_version: -1\n'
        f'    input_map {{ key: "{INPUT}" value: "{ensemble_input}" }}\n'
        f'    output_map {{ key: "{OUTPUT}" value: "{ensemble_output}" }} }}\n'
    )

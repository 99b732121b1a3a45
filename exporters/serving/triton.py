"""A model repository for NVIDIA's Triton Inference Server.

Its configuration is protobuf text of `ModelConfig`, as published in triton-inference-server/common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from allweather.exporters.serving.models import BOTH, INPUT, LABELS, LOSSES, OUTPUT, SEEN, ServedModel
from allweather.runtimes.bundle.manifest import EngineName
from allweather.runtimes.preprocess import InputSpec

# Its OpenVINO backend fails on any other batch than the largest (its README, "Known Issues"), and a TensorRT plan
# must be built on the machine that runs it; so ONNX it is, which the onnxruntime backend runs on CPUs and GPUs.
ENGINES: tuple[EngineName, ...] = ("onnx",)
# Pictures: all 12 views of a frame as one request, and room for the requests of other cameras beside it.
LARGEST_BATCH = 32


def repository(served: Sequence[ServedModel], version: int) -> Mapping[str, bytes]:
    """The files of a repository by their path; one that ends in a slash is an empty folder.

    Args:
        served: the classifier, and the predictor where there is one.
        version: number of the folder that holds the networks.
    """
    files = {}
    for network in served:
        files[f"{network.role}/config.pbtxt"] = _single(network).encode()
        files[f"{network.role}/{LABELS}"] = network.label_file()
        files[f"{network.role}/{version}/model.onnx"] = network.graph
    if len(served) == 2:
        classifier, predictor = served
        files[f"{BOTH}/config.pbtxt"] = _ensemble(classifier, predictor).encode()
        files[f"{BOTH}/{LABELS}"] = classifier.label_file()
        files[f"{BOTH}/1/"] = b""  # it has no content, but Triton wants a version; its steps take the newest
    return files


def _single(network: ServedModel) -> str:
    labelled = network.role == "classifier"  # Triton's classification sorts by the highest: wrong for losses
    return (
        f'name: "{network.role}"\n'
        'backend: "onnxruntime"\n'
        f"max_batch_size: {LARGEST_BATCH}\n"
        f"{_input(INPUT, network.input)}"
        f"{_output(OUTPUT, len(network.labels), labelled)}"
        "dynamic_batching { }\n"  # merges what waits already; a delay to wait for more would come out of the budget
    )


def _ensemble(classifier: ServedModel, predictor: ServedModel) -> str:
    """Both networks on one request. Pictures of two sizes are two inputs: no server resizes as `prepare` does."""
    seen = SEEN if _size(predictor.input) != _size(classifier.input) else INPUT
    inputs = _input(INPUT, classifier.input) + (_input(SEEN, predictor.input) if seen == SEEN else "")
    outputs = _output(OUTPUT, len(classifier.labels), True) + _output(LOSSES, len(predictor.labels), False)
    steps = _step(classifier.role, INPUT, OUTPUT) + _step(predictor.role, seen, LOSSES)
    return (
        f'name: "{BOTH}"\n'
        'platform: "ensemble"\n'
        f"max_batch_size: {LARGEST_BATCH}\n"
        f"{inputs}{outputs}"
        f"ensemble_scheduling {{\n{steps}}}\n"
    )


def _size(spec: InputSpec) -> tuple[int, int]:
    return spec.height, spec.width


def _input(name: str, spec: InputSpec) -> str:
    return f'input {{ name: "{name}" data_type: TYPE_UINT8 dims: [ {spec.height}, {spec.width}, 3 ] }}\n'


def _output(name: str, count: int, labelled: bool) -> str:
    labels = f' label_filename: "{LABELS}"' if labelled else ""
    return f'output {{ name: "{name}" data_type: TYPE_FP32 dims: [ {count} ]{labels} }}\n'


def _step(model: str, taken: str, given: str) -> str:
    return (
        f'  step {{ model_name: "{model}" model_version: -1\n'
        f'    input_map {{ key: "{INPUT}" value: "{taken}" }}\n'
        f'    output_map {{ key: "{OUTPUT}" value: "{given}" }} }}\n'
    )

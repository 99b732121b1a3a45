"""How large each file of a bundle may be, by what it is for, so that a lying manifest costs no time and no memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from allweather.runtimes.bundle.manifest import Manifest

MAX_MODEL_BYTES = 2**31 - 1  # the limit of protobuf, and so of ONNX; also for OpenVINO's weights. VGG-16 takes 0.55 GB
MAX_XML_BYTES = 64 << 20  # of OpenVINO IR without its weights: a ResNet-50 takes 0.5 MB
MAX_NPY_HEADER_BYTES = 4096  # that of an array of ours takes 128 bytes
MAX_OTHER_BYTES = 16 << 20  # of a file that no model refers to
FLOAT_BYTES = 4


def largest_sizes(manifest: Manifest) -> dict[str, int]:
    """Returns the largest size in bytes that each listed file of a bundle can have.

    Args:
        manifest: The manifest, which lists every file that it refers to.
    """
    count, size = manifest.golden_count, manifest.input
    limits = {manifest.golden_frames: count * size.height * size.width * 3 + MAX_NPY_HEADER_BYTES}
    for model in manifest.models:
        outputs = len(manifest.views if model.role == "predictor" else manifest.classes)
        own = [
            (model.file, MAX_XML_BYTES if model.engine == "openvino" else MAX_MODEL_BYTES),
            (model.golden, count * outputs * FLOAT_BYTES + MAX_NPY_HEADER_BYTES),
            *([(model.weights, MAX_MODEL_BYTES)] if model.weights else []),
        ]
        for name, limit in own:
            limits[name] = max(limits.get(name, 0), limit)
    return {name: limits.get(name, MAX_OTHER_BYTES) for name in manifest.files}

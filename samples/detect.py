"""Decides on each object that your own ONNX detector finds: python detect.py BUNDLE DETECTOR SOURCE.

DETECTOR is an ONNX file with one image [1, 3, H, W], 0..1, as input. Its outputs are those of torchvision's detectors
(boxes [n, 4], labels, scores) or of Ultralytics' (one of [1, 4 + classes, n], boxes as center and size). Needs
onnxruntime. SOURCE is a camera ("0"), a video, a folder, a URL or a GStreamer pipeline.
"""

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import onnxruntime

import allweather

LEAST, OVERLAP, MOST = 0.4, 0.5, 20  # the least score, the largest overlap of two boxes, and the number of boxes
DEFAULT_SIDE = 640  # of the detector's input in pixels, where the file leaves it open

if len(sys.argv) != 4:
    sys.exit("usage: python detect.py BUNDLE DETECTOR SOURCE")
bundle, file, source = sys.argv[1:]
session = onnxruntime.InferenceSession(file, providers=onnxruntime.get_available_providers())
name, shape = session.get_inputs()[0].name, session.get_inputs()[0].shape
height, width = (side if isinstance(side, int) else DEFAULT_SIDE for side in shape[2:])


def detect(image: np.ndarray) -> SimpleNamespace:
    """Returns the boxes in an image, uint8 [H, W, 3] RGB, with their scores."""
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    outputs = session.run(None, {name: np.float32(small.transpose(2, 0, 1)[None] / 255)})
    if len(outputs) == 1:  # Ultralytics
        rows = outputs[0][0].T
        scores, center, size = rows[:, 4:].max(1), rows[:, :2], rows[:, 2:4]
        boxes = np.concatenate([center - size / 2, center + size / 2], 1)
    else:  # torchvision; its boxes come first, and its scores are the other output of floats
        boxes = outputs[0]
        scores = next(each for each in outputs[1:] if each.dtype.kind == "f")
    corners_and_sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    kept = np.array(cv2.dnn.NMSBoxes(corners_and_sizes.tolist(), scores.tolist(), LEAST, OVERLAP), int)[:MOST]
    scale = np.tile([image.shape[1] / width, image.shape[0] / height], 2)
    return SimpleNamespace(xyxy=boxes[kept] * scale, confidence=scores[kept])


with allweather.load(bundle, budget_ms=100, max_boxes=MOST) as perceiver:
    for frame, decisions in allweather.watch(source, perceiver, detector=detect, frames=True):
        for each in decisions:
            region = each.region
            place = f"{region.x},{region.y} {region.width}x{region.height}"
            print(f"{frame.index:6d}  {place:20s} {each.label:20s} {each.confidence:.0%}  {1000 * each.age:.1f} ms")

"""Trains a classifier on your own images and exports it: python train.py FOLDER BUNDLE.

FOLDER holds the images as train/CLASS/*.jpg, val/CLASS/*.jpg and test/CLASS/*.jpg.
"""

import sys
from pathlib import Path

from allweather.exporters import ExportOptions, export_checkpoint
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.methods.train import train
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

folder, bundle = sys.argv[1], Path(sys.argv[2])
dataset = open_dataset(f"folder:{folder}", 32)
settings = FitSettings(epochs=6, batch_size=20)  # enough for the small images of this sample's test; others need more
(checkpoint,) = train(["resnet20"], dataset, settings, bundle.with_suffix(".safetensors"), fabric=launch())
manifest = export_checkpoint(checkpoint, dataset, bundle, ExportOptions(["openvino"]))
for model in manifest.models:
    print(f"{model.engine} {model.precision}: accuracy {model.parity.accuracy:.3f}, {1000 * model.seconds[0]:.2f} ms")

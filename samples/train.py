"""Trains a classifier on your own images, makes it robust and exports it: python train.py FOLDER BUNDLE.

FOLDER holds the images as train/CLASS/*.jpg, val/CLASS/*.jpg and test/CLASS/*.jpg.
"""

import sys

from allweather import evaluation, exporters, trainers

if len(sys.argv) != 3:
    sys.exit("usage: python train.py FOLDER BUNDLE")
folder, bundle = sys.argv[1:]
data = trainers.load_dataset(f"folder:{folder}", size=32)
few = trainers.FitSettings(epochs=6, batch_size=20)  # enough for the small images of this sample's test
plain = trainers.train("resnet20", data, settings=few)  # or "timm:resnet18d", or any nn.Module
robust = trainers.finetune(plain, data, method="fma", epochs=1)
tuned = trainers.tune_policy(trainers.train_predictor(robust, data, epochs=1), data)
manifest = exporters.export(tuned, data, bundle, exporters.ExportOptions(["openvino"]))
print(f"error on corrupted images {evaluation.evaluate_corrupted(tuned, data).common.error:.3f}")
for model in manifest.models:
    print(f"{model.role} {model.engine} {model.precision}: {1000 * model.seconds[0]:.2f} ms")

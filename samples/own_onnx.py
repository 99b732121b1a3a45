"""Gives your ONNX classifier test-time augmentation that is chosen for each image: python own_onnx.py ONNX FOLDER OUT.

ONNX is a classifier of any program, FOLDER holds images of its classes (train/CLASS/*.jpg, val/..., test/...), whose
names in alphabetical order are those of its outputs; else name them with classes=. OUT is a new folder.
"""

import sys
from pathlib import Path

import allweather
from allweather import exporters, trainers

SIZE = 32  # side in pixels of the images that the classifier takes
CROP = allweather.Crop()  # Crop("center", 0.875) if images were resized to 256 pixels and 224 cut out

if len(sys.argv) != 4:
    sys.exit("usage: python own_onnx.py ONNX FOLDER OUT")
onnx, folder, out = sys.argv[1], sys.argv[2], Path(sys.argv[3])
data = trainers.load_dataset(f"folder:{folder}", size=SIZE, crop=CROP)
manifest = exporters.export_onnx(onnx, data, out / "plain.aw", crop=CROP)  # compares each model with the file
for model in manifest.models:
    print(f"{model.engine} {model.precision}: as the file on {100 * model.parity.agreement:.1f} % of images")

predictor = trainers.train_predictor(out / "plain.aw", data, epochs=5)
exporters.add_to_bundle(out / "plain.aw", predictor, None, data, out / "with-predictor.aw")
policies = trainers.tune_policy(out / "with-predictor.aw", data, ["center", "top:1", "top:2"])
exporters.add_to_bundle(out / "with-predictor.aw", None, policies, None, out / "tuned.aw")

with allweather.load(out / "tuned.aw", policy="top:2", budget_ms=100) as perceiver:
    decision = perceiver(data.test.images[0].numpy())
print(f"{decision.label} {decision.confidence:.0%}, views {', '.join(decision.views)}; tuned: {policies[0].name}")

"""Trains a PyTorch network of your own and exports it for the device: python own_network.py FOLDER BUNDLE.

FOLDER holds the images as train/CLASS/*.jpg, val/CLASS/*.jpg and test/CLASS/*.jpg. The network takes float images
[n, 3, height, width], normalized, and gives one logit for each class.
"""

import sys

from torch import Tensor, nn

from allweather import evaluation, exporters, trainers


class Small(nn.Module):
    """Three convolutions, the mean over the image, and a linear layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            layers += [nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits, [n, classes]."""
        maps: Tensor = self.features(images)
        logits: Tensor = self.classifier(maps.mean((2, 3)))
        return logits


if len(sys.argv) != 3:
    sys.exit("usage: python own_network.py FOLDER BUNDLE")
folder, bundle = sys.argv[1:]
data = trainers.load_dataset(f"folder:{folder}", size=32)
few = trainers.FitSettings(epochs=6, batch_size=20)  # enough for the small images of this sample's test
plain = trainers.train(Small(len(data.classes)), data, settings=few)
robust = trainers.finetune(plain, data, method="st", epochs=1)
exporters.export(robust, data, bundle, exporters.ExportOptions(["onnx"]))
print(f"accuracy {evaluation.evaluate(bundle, data).accuracy:.3f}; {bundle} runs without this file")

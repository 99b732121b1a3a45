"""Compares two bundles of one network, as own_onnx.py writes them, with a loss predictor added to each, on CIFAR-10-C.

    python benchmarks/exporters/own_onnx_views.py BUNDLE BUNDLE PREDICTOR CIFAR10 CIFAR10C

PREDICTOR is a loss predictor of that network, CIFAR10 a folder with the official batches, CIFAR10C one of corrupted
test images. Errors are means over all corruptions, with one view: the image itself, or the one of the lowest predicted
loss.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from allweather.exporters import add_to_bundle
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.tta.views import view
from allweather.trainers.checkpoint.predictor_file import load_predictor
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.inference.open_model import open_model

OTHER_FILES = ("clean", "indices", "labels")
MODELS = (("openvino", "fp32"), ("openvino", "int8"), ("onnx", "fp32"), ("onnx", "int8"))


def errors(bundle: Path, engine: str, precision: str, corrupted: Path) -> tuple[float, float]:
    """Returns the errors with the image itself and with the view of the lowest predicted loss, in percent."""
    labels, plain, chosen = np.load(corrupted / "labels.npy"), [], []
    with open_model(bundle, engine=engine, precision=precision) as model:
        assert model.predict_losses is not None
        for file in sorted(corrupted.glob("*.npy")):
            if file.stem in OTHER_FILES:
                continue
            images = np.load(file)
            best = model.predict_losses(images).argmin(1)
            views = [view(model.predictor_views[index]).apply(image) for index, image in zip(best, images, strict=True)]
            plain.append((model.logits(images).argmax(1) != labels).mean())
            chosen.append((model.logits(np.stack(views)).argmax(1) != labels).mean())
    return 100 * float(np.mean(plain)), 100 * float(np.mean(chosen))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs=2)
    parser.add_argument("predictor", type=Path)
    parser.add_argument("cifar10", type=Path)
    parser.add_argument("cifar10c", type=Path)
    args = parser.parse_args()
    dataset, predictor = open_dataset(f"cifar10:{args.cifar10}", 32), load_predictor(args.predictor)
    rows = [
        ("error on CIFAR-10-C, %", *(f"{path.stem}, {kind}" for kind in ("image", "top:1") for path in args.bundles))
    ]
    with TemporaryDirectory() as temporary:
        for path in args.bundles:
            add_to_bundle(path, predictor, None, dataset, Path(temporary, path.name))
        for engine, precision in MODELS:
            both = [errors(Path(temporary, path.name), engine, precision, args.cifar10c) for path in args.bundles]
            rows.append((f"{engine} {precision}", *(f"{each[kind]:.2f}" for kind in (0, 1) for each in both)))
    print("\n".join(markdown_table(rows)))


if __name__ == "__main__":
    main()

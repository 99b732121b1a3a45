"""Compares two loss predictors for the same network: of its checkpoint, and of a bundle made of its ONNX file alone.

    python benchmarks/exporters/own_onnx_predictor.py WEIGHTS CIFAR10 CORRUPTED [--seeds 3]

WEIGHTS is a state dict of a CIFAR-10 ResNet-20 that was trained elsewhere, CIFAR10 a folder with the official batches,
CORRUPTED a corrupted set of it, in the layout of CIFAR-10-C. The predictors are trained on a share of the images.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from own_onnx import write_onnx

from allweather import evaluation, exporters, trainers
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.preprocess import InputSpec

POLICIES = ("center", "top:1", "top:2")


def main() -> None:
    """Trains both predictors and prints the errors of the policies that follow them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("cifar10", type=Path)
    parser.add_argument("corrupted", type=Path)
    parser.add_argument("--fraction", type=float, default=0.1)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=1, help="predictors of the checkpoint, to see how seeds differ")
    args = parser.parse_args()
    data = trainers.load_dataset(f"cifar10:{args.cifar10}").subset(args.fraction, seed=0)
    start = trainers.checkpoint_from_state_dict(args.weights, "resnet20", data.classes, InputSpec(32, 32))
    with TemporaryDirectory() as folder:
        onnx, plain, seeing = (Path(folder, name) for name in ("resnet20.onnx", "plain.aw", "seeing.aw"))
        write_onnx(start.classifier().network, onnx, 17)
        exporters.export_onnx(onnx, data, plain, options=exporters.ExportOptions(("onnx",), ("fp32",)))
        predictor = trainers.train_predictor(plain, data, epochs=args.epochs)
        exporters.add_to_bundle(plain, predictor, None, data, seeing)
        ways: dict[str, trainers.Checkpoint | Path] = {"ONNX file": seeing}
        for seed in range(args.seeds):
            fit = trainers.FitSettings(epochs=args.epochs, shift=0, seed=seed)
            ways[f"checkpoint, seed {seed}"] = trainers.train_predictor(
                start, data, settings=trainers.PredictorSettings(fit=fit)
            )
        rows = [("way", "policy", "clean error, %", "error on the common corruptions, %")]
        for way, model in ways.items():
            found = evaluation.evaluate_policies(model, data, POLICIES, corrupted=args.corrupted)
            for result in found.results:
                if result.policy in POLICIES and result.common is not None:
                    errors = result.clean.value, result.common.value
                    rows.append((way, result.policy, *(f"{100 * error:.2f}" for error in errors)))
    print(markdown_table(rows))


if __name__ == "__main__":
    main()

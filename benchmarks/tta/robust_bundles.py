"""Makes robust networks of several sizes in the same way, as bundles for `bigger_network.py`.

    python benchmarks/tta/robust_bundles.py DATA FOLDER ARCHITECTURE=WEIGHTS ... [--images 10000] [--epochs 4]

Each state dict in WEIGHTS, trained elsewhere on CIFAR-10, is finetuned by the method `robust` on the same training
images; then a loss predictor learns on corrupted copies of them. FOLDER gets a checkpoint and a bundle of each, named
after its architecture; the same command resumes a killed run.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "trainers"))  # a script finds only what is beside it
from studies import errors_in_one_line, open_study_folder

from allweather import exporters, trainers
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.corruptions.sets import CopySettings
from allweather.trainers.data.dataset import Dataset

SEED = 0
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # that networks trained elsewhere expect
VAL_IMAGES = 1000  # on which the strengths are searched and epochs compared
PREDICTOR_COPIES = 2  # corrupted ones of each image


def make_bundle(architecture: str, weights: Path, data: Dataset, args: argparse.Namespace) -> Path:
    """Makes what is missing of the checkpoints and the bundle of an architecture, and returns the bundle."""
    robust, complete = (args.folder / f"{architecture}{part}.safetensors" for part in ("-robust", ""))
    bundle: Path = args.folder / architecture
    if not robust.is_file():
        spec = InputSpec(*data.train.size, MEAN, STD)
        start = trainers.checkpoint_from_state_dict(weights, architecture, data.classes, spec)
        trainers.finetune(start, data, method="robust", epochs=args.epochs, out=robust, watch=report)
    if not complete.is_file():
        settings = trainers.PredictorSettings(copy_settings=CopySettings(PREDICTOR_COPIES), held_back=False)
        trainers.train_predictor(load_checkpoint(robust), data, settings=settings, out=complete, watch=report)
    if not bundle.exists():
        exporters.export(load_checkpoint(complete), data, bundle)
    return bundle


def report(progress: trainers.Progress) -> None:
    """Prints each epoch."""
    if progress.report:
        print(f"step {progress.step} of {progress.steps}: loss {progress.report.loss:.3f}", flush=True)


def main() -> None:
    """Makes the bundles one after the other."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("networks", nargs="+", metavar="ARCHITECTURE=WEIGHTS")
    parser.add_argument("--images", type=int, default=10000, help="training images")
    parser.add_argument("--epochs", type=int, default=4, help="of finetuning")
    args = parser.parse_args()
    open_study_folder(args.folder, data=args.data, images=args.images, epochs=args.epochs)
    data = trainers.load_dataset(args.data)
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(SEED))
    train, val = data.train.take(order[: args.images]), data.val.take(torch.arange(VAL_IMAGES))
    data = dataclasses.replace(data, train=train, val=val)
    for network in args.networks:
        architecture, _, weights = network.partition("=")
        print(make_bundle(architecture, Path(weights), data, args), flush=True)


if __name__ == "__main__":
    with errors_in_one_line():
        main()

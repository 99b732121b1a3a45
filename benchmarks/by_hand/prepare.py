"""Makes what both scripts of this folder start from: python benchmarks/by_hand/prepare.py CIFAR10 FOLDER [--epochs N].

CIFAR10 holds CIFAR-10 as published. FOLDER gets class folders of 5,000 training, 1,000 validation and 1,000 test
images, the weights of timm's resnet18d trained on them, as torch.save writes them, and a video of 600 test images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import torch

from allweather import trainers

COUNTS = {"train": 5000, "val": 1000, "test": 1000}
SIDE, FRAMES = 128, 600  # of the video: frames in pixels, and their number


def say_epoch(progress: trainers.Progress) -> None:
    """Prints the validation accuracy of each epoch."""
    if progress.report:
        print(f"epoch {progress.report.epoch}: {progress.report.val_accuracy:.4f}", flush=True)


def main() -> None:
    """Writes images, weights and video."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cifar10", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    full = trainers.load_dataset(f"cifar10:{args.cifar10}")
    for split, count in COUNTS.items():
        images, labels = getattr(full, split).images[:count].numpy(), getattr(full, split).labels[:count].tolist()
        for name in full.classes:
            (args.folder / "images" / split / name).mkdir(parents=True, exist_ok=True)
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            cv2.imwrite(str(args.folder / "images" / split / full.classes[label] / f"{index:05}.png"), image[..., ::-1])
    data = trainers.load_dataset(f"folder:{args.folder / 'images'}", 32)
    settings = trainers.FitSettings(epochs=args.epochs, batch_size=64)
    trained = trainers.train("timm:resnet18d", data, settings=settings, watch=say_epoch)
    print(f"validation accuracy {trained.metrics['val_accuracy']:.4f}")
    torch.save(dict(trained.weights), args.folder / "resnet18d.pth")
    size = (SIDE, SIDE)
    video = cv2.VideoWriter(str(args.folder / "video.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30, size)
    for image in data.test.images[:FRAMES].numpy():
        video.write(cv2.resize(image[..., ::-1], size, interpolation=cv2.INTER_CUBIC))
    video.release()


if __name__ == "__main__":
    main()

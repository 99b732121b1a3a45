"""Trains on, evaluates and makes a predictor for a folder of images ten times as large as the memory it may use.

Linux, as root: the commands run in a control group (version 1 or 2) whose memory is limited. The images of 1600 x 1200
pixels are made from CIFAR-10; files of the same picture differ by the length of a comment, so that none is a copy.

    python benchmarks/trainers/limited_memory.py --cifar ROOT --work FOLDER --gigabytes 20 --limit 2
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from allweather.trainers.data.registry import open_dataset

SIDES = (1200, 1600)  # pixels
PICTURES = 300
GROUPS = Path("/sys/fs/cgroup")
ALLWEATHER = [sys.executable, "-m", "allweather.cli"]


def main() -> None:
    """Makes the folder unless it is there, and runs the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path, required=True, help="folder of cifar-10-batches-py")
    parser.add_argument("--work", type=Path, required=True, help="folder for the images and the models")
    parser.add_argument("--gigabytes", type=float, default=20.0, help="size of the image files")
    parser.add_argument("--limit", type=float, default=2.0, help="memory of the commands, GiB")
    parser.add_argument("--size", default="128", help="side of the images in training, in pixels")
    args = parser.parse_args()
    data = args.work / "images"
    if not data.exists():
        make_images(args.cifar, data, args.gigabytes)
    group = memory_group(args.limit)
    try:
        for name, command in commands(args.work, args.size):
            print(f"\n{name}: allweather {' '.join(command)}", flush=True)
            print(watched([*ALLWEATHER, *command], group), flush=True)
    finally:
        while next(members(group), None):  # the last workers end a little later
            time.sleep(0.1)
        group.rmdir()


def commands(work: Path, size: str) -> list[tuple[str, list[str]]]:
    """Returns the commands by what they do."""
    data, model, both = f"folder:{work / 'images'}", str(work / "model.safetensors"), str(work / "both.safetensors")
    arch = "torchvision:mobilenet_v3_small"
    return [
        ("train", ["train", "--data", data, "--arch", arch, "--size", size, "--epochs", "1", "--out", model]),
        ("evaluate", ["evaluate", model, "--data", data]),
        ("predictor", ["train-predictor", model, "--data", data, "--copies", "1", "--epochs", "1", "--out", both]),
    ]


def make_images(cifar: Path, folder: Path, gigabytes: float) -> None:
    """Writes JPEG files into class folders of train, val and test (18 : 1 : 1)."""
    train = open_dataset(f"cifar10:{cifar}").train.loaded()
    images, labels = train.images[:PICTURES].numpy(), train.labels[:PICTURES].tolist()
    rng, written = np.random.default_rng(0), 0
    noise = rng.normal(0, 12, (*SIDES, 1)).astype(np.float32)
    pictures = []
    for image in images:
        large = cv2.resize(image, SIDES[::-1], interpolation=cv2.INTER_CUBIC) + np.roll(noise, rng.integers(1200), 0)
        pictures.append(cv2.imencode(".jpg", large.clip(0, 255)[..., ::-1].astype(np.uint8))[1].tobytes())
    for number in range(sys.maxsize):
        split = {0: "val", 1: "test"}.get(number // PICTURES % 20, "train")
        place = folder / split / f"class{labels[number % PICTURES]}"
        place.mkdir(parents=True, exist_ok=True)
        picture, comment = pictures[number % PICTURES], b"." * (number // PICTURES) + str(number).encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        (place / f"{number}.jpg").write_bytes(picture[:2] + segment + picture[2:])
        written += len(picture)
        if written > gigabytes * 1e9 and number > 20 * PICTURES:
            print(f"{number + 1} files, {written / 1e9:.1f} GB in {folder}")
            return


def memory_group(gibibytes: float) -> Path:
    """Makes a control group with limited memory, of the version that the system has."""
    version_1 = (GROUPS / "memory").is_dir()
    group = (GROUPS / "memory" if version_1 else GROUPS) / f"allweather-{os.getpid()}"
    group.mkdir()
    limit = "memory.limit_in_bytes" if version_1 else "memory.max"
    (group / limit).write_text(str(int(gibibytes * 2**30)))
    return group


def watched(command: list[str], group: Path) -> str:
    """Runs a command in a control group; returns how long it took and the memory of each of its processes."""

    def enter() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    started, peaks, halves = time.monotonic(), {}, []
    process = subprocess.Popen(command, preexec_fn=enter)  # noqa: S603 # commands of this project
    while process.poll() is None:
        now = {pid: own for pid in members(group) if (own := own_memory(pid)) is not None}
        for pid, size in now.items():
            peaks[pid] = max(peaks.get(pid, 0), size)
        halves.append(sum(now.values()))
        time.sleep(0.25)
    main = peaks.pop(process.pid, 0)
    workers = f"{len(peaks)} others at most {max(peaks.values()) / 2**20:.0f} MiB" if peaks else "no others"
    quarters = [max(part) / 2**20 for part in np.array_split(halves, 4) if len(part)]
    return (
        f"exit code {process.returncode}, {time.monotonic() - started:.0f} s; memory of their own: main process "
        f"{main / 2**20:.0f} MiB, {workers}; all together in each quarter of the time "
        f"{', '.join(f'{each:.0f}' for each in quarters)} MiB"
    )


def members(group: Path) -> Iterator[int]:
    """Yields the processes of a control group."""
    yield from map(int, (group / "cgroup.procs").read_text().split())


def own_memory(pid: int) -> int | None:
    """Returns the bytes that a process cannot give back to its files; of what several share, its part."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return None
    sizes = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
    return 1024 * (sizes.get("Pss_Anon", 0) + sizes.get("Pss_Shmem", 0))


if __name__ == "__main__":
    main()

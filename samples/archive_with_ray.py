"""Decides on an archive of images with a pool of Ray actors: python archive_with_ray.py ARCHIVE --out DIR.

ARCHIVE is a folder with images, a Parquet file with a column path, or a text with a path in each line. DIR gets Parquet
files with the columns path, label, confidence and reason: why an image could not be read, and null for the others.
"""

import argparse
import math
import os
import sys
import time
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Ray would report its use over the network

import cv2
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet
import ray
import ray.data

import allweather
from allweather.runtimes.cameras.image_files.decode import read_image
from allweather.runtimes.cameras.image_files.names import is_image_name
from allweather.runtimes.text import valid_unicode

BUNDLE = Path(__file__).parent / "bundles" / "cifar10-resnet20"
BATCH_SIZE, ROWS_PER_FILE = 64, 100_000  # an actor has one batch in memory
SCHEMA = pa.schema({"path": pa.string(), "label": pa.string(), "confidence": pa.float32(), "reason": pa.string()})


class Decide:
    """What an actor does: a process with a perceiver of its own, on one core."""

    def __init__(self, bundle: Path) -> None:
        cv2.setNumThreads(1)
        self.perceiver = allweather.load(bundle, threads=1)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Reads the images of a batch and decides on them; one that cannot be read gets a reason."""
        rows, readable, images = [], [], []
        for path in map(os.fsdecode, batch["path"].to_pylist()):
            row = {"path": valid_unicode(path)}
            rows.append(row)
            try:
                images.append(read_image(path))
                readable.append(row)
            except allweather.AllweatherError as error:
                row["reason"] = str(error)
            except OSError as error:
                row["reason"] = error.strerror or str(error)
        for row, decision in zip(readable, self.perceiver.batch(images), strict=True):
            row.update(label=decision.label, confidence=decision.confidence)
        return pa.Table.from_pylist(rows, SCHEMA)


def find_images(archive: Path) -> list[bytes]:
    """Returns the paths of the images, as bytes, as not every name is UTF-8. A list's are relative to its folder."""
    if archive.is_dir():
        paths = sorted(path for path in archive.rglob("*") if is_image_name(path.name) and not path.is_dir())
    elif archive.suffix == ".parquet":
        names = pa.parquet.read_table(archive, columns=["path"])["path"].cast(pa.string())
        paths = [archive.parent / name for name in names.to_pylist() if name]
    else:
        paths = [archive.parent / name for name in archive.read_text(encoding="utf-8").splitlines() if name]
    return [os.fsencode(path.absolute()) for path in paths]


def write_list(decisions: pa.dataset.Dataset, least: float, file: Path) -> None:
    """Writes the images of at least this confidence as training data, with the labels that were decided.

    These labels are guesses: a network that learns from them learns the mistakes of this one, too.
    """
    table = decisions.to_table(["path", "label"], filter=pa.dataset.field("confidence") >= least)
    pa.csv.write_csv(table.append_column("split", pa.array(["train"] * len(table), pa.string())), file)
    print(f"{len(table)} images in {file}")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("archive", type=Path, metavar="ARCHIVE")
parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder for the decisions")
parser.add_argument("--bundle", type=Path, default=BUNDLE, help="the classifier; cifar10-resnet20 of the samples")
parser.add_argument("--actors", type=int, default=os.cpu_count(), help="processes of one core each; one for each core")
parser.add_argument("--address", default="local", help="of a running Ray cluster; without it, Ray is started here")
parser.add_argument("--list", type=Path, metavar="CSV", help="for 'allweather train --data list:CSV'")
parser.add_argument("--least", type=float, default=0.9, help="confidence of the images in the list; 0.9")
arguments = parser.parse_args()
if arguments.actors < 1 or (arguments.list and not arguments.list.absolute().parent.is_dir()):
    parser.error("--actors is at least 1, and --list names a file in a folder that is there")
started = time.monotonic()
# Ray counts a core for each actor, and one for the task that writes
own = {"num_cpus": arguments.actors + 1, "include_dashboard": False} if arguments.address == "local" else {}
try:
    allweather.Bundle.open(arguments.bundle)
    paths = find_images(arguments.archive)
    if not paths:
        sys.exit(f"error: there is no image in {arguments.archive}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    if any(arguments.out.iterdir()):
        sys.exit(f"error: {arguments.out} is not empty; --out names a new folder")
    cluster = ray.init(arguments.address, **own)
except ValueError as error:
    sys.exit(f"error: {arguments.archive} is no folder, Parquet file with a column path, or text of paths: {error}")
except (allweather.AllweatherError, OSError) as error:
    sys.exit(f"error: {error}")
with cluster:
    blocks = math.ceil(len(paths) / BATCH_SIZE)
    images = ray.data.from_items([{"path": path} for path in paths], override_num_blocks=blocks)
    pool = ray.data.ActorPoolStrategy(size=arguments.actors)
    how = {"compute": pool, "num_cpus": 1, "batch_size": BATCH_SIZE, "batch_format": "pyarrow"}
    decided = images.map_batches(Decide, fn_constructor_args=(arguments.bundle.absolute(),), **how)
    decided.write_parquet(str(arguments.out.absolute()), min_rows_per_file=ROWS_PER_FILE)
seconds = time.monotonic() - started
decisions = pa.dataset.dataset(arguments.out)
unread = decisions.count_rows(filter=pa.dataset.field("reason").is_valid())
print(f"{len(paths)} images in {seconds:.1f} s, {len(paths) / seconds:.0f} a second; {unread} could not be read")
if arguments.list:
    write_list(decisions, arguments.least, arguments.list)

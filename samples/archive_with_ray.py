"""Decides on an archive of images with Ray: python archive_with_ray.py ARCHIVE --bundle BUNDLE --out DIR.

ARCHIVE is a folder with images. The new folder DIR gets Parquet files with the columns path, label, confidence and
reason: why an image could not be read, and null for the others.
"""

import argparse
import os
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Ray would report its use over the network

import pyarrow as pa
import ray.data

import allweather


class Decide:
    """What an actor does: a process with a perceiver of its own, on one core."""

    def __init__(self, bundle: str) -> None:
        self.perceiver = allweather.load(bundle, threads=1)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Reads the images of a batch and decides on them; one that cannot be read gets a reason."""
        columns = {"path": pa.string(), "label": pa.string(), "confidence": pa.float32(), "reason": pa.string()}
        images, rows = {}, {path: {"path": path.decode(errors="replace")} for path in batch["path"].to_pylist()}
        for path, row in rows.items():
            try:
                images[path] = allweather.read_image(os.fsdecode(path))
            except allweather.AllweatherError as error:
                row["reason"] = str(error)
        for path, decision in zip(images, self.perceiver.batch(images.values()), strict=True):
            rows[path] |= {"label": decision.label, "confidence": decision.confidence}
        return pa.Table.from_pylist(list(rows.values()), pa.schema(columns))


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("archive", type=Path, metavar="ARCHIVE")
parser.add_argument("--out", type=os.path.abspath, required=True, metavar="DIR")
parser.add_argument("--bundle", type=os.path.abspath, required=True)
parser.add_argument("--actors", type=int, default=os.cpu_count(), help="processes of one core each; one for each core")
parser.add_argument("--address", default="local", help="of a running Ray cluster; without it, Ray is started here")
args = parser.parse_args()
paths = sorted(path for path in args.archive.absolute().rglob("*") if allweather.is_image_name(path.name))
files = [os.fsencode(path) for path in paths]
try:
    allweather.Bundle.open(args.bundle)
    if not files or args.actors < 1:
        raise ValueError("--actors is 1 or more" if files else f"there is no image in {args.archive}")
    Path(args.out).mkdir(parents=True)
except (allweather.AllweatherError, OSError, ValueError) as error:
    parser.exit(1, f"error: {error}\n")
own = {"num_cpus": args.actors + 1, "include_dashboard": False} if args.address == "local" else {}  # one writes
with ray.init(args.address, **own):
    data = ray.data.from_items([{"path": file} for file in files], override_num_blocks=len(files) // 64 + 1)
    pool = {"compute": ray.data.ActorPoolStrategy(size=args.actors), "num_cpus": 1, "batch_format": "pyarrow"}
    data.map_batches(Decide, batch_size=64, fn_constructor_args=[args.bundle], **pool).write_parquet(args.out)

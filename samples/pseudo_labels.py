"""Makes training data of decisions that are confident: python pseudo_labels.py DECISIONS CSV [--least 0.9].

DECISIONS is the folder that archive_with_ray.py wrote; CSV is a new file, and `allweather train --data list:CSV` learns
from its images, with the labels that were decided. These are guesses: a network that learns from them learns the
mistakes of this one, too.
"""

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("decisions", type=Path, metavar="DECISIONS")
parser.add_argument("csv", type=Path, metavar="CSV")
parser.add_argument("--least", type=float, default=0.9, help="confidence from which on a decision is taken; 0.9")
args = parser.parse_args()
if not 0 <= args.least <= 1:
    parser.error(f"--least is a confidence from 0 to 1; got {args.least}")
UNKNOWN = "\N{REPLACEMENT CHARACTER}"  # in place of what is no UTF-8 in a path, which then leads to no file
try:
    decisions = pa.dataset.dataset(args.decisions)
    if not decisions.files:
        raise FileNotFoundError(f"{args.decisions} holds no decisions; name the folder that archive_with_ray.py wrote")
    is_taken = (pa.dataset.field("confidence") >= args.least) & ~pc.match_substring(pc.field("path"), UNKNOWN)
    table = decisions.to_table(["path", "label"], filter=is_taken)
    with args.csv.open("xb") as file:  # an older list may have been corrected by hand
        pa.csv.write_csv(table.append_column("split", pa.array(["train"] * len(table), pa.string())), file)
except (OSError, pa.ArrowException) as error:
    parser.exit(1, f"error: {error}\n")
print(f"{len(table)} of {decisions.count_rows()} images in {args.csv}")

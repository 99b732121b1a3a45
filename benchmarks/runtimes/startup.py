"""Measures what a program waits for at its start: `import allweather`, and the first decision of a bundle.

    python benchmarks/runtimes/startup.py [BUNDLE]

Importing allweather is compared with `import numpy, cv2`. Each is run in new processes, alternately. The first decision
is timed from the call of `allweather.load`; the compiled model comes from the cache, except for the first time.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 15
OURS, LIBRARIES, NOTHING = "import allweather", "import numpy, cv2", "pass"
SAMPLE = Path(__file__).resolve().parents[2] / "samples/bundles/cifar10-resnet20"
FIRST_DECISION = """
import sys, time
import numpy as np
import allweather
started = time.perf_counter()
with allweather.load(sys.argv[1]) as perceiver:
    perceiver(np.zeros((480, 640, 3), np.uint8))
    print(time.perf_counter() - started)
"""


def seconds(code: str) -> float:
    """Returns the seconds that a new Python process takes to run `code`."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - the three lines above
    return time.perf_counter() - started


def first_decision(bundle: Path) -> float:
    """Returns the seconds from loading to the first decision, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", FIRST_DECISION, bundle], check=True, capture_output=True, text=True)  # noqa: S603 - ours
    return float(done.stdout)


def main() -> None:
    """Prints medians, and the ratio of the imports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?", default=SAMPLE)
    bundle = parser.parse_args().bundle
    times: dict[str, list[float]] = {code: [] for code in (OURS, LIBRARIES, NOTHING)}
    loads = []
    for _ in range(RUNS):
        for code, measured in times.items():
            measured.append(seconds(code))
        loads.append(first_decision(bundle))
    medians = {code: statistics.median(measured[1:]) for code, measured in times.items()}
    for code, median in medians.items():
        print(f"{code:20s} {1000 * median:7.1f} ms")
    print(f"ratio {medians[OURS] / medians[LIBRARIES]:.3f} (must be <= 1.2)")
    first, *later = loads
    print(
        f"load to first decision {statistics.median(later):.2f} s, the longest {max(later):.2f} s (must be <= 1), "
        f"the first time {first:.2f} s"
    )


if __name__ == "__main__":
    main()

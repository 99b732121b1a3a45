"""`import allweather` beside `import numpy, cv2`, in fresh processes that take turns: benchmarks/importing.py."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 15
OURS, RIVAL, NOTHING = "import allweather", "import numpy, cv2", "pass"


def seconds(code: str) -> float:
    """Wall-clock time of a Python that runs `code`."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - the three lines above
    return time.perf_counter() - began


def main() -> None:
    """Prints medians and their ratio."""
    times = {code: [] for code in (OURS, RIVAL, NOTHING)}
    for _ in range(RUNS):
        for code, spent in times.items():
            spent.append(seconds(code))
    medians = {code: statistics.median(spent[1:]) for code, spent in times.items()}
    for code, median in medians.items():
        print(f"{code:20s} {1000 * median:7.1f} ms")
    print(f"ratio {medians[OURS] / medians[RIVAL]:.3f} (held to <= 1.2)")


if __name__ == "__main__":
    main()

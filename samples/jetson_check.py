"""Runs all that only a Jetson can tell, and writes one report to send back: python jetson_check.py BUNDLE [DATA].

BUNDLE holds TensorRT models. With DATA (such as folder:ROOT) accuracy is measured as well, for which torch is needed.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from allweather import AllweatherError, Bundle
from allweather.runtimes.engines.open import open_engine

REPORT = Path("jetson-report.json")


def command(*words: str) -> dict[str, object]:
    """Runs one of allweather's commands."""
    began = time.monotonic()
    line = [sys.executable, "-m", "allweather.cli", *words, "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)  # noqa: S603 - these words, no shell
    answer = json.loads(done.stdout) if done.returncode == 0 else None
    said = done.stderr.strip().splitlines()
    return {"command": words, "seconds": time.monotonic() - began, "answer": answer, "said": said}


def golden(bundle: Bundle) -> list[dict[str, object]]:
    """How far each TensorRT model is from the answers of the day of the export."""
    rows = []
    for model in bundle.manifest.models:
        if model.engine == "tensorrt":
            row: dict[str, object] = {"role": model.role, "precision": model.precision, "tolerance": model.tolerance}
            try:
                running, _ = open_engine(bundle, "tensorrt", model.precision, model.role)
                taken = bundle.input_of(model.role)
                got = running.run(np.stack([taken.prepare(frame) for frame in bundle.golden_frames()]))
                running.close()
                row["difference"] = float(np.abs(got - bundle.golden_outputs(model)).max())
            except AllweatherError as error:
                row["error"] = str(error)
            rows.append(row)
    return rows


path, data = sys.argv[1], sys.argv[2:]
report: dict[str, object] = {"doctor": command("doctor"), "build": command("build", path)}
built = report["build"]["answer"] is not None
if built:
    report["golden"] = golden(Bundle.open(path))
    report["bench"] = command("bench", path, "--engine", "tensorrt")
    for known in data:
        report["evaluate"] = command("evaluate", path, "--data", known, "--engine", "tensorrt")
REPORT.write_text(json.dumps(report, indent=1))
print(f"wrote {REPORT}" if built else report["build"]["said"][-1])
sys.exit(not built)

"""Runs every check that needs a Jetson, and writes one report to send back: python jetson_check.py BUNDLE [DATA].

BUNDLE holds TensorRT models. With DATA (such as folder:ROOT) the accuracy is measured as well, which needs torch.
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


def command(*arguments: str) -> dict[str, object]:
    """Runs a command of allweather; returns its result, messages and duration."""
    started = time.monotonic()
    line = [sys.executable, "-m", "allweather.cli", *arguments, "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    result = json.loads(done.stdout) if done.returncode == 0 else None
    messages = done.stderr.strip().splitlines()
    return {"command": arguments, "seconds": time.monotonic() - started, "result": result, "messages": messages}


def golden_differences(bundle: Bundle) -> list[dict[str, object]]:
    """Returns how far the outputs of each TensorRT model are from those that were recorded at the export."""
    rows = []
    for model in bundle.manifest.models:
        if model.engine == "tensorrt":
            row: dict[str, object] = {"role": model.role, "precision": model.precision, "tolerance": model.tolerance}
            try:
                engine, _ = open_engine(bundle, "tensorrt", model.precision, model.role)
                spec = bundle.input_of(model.role)
                outputs = engine.infer(np.stack([spec.prepare(frame) for frame in bundle.golden_frames()]))
                engine.close()
                row["difference"] = float(np.abs(outputs - bundle.golden_outputs(model)).max())
            except AllweatherError as error:
                row["error"] = str(error)
            rows.append(row)
    return rows


if len(sys.argv) < 2:
    sys.exit("usage: python jetson_check.py BUNDLE [DATA]")
path, data = sys.argv[1], sys.argv[2:]
report: dict[str, object] = {"doctor": command("doctor"), "build": command("build", path)}
built = report["build"]["result"] is not None
if built:
    report["golden"] = golden_differences(Bundle.open(path))
    report["bench"] = command("bench", path, "--engine", "tensorrt")
    for dataset in data:
        report["evaluate"] = command("evaluate", path, "--data", dataset, "--engine", "tensorrt")
REPORT.write_text(json.dumps(report, indent=1))
print(f"wrote {REPORT}" if built else f"wrote {REPORT}: {report['build']['messages'][-1]}")
sys.exit(not built)

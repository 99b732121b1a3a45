"""The folder of a demo: nothing in it is removed or replaced unless an earlier demo has made it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from allweather.demo.settings import DemoSettings
from allweather.runtimes.errors import OutputError, map_write_errors
from allweather.runtimes.system.atomic_files import atomic_file

MARKER, FORMAT = "demo.json", "allweather-demo"  # says that a demo writes the folder
PLAIN, ROBUST, RANKED, TUNED = (f"{name}.safetensors" for name in ("plain", "robust", "robust-with-predictor", "signs"))
PLAIN_BUNDLE, BUNDLE, LOSSES = "plain.aw", "signs.aw", "view-losses"
MODELS = (PLAIN, ROBUST, RANKED, TUNED, PLAIN_BUNDLE, BUNDLE, LOSSES)
SETTINGS, SUMMARY = "settings.json", "summary.json"
VIDEO, DECISIONS, REPORT = "drive.mp4", "decisions.jsonl", "report.html"
IMAGES = PREVIEW, ACCURACY, BUDGET, FRAMES = "drive.webp", "accuracy.png", "budget.png", "frames.jpg"


def model_paths(out: Path) -> list[Path]:
    """Returns where the models are, and what is kept of unfinished ones."""
    return [out / each for name in MODELS for each in (name, f".{name}.resume")]


def claim_folder(out: Path) -> None:
    """Checks that a demo may write a folder, and marks it as one of a demo.

    Args:
        out: The folder, which is created if it is missing.

    Raises:
        OutputError: Something that no demo has made has a name that the demo writes, or the folder cannot be written.
    """
    with map_write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        if not _is_of_demo(out):
            others = [out / name for name in (MARKER, SETTINGS, SUMMARY, VIDEO, DECISIONS, REPORT, *IMAGES)]
            for path in (*model_paths(out), *others):
                if path.exists():
                    raise OutputError(
                        f"{out} is not the folder of a demo, and holds {path.name}, which would be replaced; name a "
                        "new folder"
                    )
        with atomic_file(out / MARKER) as temporary:
            temporary.write_text(json.dumps({"format": FORMAT}) + "\n", encoding="utf-8")


def check_kept(out: Path, settings: DemoSettings) -> bool:
    """Removes models of a demo with other settings from the folder, and stores the settings of this one.

    Returns:
        Whether models of other settings were removed.

    Raises:
        OutputError: The folder cannot be written to.
    """
    path, text = out / SETTINGS, json.dumps({**dataclasses.asdict(settings), "frames": None}, indent=1)
    same = path.exists() and path.read_text() == text
    removed = False
    for stale in () if same else model_paths(out):
        removed |= stale.exists()
        shutil.rmtree(stale, ignore_errors=True)
        stale.unlink(missing_ok=True)
    with atomic_file(path) as temporary:
        temporary.write_text(text)
    return removed


def _is_of_demo(out: Path) -> bool:
    """Returns whether a demo has written the folder; those of the first versions left no marker."""
    settings = {field.name for field in dataclasses.fields(DemoSettings)}
    return (
        _content(out / MARKER).get("format") == FORMAT
        or set(_content(out / SETTINGS)) == settings
        or {"errors", "frames"} <= set(_content(out / SUMMARY))
    )


def _content(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a file; an empty one if there is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

"""Stages whose results are kept in a folder, and made anew only if what they are made from has changed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allweather import __version__
from allweather.journey import Journey, StageRun
from allweather.runtimes.errors import map_write_errors
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.text import printable, to_json

RECORD = ".stage.json"  # in the folder of each stage
MAX_QUOTED_CHARACTERS = 40


@dataclass(frozen=True)
class StageResult:
    """What a stage says about its result.

    Attributes:
        text: The result in a few words.
        notes: Sentences for the report.
    """

    text: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageOutput:
    """The result of a stage that is done.

    Attributes:
        folder: Folder that holds its files.
        digest: Hash of these files.
        notes: Sentences for the report.
    """

    folder: Path
    digest: str
    notes: tuple[str, ...]


class KeptStages:
    """Runs stages, or keeps what an earlier process has made of the same settings and inputs.

    The folder of a stage holds a record of what it is made from, written before it begins. An unfinished stage of the
    same goes on where its own files let it; files that were made from something else are deleted first.

    Args:
        folder: The folder that holds a folder for each stage.
        journey: Told which stage runs.
        say: Called with a line for the user where something is made anew.
    """

    def __init__(self, folder: Path, journey: Journey, say: Callable[[str], None]) -> None:
        self._folder, self._journey, self._say = folder, journey, say
        self._told = False

    def run(
        self,
        title: str,
        name: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        make: Callable[[Path, StageRun], StageResult],
    ) -> StageOutput:
        """Runs a stage, or keeps its result.

        Args:
            title: Its name in the journey.
            name: Name of its folder.
            settings: Its settings, plain values.
            inputs: What else it is made from: a hash of each, by name.
            make: Makes the result in a folder; goes on there if an earlier process was stopped.

        Raises:
            OutputError: The folder cannot be written to.
        """
        folder = self._folder / name
        made_from = to_json({"settings": settings, "inputs": inputs, "version": __version__})
        with self._journey.stage(title) as run:
            record = _read_record(folder)
            if record.get("made_from") == made_from and record.get("digest") == _digest(folder):
                run.kept()
                run.result(str(record.get("text", "")))
                return StageOutput(folder, record["digest"], tuple(map(str, record.get("notes", ()))))
            with map_write_errors(folder):
                if record.get("made_from") != made_from or "digest" in record:
                    self._explain(title, record, made_from)
                    _empty(folder)
                folder.mkdir(parents=True, exist_ok=True)
            _write_record(folder, {"made_from": made_from})
            result = make(folder, run)
            run.result(result.text)
            digest = _digest(folder)
            facts = {"made_from": made_from, "digest": digest, "text": result.text, "notes": list(result.notes)}
            _write_record(folder, facts)
            return StageOutput(folder, digest, result.notes)

    def _explain(self, title: str, record: Mapping[str, Any], made_from: Mapping[str, Any]) -> None:
        """Says why a stage is made anew; of stages that follow from another one, only if their settings changed."""
        before = record.get("made_from")
        if before is None:
            return
        changed = [
            f"{key} was {_quoted(before['settings'].get(key))} and is {_quoted(made_from['settings'].get(key))}"
            for key in {**before["settings"], **made_from["settings"]}
            if before["settings"].get(key) != made_from["settings"].get(key)
        ]
        inputs = [key for key, value in made_from["inputs"].items() if before["inputs"].get(key) != value]
        if changed:
            reason = "; ".join(changed)
        elif self._told:
            return
        elif before["version"] != made_from["version"]:
            reason = f"allweather was {before['version']} and is {made_from['version']}"
        else:
            reason = f"{' and '.join(inputs)} changed" if inputs else "its files have changed"
        self._told = True
        self._say(f"{title}: {reason}; it is made anew, and so is what follows from it")


def _quoted(value: Any) -> str:
    text = "none" if value is None else printable(str(value))
    return text if len(text) <= MAX_QUOTED_CHARACTERS else f"{text[:MAX_QUOTED_CHARACTERS]}..."


def _empty(folder: Path) -> None:
    """Deletes what a folder holds, which may be a link to one on another disk.

    Raises:
        OSError: Something cannot be deleted, which would be taken for the result of the new settings.
    """
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _read_record(folder: Path) -> dict[str, Any]:
    """Returns the record of a stage; an empty one if there is none that can be used."""
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
        made_from = record["made_from"]
        kinds = [type(made_from[key]) for key in ("settings", "inputs", "version")]
        return record if kinds == [dict, dict, str] and isinstance(record.get("notes", []), list) else {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _write_record(folder: Path, record: Mapping[str, Any]) -> None:
    with atomic_file(folder / RECORD) as temporary:
        temporary.write_text(json.dumps(record, indent=1), "utf-8")


def _digest(folder: Path) -> str:
    """Returns a hash of the files of a folder; hidden ones, of unfinished runs, do not count."""
    digest = hashlib.sha256()
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    for path in sorted(files):
        if not any(part.startswith(".") for part in path.parts):
            digest.update(f"{path}\n".encode("utf-8", "surrogateescape"))
            digest.update(hashlib.sha256((folder / path).read_bytes()).digest())
    return digest.hexdigest()

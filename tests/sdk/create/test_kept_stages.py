"""Stages are kept while what they are made from is the same, made anew where it changed, and go on where they were."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from allweather.create.kept_stages import KeptStages, StageOutput, StageResult
from allweather.journey import Journey, StageRun
from allweather.runtimes.errors import OutputError


class Stages:
    """Two stages, the second of which is made from the first; counts how often each is made."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.made, self.lines = folder, list[str](), list[str]()

    def run(self, epochs: int = 1, views: int = 1, data: str = "d1", *, stop: bool = False) -> dict[str, str]:
        """Runs both; returns their states."""
        journey = Journey({"train": 1, "tune": 1})
        kept = KeptStages(self.folder, journey, self.lines.append)
        self.made, content = [], f"e{epochs}{data}"
        first = self._stage(kept, "train", {"epochs": epochs}, {"the data": data}, content, stop)
        self._stage(kept, "tune", {"views": views}, {"the model": first.digest}, f"v{views}", False)
        return {stage.name: stage.state for stage in journey.stages}

    def _stage(
        self, kept: KeptStages, name: str, settings: dict[str, int], inputs: dict[str, str], content: str, stop: bool
    ) -> StageOutput:
        def make(folder: Path, run: StageRun) -> StageResult:
            self.made.append(name + ("+" if (folder / ".resume").exists() else ""))
            (folder / ".resume").write_text("half")
            if stop:
                raise KeyboardInterrupt
            (folder / "model").write_text(content)
            (folder / ".resume").unlink()
            return StageResult(f"made {content}", (f"note {content}",))

        return kept.run(name, name, settings, inputs, make)


RECORDS = (
    '{"made_from": ["settings", "inputs", "version"]}',
    '{"made_from": {"settings": null, "inputs": {}, "version": "1"}}',
    '{"made_from": {"settings": {}, "inputs": null, "version": "1"}}',
    "[" * 100_000,
)


def _write(text: str, path: Path) -> None:
    (path.parent / ".stage.json").write_text(text)


@pytest.fixture
def stages(tmp_path: Path) -> Stages:
    return Stages(tmp_path / ".out.create")


def test_what_is_done_is_kept(stages: Stages) -> None:
    assert stages.run() == {"train": "done", "tune": "done"}
    assert stages.made == ["train", "tune"]
    assert stages.run() == {"train": "kept", "tune": "kept"}
    assert (stages.made, stages.lines) == ([], [])


def test_changed_settings_make_a_stage_anew_and_those_after_it(stages: Stages) -> None:
    stages.run()
    stages.run(views=2)
    assert stages.made == ["tune"]
    assert stages.lines == ["tune: views was 1 and is 2; it is made anew, and so is what follows from it"]
    stages.run(views=2, epochs=3)
    assert stages.made == ["train", "tune"]
    assert stages.lines[1:] == ["train: epochs was 1 and is 3; it is made anew, and so is what follows from it"]
    stages.run(views=2, epochs=3, data="d2")
    assert stages.made == ["train", "tune"]
    assert stages.lines[2:] == ["train: the data changed; it is made anew, and so is what follows from it"]


def test_an_unfinished_stage_goes_on_unless_its_settings_changed(stages: Stages) -> None:
    for epochs, expected in ((1, "train+"), (2, "train")):
        data = f"d{epochs}"
        with pytest.raises(KeyboardInterrupt):
            stages.run(1, data=data, stop=True)
        stages.run(epochs, data=data)
        assert stages.made[0] == expected
        assert not (stages.folder / "train" / ".resume").exists()


def test_a_stage_that_is_a_link_to_another_disk_is_emptied_too(stages: Stages, tmp_path: Path) -> None:
    stages.run(1)
    moved = tmp_path / "other_disk"
    (stages.folder / "train").rename(moved)
    (stages.folder / "train").symlink_to(moved)
    (moved / "of_before").touch()
    stages.run(2)
    assert [path.name for path in sorted(moved.iterdir())] == [".stage.json", "model"]


def test_a_changed_damaged_or_deleted_result_is_made_anew(stages: Stages) -> None:
    stages.run()
    for damage in (
        lambda path: path.write_text("other"),
        lambda path: path.unlink(),
        lambda path: (path.parent / ".stage.json").write_text("{"),
        lambda path: (path.parent / ".stage.json").write_text('{"made_from": []}'),
        lambda path: (path.parent / ".stage.json").unlink(),
        *(partial(_write, text) for text in RECORDS),
    ):
        damage(stages.folder / "train" / "model")
        assert stages.run() == {"train": "done", "tune": "kept"}  # the same was made, so what follows is as it was
        assert (stages.folder / "train" / "model").read_text() == "e1d1"
    assert "train: its files have changed; it is made anew" in stages.lines[0]


def test_a_file_in_place_of_the_folder_gets_one_line(stages: Stages) -> None:
    stages.folder.write_text("a file")
    with pytest.raises(OutputError, match="cannot write"):
        stages.run()

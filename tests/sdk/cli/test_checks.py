"""Checks of what stands on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
import typer
from commands import invoke, one_line
from typer.testing import CliRunner

from allweather.cli.checks import (
    check_checkpoint_path,
    check_keeps,
    check_not_given,
    check_report_folder,
    check_required_options,
    hidden_sibling,
    parse_names,
    parse_numbers,
    parse_regions,
)
from allweather.runtimes.errors import AllweatherError, UsageError
from allweather.runtimes.region import Region
from allweather.runtimes.system.path_argument import real_path

app = typer.Typer()
found: list[UsageError] = []


@app.command()
def command(
    context: typer.Context,
    main: Annotated[str | None, typer.Option()] = None,
    part: Annotated[int, typer.Option()] = 1,
    other_part: Annotated[str, typer.Option(envvar="OTHER_PART")] = "",
) -> None:
    for check in (
        lambda: check_required_options(context, {"part": "main", "other_part": "main"}),
        lambda: check_not_given(context, ["part", "other_part"], "there is nothing to take apart"),
    ):
        try:
            check()
        except UsageError as error:
            found.append(error)


def errors(*words: str) -> list[str]:
    found.clear()
    assert CliRunner().invoke(app, list(words), env={"OTHER_PART": "from the environment"}).exit_code == 0
    return [str(error) for error in found]


def test_options_that_do_nothing_are_named() -> None:
    assert errors() == []  # defaults and the environment are nobody's mistake
    assert errors("--main", "x") == []
    alone, ignored = errors("--part", "1")  # even if it is the default
    assert alone == "--part works only together with --main; add it"
    assert ignored == "there is nothing to take apart; leave out --part"
    both, _ = errors("--part", "2", "--other-part", "y")
    assert both == "--part, --other-part work only together with --main; add it"
    (ignored,) = errors("--main", "x", "--other-part", "y")
    assert ignored == "there is nothing to take apart; leave out --other-part"


def test_names_are_in_the_order_of_those_that_there_are() -> None:
    assert parse_names("color", None, ("red", "blue")) == []
    assert parse_names("color", ["blue", "red", "blue"], ("red", "blue")) == ["red", "blue"]
    with pytest.raises(UsageError, match=r"blu.*blue"):
        parse_names("color", ["blu"], ("red", "blue"))


def test_numbers_and_regions() -> None:
    assert parse_numbers("1,2.5", 2, float, "two numbers") == [1, 2.5]
    for text in ("1", "1,2,3", "1,x", ""):
        with pytest.raises(UsageError, match="two numbers; got"):
            parse_numbers(text, 2, float, "two numbers")
    assert parse_regions(None) is None
    assert parse_regions(["1,2,3,4"]) == Region(1, 2, 3, 4)
    assert parse_regions(["a=b=1,2,3,4"]) == {"a=b": Region(1, 2, 3, 4)}
    assert parse_regions(["gate=1,2,3,4", "door=5,6,7,8"]) == {"gate": Region(1, 2, 3, 4), "door": Region(5, 6, 7, 8)}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["gate=1,2,3"], "got '1,2,3'"),
        (["gate=1,2,3,4", "5,6,7,8"], "one has none"),
        (["gate=1,2,3,4", "gate=5,6,7,8"], "two are called 'gate'"),
        (["1,2,3,4", "5,6,7,8"], "two have no name"),
    ],
)
def test_of_several_regions_each_has_a_name(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_regions(texts)


def test_a_report_needs_a_folder(tmp_path: Path) -> None:
    check_report_folder(None)
    check_report_folder(tmp_path / "new" / "report")
    assert not list(tmp_path.iterdir()), "a check leaves nothing behind"
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file: name another"):
        check_report_folder(tmp_path / "file")


def test_a_link_to_itself_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert real_path(tmp_path / "loop" / "x") == tmp_path / "loop" / "x"
    with pytest.raises(AllweatherError, match=r"loop"):
        check_report_folder(tmp_path / "loop")


def test_neither_a_report_nor_a_checkpoint_is_written_into_a_bundle(sample_bundle: Path) -> None:
    for folder in (sample_bundle, sample_bundle / "report"):
        with pytest.raises(UsageError, match="which holds only its own files; name another --report"):
            check_report_folder(folder, "--report")
    with pytest.raises(UsageError, match="which holds only its own files; name another --out"):
        check_checkpoint_path(sample_bundle / "c.safetensors")


def test_unfinished_results_are_hidden_beside_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert hidden_sibling(None, ".cells") is None
    assert hidden_sibling(Path("report"), ".cells") == tmp_path / ".report.cells"
    assert hidden_sibling(Path(), ".cells") == tmp_path.parent / f".{tmp_path.name}.cells"
    assert hidden_sibling(Path("/"), ".cells") == Path("/..cells")


@pytest.mark.parametrize(
    "text", ["a.safetensors", "learned:a.safetensors", "learned:~/a.safetensors", "folder/../a.safetensors"]
)
def test_a_file_that_is_read_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.safetensors").symlink_to("a.safetensors")
    for out in ("a.safetensors", "link.safetensors"):
        with pytest.raises(UsageError, match="take the place of the file that --use names; name another --out"):
            check_keeps(Path(out), "--use", text)
    check_keeps(Path("b.safetensors"), "--use", text)


@pytest.mark.parametrize("text", [None, "", "trivial", "learned:"])
def test_a_text_that_names_no_file_is_no_concern_of_the_output(text: str | None) -> None:
    check_keeps(Path("a.safetensors"), "--augment", text)


@pytest.mark.parametrize(
    "line",
    [
        ["train", "--arch", "resnet20", "--data", "signs", "--augment", "learned:x.safetensors"],
        ["finetune", "m.safetensors", "--data", "signs", "--method", "at", "--augment", "learned:./x.safetensors"],
        ["train-predictor", "m.safetensors", "--use", "x.safetensors"],
    ],
)
def test_commands_keep_the_files_that_they_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.safetensors").write_bytes(b"learned")
    done = invoke(*line, "--out", "x.safetensors")
    assert done.exit_code == 2
    assert "take the place of the file that" in one_line(done)
    assert Path("x.safetensors").read_bytes() == b"learned"


def test_losses_of_views_are_kept_in_no_bundle_and_among_no_images(sample_bundle: Path, tmp_path: Path) -> None:
    for place in (sample_bundle / "losses", tmp_path / "train" / "a"):
        place.parent.mkdir(parents=True, exist_ok=True)
        line = ("train-predictor", "m.safetensors", "--data", f"folder:{tmp_path}", "--view-losses", place)
        done = invoke(*line, "--out", tmp_path / "out.safetensors")
        assert done.exit_code == 2
        assert "name another --view-losses" in one_line(done)
        assert not place.exists()

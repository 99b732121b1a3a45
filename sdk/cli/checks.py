"""Checks of what stands on the command line, made before data are read or minutes are spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from allweather.runtimes.errors import UsageError, unknown_name
from allweather.runtimes.system.home_path import home_path
from allweather.runtimes.system.path_argument import real_path
from allweather.trainers.choices import LEARNED

if TYPE_CHECKING:
    from allweather.runtimes.region import Region

FOREIGN = (".onnx", ".xml", ".pth", ".pt")  # files of other programs
Name = TypeVar("Name", bound=str)


def check_checkpoint_path(path: Path) -> None:
    """Checks that a checkpoint can be written to a path.

    Raises:
        UsageError: The suffix is not .safetensors, or it lies in a bundle.
        OutputError: No file can be written there.
    """
    from allweather.runtimes.bundle.output_path import check_outside_bundles
    from allweather.runtimes.system.atomic_files import check_file

    if path.suffix != ".safetensors":
        raise UsageError(f"a checkpoint is a .safetensors file; got {path}: write --out {path.stem}.safetensors")
    check_outside_bundles(path)
    check_file(path)


def check_keeps(out: Path, option: str, text: str | None) -> None:
    """Checks that the output does not take the place of another file that the command reads.

    Args:
        out: The output.
        option: The option that names the file.
        text: Its text: a path, or learned: and the path of a learned augmentation; None if it is not given.

    Raises:
        UsageError: Both are one file.
    """
    if text and text != LEARNED and real_path(home_path(text.removeprefix(LEARNED))) == real_path(out):
        raise UsageError(f"{out} would take the place of the file that {option} names; name another --out")


def kind_of(model: Path) -> str:
    """Returns what a path names: "checkpoint" for a .safetensors file, "bundle" for a folder or a .zip file."""
    return "bundle" if model.is_dir() or model.suffix == ".zip" else "checkpoint"


def check_model_path(model: Path, out: Path) -> None:
    """Checks that what is made of a checkpoint or a bundle can be written to a path.

    Raises:
        UsageError: The model is of another program, or a folder that is no bundle; or a checkpoint would be written as
            a bundle, or a bundle as a checkpoint.
        OutputError: No file can be written there.
    """
    if model.suffix.lower() in FOREIGN:
        made = "bundle" if model.suffix.lower() in (".onnx", ".xml") else "checkpoint"
        raise UsageError(f"{model} is no checkpoint or bundle; make a {made} of it first: allweather import {model}")
    if kind_of(model) == "checkpoint":
        check_checkpoint_path(out)
        return
    from allweather.runtimes.bundle.output_path import check_bundle_path

    if model.is_dir() and not (model / "manifest.json").is_file():
        raise UsageError(
            f"{model} is a folder without a manifest.json, so it is no bundle; name one, or a checkpoint (.safetensors)"
        )
    if out.suffix == ".safetensors":
        raise UsageError(f"{model} is a bundle, and so is what is made of it; write --out {out.stem}.aw")
    check_bundle_path(out, made_of=model)


def check_report_folder(folder: Path | None, option: str = "--out") -> None:
    """Checks that a report can be written into a folder; does nothing without a folder.

    Args:
        folder: The folder.
        option: The option that names it.

    Raises:
        UsageError: The path is a file, or a bundle, or lies in one.
        OutputError: No file can be written there.
    """
    from allweather.runtimes.bundle.output_path import check_outside_bundles
    from allweather.runtimes.system.atomic_files import check_file

    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{option} is a folder for the report; {folder} is a file: name another")
    check_outside_bundles(folder, option)
    check_file(folder / "report.html")


def hidden_sibling(path: Path | None, suffix: str) -> Path | None:
    """Returns the hidden path beside a folder that keeps unfinished results; of "/" in it. Takes "." and "..", too."""
    return real_path(path).parent / f".{real_path(path).name}{suffix}" if path else None


def check_not_given(context: typer.Context, names: Sequence[str], reason: str) -> None:
    """Refuses options that would be ignored.

    Args:
        context: Context of the running command.
        names: Names of the command's parameters.
        reason: Why they do nothing here. The message begins with it.

    Raises:
        UsageError: One of the options is on the command line.
    """
    if given := [name for name in names if is_given(context, name)]:
        raise UsageError(f"{reason}; leave out {_options(context, given)}")


def check_required_options(context: typer.Context, required: Mapping[str, str]) -> None:
    """Refuses options that do nothing without another option.

    Args:
        context: Context of the running command.
        required: Name of a parameter -> name of the parameter without which it does nothing.

    Raises:
        UsageError: An option is on the command line, and the one that it needs is not.
    """
    for needed in dict.fromkeys(required.values()):
        given = [name for name, other in required.items() if other == needed and is_given(context, name)]
        if given and not is_given(context, needed):
            verb = "work" if len(given) > 1 else "works"
            raise UsageError(
                f"{_options(context, given)} {verb} only together with {_options(context, [needed])}; add it"
            )


def is_given(context: typer.Context, name: str) -> bool:
    """Returns whether an option, by the name of its parameter, is on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _options(context: typer.Context, names: Sequence[str]) -> str:
    """Returns the options of some parameters of a command, as they are written on the command line."""
    written = {
        each.name: next(option for option in each.opts if option[:2] == "--")
        for each in context.command.params
        if each.param_type_name == "option"
    }
    return ", ".join(written[name] for name in names)


def parse_names(kind: str, names: Sequence[str] | None, known: Sequence[Name]) -> list[Name]:
    """Returns the names of an option that may be repeated, each once; an empty list without any.

    Args:
        kind: What the names are, for the message.
        names: Names on the command line.
        known: Names that there are.

    Raises:
        UsageError: A name is not known.
    """
    for name in names or ():
        if name not in known:
            raise unknown_name(kind, name, known)
    return [name for name in known if name in (names or ())]


def parse_regions(texts: Sequence[str] | None) -> Region | dict[str, Region] | None:
    """Parses regions that are written as [NAME=]x,y,width,height.

    Returns:
        The region, if it is a single one without a name; regions by their names; or None without any.

    Raises:
        UsageError: One is written in another way, or of several, two have the same name or one has none.
    """
    from allweather.runtimes.region import Region

    regions: dict[str, Region] = {}
    for text in texts or ():
        name, _, edges = text.rpartition("=")
        if name in regions:
            fault = f"two are called {name!r}" if name else "two have no name"
            raise UsageError(f"of several regions each has a name of its own, --region NAME=x,y,width,height; {fault}")
        regions[name] = Region(*parse_numbers(edges, 4, int, "--region is [NAME=]x,y,width,height in pixels"))
    if len(regions) > 1 and "" in regions:
        raise UsageError("of several regions each has a name, --region NAME=x,y,width,height; one has none")
    return regions[""] if list(regions) == [""] else regions or None


def read_token(text: str) -> str:
    """Returns the token of the page, or that of an environment variable or a file if the text is env:NAME or file:PATH.

    Raises:
        UsageError: The variable is not set, the file cannot be read, or it does not hold one line of text.
    """
    from allweather.runtimes.cameras.source_text import read_indirect

    return read_indirect(text, "token", "it holds one line with the token")


def parse_cores(text: str | None) -> tuple[int, ...] | None:
    """Parses numbers of cores that are written as 2,3.

    Raises:
        UsageError: They are written in another way.
    """
    if text is None:
        return None
    return tuple(map(int, parse_numbers(text, text.count(",") + 1, int, "--cores are numbers of cores, such as 2,3")))


def parse_numbers(text: str, count: int, kind: type[int] | type[float], expected: str) -> list[int] | list[float]:
    """Parses `count` numbers with commas between them.

    Raises:
        UsageError: The text holds something else. The message begins with `expected`.
    """
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise UsageError(f"{expected}; got {text!r}")
    return numbers

"""allweather corrupt."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.console import guarded, progress, result, say
from allweather.cli.options import AsJson, Data, Download, Seed
from allweather.runtimes.errors import UsageError

SHEET = "sheet.png"


class LayoutChoice(str, Enum):
    """Published layouts of corrupted sets."""

    npy = "npy"
    folders = "folders"


@guarded
def corrupt(
    data: Data,
    out: Annotated[Path, typer.Option(help="folder to make")],
    corruption: Annotated[
        list[str] | None, typer.Option(help="such as fog; once for each; all nineteen if not given")
    ] = None,
    layout: Annotated[
        LayoutChoice, typer.Option(help="npy as in CIFAR-10-C, folders as in ImageNet-C")
    ] = LayoutChoice.npy,
    size: Annotated[int | None, typer.Option(help="the network's side in pixels; 32, for a folder 224")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="all cores if not given")] = None,
    seed: Seed = 0,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Writes a corrupted copy of the test pictures, with a picture of it; killed, it goes on where it was."""
    from allweather.reports import plots as pictures
    from allweather.trainers.corruptions import CORRUPTIONS
    from allweather.trainers.corruptions.catalogue import corruption_named
    from allweather.trainers.corruptions.corruption import SEVERITIES
    from allweather.trainers.corruptions.sets.read import Generated
    from allweather.trainers.corruptions.sets.write import check_not_taken, write_set
    from allweather.trainers.data.registry import open_dataset

    if any("," in name for name in corruption or ()):
        raise UsageError("--corruption takes one name; write --corruption fog --corruption snow")
    names = tuple(corruption_named(name).name for name in dict.fromkeys(corruption or CORRUPTIONS))
    check_not_taken(out)  # before the data is read
    dataset = open_dataset(data, size, download=download)
    images, labels = dataset.test.images.numpy(), dataset.test.labels.numpy()
    with progress("corrupt", None) as update:

        def watch(done: int, total: int) -> None:
            update(done, f"corrupt: {done} of {total} blocks")

        def draw_sheet(folder: Path) -> None:
            made = Generated(images[:1], labels[:1], seed, names)
            rows = {name: [images[0], *(made.picture(name, each, 0) for each in SEVERITIES)] for name in names}
            (folder / SHEET).write_bytes(
                pictures.named_rows(rows, ["clean", *(f"severity {each}" for each in SEVERITIES)])
            )

        write_set(
            images, labels, dataset.classes, out, data=dataset.name, layout=layout.value, names=names, seed=seed,
            processes=processes, watch=watch, finish=draw_sheet,
        )  # fmt: skip
    for note in dataset.notes:
        say(note)
    result(
        {"folder": str(out), "layout": layout.value, "corruptions": len(names), "images": len(labels),
         "seed": seed, "picture": str(out / SHEET)},
        as_json, "corrupted",
    )  # fmt: skip

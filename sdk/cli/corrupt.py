"""allweather corrupt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.console import handle_errors, print_result, progress_bar, say
from allweather.cli.inspect import say_inventory
from allweather.cli.options import AsJson, CropFraction, CropOption, Data, Download, Limit, Seed, Size, Stream, Workers
from allweather.cli.output_lock import locks_output
from allweather.runtimes.errors import UsageError
from allweather.trainers.choices import SetLayout

PREVIEW = "sheet.png"


@handle_errors
@locks_output
def corrupt(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder to write; it must not exist yet, or hold an unfinished run.")],
    corruption: Annotated[
        list[str] | None, typer.Option(help="Corruption to apply, such as fog; may be repeated. All 19 if not given.")
    ] = None,
    layout: Annotated[
        SetLayout, typer.Option(help="Layout of the files: npy as in CIFAR-10-C, folders as in ImageNet-C.")
    ] = "npy",
    limit: Limit = None,
    size: Size = None,
    crop: CropOption = "center",
    crop_fraction: CropFraction = 1.0,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Number of processes; one for each core if not given.")
    ] = None,
    stream: Stream = None,
    workers: Workers = None,
    seed: Seed = 0,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Writes corrupted copies of the test images, and a preview of them.

    If it is stopped, the same command resumes it.
    """
    import torch

    from allweather.reports import image_grids
    from allweather.runtimes.bundle.output_path import check_outside_bundles
    from allweather.runtimes.crop import Crop
    from allweather.trainers.corruptions import CORRUPTIONS
    from allweather.trainers.corruptions.catalogue import get_corruption
    from allweather.trainers.corruptions.corruption import SEVERITIES
    from allweather.trainers.corruptions.sets import GeneratedSet
    from allweather.trainers.corruptions.sets.write import check_output_is_new, write_corrupted_set
    from allweather.trainers.data.files.outputs import check_output_is_no_class
    from allweather.trainers.data.image_size import parse_size
    from allweather.trainers.data.registry import open_dataset
    from allweather.trainers.data.streamed.reading import Reading

    if any("," in name for name in corruption or ()):
        raise UsageError("--corruption takes one name; write --corruption fog --corruption snow")
    names = tuple(get_corruption(name).name for name in dict.fromkeys(corruption or CORRUPTIONS))
    check_outside_bundles(out)
    check_output_is_new(out)
    check_output_is_no_class(out, data)
    reading = Reading(stream, workers)
    parsed_size = None if size is None else parse_size(size)
    dataset = open_dataset(data, parsed_size, crop=Crop(crop, crop_fraction), reading=reading, download=download)
    say_inventory(dataset.inventory)
    dataset = dataset.with_test_images(len(dataset.test) if limit is None else limit, seed)
    test = dataset.test
    with progress_bar("corrupt") as update:

        def watch(done: int, total: int) -> None:
            update(done, f"corrupt: {done} of {total} blocks", total)

        def write_preview(folder: Path) -> None:
            clean = test.take(torch.tensor([0])).loaded()
            first = GeneratedSet(clean, seed, names)
            (image,) = clean.images.numpy()
            rows = {name: [image, *(first.image(name, each, 0) for each in SEVERITIES)] for name in names}
            titles = ["clean", *(f"severity {each}" for each in SEVERITIES)]
            (folder / PREVIEW).write_bytes(image_grids.image_rows(rows, titles))

        write_corrupted_set(
            test, dataset.classes, out, data=dataset.name, layout=layout, corruptions=names, seed=seed,
            processes=processes, watch=watch, finish=write_preview,
        )  # fmt: skip
    for note in dataset.notes:
        say(note)
    print_result(
        {"folder": str(out), "layout": layout, "corruptions": len(names), "images": len(test), "seed": seed,
         "preview": str(out / PREVIEW), "inventory": dataset.inventory},
        as_json, "corrupted",
    )  # fmt: skip

"""allweather import of an ONNX file or OpenVINO IR: a bundle instead of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from allweather.cli.class_list import parse_classes
from allweather.cli.console import say
from allweather.cli.export_results import print_exported, watch_export
from allweather.cli.inspect import say_inventory
from allweather.exporters.choices import ColorOrder, InputLayout
from allweather.runtimes.choices import EngineName, Precision
from allweather.runtimes.errors import UsageError

if TYPE_CHECKING:
    from allweather.runtimes.crop import Crop
    from allweather.trainers.data.image_size import ImageSize

MODEL_SUFFIXES = (".onnx", ".xml")  # of the files that become bundles


@dataclass(frozen=True)
class ImportOptions:
    """The options of the command for a model that is compiled, as they are written.

    Attributes:
        data: Name of the data set.
        classes: Text of --classes.
        mean: Mean R, G, B; None if not given.
        std: Standard deviation R, G, B; None if not given.
        size: Side in pixels, or (height, width); None if not given.
        crop: How images were brought to that size.
        pixels: 1 or 255; None if not given.
        layout: Layout of the input; None if not given.
        channels: Order of the color channels.
        engines: Engines to export for; empty for the usual ones.
        precisions: Precisions to export in; empty for all.
        force: Whether to keep models that fail the parity gate, and to import what reads its images badly.
        download: Whether CIFAR may be downloaded.
        large: File of a larger classifier; None for none.
    """

    data: str | None
    classes: str
    mean: tuple[float, float, float] | None
    std: tuple[float, float, float] | None
    size: ImageSize | None
    crop: Crop
    pixels: int | None
    layout: InputLayout | None
    channels: ColorOrder
    engines: Sequence[EngineName]
    precisions: Sequence[Precision]
    force: bool
    download: bool
    large: Path | None


def import_model(file: Path, out: Path, options: ImportOptions, *, as_json: bool) -> None:
    """Makes a bundle of an ONNX classifier or of OpenVINO IR.

    Args:
        file: The .onnx or .xml file.
        out: Bundle to write.
        options: The options of the command.
        as_json: Whether to print JSON.

    Raises:
        AllweatherError: As `export_onnx` raises it.
    """
    from allweather.exporters.compilation import DEFAULT_ENGINES, ExportOptions
    from allweather.exporters.foreign.import_model import export_foreign, open_foreign, open_large
    from allweather.exporters.foreign.model_input import InputSettings
    from allweather.runtimes.bundle.output_path import check_bundle_path
    from allweather.trainers.choices import DATASET_FORMS
    from allweather.trainers.data.registry import open_dataset_of

    if out.suffix == ".safetensors":
        raise UsageError(f"{file} is compiled, and becomes a bundle, no checkpoint; write --out {out.stem}.aw")
    if options.data is None:
        raise UsageError(
            f"import needs images of the classes of {file}, for INT8 calibration and the parity gate: "
            f"add --data {DATASET_FORMS}"
        )
    check_bundle_path(out)
    settings = InputSettings(
        options.mean, options.std, options.pixels, options.layout, options.size, options.channels,
        options.crop,
    )  # fmt: skip
    model = open_foreign(file, parse_classes(options.classes), settings)
    say(f"{file}: {model.input.sentence()}")
    large = None
    if options.large is not None:
        if options.large.suffix.lower() not in MODEL_SUFFIXES:
            raise UsageError(f"--large is an .onnx or .xml file, as {file} is; got {options.large}")
        large = open_large(options.large, file, model, settings)
        say(f"{options.large}: {large.input.sentence()}")
    dataset = open_dataset_of(options.data, model.classes, model.input.spec, download=options.download)
    say_inventory(dataset.inventory)
    to_export = ExportOptions(options.engines or DEFAULT_ENGINES, options.precisions or None, options.force)
    with watch_export("import") as watch:
        manifest = export_foreign(model, dataset, out, to_export, watch, large=large)
    for note in dataset.notes:
        say(note)
    print_exported(manifest, out, dataset.inventory, as_json=as_json, original="original", title="imported")

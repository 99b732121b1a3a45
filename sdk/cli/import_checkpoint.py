"""allweather import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from allweather.cli.checks import check_checkpoint_path, check_not_given, parse_names, parse_numbers
from allweather.cli.class_list import CLASSES_HELP, parse_classes
from allweather.cli.console import handle_errors, print_result
from allweather.cli.export import parse_engines
from allweather.cli.import_model import MODEL_SUFFIXES, ImportOptions, import_model
from allweather.cli.options import ARCH_FORMS, AsJson, Download, OwnModel
from allweather.cli.output_lock import locks_output
from allweather.exporters.choices import ColorOrder, InputLayout
from allweather.runtimes.choices import CropKind, Precision
from allweather.runtimes.errors import UsageError

if TYPE_CHECKING:
    from allweather.runtimes.crop import Crop
    from allweather.runtimes.preprocess import InputSpec
    from allweather.trainers.data.image_size import ImageSize

BUNDLE_OPTIONS = ("data", "layout", "pixels", "channels", "engine", "precision", "force", "large", "download")
Three = tuple[float, float, float]


@handle_errors
@locks_output
def import_checkpoint(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(help="State dict (.safetensors or .pth), ONNX classifier (.onnx), or OpenVINO IR (.xml)."),
    ],
    classes: Annotated[str, typer.Option(help=CLASSES_HELP)],
    out: Annotated[
        Path,
        typer.Option("--out", help="Of a state dict the checkpoint to write (.safetensors), else the bundle to write."),
    ],
    arch: Annotated[
        str | None,
        typer.Option(help=f"Architecture of a state dict: {ARCH_FORMS}. Not for .onnx and .xml."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Data set of the same classes, for INT8 calibration and the parity gate. Only for .onnx and .xml."
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Side of the images in pixels, or height x width as 160x224: the usual one of the architecture; found "
            "out from .onnx and .xml.",
        ),
    ] = None,
    crop: Annotated[
        CropKind | None,
        typer.Option(
            help="Which part of an image the model was evaluated on: center, the largest of its shape, or squash, all "
            "of it. Of timm's and torchvision's networks as they say if not given, else center."
        ),
    ] = None,
    crop_fraction: Annotated[
        float | None,
        typer.Option(
            help="Share of the sides of the center that is kept: 0.875 where 224 of 256 pixels were cut out. Of timm's "
            "and torchvision's networks as they say if not given, else 1."
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            help="Mean R,G,B that the model's inputs were normalized with, on a scale from 0 to 1. If not given: of a "
            "graph that of ImageNet, or none (0) where it normalizes itself; of a state dict that of the "
            "architecture's pretrained weights."
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(help="Standard deviation R,G,B that the model's inputs were normalized with; as --mean."),
    ] = None,
    pixels: Annotated[
        Literal["1", "255"] | None,
        typer.Option(
            help="255 for a graph that takes pixels of 0..255: the normalized values are multiplied by it; 1 if not "
            "given, or found out from the graph. Only for .onnx and .xml."
        ),
    ] = None,
    layout: Annotated[
        InputLayout | None,
        typer.Option(help="Layout of the input, where the graph does not tell. Only for .onnx and .xml."),
    ] = None,
    channels: Annotated[
        ColorOrder, typer.Option(help="Order of the colors that a graph takes. Only for .onnx and .xml.")
    ] = "rgb",
    engine: Annotated[
        list[str] | None,
        typer.Option(help="Engine to export for, as in allweather export. Only for .onnx and .xml."),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(help="Precision to export in, as in allweather export. Only for .onnx and .xml."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Keep models that fail the parity gate, too, and import one that reads its images badly. Only for "
            ".onnx and .xml.",
        ),
    ] = False,
    large: Annotated[
        Path | None,
        typer.Option(
            help="A second, larger classifier of the same kind, classes and input, for the same bundle; see allweather "
            "export --large. Only for .onnx and .xml."
        ),
    ] = None,
    own_model: OwnModel = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Takes a model of another program: makes a checkpoint of a state dict, or a bundle of an ONNX classifier.

    What an ONNX graph tells need not be given: layout, size, batch, a Softmax at its end, a normalization inside. Each
    compiled model is compared with the file as ONNX Runtime (of .xml: OpenVINO) runs it.
    """
    from allweather.runtimes.crop import WHOLE
    from allweather.trainers.data.image_size import parse_size

    image_size = None if size is None else parse_size(size)
    means, stds = _parse_three("--mean", mean), _parse_three("--std", std)
    if file.suffix.lower() in MODEL_SUFFIXES:
        check_not_given(context, ("arch", "own_model"), f"{file} holds the graph of its network")
        options = ImportOptions(
            data, classes, means, stds, image_size, _crop(crop, crop_fraction, WHOLE),
            int(pixels) if pixels else None, layout, channels, parse_engines(engine),
            parse_names("precision", precision, get_args(Precision)), force, download, large,
        )  # fmt: skip
        import_model(file, out, options, as_json=as_json)
        return
    if channels == "bgr":
        raise UsageError(
            f"{file} becomes a checkpoint, whose network gets RGB images: give one that begins with "
            "images.flip(1), as --model package.module:function, and leave out --channels"
        )
    check_not_given(context, BUNDLE_OPTIONS, f"{file} becomes a checkpoint, which is trained or exported later")
    check_checkpoint_path(out)
    if file.exists() and out.exists() and out.samefile(file):  # what is beside the network in it would be lost
        raise UsageError(f"--out is {file} itself; name another file")
    if (arch is None) == (own_model is None):
        raise UsageError(
            f"name the network of the weights in {file}: --arch resnet20, for example, or your own with --model"
        )
    spec = _input_spec(arch, image_size, means, stds, crop, crop_fraction)
    _import_state_dict(file, arch, own_model, parse_classes(classes), out, spec, as_json)


def _import_state_dict(
    file: Path,
    arch: str | None,
    own_model: str | None,
    classes: tuple[str, ...],
    out: Path,
    spec: InputSpec,
    as_json: bool,
) -> None:
    import dataclasses

    from allweather.trainers.checkpoint.checkpoint_file import save_checkpoint
    from allweather.trainers.checkpoint.state_dict import checkpoint_from_state_dict
    from allweather.trainers.models.own_model import OWN, import_own_model

    network = arch or import_own_model(own_model or "", len(classes))
    checkpoint = checkpoint_from_state_dict(file, network, classes, spec)
    if own_model:
        checkpoint = dataclasses.replace(checkpoint, arch=f"{OWN}{own_model}")
    save_checkpoint(out, checkpoint)
    size = spec.height if spec.height == spec.width else f"{spec.height}x{spec.width}"
    facts = {"checkpoint": str(out), "arch": checkpoint.arch, "classes": len(classes), "size": size}
    print_result(facts, as_json, "imported")


def _input_spec(
    arch: str | None,
    size: ImageSize | None,
    mean: Three | None,
    std: Three | None,
    crop: CropKind | None,
    crop_fraction: float | None,
) -> InputSpec:
    """Completes what the user says by what is usual for the architecture."""
    from allweather.runtimes.preprocess import InputSpec
    from allweather.trainers.data.image_size import check_size
    from allweather.trainers.models.registry import get_architecture

    if arch is None and size is None:
        raise UsageError("name the side of the images of your own network in pixels: --size 224, for example")
    given = None if size is None else check_size(size, "--size")
    usual = get_architecture(arch).usual_input if arch else InputSpec(*(given or (1, 1)))
    height, width = given or (usual.height, usual.width)
    return InputSpec(height, width, mean or usual.mean, std or usual.std, _crop(crop, crop_fraction, usual.crop))


def _crop(kind: CropKind | None, fraction: float | None, usual: Crop) -> Crop:
    """Completes what the user says of the crop by what is usual; a fraction is that of its kind."""
    from allweather.runtimes.crop import Crop

    if kind in (None, usual.kind):
        return Crop(usual.kind, usual.fraction if fraction is None else fraction)
    return Crop(kind, 1.0 if fraction is None else fraction)


def _parse_three(name: str, text: str | None) -> Three | None:
    """Parses R,G,B on a scale from 0 to 1; None if it is not given."""
    if text is None:
        return None
    red, green, blue = parse_numbers(text, 3, float, f"{name} is three numbers R,G,B on a scale from 0 to 1")
    if not all(0 <= value <= 1 for value in (red, green, blue)):
        raise UsageError(
            f"--mean and --std are on a scale from 0 to 1; got {name} {text}: divide those of a scale to 255 by 255"
        )
    return red, green, blue

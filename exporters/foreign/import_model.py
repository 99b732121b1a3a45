"""From another program's classifier to a bundle: an ONNX file or OpenVINO IR, without the code that trained it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from allweather.exporters.calibration import calibration_set
from allweather.exporters.choices import ColorOrder, InputLayout
from allweather.exporters.compilation import (
    DEFAULT_ENGINES,
    DEFAULT_OPTIONS,
    EXPORT_LIBRARIES,
    ExportOptions,
    choose_golden_frames,
    compile_jobs,
    precision_plan,
)
from allweather.exporters.foreign.hint import preparation_hint
from allweather.exporters.foreign.ir_source import IrSource, open_ir
from allweather.exporters.foreign.model_input import FROM_GRAPH, InputSettings, ModelInput, Three
from allweather.exporters.foreign.onnx_source import OnnxSource, open_onnx
from allweather.exporters.installed import check_installed
from allweather.exporters.job import classifier_job, parity_images
from allweather.exporters.model_card import MODEL_CARD, foreign_card
from allweather.runtimes.bundle.bundle import npy_bytes, write_bundle
from allweather.runtimes.bundle.manifest import EngineName, Input, Manifest, Role
from allweather.runtimes.bundle.output_path import check_bundle_path
from allweather.runtimes.crop import WHOLE, Crop
from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.system.device import this_device
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable
from allweather.trainers.checkpoint.checkpoint import library_versions
from allweather.trainers.data.class_names import check_class_names
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.image_size import ImageSize, warn_of_other_crop
from allweather.trainers.data.split import Split
from allweather.trainers.steps.arguments import check_argument

log = logging.getLogger(__name__)

MAX_NAME_CHARACTERS = 64


@dataclass(frozen=True)
class ForeignModel:
    """A classifier of another program that was read and checked, and can be made into a bundle.

    Attributes:
        arch: Name for the bundle, made of that of the file, such as "onnx:resnet20".
        classes: Names of the classes, in the order of the outputs.
        input: What the file takes.
        source: The model, for the export.
        engines: Engines that it can be compiled for.
    """

    arch: str
    classes: tuple[str, ...]
    input: ModelInput
    source: OnnxSource | IrSource
    engines: tuple[EngineName, ...]


def open_foreign(path: Path | str, classes: Sequence[str], settings: InputSettings = FROM_GRAPH) -> ForeignModel:
    """Reads an ONNX file or OpenVINO IR, and rewrites it to take images as all models of a bundle do.

    Args:
        path: An .onnx file, or the .xml file of OpenVINO IR, with its .bin file beside it.
        classes: Names of the classes, in the order of the model's outputs.
        settings: What the graph does not tell about its input.

    Raises:
        EngineError: The file cannot be read, or is no image classifier.
        UsageError: The settings or classes contradict the graph, or leave out what it does not tell.
    """
    path = as_path(path)
    names = tuple(classes) if not isinstance(classes, str) else (classes,)
    try:
        check_class_names(names)
    except DataError as error:
        raise UsageError(f"--classes: {error}") from error
    if len(names) < 2:
        raise UsageError(f"a classifier has at least two classes; --classes names {len(names)}")
    stem = printable(path.stem)[:MAX_NAME_CHARACTERS]
    if path.suffix == ".xml":
        ir, taken = open_ir(path, names, settings)
        return ForeignModel(f"openvino:{stem}", names, taken, ir, ("openvino",))
    graph, taken = open_onnx(path, names, settings)
    return ForeignModel(f"onnx:{stem}", names, taken, graph, ("openvino", "onnx", "tensorrt"))


def open_large(path: Path | str, first: Path | str, model: ForeignModel, settings: InputSettings) -> ForeignModel:
    """Reads a larger classifier for the bundle of another one, whose classes and image size it has, too.

    Args:
        path: As in `open_foreign`.
        first: File of the other classifier.
        model: The other classifier, read from that file.
        settings: What the graphs do not tell about their inputs.

    Raises:
        EngineError: The file cannot be read, or is no image classifier.
        UsageError: It is the same file, or it takes images of another size or other classes.
    """
    path, first = as_path(path), as_path(first)
    if path.exists() and path.samefile(first):
        raise UsageError(
            f"the large classifier is the same file as the first one, {printable(str(path))}; name another"
        )
    return open_foreign(path, model.classes, dataclasses.replace(settings, beside=model.input.spec))


def export_onnx(
    path: Path | str,
    dataset: Dataset,
    out: Path | str,
    *,
    classes: Sequence[str] | None = None,
    mean: Three | None = None,
    std: Three | None = None,
    pixels: int | None = None,
    layout: InputLayout | None = None,
    size: ImageSize | None = None,
    channels: ColorOrder = "rgb",
    crop: Crop = WHOLE,
    large: Path | str | None = None,
    options: ExportOptions = DEFAULT_OPTIONS,
    watch: Callable[[str], None] = lambda step: None,
) -> Manifest:
    """Makes a bundle of an ONNX classifier of any program, without its training code.

    What the graph tells need not be given: layout, size, fixed or dynamic batch, a Softmax or Sigmoid at its end, the
    type of its input, and a normalization that it begins with. Each compiled model is compared with the file as ONNX
    Runtime runs it, with images prepared in numpy.

    Args:
        path: An .onnx file, or the .xml file of OpenVINO IR (for the OpenVINO engine only).
        dataset: Data of the same classes at the model's image size. Its train split calibrates INT8, its validation
            split is used by the parity gate.
        out: Folder or .zip file to write.
        classes: Names of the classes, in the order of the model's outputs; those of the data set in its order if None.
        mean: Mean R, G, B of the normalization on a scale from 0 to 1. If None, that of ImageNet, or 0 where the graph
            normalizes itself.
        std: Standard deviation R, G, B of the normalization on that scale. If None, that of ImageNet, or 1 where the
            graph normalizes itself.
        pixels: 1 if the model takes pixels of 0..1, 255 if it takes 0..255. If None, 1, or what the normalization in
            the graph expects.
        layout: "nchw" or "nhwc", where the graph does not tell.
        size: Side of the images in pixels, or (height, width), where the graph takes any.
        channels: "rgb", or "bgr" as models of Caffe and OpenCV take.
        crop: How images are brought to the model's size: the crop that it was evaluated with, such as
            Crop(fraction=0.875), and that the data set was opened with.
        large: File of a larger classifier of the same classes, which the first one asks where it is in doubt, see
            `Policy.large`; what is said here of the first one's input holds for it, too. None for none.
        options: What to compile and keep.
        watch: Called with the name of each step when it starts.

    Returns:
        The manifest of the bundle.

    Raises:
        EngineError: The file cannot be read, is no image classifier, or has an operation that an engine does not have.
        UsageError: An argument contradicts the graph, the data set has other classes or another image size, or the
            model reads its validation images badly and `options` does not force it.
        DataError: INT8 is requested and there are too few images for calibration.
        ParityError: The parity gate rejects every model.
        OutputError: The bundle cannot be written.
    """
    path, out, large = as_path(path), as_path(out), None if large is None else as_path(large)
    check_argument("dataset", dataset, Dataset)
    check_argument("options", options, ExportOptions)
    check_bundle_path(out)
    settings = InputSettings(mean, std, pixels, layout, size, channels, crop)
    names = dataset.classes if classes is None else classes
    first = open_foreign(path, names, settings)
    second = None if large is None else open_large(large, path, first, settings)
    return export_foreign(first, dataset, out, options, watch, large=second)


def export_foreign(
    model: ForeignModel,
    dataset: Dataset,
    out: Path | str,
    options: ExportOptions = DEFAULT_OPTIONS,
    watch: Callable[[str], None] = lambda step: None,
    *,
    large: ForeignModel | None = None,
) -> Manifest:
    """Compiles a classifier of another program, checks the parity of every model, and writes the bundle.

    Args:
        model: The classifier, from `open_foreign`.
        dataset: As in `export_onnx`, opened at the size and with the crop of `model.input.spec`.
        out: Folder or .zip file to write.
        options: What to compile and keep.
        watch: Called with the name of each step when it starts.
        large: A larger classifier of the same classes and image size; see `export_onnx`.

    Returns:
        The manifest of the bundle.

    Raises:
        AllweatherError: As in `export_onnx`.
    """
    out, spec = as_path(out), model.input.spec
    check_bundle_path(out)
    models: dict[Role, ForeignModel] = {"classifier": model} if large is None else {"classifier": model, "large": large}
    for each in models.values():
        options = _for_engines_of(each, options)
    plan = precision_plan(options)
    check_installed(plan, traces=False)
    dataset = dataset.with_classes(model.classes)
    for each in models.values():
        _check_input(each, model, dataset)
    watch("reference outputs from the original")
    calibration = calibration_set(dataset) if any("int8" in precisions for precisions in plan.values()) else None
    golden_frames = choose_golden_frames(dataset.val)
    images = parity_images(dataset.val)
    for each in models.values():
        _check_preparation(each, images, options)
    jobs = [classifier_job(each.source, each.input.spec, images, calibration, role) for role, each in models.items()]
    compiled = compile_jobs(jobs, plan, options, golden_frames, watch)
    compiled.check_kept(models)
    compiled.warn_of_weak_large()
    manifest = Manifest(
        arch=model.arch,
        classes=model.classes,
        input=Input.from_spec(spec),
        views=("identity",),
        models=compiled.models,
        rejected=compiled.rejected,
        golden_frames="golden/frames.npy",
        golden_count=len(golden_frames),
        calibration=compiled.calibration,
        machine=this_device().line(),
        versions=library_versions(EXPORT_LIBRARIES),
        files={},
    )
    card = {MODEL_CARD: foreign_card(manifest, dataset)}
    write_bundle(out, manifest, {**compiled.files, "golden/frames.npy": npy_bytes(golden_frames), **card})
    return manifest


def _check_input(model: ForeignModel, first: ForeignModel, dataset: Dataset) -> None:
    """Checks that a classifier takes the images of the data, and has the classes of the first one."""
    opened, wanted = (f"{each.width} x {each.height} px" for each in (dataset.input, model.input.spec))
    if opened != wanted:
        size = f"size=({model.input.spec.height}, {model.input.spec.width})"
        cure = f"open it with {size}" if model is first else "both classifiers run on the same image, of one size"
        raise UsageError(f"{model.arch} takes images of {wanted}, but {dataset.name} was opened at {opened}; {cure}")
    warn_of_other_crop(dataset, model.input.spec.crop, model.arch)
    if model.classes != first.classes:
        raise UsageError(f"{model.arch} has other classes than {first.arch}, or the same in another order")


def _check_preparation(model: ForeignModel, images: Split, options: ExportOptions) -> None:
    """Checks that a classifier reads its images well, unless that is forced."""
    if hint := preparation_hint(model.source, model.input, images, model.classes):
        if not options.force:
            raise UsageError(f"{model.arch}: {hint}; --force, in Python ExportOptions(force=True), takes it so")
        log.warning("%s: %s", model.arch, hint)


def _for_engines_of(model: ForeignModel, options: ExportOptions) -> ExportOptions:
    """Returns the options with the engines that the model can be compiled for."""
    impossible = [engine for engine in options.engines if engine not in model.engines]
    if impossible and tuple(options.engines) != DEFAULT_ENGINES:
        raise UsageError(
            f"{model.arch} is OpenVINO IR, which only openvino runs, not {', '.join(impossible)}; import the ONNX file "
            "that it was made from"
        )
    return dataclasses.replace(options, engines=tuple(each for each in options.engines if each in model.engines))

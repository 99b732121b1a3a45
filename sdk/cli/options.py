"""Options that several commands share, so that each has the same name and help text everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from allweather.runtimes import choices as runtime_choices
from allweather.trainers import choices as train_choices

# -- what every command takes --------------------------------------------------------------------------------------
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON object on stdout; messages go to stderr.")
]
Seed: TypeAlias = Annotated[
    int, typer.Option(min=0, max=2**31 - 1, help="Random seed; the same seed gives the same result.")
]

# -- data ----------------------------------------------------------------------------------------------------------
DATA_HELP = (
    f"Data set: {train_choices.DATASET_FORMS}. ROOT is a folder; of hf, one that the datasets library saved. FILE is a "
    ".csv, .tsv or .parquet with the columns path and label, and perhaps split. PATTERN names tar shards, in files or "
    "at a URL, such as 'shards/{train,val}-{000..009}.tar'."
)
Data: TypeAlias = Annotated[str, typer.Option(help=DATA_HELP)]
Limit: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=1, help="Take this number of test images, drawn at random, for a small run; all of them if not given."
    ),
]
Download: TypeAlias = Annotated[
    bool, typer.Option("--download", help="Download CIFAR into ROOT if it is not there yet.")
]
Size: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Side of the images in pixels, or height x width as 160x224. If not given, 32 for signs and CIFAR, the "
        "usual size of a library's network, or 224.",
    ),
]
CropOption: TypeAlias = Annotated[
    runtime_choices.CropKind,
    typer.Option(
        "--crop",
        help="Which part of an image of another shape is taken: center, the largest of the right shape, or squash, all "
        "of it. Export and the camera loop do the same.",
    ),
]
CropFraction: TypeAlias = Annotated[
    float,
    typer.Option(
        help="Share of the sides of the center that is kept: 0.875 as torchvision's presets, which resize to 256 and "
        "cut out 224 pixels."
    ),
]
TrainCrop: TypeAlias = Annotated[
    train_choices.TrainCrop,
    typer.Option(
        "--crop",
        help="Which part of an image of another shape is taken: center, the largest of the right shape, or squash, all "
        "of it; export and the camera loop do the same. random-resized trains on random parts of random size, and "
        "takes the center elsewhere.",
    ),
]
TrainCropFraction: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--crop-fraction",
        help="Share of the sides of the center that is kept. If not given, 0.875 for random-resized, as torchvision's "
        "presets, which resize to 256 and cut out 224 pixels; otherwise 1.",
    ),
]
RandomResized: TypeAlias = Annotated[
    Literal["random-resized"] | None,
    typer.Option(
        "--crop", help="Train on random parts of the images, of random size; if not given, on what the network sees."
    ),
]
Stream: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--stream/--in-memory",
        help="Read images when they are needed, or all of them at the start. If not given, they are streamed if they "
        "would fill more than 40 % of the memory.",
    ),
]
Workers: TypeAlias = Annotated[
    int | None,
    typer.Option(help="Processes that decode streamed images; 0 for none. One for each core, at most 8, if not given."),
]
Fraction: TypeAlias = Annotated[
    float, typer.Option(help="Fraction of the training images to use, above 0 and at most 1.")
]

Hflip: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        help="Flip half of the training images horizontally: right for cars, wrong for arrows and text. If not given, "
        "it is as in the checkpoint, else as in the data set."
    ),
]

# -- network -------------------------------------------------------------------------------------------------------
ARCH_FORMS = "resnet20 or another name that is listed for an unknown one, torchvision:NAME, or timm:NAME"

# -- files ---------------------------------------------------------------------------------------------------------
CheckpointFile: TypeAlias = Annotated[Path, typer.Argument(help="Checkpoint of a classifier (.safetensors).")]
OutCheckpoint: TypeAlias = Annotated[Path, typer.Option("--out", help="Checkpoint to write (.safetensors).")]
ModelFile: TypeAlias = Annotated[
    Path, typer.Argument(help="Checkpoint of a classifier (.safetensors), or a bundle: a folder or a .zip file.")
]
OutModel: TypeAlias = Annotated[
    Path, typer.Option("--out", help="Checkpoint to write (.safetensors), or bundle if the model is a bundle.")
]
OwnModel: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Your own network in torch, as package.module:function, which is imported and called with the number of "
        "classes, as num_classes or as its only argument without a default.",
    ),
]
BundleFile: TypeAlias = Annotated[
    Path, typer.Argument(help="Bundle that allweather export wrote: a folder or a .zip file.")
]

# -- training ------------------------------------------------------------------------------------------------------
Epochs: TypeAlias = Annotated[int, typer.Option(help="Number of passes over the training images.")]
BatchSize: TypeAlias = Annotated[int, typer.Option(help="Number of images in a step, over all processes.")]
Devices: TypeAlias = Annotated[
    int, typer.Option(help="Number of processes on this machine: one for each GPU, or that share the CPU cores.")
]
TrainPrecision: TypeAlias = Annotated[
    train_choices.UnscaledPrecision,
    typer.Option("--precision", help="Precision of the training; auto is bf16 where the device is faster with it."),
]
ClassifierPrecision: TypeAlias = Annotated[
    train_choices.Precision,
    typer.Option(
        "--precision",
        help="Precision of the training; auto is bf16 where the device is faster with it. fp16 is for GPUs, such as "
        "those without bf16.",
    ),
]
Accumulate: TypeAlias = Annotated[
    int,
    typer.Option(
        help="Number of parts in which each batch is computed, one after the other, for batches that do not fit into "
        "the memory at once. Results stay the same but for BatchNorm."
    ),
]
SyncBatchNorm: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--sync-batchnorm",
        help="Let BatchNorm take its statistics from the images of all processes, not from each process's own; for "
        "few images a process.",
    ),
]
Patience: TypeAlias = Annotated[
    int | None,
    typer.Option(
        help="End the training after this number of epochs without a better validation accuracy, and keep the best "
        "epoch; if not given, all epochs are done and the last one is kept."
    ),
]
Log: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help=f"Track settings and epochs: {train_choices.LOG_FORMS}. May be given more than once. Each start of the "
        "command writes a new log, which when it resumes holds the earlier epochs, too."
    ),
]

# -- optimizer, of the commands that train a classifier ------------------------------------------------------------
OPTIMIZER_PANEL = "Optimizer and learning rate"
Schedule: TypeAlias = Annotated[
    train_choices.Schedule,
    typer.Option(
        help="Schedule of the learning rate; step divides it by ten after a half and three quarters of the run.",
        rich_help_panel=OPTIMIZER_PANEL,
    ),
]
Nesterov: TypeAlias = Annotated[
    bool, typer.Option(help="Momentum of sgd in Nesterov's form, or the plain one.", rich_help_panel=OPTIMIZER_PANEL)
]
Warmup: TypeAlias = Annotated[
    float | None,
    typer.Option(
        help="Fraction of the run in which the learning rate rises; the schedule's own if not given: 0.2 for onecycle, "
        "0.02 for cosine, 0 for step.",
        rich_help_panel=OPTIMIZER_PANEL,
    ),
]
Optimizer: TypeAlias = Annotated[
    train_choices.OptimizerName | None,
    typer.Option(
        help="Optimizer; if not given, adamw for networks with LayerNorm and no BatchNorm, as ViT and ConvNeXt, and "
        "sgd for all others.",
        rich_help_panel=OPTIMIZER_PANEL,
    ),
]
WeightDecay: TypeAlias = Annotated[
    float | None,
    typer.Option(help="Weight decay; 0.0005 for sgd and 0.05 for adamw if not given.", rich_help_panel=OPTIMIZER_PANEL),
]
ClipNorm: TypeAlias = Annotated[
    float | None,
    typer.Option(
        help="Scale the gradients of a step down to this norm where it is larger; not done if not given.",
        rich_help_panel=OPTIMIZER_PANEL,
    ),
]

# -- rare classes, of the commands that train a classifier ---------------------------------------------------------
ClassWeights: TypeAlias = Annotated[
    train_choices.ClassWeights,
    typer.Option(help="Weights of the classes in the loss; balanced lets rare classes count as much as frequent ones."),
]
Sampling: TypeAlias = Annotated[
    train_choices.Sampling,
    typer.Option(help="Training images of an epoch; balanced draws each class equally often, rare ones repeatedly."),
]
AUGMENTATIONS_HELP = (
    "augmix, prime, randaugment, trivial, corruptions for the 15 common corruptions, augmix+corruptions for AugMix "
    "with them, or learned:FILE with a file of allweather learn-augmentation."
)

# -- engines -------------------------------------------------------------------------------------------------------
Engine: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Engine that runs the bundle, such as openvino, onnx or tensorrt (allweather doctor lists all); the "
        "fastest that runs here if not given."
    ),
]
Precision: TypeAlias = Annotated[
    runtime_choices.Precision | None,
    typer.Option(help="Precision of the bundle's model; the one that the bundle prefers if not given."),
]
Threads: TypeAlias = Annotated[
    int | None,
    typer.Option(
        help="Number of CPU threads of the engine; all cores if not given. Fewer keep the decision time steady beside "
        "other programs."
    ),
]

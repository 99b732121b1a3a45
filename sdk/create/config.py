"""The configuration of `allweather create`: every key with its type, its default and what it means.

The table of keys in docs/how-to/create.md is made of the descriptions here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from allweather.exporters.choices import ColorOrder, InputLayout
from allweather.runtimes.choices import CropKind, EngineName, Precision
from allweather.settings_file.section import Section, Text, Texts
from allweather.trainers.choices import (
    DATASET_FORMS,
    ClassWeights,
    CorruptionFamily,
    FinetuneMethod,
    OptimizerName,
    PredictorKind,
    RankLossName,
    Sampling,
    Schedule,
    Strategy,
)

NONE = "none"  # in place of a section: its stage is left out
GENERATE = "generate"

Three = Annotated[tuple[float, float, float], Field(strict=False)]


class Fit(Section):
    """The training loop of a classifier; see `FitSettings`, where ranges are checked."""

    batch_size: int = Field(default=64, description="Images in a step; few, as a short training needs many steps.")
    lr: float | None = Field(default=None, description="Highest learning rate; the network's own if empty.")
    optimizer: OptimizerName | None = Field(
        default=None,
        description="sgd or adamw; if empty, adamw for networks with LayerNorm and no BatchNorm, else sgd.",
    )
    warmup: float | None = Field(
        default=None, description="Fraction of the run in which the learning rate rises; the schedule's own if empty."
    )
    weight_decay: float | None = Field(default=None, description="Weight decay; the optimizer's usual one if empty.")
    clip_norm: float | None = Field(
        default=None, description="Norm that the gradients of a step are scaled down to; they are not if empty."
    )
    class_weights: ClassWeights = Field(
        default="none", description="balanced lets rare classes count as much as others."
    )
    sampling: Sampling = Field(default="uniform", description="balanced draws each class equally often.")
    hflip: bool | None = Field(
        default=None,
        description="Whether half of the images are flipped horizontally, which is wrong for arrows and text; as the "
        "data set says if empty, which is true but for signs.",
    )


class Train(Fit):
    """Training of the plain classifier."""

    arch: Text | None = Field(
        default=None, description="Architecture: resnet20 or another built-in name, torchvision:NAME or timm:NAME."
    )
    model: Text | None = Field(
        default=None, description="Your own network in torch, as package.module:function, for arch."
    )
    pretrained: bool = Field(default=False, description="Whether arch starts from pretrained ImageNet weights.")
    epochs: int | None = Field(
        default=None, description="Passes over the training images; if empty 6, and more where that is below 300 steps."
    )
    schedule: Schedule = Field(
        default="onecycle", description="Schedule of the learning rate: onecycle, cosine or step."
    )
    label_smoothing: float = Field(default=0.0, description="Fraction of each target that is spread over all classes.")


class Onnx(Section):
    """Somebody else's classifier, which is imported in place of the stages train and finetune."""

    file: Text = Field(description="ONNX file, or the .xml file of OpenVINO IR.")
    classes: Texts | None = Field(
        default=None, description="Class names in the order of the outputs; those of the data in its order if empty."
    )
    mean: Three | None = Field(
        default=None, description="Mean R, G, B of its normalization, 0..1; ImageNet's if empty."
    )
    std: Three | None = Field(
        default=None, description="Standard deviation R, G, B of its normalization; ImageNet's if empty."
    )
    pixels: Literal[1, 255] | None = Field(default=None, description="255 for a graph that takes pixels of 0..255.")
    layout: InputLayout | None = Field(default=None, description="nchw or nhwc, where the graph does not tell.")
    channels: ColorOrder = Field(default="rgb", description="Order of the color channels: rgb or bgr.")
    hflip: bool | None = Field(
        default=None, description="Whether a flipped image keeps its class; as the data set says if empty."
    )


class Finetune(Fit):
    """Robust finetuning of the plain classifier."""

    lr: float | None = Field(default=None, description="Highest learning rate; a tenth of the network's own if empty.")
    hflip: bool | None = Field(
        default=None, description="Whether half of the images are flipped horizontally; as in the training if empty."
    )
    method: FinetuneMethod = Field(
        default="robust", description="What ties augmented copies to clean images: at, st, fma, ait or robust."
    )
    strategy: Strategy | None = Field(
        default=None, description="Augmentations of each copy: ia, ca or mixed; the method's own if empty."
    )
    gamma: float | None = Field(
        default=None, description="Weight of the method's loss term; the method's own if empty."
    )
    layers: Texts = Field(default=(), description="Layers that method fma compares; all activations if empty.")
    strength_points: float = Field(default=10.0, description="Percentage points that each augmentation must cost.")
    max_clean_drop: float | None = Field(
        default=None,
        description="Percentage points that clean images may lose; what finetuning costs if empty.",
    )
    epochs: int | None = Field(
        default=None, description="Passes over the training images; if empty 4, and more where that is below 100 steps."
    )
    schedule: Schedule = Field(default="cosine", description="Schedule of the learning rate: onecycle, cosine or step.")


class Predictor(Section):
    """Training of the loss predictor, which chooses the views of each image."""

    kind: PredictorKind = Field(default="tiny", description="Network of the predictor: tiny or efficientnet.")
    loss: RankLossName = Field(default="squared", description="Loss that it is trained with.")
    copies: int = Field(
        default=1, description="Corrupted copies of each training image, or as many in all of the val split."
    )
    exclude_family: CorruptionFamily | None = Field(
        default=None, description="Family of corruptions that it is not trained on, to evaluate it on unseen ones."
    )
    epochs: int = Field(default=10, description="Passes over the copies.")
    batch_size: int = Field(default=128, description="Copies in a step.")
    lr: float | None = Field(default=None, description="Highest learning rate; the predictor network's own if empty.")


class Tune(Section):
    """Choice of the policy of test-time augmentation."""

    policies: Texts = Field(
        default=(), description="Policies to compare, such as hflip, top:2 or gps:3; the usual if empty."
    )
    max_views: int = Field(default=4, description="Largest mean number of views of the chosen policy.")
    copies: int = Field(default=1, description="Corrupted copies of each validation image.")
    risk: float | None = Field(
        default=None,
        description="Share of errors that accepted decisions may have, such as 0.02; none if empty.",
    )


class Export(Section):
    """Compilation for devices."""

    engines: Annotated[tuple[EngineName, ...], Field(strict=False)] = Field(
        default=(), description="Engines to compile for: openvino, onnx, tensorrt; those for a CPU if empty."
    )
    precisions: Annotated[tuple[Precision, ...], Field(strict=False)] = Field(
        default=(), description="Precisions to compile in; if empty, fp32 and the fastest that passes the parity gate."
    )


class Evaluate(Section):
    """Comparison of the systems, at the end."""

    corruptions: Text = Field(
        default=GENERATE,
        description="generate, or a folder of corrupted images, as allweather corrupt writes.",
    )
    images: int = Field(
        default=300,
        description="Test images that are used if the corruptions are generated, each in 96 versions.",
        ge=1,
    )


def _filled(value: Any) -> Any:
    """Returns an empty section for a key without a value, as YAML reads a section of which all is a comment."""
    return {} if value is None else value


class CreateConfig(Section):
    """The configuration of `allweather create`."""

    data: Text | None = Field(default=None, description=f"Data set: {DATASET_FORMS}.")
    size: int | Text | None = Field(
        default=None,
        description="Side of the images in pixels, or height x width as 160x224; if empty, the data's own, that of the "
        "network, or 224.",
    )
    crop: CropKind = Field(
        default="center",
        description="Part of an image of another shape that is taken: center, or squash for all of it.",
    )
    crop_fraction: float = Field(default=1.0, description="Share of the sides of the center that is kept, 0.1 to 1.")
    seed: int = Field(default=0, description="Random seed; the same seed gives the same result.", ge=0, lt=2**31)
    train: Annotated[Train, BeforeValidator(_filled)] = Field(default=Train(), description="The plain classifier.")
    onnx: Onnx | None = Field(default=None, description="Somebody's classifier, in place of train and finetune.")
    finetune: Annotated[Finetune | Literal["none"], BeforeValidator(_filled)] = Field(
        default=Finetune(), description="Robust finetuning; none leaves it out."
    )
    predictor: Annotated[Predictor | Literal["none"], BeforeValidator(_filled)] = Field(
        default=Predictor(), description="Loss predictor; none leaves it out."
    )
    tune: Annotated[Tune, BeforeValidator(_filled)] = Field(default=Tune(), description="Test-time augmentation.")
    export: Annotated[Export, BeforeValidator(_filled)] = Field(default=Export(), description="Compilation.")
    evaluate: Annotated[Evaluate, BeforeValidator(_filled)] = Field(default=Evaluate(), description="The report.")

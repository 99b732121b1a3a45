"""The names that settings and options choose from. Importing them loads no library, so that help is quick."""

from __future__ import annotations

from typing import Literal

DATASET_FORMS = (  # names of data sets
    "signs, cifar10:ROOT, cifar100:ROOT, folder:ROOT, list:FILE, hf:ROOT or webdataset:PATTERN"
)

LEARNED = "learned:"  # an augmentation of this name is read from the file whose path follows

Precision = Literal["auto", "bf16", "fp16", "fp32"]  # arithmetic of a training
UnscaledPrecision = Literal["auto", "bf16", "fp32"]  # those in which no loss has to be scaled
Schedule = Literal["onecycle", "cosine", "step"]  # of the learning rate
OptimizerName = Literal["sgd", "adamw"]
LoggerName = Literal["csv", "tensorboard", "mlflow"]  # of experiment tracking
LOG_FORMS = "csv:DIR, tensorboard:DIR or mlflow:DIR_OR_URI"
Padding = Literal["reflect", "zeros"]  # of images that are shifted
RecipeName = Literal["ait-paper"]  # settings of a paper's training
TrainCrop = Literal["center", "squash", "random-resized"]  # of the training images
ClassWeights = Literal["none", "balanced"]  # of the cross-entropy
Sampling = Literal["uniform", "balanced"]  # of the training images of an epoch

InvariantMethod = Literal["ait", "multi-ait", "dml"]
TrainMethod = Literal["plain", InvariantMethod]
RobustName = Literal["augmix", "prime", "mixed"]  # augmentations of training for consistency
Metric = Literal["kl", "euclidean", "both"]  # distance between the outputs for two variants
Layer = Literal["logits", "feature", "map"]  # outputs that are compared

FinetuneMethod = Literal["at", "st", "fma", "ait", "robust"]
Strategy = Literal["ia", "ca", "mixed"]  # how the augmentations of a copy are chosen

StrengthName = Literal[
    "brightness+", "brightness-", "saturation+", "saturation-", "gaussian_blur", "gaussian_noise", "salt_and_pepper"
]  # photometric augmentations, whose strengths a checkpoint keeps
AugmentationMode = Literal["parallel", "serial", "spatial", "appearance"]
AugmentationAim = Literal["clean", "combined", "corrupted"]  # images whose loss a learned augmentation lowers
HeldOut = Literal["share", "val"]  # where those images are from: a share of the training images, or the val split

PredictorKind = Literal["tiny", "efficientnet"]
RankLossName = Literal["squared", "regret", "spearman", "sodeep", "relative"]

CorruptionFamily = Literal["noise", "blur", "weather", "digital"]
SetLayout = Literal["npy", "folders"]  # files of a corrupted set, as in CIFAR-10-C or as in ImageNet-C

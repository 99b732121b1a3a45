"""The claims about networks that are trained already: finetuning, and test-time augmentation."""

from __future__ import annotations

from claims import Claim, ClaimTable

FINETUNING = "robust-finetuning.md#augmentation-strengths"
FINETUNING_COMMAND = (
    "python benchmarks/trainers/finetuning_tables.py samples/checkpoints/resnet20-45000.safetensors cifar10:ROOT "
    "FOLDER --epochs 30 --only at-ca-0 st-ca-0 fma-ca-0"
)
LAYERS_COMMAND = (
    "python benchmarks/trainers/finetuning_tables.py samples/checkpoints/resnet20-45000.safetensors cifar10:ROOT "
    "FOLDER --epochs 30 --layers layer3.2.relu2 --only fma-layers-ca-0"
)
IA_COMMAND = "python benchmarks/trainers/finetuning_tables.py r20.safetensors cifar10:ROOT FOLDER --epochs 1 --only ia"
VGG16_COMMAND = (
    "python benchmarks/trainers/finetuning_tables.py vgg16.safetensors cifar10:ROOT FOLDER --epochs 1 "
    "--only fma-ca-0 st-ca-0"
)
RECORDS = "robust-finetuning/"
START = {"start": "resnet20-45000.safetensors"}
TTA = "test-time-augmentation.md#what-it-gains"
TTA_COMMAND = "allweather evaluate r20t.aw --data cifar10:ROOT --corrupted REFERENCE --policy top:1 --policy top:2+flip"
ROBUST_COMMAND = (
    "allweather evaluate samples/bundles/cifar10-resnet20 --data cifar10:ROOT --corrupted REFERENCE --policy top:1"
)
TRAINING_COMMAND = (
    "python benchmarks/tta/training_corruptions.py r20.safetensors cifar10:ROOT REFERENCE FOLDER --epochs 2 "
    "--fraction 0.1"
)
CORRUPTIONS = {"train_images": 4498}

FINETUNED_CLAIMS = (
    ClaimTable(
        "claims-kapoor",
        (
            Claim(
                "FMA/CA gains accuracy, on average over the ten rows of table 3 (clean, seven augmentations, two "
                "combinations of them)",
                "+8.94 points (VGG-16, CIFAR-10, 30 epochs)",
                "+{robust-finetuning/fma-ca/gain} points (ResNet-20, CIFAR-10, 30 epochs)",
                "missed, by 0.19",
                FINETUNING_COMMAND,
                FINETUNING,
                (f"{RECORDS}fma-ca-0.json",),
                START,
            ),
            Claim(
                "the same with the last activation alone (ours; the paper compares all)",
                "+8.94 points",
                "+{robust-finetuning/fma-layers-ca/gain} points",
                "met",
                LAYERS_COMMAND,
                FINETUNING,
                (f"{RECORDS}fma-layers-ca-0.json",),
                START,
            ),
            Claim(
                "FMA/CA keeps the accuracy on clean images",
                "89.82 -> 88.97 %",
                "{robust-finetuning/start/clean} -> {robust-finetuning/fma-ca/clean} %",
                "met: it loses less",
                FINETUNING_COMMAND,
                FINETUNING,
                (
                    f"{RECORDS}start-0.json",
                    f"{RECORDS}fma-ca-0.json",
                ),
                START,
            ),
            Claim(
                "stability training gains with combined augmentations (ST/CA)",
                "+8.86 points",
                "+{robust-finetuning/st-ca/gain} points",
                "met",
                FINETUNING_COMMAND,
                FINETUNING,
                (f"{RECORDS}st-ca-0.json",),
                START,
            ),
            Claim(
                "FMA/CA gains as much as ST/CA, or a little more",
                "+8.94 and +8.86 points",
                "+{robust-finetuning/fma-ca/gain} and +{robust-finetuning/st-ca/gain} points",
                "missed",
                FINETUNING_COMMAND,
                FINETUNING,
                (
                    f"{RECORDS}fma-ca-0.json",
                    f"{RECORDS}st-ca-0.json",
                ),
                START,
            ),
            Claim(
                "training on the labels of combined copies gains little (AT/CA)",
                "+1.98 points",
                "+{robust-finetuning/at-ca/gain} points",
                "missed: here it gains the most",
                FINETUNING_COMMAND,
                FINETUNING,
                (f"{RECORDS}at-ca-0.json",),
                START,
            ),
            Claim(
                "with one augmentation at a time, FMA gains more than ST, and ST more than AT (table 2)",
                "+7.32, +7.11, +6.44 points (30 epochs)",
                "+4.38, +4.73, +5.36 points (ResNet-20, 1 epoch)",
                "missed, on a shorter schedule: the order is the reverse",
                IA_COMMAND,
                "robust-finetuning.md#table-2-of-the-paper-one-augmentation-at-a-time-ia",
            ),
            Claim(
                "FMA/CA over the ten rows on the paper's own network",
                "+8.94 points (start of 89.82 %)",
                "+1.21 points (VGG-16, start of 75.90 %, 1 epoch)",
                "missed, on a far shorter schedule",
                VGG16_COMMAND,
                "robust-finetuning.md#vgg-16",
            ),
            Claim("FMA/CA and ST/CA on ImageNet-200", "+8.04 and +8.27 points", "", "not run"),
        ),
    ),
    ClaimTable(
        "claims-kim",
        (
            Claim(
                "one view that a predictor chooses (`top:1`) lowers the error on corruptions that it has seen (15), "
                "and on others (4)",
                "36.15 -> 33.15, 33.19 -> 30.84 % (WRN-40-2 with AugMix, CIFAR-100-C)",
                "31.62 -> 23.69, 26.50 -> 20.33 % (ResNet-20, CIFAR-10)",
                "met",
                TTA_COMMAND,
                TTA,
            ),
            Claim(
                "it costs nothing on clean images",
                "23.34 -> 23.31 %",
                "8.27 -> 8.55 %",
                "missed, by 0.28 points",
                TTA_COMMAND,
                TTA,
            ),
            Claim(
                "two views and their flips (`top:2+flip`) are better on all three: clean, 15, 4",
                "23.34 -> 22.69, 36.15 -> 32.76, 33.19 -> 30.11 %",
                "8.27 -> 7.19, 31.62 -> 20.66, 26.50 -> 18.46 %",
                "met",
                TTA_COMMAND,
                TTA,
            ),
            Claim(
                "it helps a network that is robust already: `top:1` on 15, 4",
                "36.15 -> 33.15, 33.19 -> 30.84 % (AugMix)",
                "19.69 -> 15.80, 14.33 -> 12.88 % (ResNet-20, `robust`)",
                "met",
                ROBUST_COMMAND,
                TTA,
            ),
            Claim(
                "predicted and true losses agree in rank on test images",
                "0.30 (ImageNet)",
                "0.43 (CIFAR-10, common corruptions)",
                "met",
                TTA_COMMAND,
                TTA,
            ),
            Claim(
                "training on the corruptions instead costs clean accuracy; two views and their flips do not (table 2)",
                "25.16 beside 22.69 % clean error (AugMix alone 23.34)",
                "{training-corruptions/AugMix + corruptions/clean} beside "
                "{training-corruptions/AugMix, top:2+flip/clean} % (AugMix alone "
                "{training-corruptions/AugMix/clean})",
                "met",
                TRAINING_COMMAND,
                "training-corruptions.md",
                (
                    "training-corruptions/AugMix-corruptions-0.json",
                    "training-corruptions/AugMix-top-2-flip-0.json",
                    "training-corruptions/AugMix-0.json",
                ),
                CORRUPTIONS,
            ),
            Claim(
                "on the corruptions that were seen, such training gains more than the views",
                "30.08 beside 32.76 %",
                "{training-corruptions/AugMix + corruptions/common} beside "
                "{training-corruptions/AugMix, top:2+flip/common} %",
                "missed: here the views gain more; training on the corruptions alone "
                "({training-corruptions/corruptions/common} %) comes near",
                TRAINING_COMMAND,
                "training-corruptions.md",
                (
                    "training-corruptions/AugMix-corruptions-0.json",
                    "training-corruptions/AugMix-top-2-flip-0.json",
                    "training-corruptions/corruptions-0.json",
                ),
                CORRUPTIONS,
            ),
            Claim("ImageNet-C, ResNet-50: mCE with `top:1`, with `top:2+flip`", "78.93 -> 75.52, 74.00", "", "not run"),
        ),
    ),
)

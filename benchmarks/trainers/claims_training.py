"""The claims about training, and about corruptions."""

from __future__ import annotations

from claims import Claim, ClaimTable

SMALL_COMMAND = (
    "python benchmarks/trainers/invariance.py methods cifar10:ROOT FOLDER --arch resnet20 --fraction 0.1 --size 16"
)
METHODS_COMMAND = "python benchmarks/trainers/invariance.py methods cifar10:ROOT FOLDER --arch resnet32 --fraction 0.1"
SHIFT_COMMAND = (
    "python benchmarks/trainers/invariance.py shift cifar10:ROOT FOLDER --arch resnet20 --fraction 0.1 --epochs 20"
)
SMALL = {"size": 16}
LEARNED_COMMAND = "python benchmarks/trainers/learned_augmentation.py cifar10:ROOT FOLDER --epochs 160 --seeds 3"
ADAPTED = "adapted-statistics/resnet20-45000"
ADAPTED_COMMAND = (
    "python benchmarks/tta/adapted_statistics.py cifar10:ROOT FOLDER samples/checkpoints/resnet20-45000.safetensors"
)

TRAINING_CLAIMS = (
    ClaimTable(
        "claims-chen",
        (
            Claim(
                "AIT is above plain training (table 1), which has as many steps",
                "92.56 -> 93.14 % (ResNet-32, CIFAR-10)",
                "{invariance-methods/plain, twice as long/original} -> {invariance-methods/ait/original} % (ResNet-20, "
                "16 px, a tenth of CIFAR-10, 160 epochs)",
                "missed, on a smaller network and smaller images",
                SMALL_COMMAND,
                "invariant-training.md#today-the-papers-160-epochs-in-small",
                (
                    "invariant-training/plain-twice-as-long-0.json",
                    "invariant-training/ait-0.json",
                ),
                SMALL,
            ),
            Claim(
                "the same in short runs with the loss that allweather had before, AIT at twice the cost",
                "92.56 -> 93.14 %",
                "74.47 -> 75.68 % (ResNet-32, a tenth); 85.39 -> 86.44 % (all of CIFAR-10)",
                "met; missed at equal cost (79.11 %)",
                METHODS_COMMAND,
                "invariant-training.md#methods-as-in-tables-1-and-2-three-seeds",
            ),
            Claim(
                "multi-AIT is above AIT and plain training (table 2)",
                "69.83 -> 71.48 -> 72.32 % (two ResNet-32, CIFAR-100)",
                "{invariance-methods/plain, twice as long/original} -> {invariance-methods/ait/original} -> "
                "{invariance-methods/multi-ait/original} % (two ResNet-20, as above)",
                "above AIT: met; above plain training: missed",
                SMALL_COMMAND,
                "invariant-training.md#today-the-papers-160-epochs-in-small",
                (
                    "invariant-training/plain-twice-as-long-0.json",
                    "invariant-training/ait-0.json",
                    "invariant-training/multi-ait-0.json",
                ),
                SMALL,
            ),
            Claim(
                "AIT trained with shifts is above plain training on shifted images too (table 5)",
                "68.33 -> 70.67 % (ResNet-32, CIFAR-100)",
                "68.49 -> 71.47 % (ResNet-20, a tenth of CIFAR-10, the loss of before, twice the cost)",
                "met",
                SHIFT_COMMAND,
                "invariant-training.md#which-variants-to-train-with-table-5",
            ),
            Claim(
                "AIT trained with gray images is above plain training (table 5)",
                "65.25 -> 66.31 %",
                "67.43 -> 66.09 % (likewise)",
                "missed",
                SHIFT_COMMAND,
                "invariant-training.md#which-variants-to-train-with-table-5",
            ),
            Claim(
                "predictions for an image and its shifted copy become more alike (figure 5)",
                "a plot",
                "0.43 -> 0.28 nats (ResNet-20, the loss of before)",
                "met",
                "allweather evaluate plain.safetensors ait.safetensors --data cifar10:ROOT --shifted --out report",
                "invariant-training.md#how-alike-outputs-and-features-become-figures-5-and-6",
            ),
            Claim("wrong labels (table 3), CIFAR-100, 20 % of them", "62.20 -> 64.68 %", "", "not run"),
            Claim("parts of ImageNet (table 4), a tenth of it, ResNet-18", "46.57 -> 48.01 %", "", "not run"),
        ),
    ),
    ClaimTable(
        "claims-lee",
        (
            Claim(
                "influence functions predict how the loss changes (correlation; ours to be at least 0.9)",
                "no figure",
                "0.965 (an image left out), 0.947 (replaced by a shifted copy)",
                "met",
                "python benchmarks/trainers/influence.py r20.safetensors cifar10:ROOT FOLDER --samples 100",
                "learned-augmentation.md#is-the-influence-correct",
            ),
            Claim(
                "a learned augmentation is better than shifts and flips with a tenth of CIFAR-10 (table 1; error)",
                "22.5 -> 17.7 % (ResNet-56)",
                "19.82 (0.14) -> 18.51 (0.40) % (ResNet-20, warps, 160 epochs; mean and deviation of 3 seeds)",
                "met; but random warps do as well: 18.69 (0.13) %",
                LEARNED_COMMAND,
                "learned-augmentation.md#does-it-help",
            ),
            Claim(
                "warps alone, colors alone, both in serial, both in parallel: each is better than the one before (5.2)",
                "6.1, 5.8, 5.4, 5.2 % (all of CIFAR-10)",
                "18.75, 20.23, 18.85, 18.94 % (a tenth, seed 0)",
                "missed: colors alone do not help, the others are level",
                LEARNED_COMMAND,
                "learned-augmentation.md#does-it-help",
            ),
            Claim("the pre-trained network alone, without influence (5.2)", "6.4 beside 5.2 %", "", "not run"),
            Claim("all of CIFAR-10, shifts and flips -> learned (table 1)", "7.7 -> 5.2 %", "", "not run"),
        ),
    ),
    ClaimTable(
        "claims-others",
        (
            Claim(
                "Hendrycks and Dietterich 2019: our corruptions are as hard as the original ones (mean over 95 cells)",
                "the original program's images",
                "+0.05 points of error (ResNet-20), -0.06 (ResNet-56)",
                "met",
                "allweather evaluate r20.safetensors --data cifar10:ROOT --corrupted REFERENCE",
                "robustness.md#are-these-the-same-corruptions",
            ),
            Claim(
                "Brownlee 2020: averaging seven random variants gains accuracy",
                "0.686 -> 0.698 (a small network, CIFAR-10)",
                "0.736 -> 0.748 (likewise, ten seeds)",
                "met; two views, once each, gain more: 0.752",
                "",
                "test-time-augmentation.md",
            ),
            Claim(
                "Schneider et al. 2020: BatchNorm statistics of the last frames lower the error in weather that stays",
                "other data",
                "{adapted-statistics/as trained/common} -> {adapted-statistics/weather stays/common} % (ResNet-20)",
                "met; where one class follows the other, clean images: "
                "{adapted-statistics/weather stays, classes in turn/clean} %",
                ADAPTED_COMMAND,
                "adapted-statistics.md",
                (
                    f"{ADAPTED}-as-trained.json",
                    f"{ADAPTED}-weather-stays.json",
                    f"{ADAPTED}-weather-stays-classes-in-turn.json",
                ),
                {"checkpoint": "resnet20-45000.safetensors"},
            ),
        ),
    ),
)

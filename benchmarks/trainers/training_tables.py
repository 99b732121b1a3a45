"""The tables of the result pages about training: which records each shows, and in which rows and columns."""

from __future__ import annotations

from result_table import ResultTable

FMA_30 = "resnet20-fma-ca-30-epochs"
BATCH_NORM_ROWS = (
    "r20: as trained",
    "r20: of blurred ones",
    f"{FMA_30}: as trained",
    f"{FMA_30}: of clean images",
    f"{FMA_30}: of combined ones",
    f"{FMA_30}: of clean and combined ones",
    f"{FMA_30}: of blurred ones",
    "resnet20-at-ca-0: as trained",
    "resnet20-at-ca-0: of blurred ones",
)
FINETUNING_COLUMNS = {
    "clean": "clean",
    "B+": "brightness+",
    "B-": "brightness-",
    "S+": "saturation+",
    "S-": "saturation-",
    "blur": "gaussian_blur",
    "noise": "gaussian_noise",
    "salt and pepper": "salt_and_pepper",
    "Combined+": "combined+",
    "Combined-": "combined-",
    "gain": "gain",
}
DARK = ("1", "0.5", "0.35", "0.2", "0.1")
SCRATCH_ROWS = (
    "plain",
    "AugMix",
    "TrivialAugment",
    "plain, finetuned robust",
    "robust augmix",
    "robust prime",
    "robust mixed",
    "robust mixed, then FMA",
)
LEARNED_ROWS = ("none", "shifts and flips", "trivial", "chance", "pretrained", "learned", "as in the paper")
TRAINING_TABLES = (
    ResultTable(
        "robust-finetuning",
        "robust-finetuning",
        "test accuracy, %, and mean gain",
        FINETUNING_COLUMNS,
        ("start", "at-ca", "st-ca", "fma-ca", "fma-layers-ca", "robust", "robust-max-drop", "robust-dusk-max-drop"),
        {"start": "resnet20-45000.safetensors"},
        ("epochs",),
        {"at-ca": "+1.98", "st-ca": "+8.86", "fma-ca": "+8.94"},
    ),
    ResultTable(
        "weight-shares",
        "weight-shares",
        "share of the finetuned weights; accuracy, %",
        {"clean": "clean", "nine augmentations": "augmented"},
        ("0", "0.2", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1"),
        {},
        (),
        {},
    ),
    ResultTable(
        "robust-finetuning-corrupted",
        "committed-checkpoints",
        "error, %, of resnet20-45000 and what was finetuned from it",
        {"clean": "clean", "common 15": "common", "extra 4": "extra"},
        (
            "resnet20-45000",
            *(
                f"resnet20-45000-{name}-0"
                for name in (
                    "at-ca",
                    "st-ca",
                    "fma-ca",
                    "fma-layers-ca",
                    "robust",
                    "robust-max-drop",
                    "robust-dusk",
                    "robust-dusk-max-drop",
                )
            ),
        ),
        {},
        (),
        {},
    ),
    ResultTable(
        "robust-from-scratch",
        "robust-from-scratch",
        "resnet20, 16 px, 13,500 images, error, %",
        {"clean": "clean", "corrupted val images": "val", "common 15": "common", "extra 4": "extra"},
        SCRATCH_ROWS,
        {"size": 16},
        ("epochs",),
        {},
    ),
    ResultTable(
        "invariant-training",
        "invariance-methods",
        "resnet20, 16 px, test accuracy, %",
        {name: name for name in ("original", "random crop", "grayscale", "random color")},
        ("plain", "plain, twice as long", "ait", "ait, 128 images twice", "multi-ait", "dml"),
        {"size": 16},
        ("epochs",),
        {},
    ),
    ResultTable(
        "invariant-training-weight",
        "invariance-weight",
        "resnet20, 16 px, test accuracy, %",
        {name: name for name in ("original", "random crop", "grayscale", "random color")},
        tuple(f"lambda {weight}" for weight in ("0", "0.5", "1", "2", "4")),
        {"size": 16},
        ("epochs",),
        {},
    ),
    ResultTable(
        "batch-norm-rows",
        "batch-norm-rows",
        "accuracy, %, under statistics",
        {
            name: name.replace(" ", "_")
            for name in ("clean", "gaussian blur", "gaussian noise", "combined+", "combined-")
        },
        BATCH_NORM_ROWS,
        {},
        (),
        {},
    ),
    ResultTable(
        "darkness",
        "darkness",
        "error, %, on values times a factor, clear and with noise",
        {name: name for name in (*DARK, *(f"{factor}, noise" for factor in DARK))},
        (
            "resnet20-45000",
            *(
                f"resnet20-45000-{name}-0"
                for name in ("at-ca", "robust", "robust-max-drop", "robust-dusk", "robust-dusk-max-drop")
            ),
        ),
        {},
        (),
        {},
    ),
    ResultTable(
        "learned-augmentation",
        "learned-augmentation",
        "resnet20, 16 px, 4,498 images",
        {"test error, %": "error", "split-half correlation": "split_half_correlation"},
        LEARNED_ROWS,
        {"size": 16},
        ("epochs", "seed"),
        {"none": "34.0", "shifts and flips": "22.5", "learned": "17.7"},
    ),
)

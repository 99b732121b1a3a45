"""The tables of the result pages about views and experts: which records each shows, and in which rows and columns."""

from __future__ import annotations

from result_table import ResultTable

# rows of table 2 of Kim et al. (CIFAR-100, WRN-40-2), and of their table 1 for two views and their flips
TRAINING_CORRUPTIONS = {
    "AugMix": "23.34 / 36.15 / 33.19",
    "AugMix + corruptions": "25.16 / 30.08 / 30.49",
    "AugMix, top:1": "23.31 / 33.15 / 30.84",
    "AugMix, top:2+flip": "22.69 / 32.76 / 30.11",
}
EXPERT_COLUMNS = {"clean": "clean", "common 15": "common", "extra 4": "extra", "common 15, own": "own"}
EXPERT_ROWS = (
    "source",
    "hflip",
    *(f"corruption known, a = {share}" for share in ("0.5", "0.8", "1", "1 to 0.5")),
    "routed, 15 experts, first convolution",
    *(f"routed, {count} experts, five convolutions{flip}" for flip in ("", ", hflip") for count in (15, 8, 4)),
)
STREAMS = (
    "as trained",
    "weather stays",
    "weather stays, classes in turn",
    "weather changes every 50 frames",
    "weather changes with every frame",
)
POLICIES = ("center", "hflip", "top:1", "top:1+flip", "top:1+flip@0.95", "top:2+flip", "top:2+flip@0.95")
BIGGER_NETWORK = tuple(
    f"{network} {precision} {policy}"
    for network in ("resnet20", "resnet32", "resnet56")
    for precision in ("fp32", "int8")
    for policy in POLICIES
)
LARGE_POLICIES = (
    *("center+large@0.7", "center+large@0.9", "hflip+large@0.9"),
    *("top:1+large@0.7", "top:1+large@0.9", "top:1+flip+large@0.9"),
)
CASCADE_BUNDLE = (
    *(f"resnet20-large int8 {policy}" for policy in (*POLICIES, *LARGE_POLICIES)),
    *(f"resnet56 int8 {policy}" for policy in POLICIES),
)
CASCADES = tuple(
    f"cascade {policy}, {vote}, {threshold}"
    for policy in ("center", "top:1")
    for vote in ("alone", "average")
    for threshold in (0.5, 0.7, 0.9, 0.95, 0.98, 0.995)
)
EXPERT_POLICIES = ("top:1", "top:2", "top:1+flip", "top:2+flip")
EXPERT_CHOICES = tuple(
    f"{name}, {each}" for each in EXPERT_POLICIES for name in ("twelve views", "15 experts", "pairs")
)
VIEW_TABLES = (
    ResultTable(
        "predictor-at-224",
        "predictor-at-224",
        "224 px; error, %, and gain of the view ranked first",
        {"clean": "clean", "common 15": "corrupted", "gain": "corrupted gain"}
        | {f"gain in {family}": f"{family} gain" for family in ("noise", "blur", "weather", "digital")},
        (
            "one view",
            "top:1, image of 56 px",
            "top:1, image of 112 px",
            "top:1, center of 56 px",
            "top:1, image and center of 56 px",
            "best view",
        ),
        {"size": 224},
        (),
        {},
    ),
    ResultTable(
        "training-corruptions",
        "training-corruptions",
        "error, %",
        {"clean": "clean", "common 15": "common", "extra 4, never seen": "extra"},
        ("start", *TRAINING_CORRUPTIONS, "corruptions", "AugMix, hflip"),
        {"train_images": 4498},
        (),
        TRAINING_CORRUPTIONS,
    ),
    ResultTable(
        "extended-views",
        "extended-views",
        "error, %, of top:1; of top:2+flip",
        {
            f"{title}{', flipped' * (policy != 'top:1')}": f"{group}: {policy}"
            for policy in ("top:1", "top:2+flip")
            for title, group in (("val", "val corrupted"), ("clean", "clean"), ("15", "common"), ("4", "extra"))
        },
        ("twelve", "chosen", "all candidates"),
        {},
        (),
        {},
    ),
    ResultTable(
        "bigger-network",
        "bigger-network",
        "error, %, and milliseconds of a frame",
        {
            "clean": "clean",
            "common 15": "common",
            "extra 4": "extra",
            "ms, clean": "clean ms",
            "ms, corrupted": "corrupted ms",
        },
        BIGGER_NETWORK,
        {},
        (),
        {},
    ),
    ResultTable(
        "joint-views",
        "joint-views",
        "error, %",
        {"val": "val", "clean": "clean", "common 15": "common", "extra 4": "extra"},
        ("one view", "the same pair for all", "top:1", "top:2", "jointly"),
        {},
        (),
        {},
    ),
    ResultTable(
        "predictor-targets",
        "predictor-targets",
        "error, %",
        {
            "val clean: one view": "val clean: center",
            "val clean: top:1": "val clean: top:1",
            "val corrupted: one view": "val corrupted: center",
            "val corrupted: top:1": "val corrupted: top:1",
            "val corrupted: top:2+flip": "val corrupted: top:2+flip",
            "test clean: top:1": "clean: top:1",
            "common 15: top:1": "common: top:1",
            "common 15: top:2+flip+logits": "common: top:2+flip+logits",
            "extra 4: top:1": "extra: top:1",
            "seconds": "seconds",
        },
        ("own", "own, other margin", "held back", "folds"),
        {},
        (),
        {},
    ),
    ResultTable(
        "cascade-bundle",
        "cascade-bundle",
        "error, %, and mean milliseconds of a frame",
        {
            "clean": "clean",
            "common 15": "common",
            "extra 4": "extra",
            "ms, clean": "clean ms",
            "ms, corrupted": "corrupted ms",
        },
        CASCADE_BUNDLE,
        {},
        (),
        {},
    ),
    ResultTable(
        "cascade",
        "cascade",
        "error, %, and mean milliseconds of a frame",
        {
            "clean": "clean",
            "common 15": "common",
            "extra 4": "extra",
            "ms, clean": "clean ms",
            "ms, corrupted": "corrupted ms",
            "second network, % of clean": "clean asked",
            "of corrupted": "common asked",
        },
        (*BIGGER_NETWORK, *CASCADES),
        {},
        (),
        {},
    ),
    *(
        ResultTable(
            f"adapted-statistics-{name}",
            "adapted-statistics",
            "error, %",
            {"clean": "clean", "common 15": "common", "extra 4": "extra"},
            STREAMS,
            {"checkpoint": f"resnet20-{name}.safetensors"},
            (),
            {},
        )
        for name in ("45000", "robust-0")
    ),
    *(
        ResultTable(
            f"experts-{part}-{network}",
            "experts",
            "error, %",
            EXPERT_COLUMNS,
            rows,
            {"network": network},
            ("passes",),
            {},
        )
        for network, part, rows in (
            ("robust", "routers", EXPERT_ROWS),
            ("robust", "predictors", EXPERT_CHOICES),
        )
    ),
)

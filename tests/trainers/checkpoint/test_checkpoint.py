from __future__ import annotations

import dataclasses
import json
import struct
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from allweather.runtimes.errors import CheckpointError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint, save_checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.checkpoint.state_dict import checkpoint_from_state_dict
from allweather.trainers.choices import StrengthName
from allweather.trainers.models.loss_predictor import build_predictor
from allweather.trainers.models.registry import build_model

CLASSES = ("cat", "dog", "emu")


@pytest.fixture(scope="module")
def trained() -> Checkpoint:
    torch.manual_seed(0)
    model = build_model("resnet20", 3, InputSpec(32, 32))
    return Checkpoint(
        arch="resnet20",
        classes=CLASSES,
        input=InputSpec(32, 32),
        weights=model.network.state_dict(),
        data="pets",
        seed=7,
        settings={"epochs": 2, "hflip": None},
        metrics={"val_accuracy": 0.5},
        history=({"epoch": 1, "loss": 1.5},),
        versions={"torch": "2"},
        strengths={"brightness+": 0.25},
    )


@pytest.fixture(scope="module")
def content(trained: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("checkpoint") / "x.safetensors"
    save_checkpoint(path, trained)
    return path.read_bytes()


def header_of(content: bytes) -> dict[str, object]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["allweather"])


def test_round_trip(trained: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.safetensors", trained)
    back = load_checkpoint(tmp_path / "a.safetensors")
    for name in ("arch", "classes", "input", "data", "seed", "settings", "metrics", "history", "versions", "strengths"):
        assert getattr(back, name) == getattr(trained, name), name
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(back.classifier()(x), trained.classifier()(x))
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_predictor_and_policies_travel_with_the_classifier(trained: Checkpoint, tmp_path: Path) -> None:
    spec = InputSpec(16, 16)
    model = build_predictor("tiny", spec).eval()
    predictor = TrainedPredictor("tiny", spec, tuple(VIEWS), "0123", model.state_dict(), metrics={"val_accuracy": 0.5})
    gps = Policy("gps:2", "all", ("zoom1.2", "identity"), 2)
    policies = (gps, parse_policy("top:2+flip"), parse_policy("top:2+flip+logits@0.9"))
    whole = dataclasses.replace(trained, predictor=predictor, policies=policies)
    save_checkpoint(tmp_path / "a.safetensors", whole)
    back = load_checkpoint(tmp_path / "a.safetensors")
    assert back.policies == policies
    stored = header_of((tmp_path / "a.safetensors").read_bytes())["policies"]
    assert ["averages" in each for each in stored] == [False, False, True]
    assert back.predictor is not None
    assert dataclasses.replace(back.predictor, weights={}) == dataclasses.replace(predictor, weights={})
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(back.predictor.model()(x), model(x))
    assert torch.equal(back.classifier()(torch.rand(0, 3, 32, 32)), trained.classifier()(torch.rand(0, 3, 32, 32)))


def test_a_new_predictor_gives_its_views_to_the_policies_that_rank_views(trained: Checkpoint, tmp_path: Path) -> None:
    spec, views = InputSpec(16, 16), ("zoom1.2", "identity", "color2")
    learned = Policy("learned", "all", ("hflip", "identity"), 2, weights=(1.0, 2.0))
    old = dataclasses.replace(trained, policies=(parse_policy("top:2+flip"), learned))
    predictor = TrainedPredictor("tiny", spec, views, "0123", build_predictor("tiny", spec, 3).state_dict())
    new = old.with_predictor(predictor)
    assert new.policies == (parse_policy("top:2+flip", predictor_views=views), learned)
    save_checkpoint(tmp_path / "new.safetensors", new)
    assert load_checkpoint(tmp_path / "new.safetensors").policies == new.policies
    save_checkpoint(tmp_path / "mixed.safetensors", dataclasses.replace(old, predictor=predictor))
    with pytest.raises(CheckpointError, match=r"damaged: policy top:2\+flip ranks other views"):
        load_checkpoint(tmp_path / "mixed.safetensors")


def test_the_header_is_pinned(content: bytes) -> None:
    assert header_of(content) == {
        "format": "allweather-checkpoint",
        "schema_version": 2,
        "arch": "resnet20",
        "classes": ["cat", "dog", "emu"],
        "input": {
            "height": 32,
            "width": 32,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "crop": "center",
            "crop_fraction": 1.0,
        },
        "data": "pets",
        "seed": 7,
        "settings": {"epochs": 2, "hflip": None},
        "metrics": {"val_accuracy": 0.5},
        "history": [{"epoch": 1, "loss": 1.5}],
        "versions": {"torch": "2"},
        "strengths": {"brightness+": 0.25},
        "predictor": None,
        "policies": [],
    }


def load_error(path: Path) -> str:
    """The message of the error that loading and building the classifier raises; it is a single line."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path).classifier()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
@pytest.mark.slow
def test_damage_gives_one_clear_error(content: bytes, tmp_path: Path, data: st.DataObject) -> None:
    """The weights carry no hash: damaged ones either fail to load, or keep their names, shapes and header."""
    path = tmp_path / "x.safetensors"
    kind = data.draw(st.sampled_from(["truncate", "flip header", "text"]))
    if kind == "truncate":
        damaged = content[: data.draw(st.integers(0, len(content) - 1))]
    elif kind == "text":
        damaged = data.draw(st.binary(max_size=200))
    else:
        (length,) = struct.unpack("<Q", content[:8])
        index = data.draw(st.integers(0, 8 + length - 1))
        changed = data.draw(st.integers(0, 255).filter(lambda value: value != content[index]))
        damaged = content[:index] + bytes([changed]) + content[index + 1 :]
    path.write_bytes(damaged)
    if kind == "flip header":  # a file with a changed letter in a class name is still a checkpoint
        with suppress(CheckpointError):
            load_checkpoint(path).classifier()
    else:
        load_error(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 1}, "older allweather .* 1; this one reads 2.; train or import it again"),
        ({"schema_version": 3}, "newer allweather .* 3; this one reads 2.; update"),
        ({"schema_version": "1.5"}, "damaged: schema_version"),
        ({"classes": ["one"]}, "damaged: classes"),
        ({"arch": "resnet9000"}, "no architecture is called 'resnet9000'"),
        (
            {"input": {"height": 10**9, "width": 32, "mean": [0, 0, 0], "std": [1, 1, 1]}},
            "input.height: Input should be less",
        ),
        (
            {"input": {"height": 32, "width": 32, "mean": [0, 0, 0], "std": [0, 1, 1]}},
            "input.std.0: Input should be greater than",
        ),
        *(
            ({"input": {"height": 32, "width": 32, "mean": [0, 0, 0], "std": [1, std, 1]}}, "damaged: input.std.1: ")
            for std in (1e-40, 1e308)
        ),
        ({"classes": ["cat", "cat", "emu"]}, "damaged: .*'cat' is there twice"),
        ({"classes": ["caf\u00e9", "cafe\u0301", "emu"]}, "damaged: .* is there twice"),
        ({"classes": ["cat", "", "emu"]}, "damaged: a class has the name '', which names nothing"),
        ({"classes": ["cat", " ", "emu"]}, "damaged: a class has the name ' ', which names nothing"),
        ({"classes": ["cat", "a\nb", "emu"]}, r"damaged: .* holds U\+000A"),
        ({"policies": [{"name": "x\ny", "pick": "all", "views": ["hflip"], "num_views": 1}]}, r"damaged: .* U\+000A"),
        ({"extra": 1}, "damaged: extra"),
        ({"policies": [{"name": "x", "pick": "all", "views": ["fog"], "num_views": 1}]}, "no view is called 'fog'"),
        ({"policies": [{"name": "x", "pick": "some", "views": ["hflip"], "num_views": 1}]}, "damaged: policies.0.pick"),
        (
            {"policies": [{"name": "x", "pick": "all", "views": ["hflip"], "num_views": 1, "y": 1}]},
            "damaged: policies.0.y",
        ),
        ({"classes": list(map(str, range(40)))}, "linear.weight has the shape .3, 64. where .* .40, 64."),
    ],
)
def test_invalid_headers_are_refused(
    content: bytes, tmp_path: Path, trained: Checkpoint, change: dict[str, object], message: str
) -> None:
    header = {**header_of(content), **change}
    path = tmp_path / "x.safetensors"
    save_file(dict(trained.weights), path, {"allweather": json.dumps(header)})
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path).classifier()


def test_a_missing_file_and_a_plain_state_dict_are_refused(tmp_path: Path, trained: Checkpoint) -> None:
    assert "no checkpoint at" in load_error(tmp_path / "none.safetensors")
    save_file(dict(trained.weights), tmp_path / "plain.safetensors")
    assert "'allweather import' makes one" in load_error(tmp_path / "plain.safetensors")


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_import_accepts_wrapper_prefixes_and_other_names_of_the_head(
    tmp_path: Path, trained: Checkpoint, prefix: str
) -> None:
    path = tmp_path / "theirs.safetensors"
    theirs = {prefix + key.replace("linear.", "fc."): value for key, value in trained.weights.items()}
    save_file({key: value for key, value in theirs.items() if "num_batches" not in key}, path)
    imported = checkpoint_from_state_dict(path, "resnet20", CLASSES, InputSpec(32, 32))
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(imported.classifier()(x), trained.classifier()(x))


def test_import_names_the_weight_that_does_not_fit(tmp_path: Path, trained: Checkpoint) -> None:
    path = tmp_path / "theirs.safetensors"
    save_file(dict(trained.weights), path)
    with pytest.raises(CheckpointError, match=r"layer1.3.conv1.weight is missing .* name the --arch"):
        checkpoint_from_state_dict(path, "resnet32", CLASSES, InputSpec(32, 32))
    with pytest.raises(CheckpointError, match=r"linear.weight has the shape \[3, 64\] where"):
        checkpoint_from_state_dict(path, "resnet20", ("a", "b"), InputSpec(32, 32))
    save_file(
        {
            f"fc.{'weight'}" if key == "linear.weight" else key: value
            for key, value in trained.weights.items()
            if key != "linear.bias"
        },
        path,
    )
    with pytest.raises(CheckpointError, match=r"linear.bias is missing"):
        checkpoint_from_state_dict(path, "resnet20", CLASSES, InputSpec(32, 32))


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 1j, 1])
def test_a_checkpoint_whose_weights_are_no_real_numbers_is_refused(tmp_path: Path, value: complex) -> None:
    dtype = {int: torch.int8, complex: torch.complex64}.get(type(value), torch.float32)
    good = Checkpoint("resnet20", ("a", "b"), InputSpec(32, 32), {"w": torch.zeros(2)}, "signs", 0)
    save_checkpoint(tmp_path / "c.safetensors", good)
    load_checkpoint(tmp_path / "c.safetensors")
    save_checkpoint(
        tmp_path / "c.safetensors", dataclasses.replace(good, weights={"w": torch.full((2,), value, dtype=dtype)})
    )
    with pytest.raises(CheckpointError, match=r"the weight w (holds NaN or infinity|is of type)"):
        load_checkpoint(tmp_path / "c.safetensors")


@pytest.mark.parametrize("strengths", [{"brightness+": float("inf")}, {"fog": 1.0}, {"gaussian_blur": float("nan")}])
def test_strengths_that_are_infinite_or_unknown_are_refused(tmp_path: Path, strengths: dict[str, float]) -> None:
    good = Checkpoint("resnet20", ("a", "b"), InputSpec(32, 32), {"w": torch.zeros(2)}, "signs", 0)
    save_checkpoint(tmp_path / "c.safetensors", good)
    weights, header = tensor_file.read(tmp_path / "c.safetensors")
    assert header is not None
    tensor_file.write(tmp_path / "c.safetensors", weights, header | {"strengths": strengths})
    with pytest.raises(CheckpointError, match="is damaged: strengths"):
        load_checkpoint(tmp_path / "c.safetensors")


def test_strengths_are_those_of_the_photometric_augmentations() -> None:
    assert get_args(StrengthName) == tuple(AUGMENTATIONS)


def test_a_network_is_no_loss_predictor_of_a_checkpoint(trained: Checkpoint) -> None:
    with pytest.raises(UsageError, match=r"predictor is a TrainedPredictor; .* TTAWrapper takes any network"):
        trained.with_predictor(build_predictor("tiny", InputSpec(16, 16)))  # type: ignore[arg-type]


def test_arguments_in_the_order_of_torch_save_are_told(trained: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the path comes before the checkpoint: save_checkpoint\(path, checkpoint\)"):
        save_checkpoint(trained, tmp_path / "x.safetensors")  # type: ignore[arg-type]

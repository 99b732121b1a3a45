"""A bundle with a second, large classifier: exported, extended, tuned, evaluated and served."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import invoke, json_of, one_line

from allweather.evaluation.policies import policy_evaluation
from allweather.exporters.addition import add_to_bundle
from allweather.exporters.checkpoint_export import ExportOptions, export
from allweather.exporters.model_card import MODEL_CARD
from allweather.exporters.serving import write_repository
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.errors import ParityError, UsageError
from allweather.runtimes.load import load
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.types import Image
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import save_checkpoint
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.inference.open_model import open_model
from allweather.trainers.policies.comparison import compare_policies, parse_requested

pytestmark = pytest.mark.slow  # classifiers are trained and compiled

POLICY = "center+large@0.9"
SHARES = np.linspace(0, 0.6, 10, dtype=np.float32)
FP32 = ExportOptions(precisions=("fp32",))


@pytest.fixture(scope="module")
def both(checkpoint: Checkpoint, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("both") / "both.aw"
    export(checkpoint, dataset, out, FP32, large=checkpoint)
    return out


@pytest.fixture(scope="module")
def cascade(both: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cascade") / "cascade.aw"
    add_to_bundle(both, None, [parse_policy(POLICY)], None, out)
    return out


def mixtures(images: Image) -> Image:
    """Returns mixtures of images with those of other classes: of some of them the network is not sure."""
    others = images[::-1].astype(np.float32)
    return np.concatenate([(images + share * (others - images)).astype(np.uint8) for share in SHARES])


def test_the_bundle_holds_both_for_every_engine(both: Path) -> None:
    bundle = Bundle.open(both)
    roles = [(model.role, model.engine) for model in bundle.manifest.models]
    assert sorted(roles) == sorted((role, name) for role in ("classifier", "large") for name in ("onnx", "openvino"))
    for model in bundle.manifest.models:
        assert model.parity.accuracy == model.parity.reference_accuracy
        assert bundle.golden_outputs(model).shape == (bundle.manifest.golden_count, len(bundle.classes))


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_its_policy_is_followed(engine: str, cascade: Path, dataset: Dataset) -> None:
    images = list(mixtures(dataset.test.images.numpy()))
    with load(cascade, engine=engine) as perceiver, load(cascade, engine=engine, policy="center") as single:
        decisions = perceiver.batch(images)
        for decision, alone in zip(decisions, single.batch(images), strict=True):
            assert decision.views == (("identity",) if alone.confidence > 0.9 else ("identity", "large:identity"))
            assert decision.label == alone.label  # both are the same network
    assert {len(decision.views) for decision in decisions} == {1, 2}
    assert "the first one also on the large classifier" in Bundle.open(cascade).read(MODEL_CARD).decode()


def test_it_is_tuned_and_evaluated(both: Path, cascade: Path, dataset: Dataset) -> None:
    with open_model(both, engine="openvino") as opened:
        assert opened.large_cost >= 1
        requested = parse_requested((), opened, hflip=True)
        assert {"center+large@0.9", "hflip+large@0.9", "center+large+logits@0.7"} <= {
            str(getattr(each, "name", each)) for each in requested
        }
        val = Split(torch.from_numpy(mixtures(dataset.val.images.numpy())), dataset.val.labels.repeat(len(SHARES)))
        found = compare_policies(opened, val, [parse_policy(POLICY), parse_policy("center")], hflip=True)
    large, center = found.results
    assert large.accuracy == pytest.approx(center.accuracy)
    assert 1 < large.mean_views <= 1 + opened.large_cost
    assert found.sentences()[0].startswith(f"one run of the large classifier counts as {opened.large_cost:.1f} views")
    with open_model(cascade, engine="openvino") as opened:
        mixed = Split(torch.from_numpy(mixtures(dataset.test.images.numpy())), dataset.test.labels.repeat(len(SHARES)))
        data = dataclasses.replace(dataset, test=mixed)
        result, _ = policy_evaluation(opened, data, None, [parse_policy(POLICY)])
    (mine,) = [each for each in result.results if each.policy == POLICY]
    assert mine.mean_views["clean"] is not None
    assert 1 < mine.mean_views["clean"] < 2


@pytest.mark.parametrize("layout", ["triton", "ovms"])
def test_a_server_gets_both(layout: str, both: Path, tmp_path: Path) -> None:
    write_repository(Bundle.open(both), layout, tmp_path / "models")  # type: ignore[arg-type]
    assert {"classifier", "large"} <= {each.name for each in (tmp_path / "models").iterdir()}


def test_another_bundle_without_it_follows_no_such_policy(exported: tuple[Path, object], tmp_path: Path) -> None:
    with pytest.raises(Exception, match="a policy of a large classifier, and none in its models"):
        add_to_bundle(exported[0], None, [parse_policy(POLICY)], None, tmp_path / "x.aw")
    assert not (tmp_path / "x.aw").exists()


def test_classes_and_input_must_be_the_same(checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path) -> None:
    out, spec = tmp_path / "x.aw", checkpoint.input
    other = dataclasses.replace(checkpoint, classes=checkpoint.classes[::-1])
    with pytest.raises(UsageError, match="the same in another order"):
        export(checkpoint, dataset, out, FP32, large=other)
    other = dataclasses.replace(checkpoint, input=InputSpec(spec.height + 8, spec.width, spec.mean, spec.std))
    with pytest.raises(UsageError, match=r"40 px, crop center 1, and .* train both at the same size"):
        export(checkpoint, dataset, out, FP32, large=other)
    own = dataclasses.replace(checkpoint, arch="own:mine", module=None)
    with pytest.raises(UsageError, match=r"a network of your own.* large=load_checkpoint\(path, model=\.\.\.\)"):
        export(checkpoint, dataset, out, FP32, large=own)
    save_checkpoint(tmp_path / "other.safetensors", other)
    save_checkpoint(tmp_path / "one.safetensors", checkpoint)
    line = ["export", tmp_path / "one.safetensors", "--data", "signs", "--out", out, "--large"]
    assert "train both at the same size" in one_line(invoke(*line, tmp_path / "other.safetensors"))
    assert "no checkpoint at" in one_line(invoke(*line, tmp_path / "none.safetensors"))
    assert not out.exists()


def test_a_checkpoint_that_needs_one_is_told_before_anything_is_compiled(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path
) -> None:
    tuned = dataclasses.replace(checkpoint, policies=(parse_policy("center"), parse_policy(POLICY)))
    with pytest.raises(UsageError, match=r"has the policy center\+large@0\.9, .* name its checkpoint \(--large\)"):
        export(tuned, dataset, tmp_path / "x.aw", FP32)


def test_without_a_large_classifier_that_passes_nothing_is_written(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from allweather.exporters import candidates

    real = candidates.check_parity
    calls: list[int] = []

    def check(*arguments: object) -> object:
        calls.append(1)
        result = real(*arguments)  # type: ignore[arg-type]
        return result if len(calls) <= 2 else dataclasses.replace(result, reason="it is broken")

    monkeypatch.setattr(candidates, "check_parity", check)
    with pytest.raises(ParityError, match=r"no large classifier passes the parity gate \(openvino fp32: it is broken"):
        export(checkpoint, dataset, tmp_path / "x.aw", FP32, large=checkpoint)
    assert not (tmp_path / "x.aw").exists()
    assert np.sum(calls) == 4


def test_it_is_measured_after_one_view_of_every_frame(both: Path) -> None:
    benchmark = json_of(invoke("bench", both, "--frames", 5, "--max-views", 2, "--engine", "onnx", "--json"))
    alone, with_large = benchmark["runs"]
    assert (alone["num_views"], alone["report"]["large_runs"]) == (2, 0)
    assert (with_large["num_views"], with_large["report"]["large_runs"]) == (1, 5)
    assert "onnx fp32 k=1+large" in invoke("bench", both, "--frames", 5, "--max-views", 2, "--engine", "onnx").stdout

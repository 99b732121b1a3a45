"""allweather tune-policy: chooses a test-time augmentation policy, and stores it."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import invoke, json_of, one_line
from jpeg_data import DAMAGED, write_jpegs

from allweather.runtimes.load import load
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint


@pytest.mark.slow
def test_a_tuned_policy_goes_into_the_bundle(plain: Path, folder: Path, tmp_path: Path) -> None:
    data, tuned, bundle = f"folder:{folder}", tmp_path / "tuned.safetensors", tmp_path / "tuned.aw"
    result = json_of(invoke("tune-policy", plain, "--data", data, "--policy", "gps:3", "--out", tuned, "--json"))
    assert result["policy"] == "center"  # one view, because the few images decide nothing
    assert "decide nothing" in " ".join(result["judgement"])
    first, gps = load_checkpoint(tuned).policies
    assert (first.name, gps.name, len(gps.views)) == ("center", "gps:3", 3)
    both = tmp_path / "both.safetensors"
    done = invoke("tune-policy", tuned, "--data", data, "--policy", "hflip", "--out", both)
    assert "hflip takes the place of center, which was followed before" in one_line(done)
    assert [policy.name for policy in load_checkpoint(both).policies] == ["hflip", "center", "gps:3"]
    again = invoke("tune-policy", both, "--data", data, "--policy", "gps:2", "--out", tmp_path / "again.safetensors")
    assert "center takes the place of hflip, which was followed before" in one_line(again)
    early = tmp_path / "early.safetensors"
    assert invoke("tune-policy", both, "--data", data, "--policy", "gps:3@0.9", "--out", early).exit_code == 0
    first, *_ = load_checkpoint(early).policies
    assert (first.name, first.early_exit_threshold, first.views) == ("gps:3@0.9", 0.9, gps.views)
    line = ["--data", data, "--engine", "onnx", "--precision", "fp32", "--out", bundle]
    assert invoke("export", both, *line).exit_code == 0
    with load(bundle) as perceiver:
        assert perceiver.policy.name == "hflip"
    with load(bundle, policy="gps:3") as perceiver:
        assert perceiver.policy.views == gps.views
    clean = invoke("evaluate", bundle, "--data", data)
    assert "tuned for the policy hflip: --policy hflip evaluates that" in one_line(clean)
    line = ["evaluate", "--data", data, "--policy", "gps:3", "--json"]
    compiled, trained = (json_of(invoke(*line, path))["results"] for path in (bundle, both))
    assert [result["clean"] for result in compiled] == [result["clean"] for result in trained]


@pytest.mark.slow
def test_policies_are_compared_and_the_best_is_stored(plain: Path, folder: Path, tmp_path: Path) -> None:
    line, tuned = ["tune-policy", plain, "--data", f"folder:{folder}"], tmp_path / "tuned.safetensors"
    result = json_of(invoke(*line, "--max-views", 2, "--out", tuned, "--json"))
    rows = {row["policy"]: row for row in result["compared"]}
    assert set(rows) == {
        "center", "hflip", "hflip@0.95", "5crop", "10crop", "all", "gps:1", "gps:2", "gps:3", "gps:4", "learned",
        "hflip+logits", "hflip+logits@0.95", "5crop+logits", "10crop+logits", "all+logits", "gps:2+logits",
        "gps:3+logits", "gps:4+logits", "learned+logits",
    }  # fmt: skip
    assert 1 <= rows["hflip@0.95"]["mean_views"] <= 2
    assert rows[result["policy"]]["mean_views"] <= 2
    assert (result["policy"], result["views"]) == ("center", ["identity"])
    assert result["val_accuracy"] == result["center_val_accuracy"] == rows["center"]["val_accuracy"]
    assert not any(row.get("better_beyond_chance") for row in rows.values())
    assert "5crop" not in [name for name, row in rows.items() if "gain" in row]  # it runs too many views
    kept = [policy.name for policy in load_checkpoint(tuned).policies]
    assert kept[0] == result["policy"]
    assert {"gps:1", "gps:2", "gps:3", "gps:4", "learned", "gps:4+logits", "learned+logits"} <= set(kept)
    done = invoke(*line, "--policy", "hflip", "--policy", "gps:1", "--out", tuned)
    assert "calibrated log-likelihood" in done.stdout
    assert f"{result['images']} images decide nothing, at least 50 are needed: one view is stored" in one_line(done)


@pytest.mark.slow
def test_decisions_are_accepted_only_where_enough_images_show_their_risk(plain: Path, tmp_path: Path) -> None:
    root, out = write_jpegs(tmp_path / "data", {"train": 3, "val": 12, "test": 4}), tmp_path / "out.safetensors"
    line = ["tune-policy", plain, "--data", f"folder:{root}", "--policy", "hflip", "--out", out, "--json"]
    few = json_of(invoke(*line, "--risk", 0.02))
    assert (
        "149 accepted decisions without an error are the fewest that could, and only 18 images are left"
        in few["judgement"][0]
    )
    assert (few["accepted_from_confidence"], few["coverage"]) == (None, None)
    (policy,) = load_checkpoint(out).policies
    assert policy.name == "hflip"  # a single one is stored, whatever it gains
    assert policy.confidence_model is not None
    assert policy.confidence_model.acceptance is None
    lenient = json_of(invoke(*line, "--risk", 0.99))
    (policy,) = load_checkpoint(out).policies
    assert policy.confidence_model is not None
    assert policy.confidence_model.acceptance is not None
    found = policy.confidence_model.acceptance
    assert (found.images, found.risk, found.level) == (18, 0.99, 0.95)
    assert lenient["accepted_from_confidence"] == found.threshold
    assert lenient["coverage"] == found.coverage
    assert len(lenient["temperatures"]) == 2
    assert "at most 99 % of accepted decisions are errors (95 %, Learn then Test)" in lenient["judgement"][0]
    assert "rest on 18 images of the 36 of the val split" in lenient["judgement"][1]
    plainly = json_of(invoke(*line))
    assert "temperatures" not in plainly  # stored as it is
    assert load_checkpoint(out).policies[0].confidence_model is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--policy", "gps:99"], "gps:K ... 1 to 23"),
        (["--policy", "top:1"], "needs a loss predictor"),
        (["--policy", "oracle:1"], "oracle:1 ... evaluate"),
        (["--policy", "best"], "no policy is called 'best'"),
        (["--policy", "hflip", "--max-views", 2], "hflip is stored as it is; leave out --max-views"),
        (["--policy", "gps:2", "--max-views", 2], "is the only one; leave out --max-views"),
        (["--max-views", 0], "--max-views ... at least 1; got 0"),
        (["--risk", 0], "risk of accepted decisions is above 0 and below 1; got 0"),
        (["--risk", "2"], "above 0 and below 1; got 2"),
    ],
)
def test_bad_input(plain: Path, folder: Path, tmp_path: Path, options: list[object], words: str) -> None:
    line = ["tune-policy", plain, "--data", f"folder:{folder}", "--out", tmp_path / "x.safetensors"]
    done = invoke(*line, *options)
    assert done.exit_code == 2
    for part in words.split(" ... "):
        assert part in one_line(done)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_streamed_images_are_tuned_and_evaluated_as_those_in_memory(plain: Path, tmp_path: Path) -> None:
    root = write_jpegs(tmp_path / "data", {"train": 3, "val": 12, "test": 12}, damaged="val")
    path = root / "test" / DAMAGED
    path.write_bytes(path.read_bytes()[:200])
    tuned, evaluated = [], []
    for form in ("--in-memory", "--stream"):
        data, out = ["--data", f"folder:{root}", form, "--json"], tmp_path / f"{form}.safetensors"
        result = json_of(invoke("tune-policy", plain, *data, "--policy", "hflip", "--policy", "gps:1", "--out", out))
        tuned.append({**result, "checkpoint": None, "inventory": None})
        result = json_of(invoke("evaluate", plain, *data))
        evaluated.append({**result, "images_per_second": None, "provenance": result["provenance"]["images"]})
    assert tuned[0] == tuned[1]
    assert tuned[0]["images"] == 35
    assert evaluated[0] == evaluated[1]
    assert evaluated[0]["provenance"] == 35
    given = invoke("tune-policy", plain, *data, "--workers", 1, "--policy", "hflip", "--out", out)
    assert given.exit_code == 2
    assert "hflip is stored as it is" in one_line(given)

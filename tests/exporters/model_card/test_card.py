"""The model card: what it says is what the manifest and the checkpoint hold, whatever their texts are."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from allweather.exporters.addition import add_to_bundle
from allweather.exporters.model_card import MODEL_CARD, checkpoint_card, extended_card, foreign_card
from allweather.runtimes.bundle.bundle import Bundle, write_bundle
from allweather.runtimes.bundle.manifest import Manifest
from allweather.runtimes.errors import BundleError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.text import printable
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.data.dataset import Dataset

SECTIONS = [
    "Model", "How to load it", "Training data", "Training", "Accuracy on validation images", "Loss predictor",
    "Test-time augmentation", "Compiled models", "Made with", "What was not measured", "License",
]  # fmt: skip
MARKUP = [
    "a|b",
    "`c`",
    "<script>x</script>",
    "# h\n## Training\n",
    "---",
    "- a",
    "[a](b)",
    "&lt;",
    "\\|",
    "**a**",
    "```",
]
texts = st.text(max_size=20) | st.sampled_from(MARKUP)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
RENDERER = MarkdownIt("commonmark", {"html": True}).enable("table")


@pytest.fixture(scope="module")
def manifest(sample_bundle: Path) -> Manifest:
    return Bundle.open(sample_bundle).manifest


def checkpoint_of(manifest: Manifest, **fields: Any) -> Checkpoint:
    given = {"data": "folder:signs", "seed": 3, "versions": {"torch": "2.13.0"}, **fields}
    return Checkpoint(manifest.arch, manifest.classes, InputSpec(32, 32), {}, **given)


def predictor_of(manifest: Manifest, **fields: Any) -> TrainedPredictor:
    return TrainedPredictor("tiny", InputSpec(16, 16), manifest.views, "0" * 16, {}, **fields)


def parsed(card: bytes) -> tuple[dict[str, Any], list[Token]]:
    """Returns the front matter and the tokens of a card."""
    empty, front, body = card.decode().split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(front), RENDERER.parse(body)


def headings(tokens: list[Token]) -> list[str]:
    return [
        tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open" and token.tag == "h2"
    ]


def tables(tokens: list[Token]) -> list[list[list[str]]]:
    """Returns the cells of each table, as they are shown."""
    found: list[list[list[str]]] = []
    for before, token in pairwise(tokens):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif before.type in ("td_open", "th_open"):
            found[-1][-1].append("".join(child.content for child in token.children or ()))
    return found


@settings(max_examples=30, deadline=None)
@given(name=texts, reason=texts, keys=st.dictionaries(texts, values, max_size=4), notes=st.lists(texts, max_size=3))
@pytest.mark.slow
def test_no_text_of_a_user_marks_anything_up(
    manifest: Manifest, name: str, reason: str, keys: dict[str, Any], notes: list[str]
) -> None:
    models = tuple(each.model_copy(update={"forced": reason}) for each in manifest.models)
    update = {"arch": name, "classes": (name, "b"), "machine": name, "versions": {name: name}, "models": models}
    changed = manifest.model_copy(update=update)
    inventory = {"splits": [{"split": name, "images": {name: 3, "b": 0}}], "notes": notes}
    trained = checkpoint_of(
        changed, data=name, settings={**keys, "inventory": inventory}, predictor=predictor_of(changed),
        metrics={"val_accuracy": 0.5}, history=({},),
    )  # fmt: skip
    front, tokens = parsed(checkpoint_card(changed, trained))
    assert headings(tokens) == SECTIONS
    assert front["tags"][:2] == ["image-classification", "robustness"]
    for token in tokens:
        assert token.type != "html_block"
        kinds = {child.type for child in token.children or ()}
        assert kinds <= {"text", "text_special", "code_inline", "softbreak"}, token
    counts = next(rows for rows in tables(tokens) if rows[0][0] == "split")
    assert counts[1] == [printable(name).strip(), "3", "1", "0", "3"]


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.sampled_from(["inventory", "notes", "method"]) | texts, values, max_size=4))
@pytest.mark.slow
def test_settings_of_a_file_may_be_anything(manifest: Manifest, found: dict[str, Any]) -> None:
    card = checkpoint_card(manifest, checkpoint_of(manifest, settings=found, predictor=predictor_of(manifest)))
    assert card == checkpoint_card(
        manifest,
        checkpoint_of(manifest, settings=dict(reversed(found.items())), predictor=predictor_of(manifest)),
    )
    assert headings(parsed(card)[1]) == SECTIONS


def test_the_figures_are_those_of_the_manifest_and_the_checkpoint(manifest: Manifest) -> None:
    metrics = {"val_accuracy": 0.9584, "brightness+": 0.9225, "average_accuracy": 0.906}
    quality = {"rank_correlation": 0.51, "rank_correlation_low": 0.5, "rank_correlation_high": 0.52, "gain": 0.031}
    trained = checkpoint_of(
        manifest, settings={"method": "fma", "gamma": 0.3, "start": "aa", "layers": []}, metrics=metrics,
        history=({}, {}), strengths={"brightness+": 0.25}, predictor=predictor_of(manifest, metrics=quality),
    )  # fmt: skip
    card = checkpoint_card(manifest, trained)
    method, strengths, accuracies, predictor, policies, compiled = tables(parsed(card)[1])
    assert method == [["setting", "value"], ["gamma", "0.3"], ["method", "fma"]]
    assert strengths[1:] == [["brightness+", "0.25"]]
    assert [row[1] for row in accuracies[1:]] == ["95.84", "92.25", "90.60"]
    assert [row[1] for row in predictor[1:]] == ["0.51 (0.50 to 0.52)", "3.10 points"]
    assert [row[0] for row in policies[1:]] == [each.name for each in manifest.policies]
    assert [row[2] for row in policies[1:]] == [each.averages for each in manifest.policies]
    assert len(compiled) == len(manifest.models) + 1
    for row, model in zip(compiled[1:], manifest.models, strict=True):
        assert row[:3] == [model.role, model.engine, model.precision]
        assert row[3] == f"{100 * model.parity.agreement:.2f}"
        accuracy = model.parity.accuracy
        assert row[4] == ("n/a" if accuracy is None else f"{100 * accuracy:.2f}")
    text = card.decode()
    assert "Epochs: 2. Random seed: 3." in text
    assert manifest.rejected[0].reason.replace("_", r"\_") in text
    assert "INT8 was calibrated on 512 images of cifar10 (train), 256 of them corrupted" in text
    assert "the bundle holds 8 images of the data" in text


def test_latencies_do_not_change_the_card(manifest: Manifest) -> None:
    slower = [each.model_copy(update={"seconds": tuple(2 * one for one in each.seconds)}) for each in manifest.models]
    other = manifest.model_copy(update={"models": tuple(slower)})
    assert checkpoint_card(other, checkpoint_of(other)) == checkpoint_card(manifest, checkpoint_of(manifest))


def test_many_classes_are_cut(manifest: Manifest) -> None:
    many = manifest.model_copy(update={"classes": tuple(f"class {index}" for index in range(1000))})
    text = checkpoint_card(many, checkpoint_of(many)).decode()
    assert "Classes (1000): class 0, " in text
    assert "class 99, and 900 more, which manifest.json lists" in text
    assert "class 100" not in text


def test_what_is_not_known_is_said(manifest: Manifest, dataset: Dataset) -> None:
    imported = checkpoint_card(manifest, checkpoint_of(manifest, data="imported", versions={})).decode()
    assert "Not known: the weights were trained by another program" in imported
    assert "The settings are not known." in imported
    assert "None was measured in the training" in imported
    foreign = manifest.model_copy(update={"arch": "onnx:their_model"})
    text = foreign_card(foreign, dataset).decode()
    assert "Not known, as the file of the model does not hold it." in text
    assert "compared with the original (the file that it was imported from)" in text
    assert dataset.name in text


@pytest.mark.slow
def test_the_code_in_the_card_runs(manifest: Manifest, sample_bundle: Path) -> None:
    text = checkpoint_card(manifest, checkpoint_of(manifest)).decode()
    code = text.split("```python\n")[1].split("```")[0].replace("path/of/this/bundle", str(sample_bundle))
    assert len(code.splitlines()) == 2
    program = f"import numpy as np\nimage = np.zeros((40, 60, 3), np.uint8)\n{code}\nprint(decision.label)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() in manifest.classes


@pytest.mark.slow
def test_what_is_added_keeps_what_the_card_said(manifest: Manifest, sample_bundle: Path, tmp_path: Path) -> None:
    first, second, third = tmp_path / "a.aw", tmp_path / "b.aw", tmp_path / "c.zip"
    add_to_bundle(sample_bundle, None, [parse_policy("hflip")], None, first)  # a bundle of before, without a card
    card = Bundle.open(first).read(MODEL_CARD).decode()
    assert card.count("Not known, as the bundle that this one was made from had no model card.") == 3
    bundle = Bundle.open(sample_bundle)
    trained = checkpoint_of(manifest, settings={"method": "fma"}, predictor=predictor_of(manifest))
    whole = checkpoint_card(manifest, trained)
    write_bundle(second, manifest, {**{name: bundle.read(name) for name in manifest.files}, MODEL_CARD: whole})
    after = add_to_bundle(second, None, None, None, third)
    assert Bundle.open(third).read(MODEL_CARD) == whole
    assert Bundle.open(third).manifest.files[MODEL_CARD].size == len(whole)
    assert after.models == manifest.models
    replaced = predictor_of(manifest, metrics={"gain": 0.5})
    assert extended_card(manifest, whole, replaced) == checkpoint_card(
        manifest, dataclasses.replace(trained, predictor=replaced)
    )


def test_a_changed_card_is_noticed(sample_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.aw"
    add_to_bundle(sample_bundle, None, [parse_policy("hflip")], None, out)
    shutil.copy(out / MODEL_CARD, tmp_path / "README.md")  # a copy may be changed
    (out / MODEL_CARD).write_bytes((out / MODEL_CARD).read_bytes() + b"x")
    with pytest.raises(BundleError, match=MODEL_CARD):
        Bundle.open(out)


@pytest.mark.slow
def test_every_export_writes_a_card(exported: tuple[Path, Manifest], checkpoint: Checkpoint) -> None:
    bundle = Bundle.open(exported[0])
    assert bundle.read(MODEL_CARD) == checkpoint_card(bundle.manifest, checkpoint)
    assert json.loads((exported[0] / "manifest.json").read_text())["files"][MODEL_CARD]["size"] > 1000

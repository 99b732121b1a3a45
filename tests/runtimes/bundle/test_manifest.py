"""Hostile manifests: each is refused with a one-line `BundleError` that names the key, and never another error."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from allweather.runtimes.bundle.manifest import MANIFEST, MAX_COMMAS, Label, Manifest, parse_manifest
from allweather.runtimes.errors import BundleError

HOSTILE = [
    None, True, False, 0, 1, -1, 2, 2**40, -(2**63), 10**400, 1.5, float("nan"), float("inf"), 1e308, "", "1", "x",
    "../x", "/etc/passwd", "C:\\x", "a/../../b", "a/b/c", "a\0b", ".hidden", "model.onnx\n", "\x1b[31m\n", "\ud800",
    "0" * 64, "A" * 64, [], {}, [[[[1]]]], {"a": [1]}, [None], ["../x"] * 3, [float("nan")] * 3,
]  # fmt: skip
KeyPath = tuple[str | int, ...]


def key_paths(value: Any, at: KeyPath = ()) -> Iterator[KeyPath]:
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from key_paths(inner, (*at, key))


def changed(raw: Any, path: KeyPath, value: object) -> Any:
    if not path:
        return value
    new = copy.deepcopy(raw)
    inner = new
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return new


def refused(raw: Any) -> str:
    """Returns the message of a manifest that is refused. `raw` is its content, or its text as bytes."""
    with pytest.raises(BundleError) as caught:
        parse_manifest(raw if isinstance(raw, bytes) else json.dumps(raw).encode(), "here")
    message = str(caught.value)
    assert message.isprintable(), message
    assert len(message) < 500, message
    assert message.startswith("here: ")
    assert "export" in message, message
    return message


@pytest.fixture(scope="module")
def raw(tiny: Any) -> Any:
    stored = {name: {"size": len(data), "sha256": "0" * 64} for name, data in tiny.contents.items()}
    return {**json.loads(tiny.manifest.model_dump_json()), "files": stored}


def test_a_manifest_reads_back_as_it_was_written(raw: Any) -> None:
    manifest = parse_manifest(json.dumps(raw).encode(), "here")
    assert parse_manifest(manifest.model_dump_json().encode(), "there") == manifest
    assert json.loads(manifest.model_dump_json()) == raw


@pytest.mark.slow
def test_any_value_anywhere_is_read_or_refused_by_name(raw: Any) -> None:
    opened = 0
    for path in key_paths(raw):
        for value in HOSTILE:
            text = json.dumps(changed(raw, path, value)).encode()
            try:
                manifest = parse_manifest(text, "here")
            except BundleError as error:
                message = str(error)
                assert message.isprintable(), message
                assert MANIFEST in message or "newer allweather" in message or "older allweather" in message
                assert "export" in message
            else:
                opened += 1
                assert isinstance(manifest, Manifest)
                referred = {manifest.golden_frames, *(model.file for model in manifest.models)}
                assert referred <= set(manifest.files)
                assert not any(".." in name or name.startswith("/") or "\\" in name for name in manifest.files)
    assert opened > 20  # some names and numbers may have any value


@pytest.mark.parametrize("key", ["arch", "classes", "input", "models", "golden_frames", "golden_count", "files"])
def test_a_missing_key_is_named(raw: Any, key: str) -> None:
    assert key in refused({name: value for name, value in raw.items() if name != key})


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("files", "model.onnx", "size"), 2**40, "files.model.onnx.size"),
        (("files", "model.onnx", "size"), -1, "files.model.onnx.size"),
        (("files", "model.onnx", "sha256"), "F" * 64, "files.model.onnx.sha256"),
        (("input", "mean"), [0.1, float("nan"), 0.1], "input.mean.1"),
        (("input", "std"), [0.1, float("inf"), 0.1], "input.std.1"),
        (("input", "std"), [0.1, 0.1, 0], "input.std.2"),
        (("input", "height"), 4097, "input.height"),
        (("models", 0, "tolerance"), float("inf"), "models.0.tolerance"),
        (("models", 0, "parity", "agreement"), 1.1, "models.0.parity.agreement"),
        (("models", 0, "engine"), "os.system", "models.0.engine"),
        (("golden_count",), "2", "golden_count"),
        (("golden_frames",), "../frames.npy", "golden_frames"),
        (("models", 0, "file"), "/etc/passwd", "models.0.file"),
        (("models", 0, "file"), "other.onnx", "other.onnx"),
        (("models", 0, "weights"), "other.bin", "other.bin"),
        (("pickle",), "model.pkl", "pickle"),
        (("files", "../x"), {"size": 1, "sha256": "0" * 64}, "../x"),
        (("files", "a\n\x1b[31mb"), {"size": 1, "sha256": "0" * 64}, "a??[31mb"),
        (("files", MANIFEST), {"size": 1, "sha256": "0" * 64}, "lists itself"),
        (("classes",), ["one"], "classes"),
    ],
)
def test_an_invalid_value_is_named(raw: Any, path: KeyPath, value: object, named: str) -> None:
    assert named in refused(changed(raw, path, value))


def test_a_bundle_without_a_classifier_is_refused(raw: Any) -> None:
    models = [{**model, "role": "predictor"} for model in raw["models"]]
    assert "lists no model of a classifier" in refused({**raw, "models": models})


@pytest.mark.parametrize("version", [3, 4, 10**18, 10**4000])
def test_a_bundle_from_the_future_says_that_it_is_newer(raw: Any, version: int) -> None:
    message = refused({**raw, "schema_version": version, "unheard_of": {"by": "us"}})
    assert "newer" in message
    assert "update allweather" in message


def test_a_bundle_of_the_first_schema_says_that_it_is_older(raw: Any) -> None:
    message = refused({**raw, "schema_version": 1})
    assert "older" in message
    assert "export it again" in message


@pytest.mark.parametrize("version", [0, -1, "1", None, False, 1.5, [1], float("nan"), float("inf")])
def test_a_schema_version_that_never_was_is_named(raw: Any, version: object) -> None:
    assert "schema_version" in refused({**raw, "schema_version": version})


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"null", b"[]", b"{}", b"7", b'"allweather-bundle"', b"\xff\xfe\x00", b"PK\x03\x04", b"\x80\x04N.",
        b'{"format": "allweather-bundle"', b'{"format": "safetensors"}', b"[" * 100_000, b'{"a":' * 100_000,
        b'{"format": "allweather-bundle", "schema_version": ' + b"9" * 5000 + b"}",
        b'{"format": "allweather-bundle", "arch": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda text: repr(text[:30]),
)  # fmt: skip
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    assert MANIFEST in refused(text)


def test_a_key_that_is_there_twice_is_refused(raw: Any) -> None:
    text = json.dumps(raw)
    assert "twice" in refused(text.replace('"arch"', '"arch": "other", "arch"', 1).encode())
    assert "twice" in refused(text.replace('"size"', '"size": 0, "size"', 1).encode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_another_encoding_is_refused(raw: Any, encoding: str) -> None:
    refused(json.dumps(raw).encode(encoding))


@pytest.mark.parametrize("key", ["classes", "views", "models", "versions", "files"])
def test_millions_of_faults_are_refused_at_once(raw: Any, key: str) -> None:
    """Pydantic alone takes a minute and 4 GB for fifteen megabytes of wrong class names."""
    started = time.monotonic()
    refused(json.dumps(raw).encode()[:-1] + f', "{key}": ['.encode() + b"1," * 5_000_000 + b"1]}")
    assert time.monotonic() - started < 2


@settings(deadline=None, max_examples=150)
@given(data=st.data())
@pytest.mark.slow
def test_a_flipped_or_cut_text_is_read_or_refused(raw: Any, data: st.DataObject) -> None:
    text = bytearray(json.dumps(raw).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(text)) | st.just(len(text)))
    try:
        assert isinstance(parse_manifest(bytes(text[:cut]), "here"), Manifest)
    except BundleError as error:
        assert str(error).isprintable()  # noqa: PT017 - both outcomes are fine


@pytest.mark.parametrize("label", ["\x1b[31m", "a\nb", "\x9b", "\u202ea", "\u2028", "a" * 257, "a" * 1_000_000])
def test_a_class_name_that_a_terminal_obeys_or_that_is_long_is_refused(label: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Label).validate_python(label)


@pytest.mark.parametrize("label", ["\u0645\u06cc\u200c\u062e", "\U0001f469\u200d\U0001f680", "$5", "a" * 256])
def test_a_class_name_of_any_script_is_taken(label: str) -> None:
    assert TypeAdapter(Label).validate_python(label) == label


def test_commas_in_the_names_of_classes_are_no_values(raw: Any) -> None:
    raw["classes"] = [f'number {index}, "first", \\, last' for index in range(60_000)]
    text = json.dumps(raw).encode()
    assert text.count(b",") > MAX_COMMAS
    assert len(parse_manifest(text, "here").classes) == 60_000


@pytest.mark.parametrize("name", ["", " ", "\u3000", "\u2003 "])
def test_a_class_name_names_something(raw: Any, name: str) -> None:
    assert "empty or blank" in refused({**raw, "classes": [name, *raw["classes"][1:]]})


@pytest.mark.parametrize("twin", ["caf\u00e9", "cafe\u0301"])
def test_two_classes_that_look_the_same_are_refused(raw: Any, twin: str) -> None:
    classes = [*raw["classes"], "caf\u00e9", twin]
    assert "has 2 classes named 'caf\u00e9'" in refused(changed(raw, ("classes",), classes))


@pytest.mark.parametrize("std", [1e-40, 1e308])
def test_a_normalization_that_no_model_has_is_refused(raw: Any, std: float) -> None:
    assert "input.std.1" in refused(changed(raw, ("input", "std", 1), std))
    assert "input.mean.0" in refused(changed(raw, ("input", "mean", 0), 1e30))


@pytest.mark.slow
def test_what_a_policy_averages_is_only_written_where_it_is_logits(raw: Any) -> None:
    before = {
        "name": "hflip", "pick": "all", "views": ["identity", "hflip"], "num_views": 2, "hflip": False, "weights": [],
        "early_exit_threshold": 1.0,
    }  # fmt: skip
    policies = [before, {**before, "name": "hflip+logits", "averages": "logits"}]
    read = parse_manifest(json.dumps(changed(raw, ("policies",), policies)).encode(), "here")
    assert [each.averages for each in read.policies] == ["probabilities", "logits"]
    assert json.loads(read.model_dump_json())["policies"] == policies
    for other in ("votes", None, 1, ["logits"], "Logits"):
        wrong = changed(raw, ("policies",), [{**before, "averages": other}])
        assert "policies.0.averages: Input should be 'probabilities' or 'logits'" in refused(wrong)


@pytest.mark.slow
def test_a_confidence_model_is_only_written_where_there_is_one(raw: Any) -> None:
    plain = {
        "name": "center", "pick": "all", "views": ["identity"], "num_views": 1, "hflip": False, "weights": [],
        "early_exit_threshold": 1.0,
    }  # fmt: skip
    acceptance = {"threshold": 0.9, "risk": 0.02, "level": 0.95, "images": 500, "accepted": 300, "errors": 2}
    model = {"temperatures": [1.5], "max_energies": [-3.25], "acceptance": acceptance}
    policies = [plain, {**plain, "name": "tuned", "confidence_model": model}]
    read = parse_manifest(json.dumps(changed(raw, ("policies",), policies)).encode(), "here")
    assert read.policies[0].confidence_model is None
    assert read.policies[1].confidence_model is not None
    assert json.loads(read.model_dump_json())["policies"] == policies
    for wrong, words in (
        ({**model, "temperatures": [0]}, "a temperature is 0.05 to 20; got 0"),
        ({**model, "temperatures": [1.5] * 65}, "1 to 64 temperatures"),
        ({**model, "max_energies": []}, "as many energies"),
        ({**model, "more": 1}, "more"),
        ({**model, "acceptance": {**acceptance, "threshold": 2}}, "threshold of accepted decisions is 0 to 1; got 2"),
        ({**model, "acceptance": {**acceptance, "errors": -1}}, "got -1 errors"),
        ({**model, "acceptance": {**acceptance, "risk": "low"}}, "risk"),
        ([1.5], "confidence_model"),
    ):
        assert words in refused(changed(raw, ("policies",), [{**plain, "confidence_model": wrong}]))


@pytest.mark.parametrize("name", ["top:1\nERROR", "\x1b[31mtop:1", "", "  ", "x" * 5000])
def test_the_name_of_a_policy_fits_a_line_of_a_log(raw: Any, name: str) -> None:
    policy = {"name": name, "pick": "all", "views": ["identity"], "num_views": 1}
    assert "the name of a policy" in refused(changed(raw, ("policies",), [policy]))

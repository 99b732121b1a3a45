"""The specification of the bundle format names every key of a manifest, and the limits that are checked."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import get_args

import pytest

from allweather.runtimes import crop, preprocess, text
from allweather.runtimes.bundle import manifest, sizes, source
from allweather.runtimes.tta import policy
from allweather.runtimes.tta.confidence_model import Acceptance, ConfidenceModel

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "bundle-format.md").read_text()
MODELS = (manifest.Manifest, manifest.Model, manifest.Rejected, manifest.Parity, manifest.Calibration, manifest.Input)
DATACLASSES = (policy.Policy, ConfidenceModel, Acceptance)


def test_every_key_is_in_the_specification() -> None:
    keys = [name for model in (*MODELS, manifest.StoredFile) for name in model.model_fields]
    keys += [field.name for kind in DATACLASSES for field in dataclasses.fields(kind)]
    assert [key for key in keys if f"`{key}`" not in PAGE] == []


def test_every_choice_is_in_the_specification() -> None:
    choices = (manifest.EngineName, manifest.Precision, manifest.Role, policy.Pick)
    assert [name for choice in choices for name in get_args(choice) if f'`"{name}"`' not in PAGE] == []


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("{:,} commas", manifest.MAX_COMMAS),
        ("at most {} MiB and", manifest.MAX_MANIFEST_BYTES >> 20),
        ("(at most {} GiB)", manifest.MAX_FILE_BYTES >> 30),
        ("MUST be `{}`", manifest.SCHEMA),
        ("{} times", source.MAX_ZIP_RATIO),
        ("plus {} MiB", source.FREE_ZIP_BYTES >> 20),
        ("{:,} entries", source.MAX_ZIP_ENTRIES),
        ("of more than {} MiB", source.MAX_ZIP_LIST_BYTES >> 20),
        ("xml of OpenVINO | {} MiB", sizes.MAX_XML_BYTES >> 20),
        ("and {:,} bytes", sizes.MAX_NPY_HEADER_BYTES),
        ("`model-card.md` | {} MiB", sizes.MAX_OTHER_BYTES >> 20),
        ("at most {} characters; none", text.MAX_LABEL_CHARACTERS),
        ("pixels, 1 to {:,}", preprocess.MAX_SIDE_PIXELS),
        ("is kept, {} to 1", crop.MIN_FRACTION),
        ("1 to {:,} characters, such", policy.MAX_NAME_CHARACTERS),
        ("at most {} names", policy.MAX_VIEWS),
        ("0 to {:,}, with", int(policy.MAX_WEIGHT)),
    ],
)
def test_the_limits_are_those_of_the_program(words: str, value: float) -> None:
    assert words.format(value) in " ".join(PAGE.split())


def test_the_pattern_of_names_is_that_of_the_program() -> None:
    (pattern,) = manifest.FileName.__metadata__[0].metadata  # pydantic keeps the pattern of a field there
    assert f"`{pattern.pattern.strip('^$')}`" in " ".join(PAGE.split())
    assert re.fullmatch(pattern.pattern, "openvino/classifier-int8.xml")

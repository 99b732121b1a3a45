"""Damaged files of settings of `allweather create`."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import fuzz, mutated, opened_or_refused

from allweather.create.config import CreateConfig
from allweather.create.config_file import parse_config
from allweather.create.report import settings_yaml
from allweather.settings_file.yaml_file import parse_yaml

REAL = (
    settings_yaml(CreateConfig()).encode() + b"# a comment\nmore: [1, 'two', \"three\"]\ntext: |\n  several\n  lines\n"
)
SPLICES = (
    b"&a [x]\n",
    b"*a",
    b"!!python/object:os.system ",
    b"<<: ",
    b"? ",
    b"- ",
    b"{" * 500,
    b"\n---\n",
    b"'",
    b"|\n",
    b"\t",
)


def read(content: bytes) -> CreateConfig:
    return parse_config(parse_yaml(content, "create.yaml"), {"train.arch": "resnet20"}, "create.yaml")


@fuzz
@given(seed=st.integers(0, 2**64 - 1))
@pytest.mark.slow
def test_a_damaged_file(seed: int) -> None:
    rng = random.Random(seed)
    content = mutated(REAL, rng)
    if rng.random() < 0.5:
        at = rng.randrange(len(content) + 1)
        content = content[:at] + rng.choice(SPLICES) * rng.choice((1, 2, 50)) + content[at:]
    opened_or_refused(lambda: read(content), len(content))


@fuzz
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    content = text.encode("utf-8", "surrogatepass")
    opened_or_refused(lambda: read(content), len(content))


@fuzz
@given(
    st.dictionaries(
        st.sampled_from([*CreateConfig.model_fields, "none", "Finetune"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("none"),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["epochs", "lr", "file", "mean", "method", "x"]), inner, max_size=3)
            ),
            max_leaves=8,
        ),
        max_size=4,
    )
)
@pytest.mark.slow
def test_values_of_any_type(raw: dict[str, object]) -> None:
    opened_or_refused(lambda: parse_config(raw, {}, "create.yaml"), 100)

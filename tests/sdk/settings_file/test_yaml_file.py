"""Files of settings in YAML: plain values come back as they were written; what could grow or surprise is refused."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from allweather.create.config_file import parse_config
from allweather.runtimes.errors import UsageError
from allweather.settings_file.yaml_file import MAX_BYTES, parse_yaml, read_yaml

NAME = "create.yaml"


def is_exponent(text: str) -> bool:
    """Returns whether PyYAML writes a text such as 1e100 without quotes, although it is a number in YAML 1.2."""
    return re.fullmatch(r"[-+]?\.?[0-9][0-9.]*[eE][-+]?[0-9]+", text) is not None


texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12).filter(
    lambda text: not is_exponent(text)
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(texts, values, max_size=5))
@pytest.mark.slow
def test_plain_values_come_back_as_pyyaml_writes_them(section: dict[str, Any]) -> None:
    try:
        text = yaml.safe_dump(section, allow_unicode=True)
        assert parse_yaml(text.encode(), NAME) == section
    except UsageError as error:
        assert "nested" in str(error)  # noqa: PT017 # of many examples few are nested too deeply


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("no", "no"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("'5'", "5"),
        ("", None),
        ("007", 7),
    ],
)
def test_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    assert parse_yaml(f"key: {text}".encode(), NAME) == {"key": value}


@pytest.mark.parametrize("text", ["00001", "1.10", "+5", "1e3", "8080"])
def test_a_number_in_place_of_a_text_is_quoted_as_it_is_written(text: str) -> None:
    raw = parse_yaml(f"data: signs\nonnx: {{file: a.onnx, classes: [{text}]}}".encode(), NAME)
    with pytest.raises(UsageError, match=re.escape(f'write it in quotes, as "{text}"')):
        parse_config(raw, {}, NAME)


def test_numbers_become_those_of_python_however_they_are_written() -> None:
    sections = b"train: {lr: 1e-3}\nonnx: {file: a.onnx, pixels: 0255}"
    raw = parse_yaml(b"data: signs\nseed: 007\nsize: 032\ncrop_fraction: 0.90\n" + sections, NAME)
    config = parse_config(raw, {}, NAME)
    assert config.onnx is not None
    values = (config.seed, config.size, config.crop_fraction, config.train.lr, config.onnx.pixels)
    assert [(type(each), each) for each in values] == [
        (int, 7), (int, 32), (float, 0.9), (float, 0.001), (int, 255)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "create.yaml, line 3: the key a is there twice"),
        ("a: {b: 1, b: 1}", "create.yaml, line 1: the key b is there twice"),
        ("a: &x [1, 2]\nb: *x", "line 1: anchors and aliases"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]", "anchors and aliases"),
        ("a: !!python/object/apply:os.system [ls]", "line 1: tags"),
        ("a: !!float x", "tags"),
        ("- a\n- b", "holds a list; a file of settings holds keys"),
        ("signs", "holds one value; a file of settings holds keys"),
        ("[[a]: b]: c", "create.yaml, line 1: a key is a word"),
        ("a: [1, 2", "create.yaml is no YAML: .* at line 1"),
        ("a: 1\n\tb: 2", "create.yaml is no YAML: .* at line 2"),
        ("a: 1\n---\nb: 2", "create.yaml is no YAML: .* at line 2"),
        ("a: \x00", "create.yaml is no YAML: .*not allowed"),
        ('a: {b: "x\\0"}', "create.yaml, line 1: a text holds the character 0"),
        ("a: " + "[" * 5000, "nested more than 10 deep"),
        ("a: [" + "1, " * 5000 + "1]", "more than 1000 values"),
        ("a: " + "x" * MAX_BYTES, "has more than 64 kB"),
    ],
)
def test_what_is_no_file_of_settings_gets_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        parse_yaml(text.encode(), NAME)
    assert str(error.value).isprintable()


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", ["9", "[", "{", "- ", "a: ", "? ", "'", '"', "\\n", "#", "1,", "|\n", "\t", "9.", "&a ", "\n\n", "a:\n "]
)
def test_the_largest_files_take_little_time(part: str) -> None:
    content = (f"a: {part * MAX_BYTES}"[:MAX_BYTES]).encode()
    started = time.process_time()
    try:
        parse_yaml(content, NAME)
    except UsageError as error:
        assert len(str(error)) < 400  # noqa: PT017 # some of them are YAML
    assert time.process_time() - started < 5


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(UsageError, match=message):
            read_yaml(path)
    (tmp_path / "latin.yaml").write_bytes(b"data: folder:gr\xfcn")
    with pytest.raises(UsageError, match="no text in UTF-8"):
        read_yaml(tmp_path / "latin.yaml")
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfseed: 3\n# all else as it is\n")
    assert read_yaml(tmp_path / "bom.yaml") == {"seed": 3}

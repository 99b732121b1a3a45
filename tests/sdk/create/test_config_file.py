"""create.yaml: its keys and types, what the command line replaces, and the guide that lists them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from key_tables import key_table

from allweather.create.config import CreateConfig, Finetune, Train
from allweather.create.config_file import parse_config, read_config
from allweather.create.report import settings_yaml
from allweather.create.settings import CreateSettings
from allweather.runtimes.errors import UsageError
from allweather.settings_file.yaml_file import parse_yaml

GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "create.md"


def parsed(text: str, **given: Any) -> CreateConfig:
    return parse_config(parse_yaml(text.encode(), "create.yaml"), given, "create.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed: 3", "create.yaml: no key is called 'sed'; did you mean seed? There are: data, size,"),
        ("train: {epoch: 3}", "create.yaml: no key of train is called 'epoch'; did you mean epochs? There are:"),
        ("finetune: {metod: at}", "no key of finetune is called 'metod'; did you mean method?"),
        ("predictor: {Predictor: 2}", "no key of predictor is called 'Predictor'"),
        ("Finetune: none", "no key is called 'Finetune'; did you mean finetune?"),
        ("onnx: {mean: [0, 0, 0]}", "create.yaml: onnx.file is missing; add it: ONNX file"),
        ("seed: one", "create.yaml: seed must be a whole number; got the text 'one'"),
        ("seed: -1", "create.yaml: seed must be at least 0; got -1"),
        ("seed: 2147483648", "create.yaml: seed must be below 2147483648; got 2147483648"),
        ("train: {epochs: 2.5}", "create.yaml: train.epochs must be a whole number; got 2.5"),
        ("train: {epochs: true}", "train.epochs must be a whole number; got true"),
        ("train: {batch_size: }", "train.batch_size must be a whole number; got nothing"),
        ("train: {lr: '0.1'}", "train.lr must be a number; got the text '0.1'"),
        ("train: {lr: [0.1]}", "train.lr must be a number; got a list"),
        ("train: {lr: 1e999}", "train.lr must be a finite number; got inf"),
        ("train: {pretrained: yes}", "train.pretrained must be true or false; got the text 'yes'"),
        ("train: {optimizer: adam}", "train.optimizer must be sgd or adamw; got the text 'adam'"),
        ("train: resnet20", "train must be a section of keys; got the text 'resnet20'"),
        ("finetune: off", "finetune must be none, or a section of keys; got the text 'off'"),
        ("finetune: {method: trades}", "finetune.method must be at, st, fma, ait or robust; got the text 'trades'"),
        ("finetune: {method: trades, epochs: x}", "create.yaml: finetune"),
        ("predictor: [tiny]", "predictor must be none, or a section of keys; got a list"),
        ("tune: {policies: 'top:2'}", "tune.policies must be a list, such as [a, b]; got the text 'top:2'"),
        ("tune: {policies: ['top:2', 2]}", "tune.policies.1 must be text; got 2"),
        ("export: {engines: [openvno]}", "export.engines.0 must be openvino, onnx or tensorrt; got"),
        ("onnx: {file: a.onnx, mean: [1, 2]}", "onnx.mean must be three numbers"),
        ("onnx: {file: a.onnx, std: [1, 2, 3, 4]}", "onnx.std must be three numbers"),
        ("onnx: {file: a.onnx, pixels: 3}", "onnx.pixels must be 1 or 255; got 3"),
        ("onnx: none", "onnx must be a section of keys; got the text 'none'"),
        ("data: ''", "data must be text that is not empty"),
        ("data: {folder: x}", "data must be text; got a section of keys"),
        ("evaluate: {images: 0}", "evaluate.images must be at least 1; got 0"),
        ('"\\x1b[2J": 1', "no key is called '?[2J'"),
    ],
)  # fmt: skip
def test_a_wrong_key_or_type_gets_one_line_with_its_path(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        parsed(text)
    assert message in str(error.value)
    assert str(error.value).isprintable()


def test_sections_may_be_empty_or_left_out() -> None:
    assert parsed("train:\nfinetune:\npredictor:\ntune:\nexport:\nevaluate:\nonnx:\n") == CreateConfig() == parsed("")
    assert parsed("finetune: none\npredictor: none").finetune == "none"


def test_the_command_line_replaces_keys() -> None:
    text = "data: signs\nseed: 1\ntrain: {arch: resnet20, epochs: 3}"
    config = parsed(text, **{"data": "folder:x", "train.model": "a:b", "seed": 0})
    assert (config.data, config.seed, config.train.arch, config.train.model, config.train.epochs) == (
        "folder:x", 0, None, "a:b", 3,
    )  # fmt: skip
    imported = parsed(text, **{"onnx.file": "a.onnx"})
    assert imported.onnx is not None
    assert imported.train.arch is None
    back = parsed("onnx: {file: a.onnx, classes: [a, b]}", **{"train.arch": "resnet20"})
    assert back.onnx is None
    kept = parsed("onnx: {file: a.onnx, classes: [a, b]}", **{"onnx.file": "b.onnx"})
    assert kept.onnx is not None
    assert (kept.onnx.file, kept.onnx.classes) == ("b.onnx", ("a", "b"))
    with pytest.raises(UsageError, match=r"train\.epochs must be a whole number"):  # which arch does not hide
        parsed("train: {epochs: x}", **{"train.arch": "resnet20"})


def test_the_settings_that_a_report_keeps_are_read_as_the_same() -> None:
    text = (
        "data: 'folder:Straße: 1'\nsize: 32\nfinetune: none\nonnx: {file: a.onnx, mean: [0.1, 0.2, 0.3]}\n"
        "tune: {policies: ['top:2', hflip]}\nexport: {precisions: [int8]}\ntrain: {lr: 1e-05}"
    )
    for config in (CreateConfig(), parsed(text)):
        assert parsed(settings_yaml(config)) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {arch: resnet20}", "name the data: --data signs"),
        ("data: signs", "name the network: --arch resnet20"),
        ("data: signs\ntrain: {arch: resnet20, model: 'a:b'}", r"train\.arch and train\.model name two"),
        ("data: signs\ntrain: {arch: resnet20}\nonnx: {file: a.onnx}", r"train\.arch and onnx\.file name two"),
        ("data: signs\ntrain: {arch: resnet20, epochs: 0}", "train: epochs must be .* at least 1; got 0"),
        ("data: signs\ntrain: {arch: resnet20}\nfinetune: {method: at, gamma: 2}", "finetune: method at has no gamma"),
        ("data: signs\ntrain: {arch: resnet20}\npredictor: {copies: 0}", "predictor: the number of copies"),
        ("data: signs\ntrain: {arch: resnet20}\ntune: {max_views: 0}", "tune: max_views must be at least 1"),
        ("data: signs\ntrain: {arch: resnet20}\nexport: {engines: [tensorrt]}", "export: the bundle is evaluated here"),
        ("data: signs\nonnx: {file: a.onnx, mean: [128, 128, 128]}", "onnx: --mean is on a scale from 0 to 1"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_names_its_section(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CreateSettings.of(parsed(text))


def test_the_settings_of_the_stages() -> None:
    settings = CreateSettings.of(parsed("data: signs\nseed: 5\ntrain: {arch: resnet20, epochs: 3}\npredictor: none"))
    assert settings.fit is not None
    assert settings.finetune is not None
    assert (settings.fit.epochs, settings.fit.seed, settings.finetune.fit.seed, settings.predictor) == (3, 5, 5, None)
    assert (settings.finetune.method, settings.finetune.fit.epochs) == (Finetune().method, 4)
    foreign = CreateSettings.of(parsed("data: signs\nonnx: {file: a.onnx}"))
    assert (foreign.fit, foreign.finetune) == (None, None)


def test_the_guide_lists_every_key_as_it_is() -> None:
    expected = key_table(CreateConfig)
    assert len(re.findall(r"\| `train\.", expected)) == len(Train.model_fields)
    assert expected in GUIDE.read_text(), f"docs/how-to/create.md should have:\n\n{expected}\n"


def test_the_example_of_the_guide_is_read(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    path = tmp_path / "create.yaml"
    path.write_text(text)
    CreateSettings.of(read_config(path, {}))


def test_text_that_is_no_utf8_is_told() -> None:
    with pytest.raises(UsageError, match=r"data must be text in UTF-8; got the text 'folder:caf\?'"):
        read_config(None, {"data": "folder:caf\udce9", "train.arch": "resnet20"})

"""Model repositories: they follow the servers' published schemas and hold what the bundle holds."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field

from allweather.exporters.onnx import convert
from allweather.exporters.serving import models, ovms, triton
from allweather.exporters.serving.repository import LAYOUTS, MARKER, ServerLayout, write_repository
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.engines.remote import RemoteEngine
from allweather.runtimes.errors import OutputError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.output_lock import output_lock

model_config = runpy.run_path(str(Path(__file__).parents[2] / "kserve_server.py"))["model_config"]
EITHER = pytest.mark.parametrize("layout", sorted(LAYOUTS))


class Strict(BaseModel):
    """The parts of MODELS_CONFIG_SCHEMA (openvinotoolkit/model_server, src/schema.cpp) that a repository uses."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Single(Strict):
    name: str
    base_path: str
    target_device: str
    plugin_config: dict[str, str | bool | float]


class Wrapped(Strict):
    config: Single


class Source(Strict):
    node_name: str
    data_item: str


class Alias(Strict):
    data_item: str
    alias: str


class Node(Strict):
    name: str
    model_name: str
    type: Literal["DL model"]
    inputs: list[dict[str, Source]]
    outputs: list[Alias]


class Pipeline(Strict):
    name: str
    inputs: list[str]
    nodes: list[Node]
    outputs: list[dict[str, Source]]


class Config(Strict):
    model_config_list: list[Wrapped]
    pipeline_config_list: list[Pipeline] = Field(default_factory=list)


@pytest.fixture
def bundle(sample_bundle: Path) -> Bundle:
    return Bundle.open(sample_bundle)


def resized(bundle: Bundle) -> list[models.ServedModel]:
    """The models of the bundle, as if the predictor took another image size."""
    classifier, predictor = models.models_to_serve(bundle, ("onnx",), None, None, "a test")
    return [classifier, replace(predictor, input=InputSpec(16, 24))]


def test_tensors_are_named_as_the_graphs_name_them() -> None:
    assert (models.INPUT, models.OUTPUT) == (convert.INPUT, convert.OUTPUT)


def test_the_triton_configuration_follows_its_published_message(bundle: Bundle, tmp_path: Path) -> None:
    write_repository(bundle, "triton", tmp_path / "repo")
    configs = {path.parent.name: model_config(path.read_text()) for path in (tmp_path / "repo").glob("*/config.pbtxt")}
    assert set(configs) == {"classifier", "predictor", "classifier_and_predictor"}
    for name, config in configs.items():
        assert config.name == name
        assert config.max_batch_size == 32
        assert [list(tensor.dims) for tensor in config.input] == [[32, 32, 3]]
        named = [output.label_filename for output in config.output if output.label_filename]
        assert all((tmp_path / "repo" / name / label_file).is_file() for label_file in named)
    for name, count in (("classifier", 10), ("predictor", 12)):
        assert configs[name].HasField("dynamic_batching")
        assert [list(tensor.dims) for tensor in configs[name].output] == [[count]]
    assert configs["classifier"].output[0].label_filename == "labels.txt"
    assert configs["predictor"].output[0].label_filename == ""
    assert (tmp_path / "repo" / "classifier_and_predictor" / "1").is_dir()


def check_ensemble(config: Any, configs: dict[str, Any]) -> None:
    """Every tensor of an ensemble's steps is one of the model and one of the ensemble, both of the same shape."""
    outside = {tensor.name: list(tensor.dims) for tensor in (*config.input, *config.output)}
    used = []
    for step in config.ensemble_scheduling.step:
        inside = configs[step.model_name]
        assert config.max_batch_size <= inside.max_batch_size
        for tensors, mapping in ((inside.input, step.input_map), (inside.output, step.output_map)):
            assert {tensor.name for tensor in tensors} == set(mapping)
            assert all(outside[mapping[tensor.name]] == list(tensor.dims) for tensor in tensors)
            used += list(mapping.values())
    assert set(used) == set(outside)


@pytest.mark.parametrize("other_size", [False, True])
def test_the_ensemble_connects_tensors_of_the_same_shape(bundle: Bundle, other_size: bool) -> None:
    served = resized(bundle) if other_size else models.models_to_serve(bundle, ("onnx",), None, None, "a test")
    files = triton.repository(served, 1)
    configs = {
        name.partition("/")[0]: model_config(text.decode()) for name, text in files.items() if name.endswith("pbtxt")
    }
    check_ensemble(configs["classifier_and_predictor"], configs)
    inputs = [tensor.name for tensor in configs["classifier_and_predictor"].input]
    assert inputs == (["images", "predictor_images"] if other_size else ["images"])


@pytest.mark.parametrize("other_size", [False, True])
def test_the_model_server_configuration_follows_its_schema(bundle: Bundle, other_size: bool) -> None:
    served = (
        resized(bundle) if other_size else models.models_to_serve(bundle, ("openvino", "onnx"), None, None, "a test")
    )
    files = ovms.repository(served, 1)
    config = Config.model_validate_json(files["config.json"])
    names = {each.config.name for each in config.model_config_list}
    assert all(f"{each.config.base_path}/labels.txt" in files for each in config.model_config_list)
    (pipeline,) = config.pipeline_config_list
    assert pipeline.inputs == (["images", "predictor_images"] if other_size else ["images"])
    aliases = {node.name: [alias.alias for alias in node.outputs] for node in pipeline.nodes}
    read = []
    for node in pipeline.nodes:
        assert node.model_name in names
        for node_input in node.inputs:
            ((name, source),) = node_input.items()
            assert (name, source.node_name) == ("images", "request")
            read.append(source.data_item)
    assert set(read) == set(pipeline.inputs)
    for output in pipeline.outputs:
        ((name, source),) = output.items()
        assert name in aliases[source.node_name]
        assert source.data_item == name


def test_openvino_reads_the_models_with_a_dynamic_batch_size(bundle: Bundle, tmp_path: Path) -> None:
    import openvino

    write_repository(bundle, "ovms", tmp_path / "repo")
    for path in (tmp_path / "repo").glob("*/1/model.xml"):
        model = openvino.Core().read_model(path)
        assert model.input("images").partial_shape[0].is_dynamic
        assert len(model.output("logits").partial_shape) == 2


@EITHER
def test_labels_keep_their_order_and_every_graph_is_the_bundles(
    layout: ServerLayout, bundle: Bundle, tmp_path: Path
) -> None:
    out = tmp_path / "repo"
    record = write_repository(bundle, layout, out)
    assert (out / "classifier" / "labels.txt").read_text().splitlines() == list(bundle.classes)
    assert (out / "predictor" / "labels.txt").read_text().splitlines() == list(bundle.manifest.views)
    engine = "onnx" if layout == "triton" else "openvino"
    best = next(each for each in bundle.manifest.models if each.engine == engine)
    assert {(each.role, each.engine, each.precision) for each in record.versions} == {
        ("classifier", engine, best.precision), ("predictor", engine, "fp32"),
    }  # fmt: skip
    known = {bundle.read(name) for name in bundle.manifest.files}
    graphs = [path for path in out.glob("*/1/*") if path.is_file()]
    assert len(graphs) == (2 if layout == "triton" else 4)
    assert all(path.read_bytes() in known for path in graphs)


@EITHER
@pytest.mark.slow
def test_a_server_serves_what_was_written(
    layout: ServerLayout, bundle: Bundle, tmp_path: Path, serve: Callable[[Path], Any]
) -> None:
    write_repository(bundle, layout, tmp_path / "repo", precision="fp32")
    model = next(
        each
        for each in bundle.manifest.models
        if (each.engine, each.precision) == ("onnx" if layout == "triton" else "openvino", "fp32")
    )
    with serve(tmp_path / "repo") as server:
        engine = RemoteEngine(server.address, "classifier", bundle.input, 10)
        np.testing.assert_allclose(engine.infer(bundle.golden_frames()), bundle.golden_outputs(model), atol=1e-3)
        engine.close()


@EITHER
def test_writing_again_adds_a_version(layout: ServerLayout, bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "repo"
    write_repository(bundle, layout, out, precision="fp32")
    before = {path: path.read_bytes() for path in out.glob("*/1/*") if path.is_file()}
    record = write_repository(bundle, layout, out, precision="int8")
    assert record.newest == 2
    assert {each.version: each.precision for each in record.versions if each.role == "classifier"} == {
        1: "fp32", 2: "int8",
    }  # fmt: skip
    assert all(path.read_bytes() == content for path, content in before.items())
    assert {path.name for path in (out / "classifier").iterdir() if path.is_dir()} == {"1", "2"}


def test_of_two_that_write_at_once_no_version_is_lost(bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "repo"

    def write(_: int) -> int | str:
        try:
            return write_repository(bundle, "ovms", out).newest
        except OutputError as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(write, range(4)))
    versions = [each for each in told if isinstance(each, int)]
    assert sorted(versions) == list(range(1, len(versions) + 1))
    assert all(f"is writing {out}" in each for each in told if isinstance(each, str))
    assert {path.name for path in (out / "classifier").iterdir() if path.is_dir()} == {str(each) for each in versions}
    with output_lock(out):  # as the command line does around it
        assert write_repository(bundle, "ovms", out).newest == len(versions) + 1


def test_a_version_is_added_where_a_link_leads(bundle: Bundle, tmp_path: Path) -> None:
    write_repository(bundle, "ovms", tmp_path / "repo")
    (tmp_path / "link").symlink_to("repo")
    assert write_repository(bundle, "ovms", tmp_path / "link").newest == 2
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "repo" / "classifier" / "2").is_dir()


def test_a_repository_is_not_written_into_a_bundle(bundle: Bundle, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle.path, tmp_path / "copy.aw")
    (tmp_path / "link").symlink_to(copy / "onnx")
    for out in (copy, copy / "repo", tmp_path / "link" / "new"):
        with pytest.raises(UsageError, match=r"copy.aw, which holds only its own files; name another --out"):
            write_repository(bundle, "ovms", out)
    assert Bundle.open(copy).manifest == bundle.manifest
    assert not (copy / "repo").exists()


def test_a_folder_that_holds_something_else_is_not_changed(bundle: Bundle, tmp_path: Path) -> None:
    manifest = bundle.manifest.model_copy(update={"classes": bundle.classes[::-1]})
    renamed = replace(bundle, manifest=manifest)
    out = tmp_path / "repo"
    write_repository(bundle, "triton", out)
    before = sorted(path for path in tmp_path.rglob("*"))
    for other, layout in ((renamed, "triton"), (bundle, "ovms")):
        with pytest.raises(OutputError, match="another layout, image size or labels"):
            write_repository(other, layout, out)
    (out / MARKER).write_text("{}")
    with pytest.raises(OutputError, match=r"its allweather.json is damaged; name a new folder"):
        write_repository(bundle, "triton", out)
    assert sorted(path for path in tmp_path.rglob("*")) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    with pytest.raises(OutputError, match=r"it exists and holds no allweather.json"):
        write_repository(bundle, "ovms", tmp_path / "mine")

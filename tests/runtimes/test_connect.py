"""A perceiver whose models run on a server: the same decisions, within the budget, or a timeout."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allweather.exporters.serving.repository import write_repository
from allweather.runtimes import load as loading
from allweather.runtimes.bundle.bundle import Bundle, npy_bytes, write_bundle
from allweather.runtimes.connect import connect
from allweather.runtimes.errors import EngineError, EngineTimeoutError, ParityError, UsageError
from allweather.runtimes.region import Region
from allweather.runtimes.types import Budget, Frame


@pytest.fixture(scope="module")
def repository(sample_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("repository") / "triton"
    write_repository(Bundle.open(sample_bundle), "triton", out)
    return out


@pytest.fixture
def server(repository: Path, serve: Callable[[Path], Any]) -> Iterator[Any]:
    with serve(repository) as running:
        yield running


@pytest.fixture(scope="module")
def frames(sample_bundle: Path) -> Any:
    return Bundle.open(sample_bundle).golden_frames()


@pytest.mark.slow
@pytest.mark.parametrize("policy", [None, "center", "top:3", "all"])
def test_it_decides_like_a_local_perceiver(policy: str | None, server: Any, sample_bundle: Path, frames: Any) -> None:
    with (
        connect(sample_bundle, server.address, policy=policy) as remote,
        loading.load(sample_bundle, engine="onnx", policy=policy) as local,
    ):
        for frame in frames:
            far, near = remote(frame), local(frame)
            assert (far.label, far.views, far.reason) == (near.label, near.views, near.reason)
            np.testing.assert_allclose(far.probabilities, near.probabilities, atol=1e-5)
        assert [each.label for each in remote.batch(frames)] == [remote(frame).label for frame in frames]


@pytest.mark.slow
def test_views_go_as_one_batch_where_there_is_time_and_fewer_where_there_is_not(
    server: Any, sample_bundle: Path, frames: Any
) -> None:
    server.faults.delay = 0.2  # seconds for each image: four views take 0.8, one view and the predictor 0.4
    with connect(sample_bundle, server.address, policy="top:4", budget_ms=4000) as perceiver:
        server.faults.batches.clear()
        assert len(perceiver(frames[0]).views) == 4
        assert server.faults.batches == [1, 4]
    with connect(sample_bundle, server.address, policy="top:4", budget_ms=390) as perceiver:
        server.faults.batches.clear()
        decision = perceiver(frames[0])
        assert (decision.views, decision.reason) == (("identity",), "no_time_to_rank")
        assert server.faults.batches == [1]
        assert not decision.late


@pytest.mark.slow
def test_a_stalled_server_times_out_and_gets_fewer_views_until_it_is_back(
    server: Any, sample_bundle: Path, frames: Any
) -> None:
    with connect(sample_bundle, server.address, policy="top:4", budget_ms=400) as perceiver:
        assert len(perceiver(frames[0]).views) == 4
        server.faults.delay = 3
        for _ in range(4):
            started = time.monotonic()
            with pytest.raises(EngineTimeoutError, match=r"no response within [34]\d\d ms"):
                perceiver(frames[0])
            assert time.monotonic() - started < 1.2
        server.faults.delay = 0
        first = perceiver(frames[0])
        assert first.views == ("identity",)
        assert not first.late
        # slow calls make the planner careful for as long as they are more than one call in twenty
        assert any(len(perceiver(frames[0]).views) > 1 for _ in range(200))


def test_one_that_shares_the_server_gives_up_in_time_as_well(server: Any, sample_bundle: Path, frames: Any) -> None:
    with connect(sample_bundle, server.address, policy="center") as perceiver:
        other = perceiver.sharing(Budget(0.4), perceiver.policy)
        assert len(other(frames[0]).views) == 1
        server.faults.delay = 3
        started = time.monotonic()
        with pytest.raises(EngineTimeoutError, match=r"no response within [34]\d\d ms"):
            other(frames[0])
        assert time.monotonic() - started < 1.2


def test_regions_of_what_is_no_frame_are_told(server: Any, sample_bundle: Path, frames: Any) -> None:
    with connect(sample_bundle, server.address, policy="center", budget_ms=500) as perceiver:
        for frame, message in ((frames[0], "expected a Frame"), (Frame(frames[0], 0, time.time()), "stamped by")):
            with pytest.raises(UsageError, match=message):
                perceiver.decide_regions(frame, [Region(0, 0, 8, 8)])


@pytest.mark.slow
def test_without_a_server_the_frame_is_lost_at_once(
    repository: Path, serve: Callable[[Path], Any], sample_bundle: Path, frames: Any
) -> None:
    with serve(repository) as running:
        perceiver = connect(sample_bundle, running.address, policy="center", budget_ms=500)
    started = time.monotonic()
    with pytest.raises(EngineError, match="check that the server runs there"):
        perceiver(frames[0])
    assert time.monotonic() - started < 1
    perceiver.close()


@pytest.mark.slow
def test_a_server_of_another_model_is_refused(server: Any, sample_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(sample_bundle)
    contents = {name: bundle.read(name) for name in bundle.manifest.files}
    for model in bundle.manifest.models:
        if model.role == "classifier":
            contents[model.golden] = npy_bytes(bundle.golden_outputs(model)[:, ::-1].copy())
    write_bundle(tmp_path / "other", dataclasses.replace(bundle).manifest, contents)
    with pytest.raises(ParityError, match=r"for the classifier .*golden frames .* differ by at least \d"):
        connect(tmp_path / "other", server.address)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget_ms": 0}, "a budget is above 0 milliseconds; got 0"),
        ({"budget_ms": "20"}, "a budget is above 0 milliseconds; got '20'"),
        ({"policy": "oracle:2"}, "chooses views by their true losses"),
        ({"policy": ["top:1"]}, "a policy is a text such as 'top:1'; got"),
        ({"policy": "best"}, "best"),
    ],
)
@pytest.mark.slow
def test_invalid_options_are_refused_before_the_server_is_asked(
    options: dict[str, Any], message: str, server: Any, sample_bundle: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        connect(sample_bundle, server.address, **options)
    assert server.faults.connections == 0

"""A camera that is set to another size while it runs."""

from __future__ import annotations

import numpy as np
import pytest

from allweather.runtimes.cameras import camera_from
from allweather.runtimes.errors import CameraError, UsageError
from allweather.runtimes.loop.deciders import FunctionDecider
from allweather.runtimes.loop.loop import run
from allweather.runtimes.region import Region
from allweather.runtimes.types import Decision, Frame, StageTimes

SMALL, LARGE = np.zeros((24, 32, 3), np.uint8), np.zeros((48, 64, 3), np.uint8)
REGIONS = [Region(40, 0, 10, 10), {"a": Region(0, 0, 10, 10), "b": Region(40, 0, 10, 10)}]


@FunctionDecider
def decide(frame: Frame, skipped: int) -> Decision:
    times = StageTimes(0, 0, 0, 0, 0, 0)
    return Decision("a", 1.0, np.ones(1, np.float32), frame.index, ("identity",), (), times, 0.01, False, skipped)


@pytest.mark.parametrize("region", REGIONS)
def test_it_is_an_error_of_the_camera_which_a_restart_may_cure(region: Region | dict[str, Region]) -> None:
    with pytest.raises(CameraError, match="another size than before: the region 40,0,10,10 reaches outside"):
        run(camera_from([LARGE, SMALL]), decide, [], region=region)


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_outside_of_the_first_frame_is_wrong_usage(region: Region | dict[str, Region]) -> None:
    with pytest.raises(UsageError, match="the region 40,0,10,10 reaches outside"):
        run(camera_from([SMALL, LARGE]), decide, [], region=region)


def test_any_size_is_decided_on_without_regions() -> None:
    assert run(camera_from([LARGE, SMALL]), decide, []).decided == 2

"""The tables at the end of allweather run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from decisions import decision

from allweather.cli.run_results import print_reports
from allweather.runtimes.loop.stats import LoopStats


def site(**labels: str) -> Any:
    """A site whose cameras have decided on two frames each, with the label that is given for each of them."""
    stats = {name: LoopStats() for name in labels}
    for name, label in labels.items():
        for index in range(2):
            stats[name].add_decisions([decision(index, label=label)])
    perceiver = SimpleNamespace(engine_name="openvino", precision="int8", policy=SimpleNamespace(name="center"))
    reports = [each.report() for each in stats.values()]
    return SimpleNamespace(names=[*labels], perceivers=[perceiver] * len(labels), reports=reports)


def test_the_table_of_each_camera_has_its_own_labels(capsys: pytest.CaptureFixture[str]) -> None:
    print_reports(site(front="stop", yard="yield"), as_json=False)
    front, yard = capsys.readouterr().out.split("yard")
    assert "stop 2" in front
    assert "yield" not in front
    assert "yield 2" in yard

"""The plots of the shift robustness of classifiers, whose titles are the names of files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import pytest

from allweather.evaluation.shifted import TEST_SETS
from allweather.reports import shifted
from allweather.reports.figure import png_figure


def test_the_legend_names_each_model(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []

    @contextmanager
    def figure_of_the_test(width: float, height: float) -> Iterator[Any]:
        with png_figure(width, height) as opened:
            yield opened
            drawn.append(opened[0])

    monkeypatch.setattr(shifted, "png_figure", figure_of_the_test)
    change = {f"{one}, {other}": 0.1 for one, other in combinations(TEST_SETS, 2)}
    titles = ("_plain.safetensors (torch)", "robust.safetensors (torch)")
    results: list[Any] = [
        SimpleNamespace(divergences=change, distances={}, provenance=SimpleNamespace(title=title)) for title in titles
    ]
    shifted.variation_bars(results)
    assert [text.get_text().strip() for text in drawn[0].legends[0].get_texts()] == list(titles)

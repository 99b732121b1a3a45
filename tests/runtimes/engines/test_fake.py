"""The fake engine: its outputs are known beforehand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.engines.open import open_engine


@settings(deadline=None)
@given(gray=st.integers(0, 255), classes=st.integers(2, 300), count=st.integers(1, 4))
def test_it_classifies_by_brightness(gray: int, classes: int, count: int) -> None:
    elapsed = SimpleNamespace(seconds=0.0)
    engine = FakeEngine(classes, 0.25, lambda seconds: setattr(elapsed, "seconds", elapsed.seconds + seconds))
    logits = engine.infer(np.full((count, 4, 5, 3), gray, np.uint8))
    assert (logits.dtype, logits.shape) == (np.float32, (count, classes))
    assert set(logits.argmax(axis=1)) == {gray * classes // 256}
    assert elapsed.seconds == 0.25 * count


def test_it_runs_with_every_bundle(real_bundle: Bundle) -> None:
    engine, model = open_engine(real_bundle, "fake")
    assert model is None
    assert engine.infer(np.zeros((2, 8, 8, 3), np.uint8)).shape == (2, 4)
    engine.close()

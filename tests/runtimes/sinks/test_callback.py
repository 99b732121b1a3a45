"""The sink that calls a function."""

from __future__ import annotations

import pytest
from decisions import decision, frame, opened

from allweather.runtimes.sinks.callback import CallbackSink
from allweather.runtimes.types import Decision, Frame


def test_the_function_gets_a_frame_with_its_decisions() -> None:
    calls: list[tuple[Frame, tuple[Decision, ...]]] = []
    with opened(CallbackSink(lambda *arguments: calls.append(arguments))) as sink:
        shown, first, second = frame(), decision(), decision(label="crossing")
        sink.write(shown, first)
        sink.write_frame(shown, (first, second))
    assert calls == [(shown, (first,)), (shown, (first, second))]


def test_an_error_of_the_function_is_raised() -> None:
    def fail(frame: Frame, decision: Decision) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        CallbackSink(fail).write(frame(), decision())

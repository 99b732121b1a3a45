"""`Sink`, the base class of everything that takes decisions, and `Ended`, with which a sink ends the loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from allweather.runtimes.errors import UsageError
from allweather.runtimes.sinks.event import Event
from allweather.runtimes.types import Decision, Frame


class Ended(BaseException):
    """Raised by a sink or by a signal handler to end the loop normally: no error reaches the caller.

    It is not derived from `Exception`, so that an `except Exception` in between does not swallow it.
    """


def not_open(name: str) -> UsageError:
    """Returns the error of a sink that is given a decision before it is opened, or after it is closed."""
    return UsageError(f"{name} is not open: call open() of the sink first, or give it to watch(sinks=[...])")


def already_open(name: str) -> UsageError:
    """Returns the error of a sink that is opened twice, as by two loops."""
    return UsageError(f"{name} is open already: make a sink for each loop, and close it before it is opened again")


class Sink(ABC):
    """Base class of everything that takes decisions. Derive from it to send decisions where you need them.

    Define `write`, and also `open` and `close` if there is something to open and close. Where a frame has several
    objects and all of them belong together, as on a picture, define `write_frame` as well. Example::

        class Alarm(allweather.Sink):
            def open(self):
                self._lamp = gpiozero.LED(17)

            def write(self, frame, decision):
                self._lamp.value = decision.label == "stop" and decision.confidence > 0.9

            def close(self):
                self._lamp.close()

        for decision in allweather.watch(0, perceiver, sinks=[Alarm()]): ...

    The loop opens its sinks in order before it reads the first frame, hands every decision to each of them in the same
    order, and closes those that it opened, in reverse order, however it ends: at the last frame, by an error, by
    Ctrl-C, or because the caller left the iteration. An error of a sink ends the loop and reaches the caller.

    Threads: all methods are called by the thread that runs the loop, one after the other. With several cameras, each
    has a loop and a thread of its own; give each of them its own sinks, or protect a shared one by a lock. The next
    frame is read only after `write` has returned, so a sink that is slow hands its work to a thread of its own.
    """

    def open(self) -> None:  # noqa: B027 -- optional on purpose
        """Prepares the sink before the first frame is read. Does nothing unless overridden.

        Raises:
            OutputError: The sink cannot work; `close` is then not called.
        """

    @abstractmethod
    def write(self, frame: Frame, decision: Decision) -> None:
        """Takes one decision.

        Args:
            frame: The whole frame, uint8 [H, W, 3] RGB. It must not be changed.
            decision: The decision on it, or on the part of it that `decision.region` says.

        Raises:
            OutputError: The decision cannot be written. Whatever is raised ends the loop.
            Ended: The loop is to end. The other sinks still get this decision.
        """

    def write_frame(self, frame: Frame, decisions: Sequence[Decision]) -> None:
        """Takes all decisions of a frame. The loop calls it; unless overridden it calls `write` for each decision.

        Args:
            frame: The whole frame, uint8 [H, W, 3] RGB. It must not be changed.
            decisions: One for the whole frame or for each of its objects, of which there may be none.

        Raises:
            OutputError: A decision cannot be written. Whatever is raised ends the loop.
            Ended: The loop is to end. The other sinks still get these decisions.
        """
        for decision in decisions:
            self.write(frame, decision)

    def write_event(self, event: Event) -> None:  # noqa: B027 -- optional on purpose
        """Takes an event of the camera. Does nothing unless overridden.

        It is called after `open`, by the same thread as `write`: between two frames, or while the loop waits for one.

        Args:
            event: What has changed.

        Raises:
            OutputError: The event cannot be written. Whatever is raised ends the loop.
            Ended: The loop is to end. The other sinks still get this event.
        """

    def close(self) -> None:  # noqa: B027 -- optional on purpose
        """Completes the output. Called once for each `open`, also after an error or Ctrl-C.

        Raises:
            OutputError: The output is incomplete or cannot be used.
        """

"""A camera that waits for nobody: its newest frame is kept, and when it is lost it is looked for until it is back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing

import numpy as np

from allweather.runtimes.cameras.base import Camera, CameraState, Capture, Phase, frames_of
from allweather.runtimes.cameras.latest_frame import LatestFrame
from allweather.runtimes.errors import CameraError, StalledError
from allweather.runtimes.types import Drops, Frame

logger = logging.getLogger(__name__)

CLOSING_SECONDS = 0.5  # a healthy camera gives a frame, and with it the chance to stop, far more often
WAKING_SECONDS = 0.2  # at most so late a stall is noticed; a wait without limit cannot be interrupted everywhere
CONNECTING_SECONDS = 12.0  # to open a source: streams give up by themselves after 5 s, and again to find their format
STALLED_SECONDS = 5.0  # without a frame from a source whose speed is not known
STALLED_FRAMES, STALLED_AT_LEAST = 2, 2.0  # of one whose speed is: so many frames' time, and so many seconds
KNOWN_FRAMES = 10  # after so many its speed is known, stated or not
HUNG_MOST = 5  # connections left behind in a driver that does not answer; each holds a thread
FIRST_WAIT, LONGEST_WAIT = 0.1, 1.0  # seconds between attempts: doubled each time, so a camera is back within two


class LiveCamera(Camera):
    """A device, a stream, or a film that is played at its speed: a thread reads it and keeps the newest frame only.

    Frames left in the queues of a driver would be read ever later; what nobody looked at in time is replaced and
    counted. A source that is not there, is cut off or gives no more frames is connected again, with its size found out
    anew: at first after a tenth of a second, then ever later up to one second, less a random part, so that many cameras
    do not knock at once, and less what the attempt itself took. A connection that hangs is left to itself and another
    one made. Whoever reads waits meanwhile.

    Args:
        connect: opens the source; may take its time, as the thread calls it.
        name: what to call it in messages; no passwords.
        clock: gives monotonic seconds.
        rng: of the waits.
        reconnects: whether another connection can be made; else one that stalls is waited for, as a slow disk is.
    """

    live = True

    def __init__(
        self,
        connect: Callable[[], Capture],
        name: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: np.random.Generator | None = None,
        reconnects: bool = True,
    ) -> None:
        super().__init__(name, clock)
        self._reconnects = reconnects
        self._connect = connect
        self._rng = rng or np.random.default_rng()
        self._stopping = threading.Event()
        self._connection: _Connection | None = None
        self._hung: list[_Connection] = []
        self._past = Drops()  # of the connections before this one
        self._next = 0  # number of the next connection's first frame
        self._period: float | None = None  # between frames, as far as it is known
        self._tries = 0  # since the last frame
        self._last = 0.0  # when it was connected to, or gave its last frame
        self._state = CameraState(name, "connecting")

    @property
    def fps(self) -> float | None:
        """Frames a second as the source states it; None when it does not, or is not connected yet."""
        capture = self._connection.capture if self._connection else None
        return capture.fps if capture else None

    @property
    def state(self) -> CameraState:
        """How it is; for any thread."""
        return self._state

    @property
    def skipped(self) -> Drops:
        """Frames that never reached a reader, by cause."""
        return self._past.plus(self._connection.drops) if self._connection else self._past

    def latest(self, frame: Frame) -> Frame:
        """The newest frame, in place of one that was read before."""
        newer = self._connection.mailbox.take(0) if self._connection else None
        if newer is None:
            return frame
        self._past = self._past.plus(Drops(superseded=1))
        self._last = self._clock()
        return newer

    def __enter__(self) -> Camera:
        super().__enter__()
        if self._connection is None:
            self._start()
        return self

    def _read(self) -> Frame | None:
        while not self._stopping.is_set() and (connection := self._connection):
            frame = connection.mailbox.take(WAKING_SECONDS)
            self.on_wake()
            if frame is not None:
                self._arrived()
                return frame
            if self._stopping.is_set():  # closed meanwhile, which ends the mailbox, too
                return None
            if connection.mailbox.ended:
                error = connection.mailbox.error
                if error is None and connection.finished:
                    self._become("ended")
                    return None
                if error is not None and (connection.ends or not isinstance(error, CameraError)):
                    raise error  # of what has an end, as a film; or what no new connection mends
                self._lost(str(error) if error else f"the camera {self.name} gives no more frames")
            elif self._reconnects and self._clock() - self._last > connection.patience():
                self._hung.append(connection)
                self._lost(f"the camera {self.name} hangs")
        return None

    def _arrived(self) -> None:
        self._last = self._clock()
        if self._state.phase != "live":
            if self._state.lost or self._state.trouble:
                logger.warning("the camera %s is back", self.name)
            self._become("live")
        self._tries = 0

    def _lost(self, trouble: str) -> None:
        """Waits, and connects again."""
        assert self._connection is not None
        was_live = self._state.phase == "live"
        self._past = self.skipped.plus(Drops(source=int(was_live)))
        self._next, self._period = self._connection.next_index, self._connection.period
        self._connection.leave()
        self._connection = None
        self._hung = [each for each in self._hung if each.thread.is_alive()]
        if len(self._hung) > HUNG_MOST:
            raise StalledError(
                f"the camera {self.name} hangs, and so did {HUNG_MOST} connections made anew; look at its driver and "
                "start the program again"
            )
        if trouble != self._state.trouble:  # said once, however often it is tried
            logger.warning("%s; trying again until it is there", trouble)
        self._become("waiting", trouble, int(was_live))
        longest = min(FIRST_WAIT * 2**self._tries, LONGEST_WAIT)
        self._tries = min(self._tries + 1, 10)
        waited = self._clock() - self._last  # an attempt that ran out of time was a wait, too
        share = self._rng.uniform(0.5, 1.0)
        if not self._stopping.wait(max(longest * share - waited, FIRST_WAIT * share)):
            self._start()

    def _start(self) -> None:
        self._last = self._clock()
        self._connection = _Connection(self._connect, self.name, self._next, self._clock, self._period)

    def _become(self, phase: Phase, trouble: str = "", lost: int = 0) -> None:
        before = self._state
        self._state = CameraState(
            self.name, phase, before.connections + (phase == "live"), before.lost + lost, trouble
        )  # one assignment: other threads read it

    def _close(self) -> None:
        self._stopping.set()
        self._become("ended")
        connection = self._connection
        if connection is not None:
            connection.leave()
            connection.thread.join(CLOSING_SECONDS)
            if connection.thread.is_alive():
                logger.warning("the camera %s hangs; it ends by itself when its driver answers", self.name)


class _Connection:
    """One thread that opens a source and reads it into a mailbox, until its frames end or it is left."""

    def __init__(
        self,
        connect: Callable[[], Capture],
        name: str,
        first: int,
        clock: Callable[[], float],
        period: float | None,
    ) -> None:
        self.mailbox = LatestFrame()
        self.capture: Capture | None = None
        self.finished = False  # the frames came to the end that they were to come to
        self.next_index = self._first = first
        self._longest, self._period = 0.0, period
        self._damaged = 0
        self._connect, self._clock = connect, clock
        self._left = threading.Event()
        # A daemon, so that a driver that hangs cannot keep the process from ending.
        self.thread = threading.Thread(target=self._run, name=f"camera {name}", daemon=True)
        self.thread.start()

    @property
    def drops(self) -> Drops:
        """Frames of this connection that never reached a reader."""
        return Drops(decode=self._damaged, superseded=self.mailbox.superseded)

    @property
    def period(self) -> float | None:
        """Seconds between two frames at most, of this connection or those before; None where it is not known yet."""
        return self._longest if self.next_index - self._first >= KNOWN_FRAMES else self._period

    @property
    def ends(self) -> bool:
        """Whether it is open and has an end."""
        return self.capture is not None and not self.capture.endless

    def patience(self) -> float:
        """Seconds without a frame after which it hangs."""
        if self.capture is None:
            return CONNECTING_SECONDS
        period = 1 / self.capture.fps if self.capture.fps else self.period
        return STALLED_SECONDS if period is None else max(STALLED_FRAMES * period, STALLED_AT_LEAST)

    def leave(self) -> None:
        """Ends it with its next frame; nobody waits for that."""
        self._left.set()
        self.mailbox.close()

    def _run(self) -> None:
        with self.mailbox, closing(self._connect()) as capture:
            self.capture, before = capture, None
            for frame in frames_of(capture, self._clock, self.next_index, self._note_damaged):
                if self._left.is_set():
                    return
                self._longest = max(self._longest, frame.captured - before) if before is not None else 0.0
                before = frame.captured
                self.mailbox.put(frame)
                self.next_index = frame.index + 1
            self.finished = self.ends

    def _note_damaged(self) -> None:
        self._damaged += 1

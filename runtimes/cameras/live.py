"""`LiveCamera`: keeps only the newest frame of its source, and connects again whenever the source is lost."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import closing

import numpy as np

from allweather.runtimes.cameras.base import Camera, CameraState, Capture, Phase, read_frames
from allweather.runtimes.cameras.latest_frame import LatestFrame
from allweather.runtimes.errors import CameraError, StalledError, UsageError
from allweather.runtimes.setting_types import is_real
from allweather.runtimes.types import Drops, Frame

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_SECONDS = 0.5  # a healthy camera gives a frame much sooner, and its thread can end after each frame
POLL_SECONDS = 0.2  # a stall is noticed at most this late; a wait without limit cannot be interrupted on all systems
CONNECT_TIMEOUT_SECONDS = 12.0  # opening a stream ends by itself after 5 s to connect and 5 s to find its format
STALL_SECONDS = 5.0  # without a frame, for a source whose frame rate is not known
STALL_FRAMES, MIN_STALL_SECONDS = 2, 2.0  # for a known frame rate: the time of two frames, but at least two seconds
MIN_FRAMES_FOR_RATE = 10  # after this many frames the frame rate is known even if the source does not state it
MAX_HUNG_CONNECTIONS = 5  # left behind in a driver that does not respond; each holds a thread
MIN_WAIT_SECONDS, MAX_WAIT_SECONDS = 0.1, 1.0  # between attempts, doubled each time
DAMAGED_SECONDS = 0.001  # after a damaged frame: a source that gives such ones at once would take all of a core
MAX_DOUBLINGS = 10  # keeps the power of two small; the maximum is reached long before


class LiveCamera(Camera):
    """A device, a stream, or a video played at its own speed: a thread reads it and keeps only the newest frame.

    Frames left in the queue of a driver would be read later and later; therefore a frame that was not read in time is
    replaced and counted. A source that is not available, is cut off or gives no more frames is connected to again; its
    images may then have another size. The wait between attempts starts at a tenth of a second and doubles up to one
    second. It is shortened by a random part, so that many cameras do not connect at the same moment, and by the time
    that the attempt itself took. A connection that hangs is left behind and replaced by a new one. The reader waits
    meanwhile.

    Args:
        connect: Opens the source. It may take seconds, as it is called in a thread of the camera.
        name: Name of the source for messages and logs, without passwords.
        clock: Returns monotonic seconds.
        rng: Random generator for the waits between attempts.
        reconnects: Whether a new connection is made when the source stalls. If not, the reader waits for the source, as
            for a slow disk.
        wait_seconds: How long `read` waits for a frame before it raises a CameraError, above 0; None for no limit.
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
        wait_seconds: float | None = None,
    ) -> None:
        super().__init__(name, clock=clock)
        self._wait_seconds = check_wait(wait_seconds)
        self._reconnects = reconnects
        self._connect = connect
        self._rng = rng or np.random.default_rng()
        self._stopping = threading.Event()
        self._connection: _Connection | None = None
        self._hung: list[_Connection] = []
        self._past_drops = Drops()  # of the connections before the present one
        self._next_index = 0  # index of the first frame of the next connection
        self._frame_period: float | None = None  # seconds between frames, if known
        self._attempts = 0  # since the last frame
        self._known_damaged = 0  # damaged frames up to the last whole one, or the last reconnection
        self._last_activity = 0.0  # time of the last frame or, if later, of the start of the last attempt to connect
        self._state = CameraState(name, "connecting")

    @property
    def fps(self) -> float | None:
        """Frames per second as stated by the source; None if it states none or is not connected."""
        capture = self._connection.capture if self._connection else None
        return capture.fps if capture else None

    @property
    def state(self) -> CameraState:
        """The present state; for any thread."""
        return self._state

    @property
    def drops(self) -> Drops:
        """Number of frames so far that never reached a reader, by cause."""
        return self._past_drops.plus(self._connection.drops) if self._connection else self._past_drops

    def latest(self, frame: Frame) -> Frame:
        """Returns the newest frame, to replace `frame`, which was read before; `frame` itself if none is newer."""
        newer = self._connection.latest_frame.take(0) if self._connection else None
        if newer is None:
            return frame
        self._past_drops = self._past_drops.plus(Drops(superseded=1))
        self._last_activity = self.clock()
        return newer

    def open(self) -> None:
        """Starts the first connection and does not wait for it."""
        self._start_connection()

    def read(self) -> Frame | None:
        """Waits for the newest frame, through any number of new connections; returns None after the end.

        Raises:
            CameraError: A source that has an end, such as a video, fails; or there was no frame for `wait_seconds`.
            StalledError: The source hangs, and so do several new connections to it.
        """
        started = self.clock()
        while not self._stopping.is_set() and (connection := self._connection):
            frame = connection.latest_frame.take(POLL_SECONDS)
            self.on_wait()
            if frame is not None:
                self._note_frame()
                return frame
            if self._stopping.is_set():  # closed by another thread, which ends the connection too
                return None
            if self._wait_seconds is not None and self.clock() - started > self._wait_seconds:
                error_text = self._state.error or f"the camera {self.name} gives no frame"
                raise CameraError(f"{error_text} (waited for {self._wait_seconds:g} s)")
            if connection.latest_frame.ended:
                error = connection.latest_frame.error
                if error is None and connection.finished:
                    self._set_phase("ended")
                    return None
                if error is not None and (connection.has_end or not isinstance(error, CameraError)):
                    raise error  # a new connection would not help
                self._reconnect(str(error) if error else f"the camera {self.name} gives no more frames")
            elif self._reconnects and self.clock() - self._last_activity > connection.stall_seconds():
                self._hung.append(connection)
                self._reconnect(self._reason_of_stall())
        return None

    def _reason_of_stall(self) -> str:
        """Returns why the connection has given no frame for so long."""
        damaged, self._known_damaged = self._known_damaged, self.drops.decode
        if self._known_damaged == damaged:
            return f"the camera {self.name} hangs"
        return f"the frames of the camera {self.name} cannot be decoded; check its cable, or set another format"

    def _note_frame(self) -> None:
        self._last_activity, self._known_damaged = self.clock(), self.drops.decode
        if self._state.phase != "live":
            if self._state.disconnects or self._state.error:
                logger.warning("the camera %s is back", self.name)
            self._set_phase("live")
        self._attempts = 0

    def _reconnect(self, error: str) -> None:
        """Leaves the present connection, waits, and starts the next one."""
        assert self._connection is not None
        was_live = self._state.phase == "live"
        self._past_drops = self.drops.plus(Drops(source=int(was_live)))
        self._next_index, self._frame_period = self._connection.next_index, self._connection.frame_period
        self._connection.leave()
        self._connection = None
        self._hung = [each for each in self._hung if each.thread.is_alive()]
        if len(self._hung) > MAX_HUNG_CONNECTIONS:
            raise StalledError(
                f"the camera {self.name} hangs, and so did {MAX_HUNG_CONNECTIONS} new connections to it; check its "
                "driver and start the program again"
            )
        if error != self._state.error:  # logged once, however many attempts follow
            logger.warning("%s; trying again until the camera is available", error)
        self._set_phase("waiting", error, int(was_live))
        wait = min(MIN_WAIT_SECONDS * 2**self._attempts, MAX_WAIT_SECONDS)
        self._attempts = min(self._attempts + 1, MAX_DOUBLINGS)
        elapsed = self.clock() - self._last_activity  # an attempt that timed out counts as waiting
        share = self._rng.uniform(0.5, 1.0)
        if not self._stopping.wait(max(wait * share - elapsed, MIN_WAIT_SECONDS * share)):
            self._start_connection()

    def _start_connection(self) -> None:
        self._last_activity = self.clock()
        self._connection = _Connection(self._connect, self.name, self._next_index, self.clock, self._frame_period)

    def _set_phase(self, phase: Phase, error: str = "", disconnects: int = 0) -> None:
        before = self._state
        self._state = CameraState(
            self.name, phase, before.connections + (phase == "live"), before.disconnects + disconnects, error
        )  # one assignment, as other threads read it

    def _stop(self) -> None:
        """Ends a `read` that another thread is waiting in at once, instead of waiting until it returns."""
        self._stopping.set()
        self._set_phase("ended")
        connection = self._connection
        if connection is not None:
            connection.leave()
            connection.thread.join(CLOSE_TIMEOUT_SECONDS)
            if connection.thread.is_alive():
                logger.warning("the camera %s hangs; its thread ends as soon as its driver responds", self.name)


def check_wait(seconds: float | None) -> float | None:
    """Returns the limit of a wait.

    Raises:
        UsageError: It is not a number of seconds above 0.
    """
    if seconds is not None and not (is_real(seconds) and 0 < seconds < math.inf):
        raise UsageError(f"the wait for a frame is a number of seconds above 0; got {seconds!r:.40}")
    return seconds


class _Connection:
    """A thread that opens a source and reads it into `latest_frame`, until the frames end or `leave` is called."""

    def __init__(
        self,
        connect: Callable[[], Capture],
        name: str,
        first_index: int,
        clock: Callable[[], float],
        frame_period: float | None,
    ) -> None:
        self.latest_frame = LatestFrame()
        self.capture: Capture | None = None
        self.finished = False  # whether the source reached its regular end
        self.next_index = self._first_index = first_index
        self._max_period, self._known_period = 0.0, frame_period
        self._damaged = 0
        self._connect, self._clock = connect, clock
        self._left = threading.Event()
        # A daemon thread, so that a driver that hangs cannot keep the process from ending.
        self.thread = threading.Thread(target=self._run, name=f"camera {name}", daemon=True)
        self.thread.start()

    @property
    def drops(self) -> Drops:
        """Number of frames of this connection that never reached a reader."""
        return Drops(decode=self._damaged, superseded=self.latest_frame.superseded)

    @property
    def frame_period(self) -> float | None:
        """Longest time between two frames in seconds, of this connection or an earlier one; None if not known yet."""
        enough = self.next_index - self._first_index >= MIN_FRAMES_FOR_RATE
        return self._max_period if enough else self._known_period

    @property
    def has_end(self) -> bool:
        """Whether the source is open and has a regular end."""
        return self.capture is not None and not self.capture.endless

    def stall_seconds(self) -> float:
        """Returns after how many seconds without a frame the connection is considered to hang."""
        if self.capture is None:
            return CONNECT_TIMEOUT_SECONDS
        period = 1 / self.capture.fps if self.capture.fps else self.frame_period
        return STALL_SECONDS if period is None else max(STALL_FRAMES * period, MIN_STALL_SECONDS)

    def leave(self) -> None:
        """Makes the thread end with its next frame, without waiting for it."""
        self._left.set()
        self.latest_frame.close()

    def _run(self) -> None:
        with self.latest_frame, closing(self._connect()) as capture:
            self.capture, before = capture, None
            for frame in read_frames(capture, self._clock, self.next_index, self._count_damaged):
                if self._left.is_set():
                    return
                self._max_period = max(self._max_period, frame.captured - before) if before is not None else 0.0
                before = frame.captured
                self.latest_frame.put(frame)
                self.next_index = frame.index + 1
            self.finished = self.has_end

    def _count_damaged(self) -> bool:
        """Counts a damaged frame; returns whether the connection is still wanted, as it may give no others."""
        self._damaged += 1
        return not self._left.wait(DAMAGED_SECONDS)

"""`Site`: a bundle on cameras, each with a policy, a budget, regions and outputs of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from allweather.runtimes.errors import UsageError
from allweather.runtimes.redaction import redacted
from allweather.runtimes.text import printable
from allweather.site.outputs import RunOutputs

if TYPE_CHECKING:
    from allweather.runtimes.region import Region

MAX_PORT = 65535
_HOST = re.compile(r"[\w.-]*|\[?[0-9a-fA-F.]*:[0-9a-fA-F:.]*(?:%\w+)?\]?")


@dataclass(frozen=True)
class ModelChoice:
    """Which models run, and how; two sites with the same choice can share what is loaded.

    Attributes:
        bundle: Path of the bundle.
        engine: Name of the engine; None for the fastest.
        precision: Precision of the classifier; None for the one that the bundle prefers.
        threads: Number of CPU threads; None for all cores.
    """

    bundle: str
    engine: str | None = None
    precision: str | None = None
    threads: int | None = None


@dataclass(frozen=True)
class SiteCamera:
    """One camera of a site.

    Attributes:
        source: Text that names the source, as `open_camera` takes it.
        name: Name for messages, metrics and logs; empty for the source without passwords.
        policy: Policy of its decisions; None for the bundle's own.
        budget_ms: Milliseconds from capture to decision; None for no deadline.
        region: The part of each frame to decide on, or several by their names; None for the whole frame.
        live: Whether a file is played at its own speed.
        wait: Seconds without a frame after which the camera fails; None to wait for ever.
        outputs: What is written and shown of its decisions.
        smooth_frames: About how many frames an object stays, over which its decisions are combined; None to take each
            frame by itself.
    """

    source: str = field(repr=False)  # it may hold a password
    name: str = ""
    policy: str | None = None
    budget_ms: float | None = None
    region: Region | Mapping[str, Region] | None = None
    live: bool = False
    wait: float | None = None
    outputs: RunOutputs = field(default_factory=RunOutputs)
    smooth_frames: float | None = None

    def __post_init__(self) -> None:
        """Checks the number of frames, and that regions can be told apart where they are published.

        Raises:
            UsageError: It is out of range, or two regions have one topic.
        """
        if self.smooth_frames is not None:
            from allweather.runtimes.temporal import Smoothing

            Smoothing(self.smooth_frames)
        if self.outputs.mqtt is not None and isinstance(self.region, Mapping):
            _check_topics(self.region)

    @property
    def num_regions(self) -> int:
        """The number of parts of each frame to decide on; 1 for the whole frame."""
        return len(self.region) if isinstance(self.region, Mapping) else 1


def _check_topics(names: Iterable[str]) -> None:
    """Checks that each region has an MQTT topic of its own.

    Raises:
        UsageError: Two have one.
    """
    from allweather.runtimes.sinks.mqtt.topics import decision_topic

    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(decision_topic("", name), name)
        if other != name:
            raise UsageError(
                f"the regions {printable(other[:64])!r} and {printable(name[:64])!r} would be published to one topic, "
                f"which has letters, digits, _, . and - of a name; name one of them otherwise"
            )


@dataclass(frozen=True)
class Site:
    """What runs.

    Attributes:
        models: The models of all cameras.
        cameras: At least one.
        address: Host and port of the page; None for no page.
        token: Token that viewers of the page must send; may be empty.
        realtime: Whether memory is locked and the loops have real-time priority.
        cores: Cores of capture, loops and engine in real time; None for all that the process may use.
    """

    models: ModelChoice
    cameras: tuple[SiteCamera, ...]
    address: tuple[str, int] | None = None
    token: str = field(default="", repr=False)
    realtime: bool = False
    cores: tuple[int, ...] | None = None


def parse_address(text: str, option: str) -> tuple[str, int]:
    """Returns the host and port of [HOST:]PORT.

    Args:
        text: The address.
        option: Name of the option or key, for messages.

    Raises:
        UsageError: It is written in another way.
    """
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > MAX_PORT:
        raise UsageError(f"{option} is [HOST:]PORT with a port up to {MAX_PORT}, such as 8080; got {redacted(text)}")
    if not _HOST.fullmatch(host):
        raise UsageError(
            f"{option} is [HOST:]PORT, and HOST a name or address of this machine, such as 0.0.0.0; got "
            f"{redacted(text)}"
        )
    return host.strip("[]") or "127.0.0.1", int(port)

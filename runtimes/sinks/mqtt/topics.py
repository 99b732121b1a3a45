"""Topics: which messages of a camera go where, and names as levels of a topic."""

from __future__ import annotations

import hashlib
import logging
import re

from allweather.runtimes.errors import UsageError
from allweather.runtimes.text import printable

CAMERA = "CAMERA"  # a level of the topic that stands for the name of the camera
DEFAULT_TOPIC = f"allweather/{CAMERA}"
MAX_LEVEL_CHARACTERS = 64
MAX_TOPIC_BYTES = 1024  # MQTT itself takes 65535
MAX_REGIONS = 100  # with a topic of their own; more names are no regions that somebody has set up
log = logging.getLogger(__name__)
_OTHER = re.compile(r"[^\w.-]+")  # also + and #, which stand for any level, / between levels, and control characters


def topic_level(name: str, default: str = "camera") -> str:
    """Returns a name as one level of a topic: letters, digits, "_", "." and "-"; `default` if nothing is left of it.

    Of a long name the end is kept, in which paths and addresses differ.
    """
    return _OTHER.sub("-", name).strip("-.")[-MAX_LEVEL_CHARACTERS:].strip("-.") or default


def camera_topic(topic: str, source: str) -> str:
    """Returns the topic below which the messages of a camera are.

    Args:
        topic: The topic; its level CAMERA stands for the camera.
        source: Name of the camera.

    Raises:
        UsageError: No message can be published there.
    """
    levels = checked_topic(topic).split("/")
    return "/".join(topic_level(source) if level == CAMERA else level for level in levels)


def checked_topic(topic: str) -> str:
    """Returns a topic without / at its ends.

    Raises:
        UsageError: No message can be published there.
    """
    found = topic.strip("/")
    faults = [word for word in ("+", "#", "\0") if word in found]
    is_long = len(found.encode("utf-8", "replace")) > MAX_TOPIC_BYTES
    if not found or faults or found.startswith("$") or "//" in found or printable(found) != found or is_long:
        raise UsageError(
            f"an MQTT topic has levels with / between them, such as {DEFAULT_TOPIC}, at most {MAX_TOPIC_BYTES} bytes, "
            f"no + or # and no $ at its beginning; got {printable(topic[:MAX_LEVEL_CHARACTERS])!r}"
        )
    return found


def availability_topic(base: str) -> str:
    """Returns the topic that says "online" or "offline"."""
    return f"{base}/availability"


def decision_topic(base: str, region_name: str = "") -> str:
    """Returns the topic of the decisions on whole frames, or on a region that has a name."""
    return f"{base}/decision/{topic_level(region_name, 'region')}" if region_name else f"{base}/decision"


class DecisionTopics:
    """The topics of the decisions of a camera: one for each region, also for names that give the same level.

    Args:
        base: Topic below which the messages of the camera are.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._topics: dict[str, str] = {}  # by the name of the region

    def of(self, region_name: str) -> str:
        """Returns the topic of a region; where another one has it already, with a hash of the name at its end."""
        if region_name in self._topics:
            return self._topics[region_name]
        topic = decision_topic(self._base, region_name)
        if len(self._topics) >= MAX_REGIONS:
            return topic
        if topic in self._topics.values():
            other = next(name for name, used in self._topics.items() if used == topic)
            topic = f"{topic}-{hashlib.sha256(region_name.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}"
            log.warning(
                "the regions %r and %r have the same name in topics of MQTT, so that the decisions on the second go to "
                "%s; rename one",
                printable(other), printable(region_name), topic,
            )  # fmt: skip
        self._topics[region_name] = topic
        return topic


def event_topic(base: str, kind: str) -> str:
    """Returns the topic of the newest event of a kind."""
    return f"{base}/{kind}"

"""The part of ROS 2 (rclpy, vision_msgs) that the sample uses, where there is no ROS 2. It prints messages."""

from __future__ import annotations

import json
import runpy
import sys
from types import ModuleType, SimpleNamespace
from typing import Any


class Time:
    """A time in seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __sub__(self, other: Time) -> Time:
        return Time(self.seconds - other.seconds)

    def to_msg(self) -> float:
        return self.seconds


class Point(SimpleNamespace):
    """A message with the fields x and y, which takes floats only, as the messages of ROS 2 do."""

    def __setattr__(self, name: str, value: Any) -> None:
        assert name in ("x", "y")
        assert isinstance(value, float)
        super().__setattr__(name, value)


def hypothesis() -> SimpleNamespace:
    return SimpleNamespace(hypothesis=SimpleNamespace(class_id="", score=0.0))


def detection() -> SimpleNamespace:
    box = SimpleNamespace(center=SimpleNamespace(position=Point()), size_x=0.0, size_y=0.0)
    return SimpleNamespace(header=None, id="", bbox=box, results=[])


def detections() -> SimpleNamespace:
    return SimpleNamespace(header=SimpleNamespace(stamp=None, frame_id=""), detections=[])


class Publisher:
    """Prints what is published, and to which topic."""

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def publish(self, message: Any) -> None:
        print(json.dumps([self._topic, message], default=vars))


class Node:
    """A node at a clock that shows 100 seconds."""

    def create_publisher(self, kind: Any, topic: str, depth: int) -> Publisher:
        assert kind is detections
        return Publisher(topic)

    def get_clock(self) -> SimpleNamespace:
        return SimpleNamespace(now=lambda: Time(100.0))

    def destroy_node(self) -> None:
        print("destroyed")


def install() -> None:
    """Puts the fake modules where `import` finds them."""
    rclpy: Any = ModuleType("rclpy")
    rclpy.init, rclpy.try_shutdown = lambda: print("init"), lambda: print("shutdown")
    rclpy.create_node = lambda name: Node()
    duration: Any = ModuleType("rclpy.duration")
    duration.Duration = lambda *, seconds: Time(seconds)
    messages: Any = ModuleType("vision_msgs")
    messages.msg = ModuleType("vision_msgs.msg")
    messages.msg.Detection2D, messages.msg.Detection2DArray = detection, detections
    messages.msg.ObjectHypothesisWithPose = hypothesis
    sys.modules.update({
        "rclpy": rclpy, "rclpy.duration": duration, "vision_msgs": messages, "vision_msgs.msg": messages.msg
    })  # fmt: skip


if __name__ == "__main__":  # python fake_ros2.py SAMPLE ARGUMENTS: runs a sample as if there were ROS 2
    install()
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")

"""Publishes decisions to ROS 2 as vision_msgs/Detection2DArray: python ros2_publisher.py BUNDLE SOURCE [TOPIC].

Run it where ROS 2 with vision_msgs is set up (source /opt/ros/DISTRO/setup.bash), in a venv --system-site-packages.
"""

import sys

import allweather


class Ros2Sink(allweather.Sink):
    """Publishes the decisions of each frame as one message, stamped with the time of the capture."""

    def __init__(self, topic):
        self._topic = topic

    def open(self):
        """Starts a node."""
        import rclpy
        from rclpy.duration import Duration
        from vision_msgs import msg

        self._rclpy, self._seconds, self._msg = rclpy, lambda count: Duration(seconds=count), msg
        rclpy.init()
        self._node = rclpy.create_node("allweather")
        self._publisher = self._node.create_publisher(msg.Detection2DArray, self._topic, 10)

    def write(self, frame, decision):
        """See `write_frame`."""
        self.write_frame(frame, (decision,))

    def write_frame(self, frame, decisions):
        """Publishes a message with one detection a decision; without a region, its box is the whole frame."""
        message, age = self._msg.Detection2DArray(), max((each.age for each in decisions), default=0.0)
        message.header.stamp = (self._node.get_clock().now() - self._seconds(age)).to_msg()
        message.header.frame_id = "camera"
        for decision in decisions:
            region = decision.region or allweather.Region(0, 0, frame.image.shape[1], frame.image.shape[0])
            found, best = self._msg.Detection2D(), self._msg.ObjectHypothesisWithPose()
            found.header, found.id = message.header, decision.name
            center = found.bbox.center.position
            center.x, center.y = region.x + region.width / 2, region.y + region.height / 2
            found.bbox.size_x, found.bbox.size_y = float(region.width), float(region.height)
            best.hypothesis.class_id, best.hypothesis.score = decision.label, float(decision.confidence)
            found.results.append(best)
            message.detections.append(found)
        self._publisher.publish(message)

    def close(self):
        """Ends the node."""
        self._node.destroy_node()
        self._rclpy.try_shutdown()


if len(sys.argv) < 3:
    sys.exit("usage: python ros2_publisher.py BUNDLE SOURCE [TOPIC]")
bundle, source, topic = [*sys.argv[1:], "decisions"][:3]
with allweather.load(bundle, budget_ms=33) as perceiver:
    for _ in allweather.watch(source, perceiver, sinks=[Ros2Sink(topic)]):
        pass

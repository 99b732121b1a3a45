"""Test-time augmentation: the views of an image, which of them to run in the time left, and averaging over them."""

from allweather.runtimes.tta.latency_model import LatencyModel
from allweather.runtimes.tta.planner import Planner
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.run_views import ViewResult
from allweather.runtimes.tta.views import CLASSIC_VIEWS, VIEWS, View, register_view, view

__all__ = [
    "CLASSIC_VIEWS", "VIEWS", "LatencyModel", "Planner", "Policy", "View", "ViewResult", "parse_policy",
    "register_view", "view",
]  # fmt: skip

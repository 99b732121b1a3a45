"""The public API: the tested list of names, what they are, and that using them on a device does not load torch."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import allweather
from allweather.runtimes import errors

ERRORS = [name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)]
PUBLIC = [
    "AllweatherError",
    "Budget",
    "Bundle",
    "BundleError",
    "CallbackSink",
    "Camera",
    "CameraError",
    "CameraHealth",
    "CameraHealthTracker",
    "CameraState",
    "CheckpointError",
    "CompiledModel",
    "Crop",
    "DataError",
    "Decision",
    "DependencyError",
    "DetectorError",
    "Drops",
    "Ended",
    "Engine",
    "EngineError",
    "EngineSpec",
    "EngineTimeoutError",
    "Event",
    "Frame",
    "HardFramesSink",
    "InputSpec",
    "JsonlSink",
    "MqttSink",
    "NotBuiltError",
    "OutputError",
    "ParityError",
    "Perceiver",
    "Plan",
    "Policy",
    "Region",
    "ReplacedError",
    "Sink",
    "Smoother",
    "Smoothing",
    "StageTimes",
    "StalledError",
    "TableSink",
    "TrainingError",
    "UsageError",
    "VideoSink",
    "View",
    "WebhookSink",
    "connect",
    "is_image_name",
    "load",
    "open_camera",
    "read_image",
    "realtime",
    "register_view",
    "watch",
]


def test_the_list_of_public_names() -> None:
    assert allweather.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(allweather))
    assert "__version__" in dir(allweather)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring_of_its_own(name: str) -> None:
    text = inspect.getdoc(getattr(allweather, name))
    assert text
    assert text.splitlines()[0].endswith("."), text
    assert not text.startswith(f"{name}("), "a generated docstring says nothing"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'lode'; it has AllweatherError, .*, load, .*, watch"):
        _ = allweather.lode
    with pytest.raises(ImportError, match="lode"):
        from allweather import lode  # noqa: F401


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_public_and_an_allweather_error(name: str) -> None:
    kind = getattr(allweather, name)
    assert kind is getattr(errors, name)
    assert issubclass(kind, allweather.AllweatherError)
    assert issubclass(allweather.AllweatherError, Exception)


def test_errors_of_engines_can_be_caught_together() -> None:
    for kind in (allweather.ParityError, allweather.EngineTimeoutError, allweather.NotBuiltError):
        assert issubclass(kind, allweather.EngineError)


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("names", [("Camera", "Sink", "Policy", "View", "Engine"), tuple(PUBLIC)], ids=["some", "all"])
@pytest.mark.slow
def test_public_names_do_not_load_torch(names: tuple[str, ...]) -> None:
    code = f"import sys, allweather; [getattr(allweather, name) for name in {names!r}]; print('torch' in sys.modules)"
    assert run_python(code).strip() == "False"


def test_engines_and_errors_load_neither_cv2_nor_numpy() -> None:
    code = (
        "import sys, allweather; allweather.Engine, allweather.UsageError; print({'cv2', 'numpy'} & set(sys.modules))"
    )
    assert run_python(code).strip() == "set()"


@pytest.mark.slow
def test_a_view_of_a_user_is_run_like_a_built_in_one() -> None:
    code = """
import allweather, numpy as np
from allweather.runtimes.tta.policy_names import parse_policy
allweather.register_view(allweather.View("negative", lambda image: 255 - image))
policy = parse_policy("set:identity,negative")
assert isinstance(policy, allweather.Policy)
print(policy.views)
"""
    assert run_python(code).strip() == "('identity', 'negative')"

"""Builds TensorRT engines on the device that will run them."""

from allweather.exporters.tensorrt.build import BuildConfig, BuildResult, build
from allweather.exporters.tensorrt.build_bundle import BuiltModel, build_engines

__all__ = ["BuildConfig", "BuildResult", "BuiltModel", "build", "build_engines"]

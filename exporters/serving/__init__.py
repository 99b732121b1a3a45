"""Writes a bundle as a model repository for NVIDIA Triton Inference Server or OpenVINO Model Server."""

from allweather.exporters.serving.models import ServedModel, models_to_serve
from allweather.exporters.serving.repository import LAYOUTS, Repository, ServerLayout, write_repository

__all__ = ["LAYOUTS", "Repository", "ServedModel", "ServerLayout", "models_to_serve", "write_repository"]

"""The bundle: the file format that carries models from the workstation to the device."""

from allweather.runtimes.bundle.bundle import Bundle, write_bundle
from allweather.runtimes.bundle.manifest import Manifest, Model
from allweather.runtimes.bundle.output_path import check_bundle_path

__all__ = ["Bundle", "Manifest", "Model", "check_bundle_path", "write_bundle"]

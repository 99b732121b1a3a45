from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_torchvision_imports_beside_a_cpu_torch() -> None:
    code = (
        "from allweather.trainers.torchvision_import import import_torchvision; "
        "print(import_torchvision('models').resnet18.__name__)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "resnet18", done.stderr

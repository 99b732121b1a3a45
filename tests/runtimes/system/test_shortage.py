"""Too little memory or too few threads for a library is one line that does not ask to install or export again."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from allweather.optional_dependencies import explain_missing
from allweather.runtimes.errors import DependencyError
from allweather.runtimes.system.shortage import CURE, is_shortage, with_cure


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libopenvino.so.2641: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_a_shortage_is_told_with_its_own_cure(error: Exception) -> None:
    assert is_shortage(error)
    assert with_cure(error, "export it again").endswith(CURE)
    assert with_cure(ValueError("no such layer"), "export it again") == "no such layer; export it again"


def test_a_library_whose_parts_cannot_be_loaded_is_one_line() -> None:
    wanted = r"cv2 cannot be loaded: libGL\.so\.1: cannot open .*; install it again"
    with pytest.raises(DependencyError, match=wanted), explain_missing():
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory", name="cv2")
    with pytest.raises(ImportError, match="cannot import name"), explain_missing():  # a fault in our own code
        raise ImportError("cannot import name 'a' from 'b'", name="b")


def test_a_library_of_the_package_itself_that_is_gone_is_one_line() -> None:
    with pytest.raises(DependencyError, match=r"this needs yaml, .* --force-reinstall allweather"), explain_missing():
        raise ModuleNotFoundError("No module named 'yaml'", name="yaml")


@pytest.mark.end_to_end
def test_run_with_little_address_space_ends_in_one_line(sample_bundle: Path) -> None:
    kilobytes = 520_000  # above, some libraries end the process by themselves

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (kilobytes << 10, kilobytes << 10))

    line = ["run", str(sample_bundle), "--source", str(sample_bundle.parents[1] / "images"), "--limit", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "allweather.cli", *line],
        capture_output=True, text=True, timeout=60, check=False, preexec_fn=limit,
    )  # fmt: skip
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr
    assert "export it again" not in done.stderr
    if done.returncode:
        assert done.stderr.count("error:") == 1

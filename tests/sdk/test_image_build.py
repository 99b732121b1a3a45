"""The script that builds the container image: what it asks of podman or docker, and what the image is built from."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "samples" / "deploy" / "build-image.sh"
TOOLS = ("bash", "dirname", "env")


def build(folder: Path, *arguments: str, programs: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Runs the script where only these programs are installed; each writes its arguments to a log."""
    for name in TOOLS:
        (folder / name).symlink_to(str(shutil.which(name)))
    for name in programs:
        (folder / name).write_text(f'#!/usr/bin/env bash\necho {name} "$@" >> "{folder}/log"\n')
        (folder / name).chmod(0o755)
    environment = {**os.environ, "PATH": str(folder)}
    return subprocess.run(
        [str(SCRIPT), *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment
    )


@pytest.mark.parametrize(
    ("programs", "begin"),
    [
        (("podman", "docker"), "podman build --format docker --tag allweather"),
        (("docker",), "docker build --tag allweather"),
    ],
)
def test_the_image_is_built_and_tried(programs: tuple[str, ...], begin: str, tmp_path: Path) -> None:
    done = build(tmp_path, programs=programs)
    assert done.returncode == 0, done.stderr
    first, second, third = (tmp_path / "log").read_text().splitlines()
    assert first == f"{begin} --file samples/deploy/Containerfile ."
    assert second == f"{programs[0]} run --rm allweather doctor"
    assert third.startswith(f"{programs[0]} image inspect ")


def test_tag_and_options_are_passed_on(tmp_path: Path) -> None:
    done = build(tmp_path, "front:1", "--platform", "linux/arm64", programs=("docker",))
    assert done.returncode == 0, done.stderr
    first, second, _ = (tmp_path / "log").read_text().splitlines()
    assert first == "docker build --tag front:1 --file samples/deploy/Containerfile --platform linux/arm64 ."
    assert second == "docker run --rm front:1 doctor"


def test_without_podman_and_docker_one_line_says_so(tmp_path: Path) -> None:
    done = build(tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "error: building an image needs podman or docker, and neither is installed; install one, then run this again\n"
    )


def test_the_image_is_built_from_the_packages_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert all((ROOT / name).exists() for name in kept)
    containerfile = (ROOT / "samples" / "deploy" / "Containerfile").read_text()
    copied = set(re.findall(r"^COPY (\w[\w.]*) ", containerfile, re.MULTILINE))
    needed = {"exporters", "runtimes", "sdk", "trainers", "pyproject.toml", "README.md", "LICENSE"}
    assert kept == needed | copied

"""The source distribution and the wheel; the wheel in a bare environment, as a device installs it: without torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from allweather import __version__ as VERSION  # noqa: N812 - a constant here

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source distribution, and a wheel that was built from it; ALLWEATHER_DIST where it is set."""
    if "ALLWEATHER_DIST" in os.environ:  # `make release` checks what it has built
        return ROOT / os.environ["ALLWEATHER_DIST"]
    out = tmp_path_factory.mktemp("built")
    source = out / "source"  # a copy without what is ignored: setuptools writes into the tree it builds from
    hidden = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__")
    results = {"build", "demo", "dist", "site", "tutorial"}  # of the root alone: sdk/demo is a package

    def ignored(folder: str, names: list[str]) -> set[str]:
        return hidden(folder, names) | (results if Path(folder) == ROOT else set())

    shutil.copytree(ROOT, source, ignore=ignored)
    command = [sys.executable, "-m", "build", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


def packaged() -> set[str]:
    """The files that an installation needs, under the names that they have in the wheel."""
    files = set()
    for folder in ("sdk", "exporters", "trainers", "runtimes"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".html", ".css", ".js") or path.name == "py.typed":
                inside = path.relative_to(ROOT / "sdk" if folder == "sdk" else ROOT)
                files.add(f"allweather/{inside.as_posix()}")
    return files


@pytest.mark.slow
def test_the_wheel_is_small_and_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    assert wheel.stat().st_size < 1_200_000
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    assert {name.split("/")[0] for name in names} == {"allweather", f"allweather-{VERSION}.dist-info"}
    assert {name for name in names if name.startswith("allweather/")} == packaged()


@pytest.mark.slow
def test_the_source_distribution_builds_the_wheel_and_holds_the_documents(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "sdk/__init__.py"} <= names
    assert {f"runtimes/monitor/page.{kind}" for kind in ("html", "css", "js")} <= names


def interpreter(version: str) -> str | None:
    """A Python of that version on this machine; this one if it is of it."""
    if sys.version.startswith(f"{version}."):
        return sys.executable
    installed = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
    return str(installed[-1]) if installed else shutil.which(f"python{version}")


@pytest.mark.end_to_end
@pytest.mark.parametrize("version", ["3.10", "3.13"])  # the oldest and the newest
def test_it_runs_a_bundle_without_torch(
    version: str, wheel: Path, sample_bundle: Path, folder: Path, tmp_path: Path
) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine: the wheel was not run on it")
    subprocess.run([python, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    binaries = tmp_path / "venv" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(binaries / "python"), "--disable-pip-version-check"]
    install = ["install", "--quiet", "--no-compile", "-c", str(ROOT / "constraints.txt"), f"{wheel}[openvino]"]
    subprocess.run([*pip, *install], check=True, capture_output=True)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def run(*command: object) -> subprocess.CompletedProcess[str]:
        words = list(map(str, command))
        return subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, env=clean)

    line = ["run", sample_bundle, "--source", folder / "test" / "red", "--precision", "fp32", "--json"]
    done = run(binaries / "allweather", *line)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["decided"] == 8
    assert run(binaries / "python", "-c", "import torch").returncode == 1
    train = run(binaries / "allweather", "train", "--data", "signs", "--arch", "resnet20", "--out", "x.safetensors")
    assert train.returncode == 1
    assert "pip install 'allweather[train]'" in train.stderr
    doctor = run(binaries / "allweather", "doctor", "--json")
    checks = {row["name"]: row for row in json.loads(doctor.stdout)["checks"]}
    assert checks["engine openvino"]["works"]
    assert "pip install 'allweather[onnx]'" in checks["engine onnx"]["text"]
    assert "pip install 'allweather[train]'" in checks["torch"]["text"]

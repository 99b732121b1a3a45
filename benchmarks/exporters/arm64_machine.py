"""Installs an arm64 Python in a folder, with the packages of a device; it runs here under qemu's user emulation.

arm64.py imports this; it has no command line and measures nothing. The folder holds `system` (Debian's Python and C
libraries for arm64, unpacked, not installed), `packages` (the wheels that `pip install 'allweather[openvino,onnx]'`
installs on an arm64 device) and `allweather` (the wheel of this tree). Each has a file `.made` that records what it was
made from, so that only what changed is made again.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from allweather.runtimes.errors import DependencyError, EngineError, first_line, map_write_errors
from allweather.runtimes.system.atomic_files import atomic_folder

ROOT = Path(__file__).parents[2]
QEMU = "qemu-aarch64-static"
# The CPU of a Raspberry Pi 5; that of a Jetson Orin is its successor. It has INT8 dot products, but no i8mm.
CPU = "cortex-a76"
DEBIAN_PACKAGES = ("python3", "libstdc++6")
ENGINES = ("openvino", "onnx")
FOLDERS = ("sdk", "exporters", "trainers", "runtimes")
MADE = ".made"
LIBRARIES = ("numpy", "cv2", "pydantic", "onnxruntime", "openvino")

# The files /proc/cpuinfo and midr_el1 of this processor. Without them the emulated libraries would read those of this
# x86 machine, on which ONNX Runtime 1.31 crashes.
FEATURES = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
CPUINFO = "processor\t: {}\nFeatures\t: {}\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\nCPU revision\t: 1\n\n"
MIDR = "0x00000000414fd0b1\n"


@dataclass(frozen=True)
class Arm64:
    """An installed arm64 Python.

    Attributes:
        folder: The folder, as described above.
        qemu: Path of the emulator.
    """

    folder: Path
    qemu: str

    @property
    def package(self) -> Path:
        """Folder from which this tree's `allweather` can be imported, on any architecture."""
        return self.folder / "allweather"

    def run(self, *arguments: object) -> None:
        """Runs the arm64 Python with these arguments.

        Raises:
            EngineError: It failed or crashed. After a crash the message names the library that cannot be imported.
        """
        done = self._python(*arguments)
        if done.returncode == 0:
            return
        if done.returncode > 0:
            raise EngineError(f"arm64 failed: {_last(done.stderr)}")
        culprit = next((name for name in LIBRARIES if self._python("-c", f"import {name}").returncode), None)
        cause = f"{culprit} cannot be imported" if culprit else f"all libraries can be imported; {_last(done.stderr)}"
        raise EngineError(
            f"arm64 crashed under qemu ({signal.Signals(-done.returncode).name}): {cause}; try another version in "
            "constraints.txt, or a newer qemu"
        )

    def _python(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        python = self.folder / "system/usr/bin" / f"python{python_version(self.folder / 'system')}"
        path = os.pathsep.join([str(self.package), str(self.folder / "packages")])
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        system = self.folder / "system"
        return _run([self.qemu, "-cpu", CPU, "-L", system, python, *arguments], {**clean, "PYTHONPATH": path})


def prepare(folder: Path, say: Callable[[str], None]) -> Arm64:
    """Installs what is missing in a folder.

    Args:
        folder: Folder to write; about 450 MB.
        say: Called with a line about each part before it is made.

    Raises:
        DependencyError: qemu, apt-get or dpkg-deb is missing, or a package cannot be downloaded.
        OutputError: The folder cannot be written.
    """
    folder = folder.absolute()
    qemu = _program(QEMU, "qemu-user-static")
    with map_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    system = folder / "system"
    _make(system, " ".join((*DEBIAN_PACKAGES, CPU)), _unpack_debian, say)
    _make(folder / "allweather", _digest_of_sources(), _install_this_tree, say)
    requirements, constraints = runtime_requirements(folder / "allweather"), ROOT / "constraints.txt"

    def install(into: Path) -> None:
        _pip(into, *_for_arm64(system), "-c", constraints, *requirements)

    made_from = "\n".join((*requirements, python_version(system), constraints.read_text()))
    _make(folder / "packages", made_from, install, say)
    return Arm64(folder, qemu)


def runtime_requirements(package: Path) -> list[str]:
    """Returns the requirements of the wheel in `package` on a device with both engines, such as "numpy>=1.24"."""
    (distribution,) = importlib.metadata.distributions(name="allweather", path=[str(package)])
    extras = [f'extra == "{engine}"' for engine in ENGINES]
    lines = (line.partition(";") for line in distribution.requires or [])
    return sorted({name.strip() for name, _, marker in lines if not marker or marker.strip() in extras})


def python_version(system: Path) -> str:
    """Returns the version of the Python in `system`, such as "3.11".

    Raises:
        DependencyError: There is no Python.
    """
    pythons = sorted(system.glob("usr/bin/python3.[0-9]*[0-9]"))
    if not pythons:
        raise DependencyError(f"no Python was unpacked into {system}; remove that folder and run this again")
    return pythons[0].name.removeprefix("python")


def _make(into: Path, made_from: str, make: Callable[[Path], None], say: Callable[[str], None]) -> None:
    """Makes a folder completely or not at all, unless it exists and was made from the same."""
    if (into / MADE).is_file() and (into / MADE).read_text() == made_from:
        return
    say(f"making {into}")
    with atomic_folder(into, MADE) as beside:
        make(beside)
        (beside / MADE).write_text(made_from)


def _unpack_debian(into: Path) -> None:
    """Unpacks Debian's packages and their dependencies, from apt's own sources; the system's apt is not changed."""
    get, unpack = _program("apt-get", "apt"), _program("dpkg-deb", "dpkg")
    with tempfile.TemporaryDirectory() as scratch:
        state = Path(scratch)
        for name in ("lists/partial", "archives/partial"):
            (state / name).mkdir(parents=True)
        (state / "status").touch()  # no package counts as installed, so that all are downloaded
        settings = {
            "APT::Architecture": "arm64", "APT::Architectures": "arm64", "APT::Sandbox::User": "", "Dir::State": state,
            "Dir::State::status": state / "status", "Dir::Cache": state,
        }  # fmt: skip
        options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        fetch = ["install", "--download-only", "--yes", "--no-install-recommends", *DEBIAN_PACKAGES]
        for command in (["update"], fetch):
            _run_or_fail([get, *options, *command], "apt-get cannot fetch Debian's arm64 packages")
        for package in sorted(state.glob("archives/*.deb")):
            _run_or_fail([unpack, "-x", package, into], f"{package.name} cannot be unpacked")
    (into / "proc").mkdir()
    (into / "proc/cpuinfo").write_text("".join(CPUINFO.format(core, FEATURES) for core in range(os.cpu_count() or 1)))
    for core in range(os.cpu_count() or 1):
        registers = into / f"sys/devices/system/cpu/cpu{core}/regs/identification"
        registers.mkdir(parents=True)
        (registers / "midr_el1").write_text(MIDR)


def _install_this_tree(into: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source"  # a copy, because setuptools writes into the tree it builds from
        ignored = shutil.ignore_patterns(".*", "build", "demo", "*.egg-info", "__pycache__")
        shutil.copytree(ROOT, source, ignore=ignored)
        command = [sys.executable, "-m", "build", "--wheel", "--outdir", scratch, source]
        _run_or_fail(command, "the wheel cannot be built (it needs pip install 'allweather[dev]')")
        _pip(into, "--no-deps", *Path(scratch).glob("*.whl"))


def _digest_of_sources() -> str:
    files = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".html"))
    digest = hashlib.sha256()
    for path in (ROOT / "pyproject.toml", *files):
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _for_arm64(system: Path) -> list[str]:
    """Returns pip's options for wheels that fit the C library in `system`, which comes from this machine's Debian."""
    newest = int(platform.libc_ver()[1].split(".")[1])
    tags = ["manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(17, newest + 1))]
    platforms = [word for tag in tags for word in ("--platform", tag)]
    return ["--only-binary=:all:", "--implementation", "cp", "--python-version", python_version(system), *platforms]


def _pip(into: Path, *arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-warn-conflicts", "--target", into, *arguments]
    _run_or_fail(command, "pip cannot install the arm64 wheels")


def _program(name: str, package: str) -> str:
    path = shutil.which(name)
    if not path:
        raise DependencyError(f"{name} is not on this machine; sudo apt-get install {package}")
    return path


def _run_or_fail(command: list[object], failure: str) -> None:
    done = _run(command, dict(os.environ))
    if done.returncode:
        raise DependencyError(f"{failure}: {_last(done.stderr or done.stdout)}")


def _run(command: list[object], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environment)  # noqa: S603 -- no shell


def _last(text: str) -> str:
    """Returns the last line that is not empty, in which programs name the cause."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("qemu: uncaught")]
    return first_line(ValueError(lines[-1])) if lines else "it printed nothing"

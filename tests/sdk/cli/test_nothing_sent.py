"""No import and no command sends anything, starts a process, or writes outside the cache and the outputs."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from allweather.runtimes.system import isolated_imports as module

pytestmark = pytest.mark.end_to_end

WATCHED = Path(__file__).parents[2] / "fixtures" / "watched"
BUNDLE = Path(__file__).parents[3] / "samples" / "bundles" / "cifar10-resnet20"
FILE_EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")
LIBRARIES = {
    "openvino": "import allweather.exporters.openvino.convert",
    "nncf": "from allweather.exporters.openvino import quantize\nwith quantize._nncf(): pass",
    "onnxruntime": "import allweather.exporters.onnx.quantize",
    "matplotlib": "import allweather.reports.plots",
    "webdataset": "from allweather.trainers.data.shards.library import import_webdataset\nimport_webdataset()",
}  # a training below imports the others
LOCAL_PROGRAMS = (
    "subprocess.Popen\t'fc-list'",  # matplotlib asks fontconfig once, on this machine, which fonts there are
    "subprocess.Popen\t'uname'",  # MLflow asks Python for the platform, and keeps it to itself
)


class Machine:
    """A home of its own, a folder for temporary files and one for outputs; what is run there is watched."""

    def __init__(self, root: Path) -> None:
        self.home, self.temporary, self.outputs = root / "home", root / "tmp", root / "out"
        self.log = root / "audit.log"
        for folder in (self.home, self.temporary, self.outputs):
            folder.mkdir()

    def run(self, *line: object, internet_sockets: bool = False, **environment: str) -> tuple[int, str]:
        """Runs a program by this Python; returns its exit code and what it printed on stderr.

        With `internet_sockets` it may make some, such as to see whether there is IPv6; what Python sends is seen still.
        """
        if not internet_sockets:
            environment["ALLWEATHER_NO_INTERNET"] = "1"
        done = subprocess.run(
            [sys.executable, *map(str, line)], cwd=self.outputs, capture_output=True, text=True, timeout=300,
            check=False,
            env={
                "PATH": os.environ["PATH"], "HOME": str(self.home), "TMPDIR": str(self.temporary),
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": str(WATCHED), "PYTHONDONTWRITEBYTECODE": "1",
                "ALLWEATHER_AUDIT_LOG": str(self.log), **environment,
            },
        )  # fmt: skip
        return done.returncode, done.stderr

    def events(self) -> Iterator[str]:
        """What was started or sent, with the lines of code that did it."""
        if self.log.exists():
            ignored = (*FILE_EVENTS, *LOCAL_PROGRAMS)
            yield from (line for line in self.log.read_text().splitlines() if not line.startswith(ignored))

    def strange_files(self) -> list[Path]:
        """What lies in the home outside of the cache, or was left in the folder for temporary files."""
        cache = self.home / ".cache" / "allweather"
        files = (path for path in (*self.home.rglob("*"), *self.temporary.rglob("*")) if not path.is_dir())
        return [path for path in files if cache not in path.parents]

    def strange_writes(self) -> list[str]:
        """The files that were opened for writing outside of the three folders."""
        opened = (line.split("\t") for line in self.log.read_text().splitlines() if line.startswith("open\t"))
        paths = {fields[1].strip("'") for fields in opened}
        own = (str(self.home), str(self.temporary), str(self.outputs))
        return sorted(path for path in paths if path.startswith("/") and not path.startswith((*own, "/dev/", "/proc/")))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def assert_quiet(machine: Machine) -> None:
    assert list(machine.events()) == []
    assert machine.strange_files() == []
    assert not machine.log.exists() or machine.strange_writes() == []


def test_the_watch_sees_forks_names_and_files_of_children(machine: Machine) -> None:
    code = "import os, socket\nif os.fork() == 0: open(os.path.expanduser('~/id'), 'w'); socket.getaddrinfo('host', 1)"
    machine.run("-c", code)
    seen = "\n".join(machine.events())
    assert "os.fork" in seen
    assert "socket.getaddrinfo" in seen
    assert machine.strange_files() == [machine.home / "id"]


def test_the_watch_ends_what_makes_an_internet_socket_without_python(machine: Machine) -> None:
    code = "import ctypes; ctypes.CDLL(None).socket(10, 2, 0); print('not reached')"
    assert machine.run("-c", code)[0] == -signal.SIGSYS


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_import_of_ours_sends_and_writes_nothing(machine: Machine, library: str) -> None:
    code, errors = machine.run("-c", f"{LIBRARIES[library]}\nimport sys; assert {library!r} in sys.modules")
    assert code == 0, errors
    assert_quiet(machine)


@pytest.mark.parametrize("marks", [{}, {"CI": "true"}], ids=["outside CI", "in CI"])
@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_a_bundle_runs_and_doctor_looks_and_nothing_is_sent(
    machine: Machine, folder: Path, engine: str, marks: dict[str, str]
) -> None:
    command = ("-m", "allweather.cli")
    line = ("run", BUNDLE, "--source", folder / "test" / "red", "--engine", engine, "--jsonl", "log.jsonl")
    for words in (("doctor",), line):
        code, errors = machine.run(*command, *words, **marks)
        assert code == 0, errors
    assert [path.name for path in machine.outputs.iterdir()] == ["log.jsonl"]
    assert_quiet(machine)


def test_training_and_export_send_nothing(machine: Machine, folder: Path) -> None:
    command = ("-m", "allweather.cli")
    data = f"folder:{folder}"
    train = ("train", "--data", data, "--arch", "resnet8", "--size", 32, "--epochs", 1, "--out", "m.safetensors")
    for words in (train, ("export", "m.safetensors", "--data", data, "--out", "m.aw")):
        code, errors = machine.run(*command, *words)
        assert code == 0, errors
    assert sorted(path.name for path in machine.outputs.iterdir()) == ["m.aw", "m.safetensors"]
    assert_quiet(machine)


def test_a_tracked_training_sends_nothing(machine: Machine, folder: Path) -> None:
    line = ("train", "--data", f"folder:{folder}", "--arch", "resnet8", "--size", 32, "--epochs", 1)
    logs = ("--log", "csv:logs", "--log", "tensorboard:logs", "--log", "mlflow:logs/mlflow")
    command = ("-m", "allweather.cli", *line, "--out", "m.safetensors", *logs)
    code, errors = machine.run(*command, internet_sockets=True)  # urllib3, which MLflow imports, makes one
    assert code == 0, errors
    assert sorted(path.name for path in machine.outputs.iterdir()) == ["logs", "m.safetensors"]
    assert_quiet(machine)


def test_data_of_the_datasets_library_and_lists_are_read_without_the_hub(machine: Machine, folder: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="without it, data of the datasets library was not checked")
    from pyarrow import parquet, table

    paths = sorted(map(str, folder.glob("train/*/*.png")))
    labels = [Path(path).parent.name for path in paths]
    images = datasets.Dataset.from_dict({"image": paths, "label": labels}).class_encode_column("label")
    images.cast_column("image", datasets.Image()).save_to_disk(machine.outputs / "saved")
    parquet.write_table(table({"path": paths, "label": labels}), machine.outputs / "list.parquet")
    for data in ("hf:saved", "list:list.parquet"):
        code, errors = machine.run("-m", "allweather.cli", "inspect", data)
        assert code == 0, errors
    assert_quiet(machine)


def test_shards_in_files_are_read_without_a_network(machine: Machine, folder: Path) -> None:
    with tarfile.open(machine.outputs / "train.tar", "w") as tar:
        for path in sorted(folder.glob("train/*/*.png")):
            tar.add(path, f"{path.parent.name}_{path.name}")
            label = tarfile.TarInfo(f"{path.parent.name}_{path.stem}.cls")
            label.size = len(path.parent.name)
            tar.addfile(label, io.BytesIO(path.parent.name.encode()))
    code, errors = machine.run("-m", "allweather.cli", "inspect", "webdataset:train.tar")
    assert code == 0, errors
    assert_quiet(machine)


def test_isolated_imports_restore_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    monkeypatch.setitem(sys.modules, "openvino_telemetry", sys)
    monkeypatch.setattr(module, "_isolation", module._Isolation())  # as the tests themselves are in such a block
    before = dict(os.environ)
    with module.isolated_imports(), module.isolated_imports():
        assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
        with pytest.raises(ImportError):
            import openvino_telemetry  # noqa: F401 - it is blocked
    assert dict(os.environ) == before
    assert sys.modules["openvino_telemetry"] is sys

"""What the training commands share: launching the processes, opening the data, progress bar, epoch lines and result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allweather.cli.console import Update, print_result, progress_bar, say
from allweather.cli.inspect import say_inventory
from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.path_argument import real_path

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.loggers.logger import Logger

    from allweather.trainers.checkpoint.checkpoint import Checkpoint
    from allweather.trainers.choices import Precision
    from allweather.trainers.data.dataset import Dataset
    from allweather.trainers.training.progress import EpochReport, Progress


@dataclass(frozen=True)
class TrainingRun:
    """A training command whose processes have been launched and whose data set is open.

    Every process of a run executes the whole command; only the main one prints.

    Attributes:
        fabric: Launched Fabric of this process.
        dataset: The data set, opened in this process.
        update: Moves the progress bar.
        started: Monotonic time in seconds at which the processes were launched.
    """

    fabric: Fabric
    dataset: Dataset
    update: Update
    started: float

    @property
    def is_main(self) -> bool:
        """Whether this is the process that prints and writes files."""
        return bool(self.fabric.is_global_zero)

    @property
    def seconds(self) -> float:
        """Seconds since the processes were launched; what was trained before an interruption does not count."""
        return time.monotonic() - self.started

    def say(self, text: str) -> None:
        """Prints a line on stderr, in the main process."""
        if self.is_main:
            say(text)

    def show(self, description: str) -> None:
        """Shows on the progress bar what is being done, where the number of steps is not known."""
        if self.is_main:
            self.update(0, description)

    def watch_steps(self, description: str) -> Callable[[int, int], None]:
        """Returns a callback that takes (steps done, steps in total) and moves the progress bar."""

        def watch(done: int, total: int) -> None:
            if self.is_main:
                self.update(done, description, total)

        return watch

    def watch_epochs(
        self, description: str, epochs: int, metrics: Callable[[EpochReport], str], prefix: str = ""
    ) -> Callable[[Progress], None]:
        """Returns a callback for a training loop: it moves the progress bar and prints a line for each epoch.

        Args:
            description: Text beside the progress bar.
            epochs: Number of epochs of the loop.
            metrics: Returns the validation metrics of an epoch as text; "" for none.
            prefix: Text before each line.
        """

        def watch(progress: Progress) -> None:
            if not self.is_main:
                return
            self.update(progress.step, description, progress.steps)
            if report := progress.report:
                parts = [f"{prefix}epoch {report.epoch}/{epochs}", f"loss {report.loss:.4f}", metrics(report)]
                say("  ".join(part for part in (*parts, f"{report.images_per_second:.0f} images/s") if part))

        return watch

    def say_kept_epoch(self, checkpoint: Checkpoint, epochs: int) -> None:
        """Says which epoch a training with a patience has kept, of at most `epochs`."""
        kept, done = checkpoint.settings.get("kept_epoch"), len(checkpoint.history)
        if kept is not None:
            self.say(f"done after {done} of {epochs} epochs; kept epoch {kept}, the best on the validation images")

    def loggers(self, texts: Sequence[str] | None, out: Path) -> list[Logger]:
        """Opens the loggers of --log in the main process; the file to write names their runs."""
        from allweather.trainers.training.experiment_log import open_logger

        return [open_logger(text, out.stem) for text in texts or ()] if self.is_main else []

    def print_result(self, values: Mapping[str, Any], as_json: bool, title: str) -> None:
        """Prints the result of the command on stdout, in the main process; in JSON with the inventory of the data."""
        if self.is_main:
            print_result({**values, "inventory": self.dataset.inventory}, as_json, title)


@contextmanager
def training_run(
    description: str, open_data: Callable[[], Dataset], *, devices: int, precision: Precision
) -> Iterator[TrainingRun]:
    """Launches the processes of a run, opens its data, prints its inventory and notes, and shows a progress bar.

    All arguments of the command should be checked before, as this is where seconds or minutes begin to be spent.

    Args:
        description: Text beside the progress bar until the first step.
        open_data: Opens the data set; called in each process.
        devices: Number of processes on this machine.
        precision: Precision of the training.

    Raises:
        UsageError: There are fewer devices, or the data set has other classes than the classifier.
        DataError: The data cannot be read.
    """
    from allweather.trainers.training.launch import launch

    prepare_cpu()
    started = time.monotonic()
    fabric = launch(devices, precision)
    dataset = open_data()
    if fabric.is_global_zero:
        say_inventory(dataset.inventory)
        for note in dataset.notes:
            say(note)
        say(dataset.form)
    with progress_bar(description) as update:
        try:
            yield TrainingRun(fabric, dataset, update, started)
        except KeyboardInterrupt:
            if fabric.is_global_zero:
                say("stopped; the same command goes on where it was last saved, or begins anew if it was not")
            raise
    if (count := dataset.train.unreadable) and fabric.is_global_zero:
        say(f"train: {count} images could not be read and were left out")


def check_logs(texts: Sequence[str] | None, out: Path, data: str) -> None:
    """Checks the texts of --log, and that their libraries are installed; imports nothing without them.

    Args:
        texts: The texts.
        out: The file that the command writes; it names the runs.
        data: Name of the data set that the command reads.

    Raises:
        UsageError: A text is of another form, or its folder is the file to write, or lies among the images.
        OutputError: No file can be written into a folder.
    """
    if texts:
        from allweather.runtimes.bundle.output_path import check_outside_bundles
        from allweather.trainers.data.files.outputs import check_output_is_no_class
        from allweather.trainers.training.experiment_log import check_log, log_folder

        for text in texts:
            if (folder := log_folder(text)) is not None:
                if real_path(folder).is_relative_to(real_path(out)):
                    raise UsageError(f"--log {text} and --out {out} name one path; name a folder for the log")
                check_outside_bundles(folder, "--log")
                check_output_is_no_class(folder / out.stem, data, "--log")
            check_log(text)


def prepare_cpu() -> None:
    """Where torch computes on the CPU: it keeps the memory that it frees, and uses only cores that it may use."""
    import torch

    from allweather.runtimes.system.memory import keep_freed_memory
    from allweather.trainers.training.launch import limit_threads

    if not torch.cuda.is_available():
        keep_freed_memory()
        limit_threads()

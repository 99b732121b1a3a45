"""Where the figures of an evaluation come from: what was evaluated, on which data, and on which machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from allweather.runtimes.system.device import this_device
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.inventory import Inventory
from allweather.trainers.inference.open_model import EvaluatedModel

NAME_IN_STAGES = "classifier"  # without its suffix, in every folder of a stage of `allweather create`


@dataclass(frozen=True)
class Provenance:
    """What every result of an evaluation says about its origin.

    Attributes:
        model: Path of the checkpoint or bundle.
        backend: What ran it, such as "torch fp32" or "openvino int8".
        data: Name of the data set.
        images: Number of test images; of a corrupted set, in each cell.
        notes: What a reader should know, one line each, such as how the splits were made.
        machine: Processor, cores and instruction sets of the machine.
        history: One row for each epoch of a checkpoint's training; empty for bundles and imported weights.
        inventory: What the data held when it was opened; None for data that was made in Python.
    """

    model: str
    backend: str
    data: str
    images: int
    notes: tuple[str, ...]
    machine: str
    history: tuple[Mapping[str, float], ...] = ()
    inventory: Inventory | None = None

    @staticmethod
    def of(
        evaluated: EvaluatedModel, dataset: Dataset, *, images: int | None = None, notes: Sequence[str] | None = None
    ) -> Provenance:
        """Returns the provenance of figures that are measured here and now.

        Args:
            evaluated: The model.
            dataset: The data set whose test split is used.
            images: Number of test images; those of the test split if None.
            notes: Lines for the reader; those of the data set if None.
        """
        return Provenance(
            model=str(evaluated.path),
            backend=evaluated.backend,
            data=dataset.name,
            images=len(dataset.test) if images is None else images,
            notes=dataset.notes if notes is None else tuple(notes),
            machine=this_device().line(),
            history=evaluated.history,
            inventory=dataset.inventory,
        )

    @property
    def title(self) -> str:
        """File name and backend, such as "robust.aw (openvino int8)"; of a stage of `create` with its folder."""
        path = Path(self.model)
        name = path.name if path.stem != NAME_IN_STAGES else str(Path(*path.parts[-2:]))
        return f"{name} ({self.backend})"

"""Paths of the files that a training writes: its checkpoints, and hidden files of an unfinished run beside them."""

from __future__ import annotations

from pathlib import Path


def checkpoint_paths(out: Path, num_networks: int) -> tuple[Path, ...]:
    """Returns the paths of the checkpoints of jointly trained networks: `out`, and beside it "-2", "-3" and so on."""
    return (out, *(out.with_stem(f"{out.stem}-{index}") for index in range(2, num_networks + 1)))


def resume_path(out: Path) -> Path:
    """Returns the path of the file that holds the unfinished training loop of a run that writes `out`."""
    return out.with_name(f".{out.name}.resume")


def strengths_path(out: Path) -> Path:
    """Returns the path of the augmentation strengths that were found for a run that writes `out`."""
    return out.with_name(f".{out.name}.strengths")


def gamma_trials_path(out: Path) -> Path:
    """Returns the path of the finished trials of a gamma search for a run that writes `out`."""
    return out.with_name(f".{out.name}.gamma-trials")

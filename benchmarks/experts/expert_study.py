"""What is chosen for experts on validation images: the mix of statistics, few experts, pairs, and what picks them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from expert_choice import (
    EarlyFeatures,
    Router,
    best_columns,
    features_of,
    greedy_columns,
    greedy_pairs,
    view_losses,
)
from expert_images import CLEAN, COMMON_CELLS, HALVES, NAMES, CellImages, clean_images, corrupted_images, joined
from expert_models import SOURCE, Experts, Mix, Pair, PairLogits, Statistics, statistics_of
from torch import nn

from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.corruptions.catalogue import COMMON
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.forward import logits
from allweather.trainers.methods.loss_predictor import PredictorSettings, add_identity_margin, fit_predictor
from allweather.trainers.models.classifier import Classifier
from allweather.trainers.models.loss_predictor import predictor_input_spec
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

IDENTITY = Pair("identity")
MIXES = tuple(Mix(*each) for each in ((0.5, 0.5), (0.8, 0.8), (1, 1), (1, 0.5)))
MAX_EXPERTS = 8
PRECISION = "bf16"  # of OpenVINO; with AMX five times as fast as fp32
Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Sizes:
    """How many images are used."""

    bank: int = 400
    half_bank: int = 250
    train: int = 16_000
    router: int = 9_000
    val: int = 5_000
    own: int = 2_000
    cell: int = 1_000
    epochs: int = 7
    pairs: int = 24
    search: int = 2_200
    mixes: int = len(MIXES)


@dataclass
class Study:
    """What the parts of the study share.

    Attributes:
        model: The network.
        spec: Its input.
        data: Its data.
        sizes: Numbers of images.
        seed: Random seed.
        found: Statistics of each expert, by name; "source" are those of the network.
        facts: What was chosen, for the records.
    """

    model: Classifier
    spec: InputSpec
    data: Dataset
    sizes: Sizes
    seed: int
    found: dict[str, Statistics] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """Opens the experts; all of them are known by their statistics."""
        self.experts = Experts(self.model, self.found, self.spec.height, PRECISION)

    def train_images(self, count: int, seed: int) -> CellImages:
        """Returns some training images, clean."""
        order = torch.randperm(len(self.data.train), generator=torch.Generator().manual_seed(seed))
        return clean_images(self.data.train.take(order[:count]))

    def learning_images(self, count: int, clean: float, seed: int) -> CellImages:
        """Returns some training images to learn from, a share of them clean, the others in cells of the common 15."""
        images = self.train_images(count, seed)
        part = round(clean * len(images))
        corrupted = corrupted_images(images.take(np.arange(part, len(images))), COMMON_CELLS, seed)
        return joined([images.take(np.arange(part)), corrupted])

    def say(self, *words: object) -> None:
        """Prints what was found, and when."""
        print(f"{time.monotonic() - self.started:6.0f} s", *words, flush=True)


@dataclass(frozen=True)
class Chooser:
    """What chooses a pair for each image.

    Attributes:
        name: Name in the rows of the table.
        pairs: The pairs, the unchanged image first.
        model: Maps images to predicted losses, with a column for each pair.
    """

    name: str
    pairs: tuple[Pair, ...]
    model: nn.Module


def expert(corruption: int, half: int, mix: Mix) -> str:
    """Returns the name of the expert for a corruption and half of the severities, for all of them if 0."""
    return NAMES[corruption] + ("", " 1-3", " 4-5")[half] + f" ({mix.name})"


def make_banks(study: Study) -> dict[tuple[int, int], Statistics]:
    """Computes the statistics of training images under each corruption; of the common 15 for both halves, too."""
    banks = {}
    for index, name in enumerate(NAMES):
        for half, severities in enumerate(HALVES if name in COMMON else HALVES[:1]):
            seed = 100 + 10 * index + half
            clean = study.train_images(study.sizes.half_bank if half else study.sizes.bank, seed)
            images = corrupted_images(clean, [(name, severity) for severity in severities], seed).images
            banks[index, half] = statistics_of(study.model, images)
    return banks


def choose_mix(study: Study, val: CellImages, banks: Mapping[tuple[int, int], Statistics]) -> Mix:
    """Returns the mix with which validation images have the lowest error if their corruption is known."""
    source, errors = study.found[SOURCE], {}
    for mix in MIXES:
        study.found |= {expert(*key, mix): mix.apply(source, bank) for key, bank in banks.items()}
    for mix in MIXES[: study.sizes.mixes]:
        errors[mix] = 100 * float(known(study.experts, val, mix, halves=False).mean())
    best = min(errors, key=lambda mix: errors[mix])
    of_halves = 100 * float(known(study.experts, val, best, halves=True).mean())
    study.facts |= {"mix": best.name, "val_by_mix": {mix.name: round(each, 2) for mix, each in errors.items()}}
    study.facts["val_by_half"] = round(of_halves, 2)
    study.say("corruption known, error on validation images", study.facts)
    return best


def known(experts: Experts, cells: CellImages, mix: Mix, *, halves: bool) -> npt.NDArray[np.bool_]:
    """Gives each image the expert of its corruption, and of its half if asked; bool [n], incorrect."""
    incorrect = np.zeros(len(cells), np.bool_)
    for kind in np.unique(cells.kinds):
        rows = np.flatnonzero(cells.kinds == kind)
        index, half = int(cells.corruption[rows[0]]), int(cells.half[rows[0]])
        name = SOURCE if index == CLEAN else expert(index, half if halves else 0, mix)
        incorrect[rows] = experts.run(name, cells.images[rows]).argmax(1) != cells.labels[rows]
    return incorrect


def choose_experts(
    study: Study, val: CellImages, run: PairLogits, mix: Mix
) -> tuple[list[Pair], npt.NDArray[np.floating]]:
    """Keeps the experts that gain most on validation images; returns them, the network as it is first, and losses."""
    candidates = [IDENTITY]
    candidates += [Pair("identity", expert(index, half, mix)) for index in range(len(COMMON)) for half in (0, 1, 2)]
    rows = np.flatnonzero(val.corruption != CLEAN)[: study.sizes.search]
    table, cells = view_losses(candidates, run, val, rows), val.kinds[rows]
    losses, correct = table.losses.numpy(), table.correct.numpy()
    kept, curve = greedy_columns(losses, cells, MAX_EXPERTS + 1), {}
    for count in (0, 1, 2, 4, 6, MAX_EXPERTS, len(candidates) - 1):
        some = kept[: count + 1] if count <= MAX_EXPERTS else list(range(len(candidates)))
        best = best_columns(losses, cells, some)
        columns = np.array([some[best[cell]] for cell in cells])
        curve[count] = round(100 * float((~correct[np.arange(len(cells)), columns]).mean()), 2)
    study.facts |= {"experts": [candidates[each].expert for each in kept[1:]], "val_by_experts": curve}
    study.say("kept experts, and error by their number with the cell known", study.facts["experts"], curve)
    return [candidates[each] for each in kept], losses[:, kept]


def with_margin(study: Study, chooser: Chooser, val: CellImages, run: PairLogits) -> Chooser:
    """Adds the margin that clean validation images need."""
    table = view_losses(chooser.pairs, run, val, np.flatnonzero(val.corruption == CLEAN))
    margin = add_identity_margin(chooser.model, table)  # type: ignore[arg-type] # a router has a head, too
    chosen = logits(chooser.model, table.images).argmin(1)
    study.say(f"{chooser.name}: margin {margin:.3f}, {float((chosen > 0).float().mean()):.1%} of clean images changed")
    return chooser


def make_routers(
    study: Study, val: CellImages, run: PairLogits, mix: Mix, kept: Sequence[Pair], losses: Array
) -> list[Chooser]:
    """Trains routers to the experts of all corruptions, and to few experts; a sixteenth of the images is clean."""
    train, all_pairs = study.learning_images(study.sizes.router, 1 / (len(COMMON) + 1), 1), all_experts(mix)
    images = torch.from_numpy(train.images)
    choosers, cells = [], val.kinds[val.corruption != CLEAN][: len(losses)]
    for convolutions in (1, 5):
        features = EarlyFeatures(study.model, convolutions)
        title = "first convolution" if convolutions == 1 else "five convolutions"
        router = Router(features, images, torch.from_numpy(train.corruption + 1), len(all_pairs))
        choosers.append(Chooser(f"routed, 15 experts, {title}", tuple(all_pairs), router))
        for count in (4, MAX_EXPERTS) if convolutions == 5 else ():
            best = best_columns(losses, cells, range(count + 1))
            columns = torch.tensor([best.get(int(cell), 0) for cell in train.kinds])  # 0 for clean images
            router = Router(features, images, columns, count + 1)
            choosers.append(Chooser(f"routed, {count} experts, {title}", tuple(kept[: count + 1]), router))
    return [with_margin(study, each, val, run) for each in choosers]


def all_experts(mix: Mix) -> list[Pair]:
    """Returns the unchanged image with the network as it is, and with the expert of each corruption."""
    return [IDENTITY, *(Pair("identity", expert(index, 0, mix)) for index in range(len(COMMON)))]


def choose_pairs(study: Study, val: CellImages, run: PairLogits, mix: Mix) -> list[Pair]:
    """Keeps the pairs that gain most on validation images, a tenth of them clean; the unchanged image is first.

    They are chosen by what they gain if a linear prediction picks one for each image, and once no other gains anything,
    by what they gain if corruption and half of the severities are known.
    """
    candidates = [Pair(name, each.expert) for each in all_experts(mix) for name in VIEWS]
    clean, corrupted = (np.flatnonzero(each) for each in (val.corruption == CLEAN, val.corruption != CLEAN))
    count = min(study.sizes.search, len(corrupted))
    rows = np.concatenate([corrupted[-count:], clean[: count // 9]])
    losses = view_losses(candidates, run, val, rows).losses.numpy()
    features = features_of(EarlyFeatures(study.model, 5), val.images[rows])
    chosen, curve = greedy_pairs(losses, features, study.sizes.pairs)
    study.say(f"{len(chosen)} pairs kept by prediction, mean loss by their number", [round(each, 4) for each in curve])
    chosen = greedy_columns(losses, val.kinds[rows], study.sizes.pairs, chosen)
    study.facts["pairs"] = [candidates[each].name for each in chosen]
    study.say("kept pairs", study.facts["pairs"])
    return [candidates[each] for each in chosen]


def make_predictors(
    study: Study, val: CellImages, run: PairLogits, columns: Mapping[str, Sequence[Pair]]
) -> Iterator[Chooser]:
    """Trains a loss predictor for each list of pairs, all of them on the same images and for as long."""
    train, spec = study.learning_images(study.sizes.train, 0.1, 2), predictor_input_spec(study.spec)
    train_run = PairLogits(train.images, study.experts, len(study.data.classes))
    settings = PredictorSettings(fit=FitSettings(epochs=study.sizes.epochs, shift=0, seed=study.seed))
    for name, pairs in columns.items():
        table = view_losses(pairs, train_run, train, np.arange(len(train)))
        study.say(f"{name}: losses of {len(pairs)} columns on {len(train)} images")
        model, history, accuracy = fit_predictor(table, spec, settings, hflip=False, fabric=launch())
        study.say(f"{name}: {100 * history[-1].val_accuracy:.2f} % without, {100 * accuracy:.2f} % with its margin")
        yield with_margin(study, Chooser(name, tuple(pairs), model), val, run)

"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), as torchvision reads and downloads them."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from types import MappingProxyType
from urllib.error import URLError

import numpy as np
import torch

from allweather.runtimes.errors import DataError, first_line
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.types import Image
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.division import split_off
from allweather.trainers.data.split import Split
from allweather.trainers.torchvision_import import import_torchvision

VAL_IMAGES = 5000  # a tenth, as in the ResNet paper: +-0.9 points at 90 % (95 % interval)
SPLIT_SEED = 20  # fixed, so that no run validates on images that another run was trained on

# in the order of the labels, as in the files `batches.meta` and `meta`; written here, so that no file has to exist
CIFAR_CLASSES: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "cifar100": (
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
        "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
        "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
        "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
        "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
        "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
        "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
        "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
        "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger",
        "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
    ),
})  # fmt: skip


def read_cifar(name: str, root: Path | str, spec: InputSpec, *, download: bool) -> Dataset:
    """Reads CIFAR and holds 5,000 of the 50,000 training images out as val.

    Args:
        name: "cifar10" or "cifar100".
        root: Folder that holds the folder of the official batches.
        spec: Size and crop that every image is brought to.
        download: Whether torchvision downloads the batches into `root` if they are not there.

    Raises:
        DataError: The batches are missing, damaged or cannot be read.
    """
    root = as_path(root)
    read = getattr(import_torchvision("datasets"), name.upper())
    try:
        parts = [read(root, train=train, download=download) for train in (True, False)]
    except (RuntimeError, OSError, HTTPException) as error:
        raise DataError(_fault(name, root, read.base_folder, error, download)) from error
    train_and_val, test = (
        Split(torch.from_numpy(_resized(part.data, spec)), torch.tensor(part.targets)) for part in parts
    )
    # Drawn from all classes together, as it was before other data came to be divided by class: else models would be
    # validated on images that they have learned from. Of each class of CIFAR-10, 477 to 538 images came into val.
    train, val = split_off(train_and_val, VAL_IMAGES, SPLIT_SEED)
    note = f"{name}: {len(val)} of {len(train_and_val)} training images are held out as val"
    return Dataset(name, CIFAR_CLASSES[name], train, val, test, hflip=True, notes=(note,), crop=spec.crop)


def _fault(name: str, root: Path, folder: str, error: Exception, download: bool) -> str:
    """Returns what is wrong with files that could not be read or downloaded, and what to do."""
    if isinstance(error, URLError | HTTPException):
        reason = getattr(error, "reason", error)
        why = first_line(reason if isinstance(reason, BaseException) else error)
        return f"{name} cannot be downloaded into {root}: {why}; check the network, or put its folder {folder} there"
    if isinstance(error, OSError):
        return f"cannot read {name} from {root}: {error}"
    if download:  # torchvision's "File not found or corrupted" and "Dataset not found or corrupted"
        return f"the download of {name} in {root} is incomplete or damaged; delete it there, and start again"
    return (
        f"there is no {name} in {root}, or a file of it is damaged; name the folder that holds {folder}, or add "
        "--download to fetch it there"
    )


def _resized(images: Image, spec: InputSpec) -> Image:
    """Brings uint8 [n, 32, 32, 3] to uint8 [n, height, width, 3]."""
    if images.shape[1:3] == (spec.height, spec.width):
        return np.ascontiguousarray(images)  # torchvision stores them channel by channel
    return np.stack([spec.prepare(image) for image in images])

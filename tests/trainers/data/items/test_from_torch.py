"""Data sets of torch are read with the preparation of folders, and each wrong item is named with its index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from folder_data import counts, read
from PIL import Image as PillowImage
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.system import memory
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.torchvision_import import import_torchvision

Items = list[tuple[Any, Any]]


def items(count: int = 30, classes: int = 3, seed: int = 0) -> Items:
    rng = np.random.default_rng(seed)
    return [(rng.integers(0, 256, (20, 24, 3), np.uint8), index % classes) for index in range(count)]


def from_torch(train: Any, *others: Any, **options: Any) -> Dataset:
    return Dataset.from_torch(train, *others, **{"classes": ["a", "b", "c"], "size": 16, **options})


def test_an_image_folder_of_torchvision_is_the_folder(root: Path) -> None:
    expected = read(root)
    splits = [import_torchvision("datasets").ImageFolder(root / split) for split in ("train", "val", "test")]
    found = Dataset.from_torch(*splits, size=16, name="images")
    assert (found.name, found.classes, found.hflip, found.notes) == ("images", expected.classes, True, ())
    for split in ("train", "val", "test"):
        assert torch.equal(getattr(found, split).images, getattr(expected, split).images)
        assert torch.equal(getattr(found, split).labels, getattr(expected, split).labels)
    assert Dataset.from_torch(Subset(splits[0], range(0, 24, 2)), size=16).classes == expected.classes


def test_tensors_with_any_transform_to_0_to_1_give_the_same(root: Path) -> None:
    v2 = import_torchvision("transforms.v2")
    folder = import_torchvision("datasets").ImageFolder(root / "train")
    to_tensor = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    tensors = [(to_tensor(image), label) for image, label in folder]
    images, labels = torch.stack([image for image, _ in tensors]), torch.tensor([label for _, label in tensors])
    expected = Dataset.from_torch(folder, size=16).fingerprint()
    for other in (tensors, TensorDataset(images, labels), TensorDataset((images * 255).to(torch.uint8), labels)):
        assert from_torch(other, classes=("aa", "bb")).fingerprint() == expected
    normalize = v2.Normalize([0.5] * 3, [0.25] * 3)
    with pytest.raises(DataError, match=r"train\[0\] cannot be used: .* remove transforms.Normalize"):
        from_torch([(normalize(image), label) for image, label in tensors])


def test_missing_splits_are_held_out_by_class_and_seed() -> None:
    found, again, other = (from_torch(items(), seed=seed) for seed in (1, 1, 2))
    assert counts(found) == [[8, 8, 8], [1, 1, 1], [1, 1, 1]]
    assert found.notes == (
        "there is no val split: 3 images of train are held out as val, a tenth of each class (seed 1)",
        "there is no test split: 3 images of train are held out as test, a tenth of each class (seed 1)",
    )
    assert torch.equal(found.val.images, again.val.images)
    assert not torch.equal(found.val.images, other.val.images)
    given = from_torch(items(), items(6, seed=1))
    assert counts(given) == [[10, 10, 10], [2, 2, 2], [2, 2, 2]]
    assert "there is no test split: val is used instead" in given.notes[-1]


def test_copies_are_said_and_never_divided() -> None:
    train = items()
    found = from_torch(train * 2, items(6, seed=4), [*train[:2], *items(4, seed=5)])
    assert found.inventory
    assert found.inventory.duplicates == {"train/test": 2}
    assert "2 of 6 images of test are in train, too, such as test[0]" in found.notes[-1]
    divided = from_torch(train * 2)
    parts = [
        {image.numpy().tobytes() for image in split.images} for split in (divided.train, divided.val, divided.test)
    ]
    assert all(not one & other for one, other in zip(parts, [*parts[1:], parts[0]], strict=True))


def test_large_data_sets_live_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = from_torch(items())
    monkeypatch.setattr(memory, "MAX_MEMORY_SHARE", 0.0)
    assert torch.equal(from_torch(items()).train.images, expected.train.images)


def test_16_bit_images_are_scaled_and_said() -> None:
    deep = [(image.astype(np.uint16) * 257, label) for image, label in items()]
    found = from_torch(deep, items(6, seed=1))
    assert torch.equal(found.train.images, from_torch(items(), items(6, seed=1)).train.images)
    assert "train: 30 of 30 images have more than 8 bits a channel; " in found.notes[0]


def test_a_class_without_images_is_said() -> None:
    found = from_torch(items(), classes=["a", "b", "c", "d"])
    assert "train: no images of d; it cannot be learned" in found.notes


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield from items()


class WithLength(Endless):
    def __len__(self) -> int:
        return 30


class Unsized(TorchDataset[Any]):
    def __getitem__(self, index: int) -> Any:
        return items()[index]


class Named(list[Any]):
    classes = ("b", "a", "c")


def labeled(label: object) -> Items:
    return [*items(), (items()[0][0], label)]


@pytest.mark.parametrize(
    ("train", "options", "message"),
    [
        (Endless(), {}, "train needs a length and items by index; got Endless"),
        (WithLength(), {}, "train needs a length and items by index; got WithLength"),
        (Unsized(), {}, "train needs a length and items by index; got Unsized"),
        (DataLoader(TensorDataset(torch.zeros(3))), {}, "got a DataLoader: give its .dataset"),
        (torch.zeros(3, 3, 8, 8), {}, "got Tensor: torch.utils.data has TensorDataset"),
        ("folder:images", {}, "got str"),
        (None, {}, "train is a data set with items .image, label.; got None"),
        ([], {}, "train has no images"),
        ([1, 2], {}, r"train\[0\] cannot be used: an item is \(image, label\); got a int"),
        ([(1, 2, 3)], {}, r"got a tuple of 3"),
        ([(PillowImage.new("P", (8, 8)), 0)], {}, r"train\[0\] cannot be used: .* mode P; .* image.convert"),
        (
            labeled("cat"),
            {},
            r"train\[30\] .* a label is a whole number, 0 to 2; got 'cat': give the index of its class",
        ),
        (labeled(1.0), {}, "got 1.0"),
        (labeled(True), {}, "got True"),
        (labeled(torch.tensor([0, 1, 0])), {}, "got Tensor: of one-hot labels take .argmax"),
        (labeled(3), {}, "its label is 3, and with 3 classes labels are 0 to 2: where labels begin at 1, subtract 1"),
        (labeled(torch.tensor(-1)), {}, "its label is -1, and with 3 classes labels are 0 to 2$"),
        (
            [(image, 1) for image, _ in items()],
            {},
            "all 30 images of train have the label of 'b'; at least two classes",
        ),
        (items(), {"classes": None}, "tells no names of its classes: give classes="),
        (items(), {"classes": "abc"}, "classes are the names of the classes in a list; got str"),
        (items(), {"classes": 3}, "classes are the names of the classes in a list; got int"),
        (items(), {"classes": ["a", "a", "b"]}, "'a' is there twice"),
        (items(), {"classes": ["a"]}, "two classes or more; got 1"),
        (Named(items()), {}, r"names of train's own classes in another order, .* train.classes \(b, a, c\): leave out"),
    ],
)
def test_what_cannot_be_read_is_said(train: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        from_torch(train, **options)
    assert "\n" not in str(caught.value)


def test_the_split_of_a_wrong_item_is_named() -> None:
    with pytest.raises(DataError, match=r"val\[30\] cannot be used: its label is 7"):
        from_torch(items(), labeled(7))
    with pytest.raises(DataError, match="test is one data set; got dict: give it as train"):
        from_torch(items(), None, {"train": items()})


@pytest.mark.parametrize(
    ("option", "value"),
    [("size", 8), ("size", "32"), ("size", True), ("seed", -1), ("seed", 0.5), ("hflip", None), ("name", 3)],
)
def test_arguments_out_of_range_are_refused(option: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{option} is .*; got "):
        from_torch(items(), **{option: value})


def test_labels_of_every_kind_of_integer_are_taken() -> None:
    kinds = (int, np.int64, np.uint8, torch.tensor, np.array)
    mixed = [(image, kinds[index % 5](label)) for index, (image, label) in enumerate(items())]
    assert torch.equal(from_torch(mixed, items(6)).train.labels, from_torch(items(), items(6)).train.labels)


@pytest.mark.slow
def test_cifar_of_torchvision_is_cifar_of_a_name(cifar10: Path) -> None:
    from allweather.trainers.data.registry import open_dataset

    test = import_torchvision("datasets").CIFAR10(cifar10, train=False)
    found = Dataset.from_torch(test, size=32)
    together = torch.cat([split.images for split in (found.train, found.val, found.test)])
    expected = open_dataset(f"cifar10:{cifar10}", 32).test
    assert counts(found)[1:] == [[100] * 10] * 2
    assert found.classes[0] == "airplane"
    assert sorted(map(bytes, together.numpy())) == sorted(map(bytes, expected.images.numpy()))

from __future__ import annotations

import builtins

import pytest

from allweather.runtimes.errors import DataError, DependencyError, UsageError
from allweather.trainers.data.shards.patterns import beside, divide_by_split, expand_pattern, short_name, shown


def test_braces_are_expanded_in_their_order() -> None:
    assert expand_pattern("d/{train,val}-{08..10}.tar") == [
        f"d/{split}-{number}.tar" for split in ("train", "val") for number in ("08", "09", "10")
    ]
    assert expand_pattern("a.tar::http://host/{b,c}.tar") == ["a.tar", "http://host/b.tar", "http://host/c.tar"]
    assert expand_pattern("{a,a}.tar") == ["a.tar"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("train-{0..", "is no pattern of shards such as .*: Unbalanced braces"),
        ("train-{0..999999999999}.tar", "names more than 1000000 shards"),
        ("${NOWHERE}/a.tar", "is no pattern of shards .*missing environment variable"),
        ("s3://bucket/a.tar", "shards are files or lie at http:// or https://; got s3: of s3://bucket/a.tar"),
        ("ftp://me:secret@host/a.tar", r"got ftp: of ftp://\*\*\*@host/a.tar"),
        ("pipe:curl -s http://host/a.tar", "got pipe:"),
        ("a\0.tar", "holds a character NUL"),
    ],
)
def test_what_is_no_pattern_is_told(pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        expand_pattern(pattern)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_a_password_is_not_shown(scheme: str) -> None:
    pattern = f"{scheme}://me:secret@host/train-{{0..1}}.tar?token=secret2"
    assert "secret" not in shown(pattern) + short_name(pattern)
    assert short_name("/data/private/x-{0..1}.tar") == "x-{0..1}.tar"
    with pytest.raises(UsageError) as caught:
        expand_pattern(f"{pattern}{{")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("locations", "splits"),
    [
        (["a-0.tar", "a-1.tar"], {"train": [0, 1]}),
        (["imagenet-train-0.tar", "imagenet_validation_0.tar"], {"train": [0], "val": [1]}),
        (["TRAINING00.tar", "valid00.tar", "test00.tar"], {"train": [0], "val": [1], "test": [2]}),
        (["http://h/test/train-0.tar?x=test"], {"train": [0]}),
        (["d/train/0.tar", "d/test/0.tar"], {"train": [0], "test": [1]}),
        (["test/0.tar", "test/1.tar"], {"train": [0, 1]}),  # one folder of any name
        (["contest-0.tar", "detrain-1.tar"], {"train": [0, 1]}),
    ],
)
def test_names_tell_the_splits(locations: list[str], splits: dict[str, list[int]]) -> None:
    wanted = {split: [locations[index] for index in indices] for split, indices in splits.items()}
    assert divide_by_split(locations) == wanted


@pytest.mark.parametrize(
    ("locations", "message"),
    [
        (["train-0.tar", "more-0.tar"], "more-0.tar names no split, and train-0.tar does; name train, val or test"),
        (["test-0.tar", "val-0.tar"], "no shard is called train"),
        (["train-test-0.tar"], "could be of test and train; keep one"),
    ],
)
def test_splits_that_cannot_be_told_are_refused(locations: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        divide_by_split(locations)


def test_a_file_beside_a_shard() -> None:
    assert beside("http://me:pw@host/a/b-0.tar?x=1", "classes.txt") == "http://me:pw@host/a/classes.txt"
    assert beside("d/b-0.tar", "classes.txt") == "d/classes.txt"


def test_without_the_library_the_line_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: object) -> object:
        if name.startswith("webdataset"):
            raise ModuleNotFoundError("No module named 'webdataset'", name="webdataset")
        return real(name, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DependencyError, match=r"not installed: pip install 'allweather\[webdataset\]'$"):
        expand_pattern("a.tar")

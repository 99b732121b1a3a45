"""Damaged bundles, made of a real one: a folder, a .zip file, and the manifest alone."""

from __future__ import annotations

import copy
import json
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import fuzz, mutated, opened_or_refused

from allweather.runtimes.bundle.bundle import Bundle, write_bundle
from allweather.runtimes.bundle.manifest import MANIFEST, Manifest, parse_manifest

Files = dict[str, bytes]
PART = 2000  # bytes that are kept of the large files, so that many examples take little time


@pytest.fixture(scope="module")
def real(sample_bundle: Path) -> tuple[Manifest, Files]:
    """The sample of traffic signs, with only the beginning of its network."""
    bundle = Bundle.open(sample_bundle.with_name("signs-plain"))
    return bundle.manifest, {name: bundle.read(name)[:PART] for name in bundle.manifest.files}


@pytest.fixture(scope="module")
def folder(real: tuple[Manifest, Files], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "bundle"
    write_bundle(path, *real)
    return path


@pytest.fixture(scope="module")
def packed(real: tuple[Manifest, Files], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "bundle.zip"
    write_bundle(path, *real)
    return path


@fuzz
@given(seed=st.integers(0, 2**64 - 1))
def test_manifest(folder: Path, seed: int) -> None:
    text = mutated((folder / MANIFEST).read_bytes(), random.Random(seed))
    opened_or_refused(lambda: parse_manifest(text, "a bundle"), len(text))


@fuzz
@given(seed=st.integers(0, 2**64 - 1))
def test_values_of_the_manifest(folder: Path, seed: int) -> None:
    """Valid JSON, so that what is behind the parser is reached: values are swapped for others, keys left out."""
    rng, text = random.Random(seed), (folder / MANIFEST).read_text()
    raw, other = json.loads(text), json.loads(text)
    values = [None, True, -1, 2**63, 10**40, 1e308, "", "x" * 5000, "../x", "\x1b[2J", [], {}, [[]]]
    values += [other["models"], other["files"]]
    for _ in range(rng.randint(1, 3)):
        node = raw
        while isinstance(node, dict | list) and node:
            key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
            if not isinstance(node[key], dict | list) or rng.random() < 0.3:
                if isinstance(node, dict) and rng.random() < 0.2:
                    del node[key]
                else:
                    node[key] = copy.deepcopy(rng.choice(values))
                break
            node = node[key]
    damaged = json.dumps(raw).encode()
    opened_or_refused(lambda: parse_manifest(damaged, "a bundle"), len(damaged))


@fuzz
@given(seed=st.integers(0, 2**64 - 1))
@pytest.mark.slow
def test_folder(real: tuple[Manifest, Files], folder: Path, seed: int) -> None:
    rng = random.Random(seed)
    name = rng.choice([MANIFEST, MANIFEST, *real[1]])
    good = (folder / name).read_bytes()
    bad = mutated(good, rng)
    (folder / name).write_bytes(bad)
    try:
        bundle = opened_or_refused(lambda: Bundle.open(folder), len(bad) + 20_000)
    finally:
        (folder / name).write_bytes(good)
    assert bundle is None or name == MANIFEST or bad == good


@fuzz
@given(seed=st.integers(0, 2**64 - 1))
@pytest.mark.slow
def test_zip(real: tuple[Manifest, Files], packed: Path, seed: int) -> None:
    good = packed.read_bytes()
    bad = mutated(good, random.Random(seed), range(good.index(b"PK\x01\x02"), len(good)))
    path = packed.with_name("bad.zip")
    path.write_bytes(bad)
    bundle = opened_or_refused(lambda: Bundle.open(path), len(bad))
    if bundle is not None:
        assert {name: bundle.read(name) for name in bundle.manifest.files} == real[1]


@fuzz
@given(seed=st.integers(0, 2**64 - 1))
@pytest.mark.slow
def test_zip_with_a_damaged_manifest(real: tuple[Manifest, Files], packed: Path, seed: int) -> None:
    """The archive itself is intact, so that its check sums hide nothing."""
    rng = random.Random(seed)
    with zipfile.ZipFile(packed) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice([MANIFEST, *real[1]])
    files[name] = mutated(files[name], rng)
    path = packed.with_name("bad-manifest.zip")
    with zipfile.ZipFile(path, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for key, data in files.items():
            archive.writestr(key, data)
    opened_or_refused(lambda: Bundle.open(path), sum(map(len, files.values())))

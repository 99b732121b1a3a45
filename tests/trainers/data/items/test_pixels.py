"""Images of every kind become the same pixels, those of a file of them; what is no image is told with its cure."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as PillowImage

from allweather.runtimes.cameras.image_files.decode import decode
from allweather.runtimes.cameras.image_files.read import read_image
from allweather.runtimes.cameras.images import FolderCapture
from allweather.runtimes.errors import DataError
from allweather.trainers.data.items.pixels import to_pixels

Pixels = npt.NDArray[np.uint8]
IMAGES = arrays(np.uint8, st.tuples(st.integers(5, 12), st.integers(5, 12), st.just(3)))


@settings(max_examples=40, deadline=None)
@given(image=IMAGES)
def test_every_form_of_an_image_gives_its_pixels(image: Pixels) -> None:
    chw = torch.from_numpy(image).permute(2, 0, 1)
    unit = chw.float() / 255
    forms: list[object] = [
        image, PillowImage.fromarray(image), chw, chw.permute(1, 2, 0), chw.numpy(), unit, unit.double(), unit.numpy(),
        image / 255, unit.permute(1, 2, 0), image.astype(np.uint16), image[:, ::-1][:, ::-1], unit.requires_grad_(),
        np.dstack([image, image[..., :1]]), PillowImage.fromarray(np.dstack([image, image[..., :1]])),
    ]  # fmt: skip
    forms[10] = np.maximum(image, 64).astype(np.uint16) * 257  # 16 bits, of which enough are used
    for index, form in enumerate(forms):
        found = to_pixels(form)
        assert np.array_equal(found.pixels, np.maximum(image, 64) if index == 10 else image)
        assert found.maximum == (65535 if index == 10 else 255)
        assert found.pixels.flags.c_contiguous


@settings(max_examples=40, deadline=None)
@given(image=IMAGES)
def test_gray_becomes_three_equal_channels(image: Pixels) -> None:
    gray = image[..., 0]
    tensor = torch.from_numpy(gray)
    for form in (gray, gray[..., None], gray[None], PillowImage.fromarray(gray), tensor, tensor[None] / 255):
        assert np.array_equal(to_pixels(form).pixels, np.dstack([gray] * 3))


def test_half_precision_is_rounded_to_the_nearest_value() -> None:
    image = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16).expand(3, -1, -1)
    for kind, most in ((torch.float16, 0), (torch.bfloat16, 1)):  # bfloat16 has 8 bits of precision
        found = to_pixels((image / 255).to(kind)).pixels
        assert np.abs(found.astype(int) - image.permute(1, 2, 0).numpy()).max() <= most


@settings(max_examples=20, deadline=None)
@given(
    deep=arrays(np.uint16, st.tuples(st.integers(5, 9), st.integers(5, 9))), suffix=st.sampled_from((".png", ".tiff"))
)
def test_16_bits_are_the_same_from_an_array_pil_a_file_and_the_camera_loop(
    tmp_path_factory: pytest.TempPathFactory, deep: npt.NDArray[np.uint16], suffix: str
) -> None:
    deep[0, 0] = 65535
    path = tmp_path_factory.mktemp("deep") / f"image{suffix}"
    path.write_bytes(cv2.imencode(suffix, deep)[1].tobytes())
    expected = np.dstack([np.rint(deep / 257).astype(np.uint8)] * 3)
    capture = FolderCapture([path])
    assert capture.grab()
    with PillowImage.open(path) as opened:
        forms: list[object] = [
            deep,
            deep.astype(">u2"),
            torch.from_numpy(deep)[None],
            opened.copy(),
            PillowImage.fromarray(deep.astype(np.int32)),
        ]
    for found in (read_image(path), capture.retrieve(), *(to_pixels(form).pixels for form in forms)):
        assert np.array_equal(found, expected)


def test_few_bits_in_sixteen_are_refused_as_those_of_files_are() -> None:
    with pytest.raises(DataError, match="uses only the lowest 12, so it would be nearly black"):
        to_pixels(np.full((4, 4), 4000, np.uint16))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
def test_a_pil_image_has_the_pixels_of_its_file(mode: str) -> None:
    rng = np.random.default_rng(3)
    image = PillowImage.fromarray(rng.integers(0, 255, (9, 11, 4), np.uint8)).convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG")
    assert np.array_equal(to_pixels(image).pixels, decode(file.getvalue()).pixels)


NORMALIZED = (torch.linspace(0, 1, 192).reshape(3, 8, 8) - 0.45) / 0.22


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            PillowImage.new("P", (4, 4)),
            r"PIL image of mode P; wanted is RGB, L, RGBA, LA or I;16: image.convert\('RGB'\)",
        ),
        (PillowImage.new("CMYK", (4, 4)), r"mode CMYK; .*: image.convert\('RGB'\)"),
        (PillowImage.new("1", (4, 4)), r"mode 1; .*: image.convert\('RGB'\)"),
        (PillowImage.new("F", (4, 4)), r"mode F; .*: scale its values to 0..255, and image.convert\('L'\)"),
        (PillowImage.fromarray(np.full((4, 4), 70000, np.int32)), "mode I; .*: scale its values"),
        (NORMALIZED, r"float values from -2.* to 2.*; wanted are 0 to 1: remove transforms.Normalize"),
        (NORMALIZED.abs() + 0.5, "remove transforms.Normalize"),
        (torch.rand(3, 8, 8) * 255, "float values from .*; wanted are 0 to 1: divide them by 255"),
        (torch.full((3, 8, 8), torch.nan), "float values from nan to nan; .*: find out"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), "values of the type int64; wanted is uint8, uint16, or float"),
        (np.zeros((4, 4), bool), "values of the type bool"),
        (np.zeros((8, 8, 2), np.uint8), r"shape \[8, 8, 2\]; wanted is \[h, w\]"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"shape \[2, 4, 4, 3\]"),
        (np.zeros((0, 4, 3), np.uint8), "its image is empty"),
        (PillowImage.new("RGB", (0, 0)), "its image is empty"),
        (PillowImage.new("I", (0, 4)), "its image is empty"),
        (np.zeros(12, np.uint8), r"shape \[12\]"),
        (torch.rand(3, 8, 8).to_sparse(), r"sparse, quantized or meta tensor; wanted is a dense one"),
        (torch.rand(3, 8, 8, device="meta"), "sparse, quantized or meta tensor"),
        (torch.rand(3, 8, 8).to(torch.float8_e4m3fn), "a tensor that is no numpy array: Got unsupported ScalarType"),
        (torch.zeros(3, 8, 8, dtype=torch.cfloat).conj(), "a tensor that is no numpy array: .*resolve_conj"),
        ("cat.png", "its image is of the type str; wanted is a PIL image"),
        (None, "its image is of the type NoneType"),
    ],
)
def test_what_is_no_image_is_told_with_its_cure(image: object, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        to_pixels(image)
    assert "\n" not in str(caught.value)


def test_a_pil_image_of_a_damaged_file_is_told(tmp_path: Path) -> None:
    image = PillowImage.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    image.save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-900])
    with (
        PillowImage.open(tmp_path / "a.jpg") as opened,
        pytest.raises(DataError, match="its image cannot be decoded: "),
    ):
        to_pixels(opened)


def test_a_pil_image_of_a_closed_file_is_told(tmp_path: Path) -> None:
    PillowImage.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with PillowImage.open(tmp_path / "a.png") as opened:
        pass
    with pytest.raises(DataError, match="its image cannot be decoded: "):
        to_pixels(opened)

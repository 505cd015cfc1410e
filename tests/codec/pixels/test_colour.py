"""Colours by name: what says the same in fewer bytes, and what cannot."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from aez.codec.pixels.colour import SRGB, Colour, check_numbers, of_png_numbers, of_profile
from aez.codec.pixels.icc import make_profile, parse_profile, space_of
from aez.codec.pixels.srgb import image_as_srgb, to_srgb
from tests.kit.tiny_pictures import photo

SRGB_ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ADOBE = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
#: As HP and Microsoft wrote it into most cameras' pictures.
HP = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
ROMM = np.array([[0.79767, 0.13519, 0.03134], [0.28804, 0.71188, 0.00009], [0.0, 0.0, 0.82491]])
RGB = photo(24, 30)


def gamma_curve(gamma: float) -> bytes:
    return struct.pack(">4sIIH", b"curv", 0, 1, round(gamma * 256)) + b"\0\0"


def table_curve(exponent: float = 0, size: int = 1024) -> bytes:
    x = np.linspace(0, 1, size)
    y = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4) if not exponent else x**exponent
    return struct.pack(">4sII", b"curv", 0, size) + np.rint(y * 65535).astype(">u2").tobytes()


def as_srgb(icc: bytes) -> np.ndarray:  # type: ignore[type-arg]
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    found = ImageCms.profileToProfile(Image.fromarray(RGB), source, ImageCms.createProfile("sRGB"))
    return np.asarray(found).astype(int)


@pytest.mark.parametrize(
    ("icc", "cicp"),
    [
        (SRGB_ICC, (1, 13, 1)),
        (make_profile("HP", table_curve(), HP), (1, 13, 1)),
        (make_profile("P3", table_curve(size=4096), P3), (12, 13, 1)),
        (make_profile("grey", gamma_curve(2.2), None), (1, 4, 1)),
        (make_profile("grey", table_curve(), None), (1, 13, 1)),
        (make_profile("linear", gamma_curve(1), HP), (1, 8, 1)),
    ],
)
def test_common_profiles_have_code_points(icc: bytes, cicp: tuple[int, int, int]) -> None:
    colour = of_profile(icc)
    assert colour == Colour(cicp)
    grey = space_of(icc) == "GRAY"
    again = colour.profile(grey)
    assert again is not None
    assert len(again) < 500
    assert of_profile(again) == colour
    if not grey:
        assert np.abs(as_srgb(icc) - as_srgb(again)).max() <= 1


@pytest.mark.parametrize(
    ("matrix", "gamma"), [(ADOBE, 563 / 256), (ROMM, 1.80078125), (ADOBE, 1.5)], ids=["Adobe RGB", "ROMM", "odd"]
)
def test_a_matrix_and_a_gamma_are_36_bytes(matrix: np.ndarray, gamma: float) -> None:  # type: ignore[type-arg]
    icc = make_profile("given", gamma_curve(gamma), matrix)
    colour = of_profile(icc)
    assert colour.cicp is colour.icc is None
    assert colour.numbers is not None
    assert len(colour.numbers) == 36
    assert check_numbers(colour.numbers)
    again = colour.profile(False)
    assert again is not None
    assert np.abs(as_srgb(icc) - as_srgb(again)).max() <= 1
    numbers = colour.png_numbers()
    assert numbers is not None
    assert numbers[0] == round(100000 / gamma)


def test_profiles_that_say_more_are_kept() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    bent = make_profile("bent", table_curve()[:-2] + b"\x80\0", HP)
    for icc in (lab, bent, SRGB_ICC[:200], b"no profile at all" * 20):
        assert of_profile(icc) == Colour(icc=icc)
        assert of_profile(icc).profile(False) == icc
    assert space_of(b"no profile at all" * 20) is None
    assert space_of(lab) == "Lab "


@pytest.mark.parametrize("cicp", [(9, 16, 1), (9, 18, 1), (9, 1, 1), (12, 13, 1)])
@pytest.mark.parametrize("grey", [True, False])
def test_code_points_as_a_profile_and_back(cicp: tuple[int, int, int], grey: bool) -> None:
    icc = Colour(cicp).profile(grey)
    assert icc is not None
    assert ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile.xcolor_space.strip() == ("GRAY" if grey else "RGB")
    assert of_profile(icc).cicp == cicp
    assert Colour(cicp).is_hdr == (cicp[1] in (16, 18))


@pytest.mark.parametrize("cicp", [(2, 2, 1), (1, 13, 0), (255, 255, 1)])
def test_code_points_without_a_profile(cicp: tuple[int, int, int]) -> None:
    assert Colour(cicp).profile(False) is None
    assert Colour(cicp).describe()


def test_damaged_profiles_are_none() -> None:
    whole = make_profile("given", gamma_curve(2.2), ADOBE)
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.5 else whole)
        if data:
            data[rng.integers(len(data))] = rng.integers(256)
        parsed = parse_profile(bytes(data))
        assert parsed is None or parsed.space
        assert of_profile(bytes(data))  # never an error


@pytest.mark.parametrize(
    ("gamma", "points", "expected"),
    [
        (0.45455, None, Colour((1, 4, 1))),
        (1.0, None, Colour((1, 8, 1))),
        (None, (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06), Colour((12, 13, 1))),
        (0.45455, (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06), Colour((1, 4, 1))),
        (0.0, None, Colour()),
        (0.5, (0.0,) * 8, Colour()),
    ],
)
def test_numbers_of_png(gamma: float | None, points: tuple[float, ...] | None, expected: Colour) -> None:
    assert of_png_numbers(gamma, points) == expected


def test_numbers_of_png_that_have_no_name() -> None:
    colour = of_png_numbers(0.45455, (0.3127, 0.329, 0.7347, 0.2653, 0.115, 0.826, 0.157, 0.018))
    assert colour.png_numbers() == (45455, (31270, 32900, 73470, 26530, 11500, 82600, 15700, 1800))
    assert colour.profile(True) != colour.profile(False)


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("colour", [Colour((12, 13, 1)), of_profile(make_profile("a", gamma_curve(2.2), ADOBE)), SRGB])
def test_any_depth_becomes_the_same_srgb(bits: int, colour: Colour) -> None:
    top = (1 << bits) - 1
    deep = np.rint(RGB / 255 * top).astype(np.uint8 if bits == 8 else np.uint16)
    found = to_srgb(deep, bits, colour, False)
    assert found is not None
    assert found.dtype == deep.dtype
    icc = colour.profile(False)
    assert icc is not None
    assert np.abs(found / top * 255 - as_srgb(icc)).max() <= 2


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_becomes_the_grey_of_srgb(bits: int) -> None:
    top = (1 << bits) - 1
    deep = np.repeat(np.rint(RGB[:, :, :1] / 255 * top), 3, axis=2).astype(np.uint8 if bits == 8 else np.uint16)
    found = to_srgb(deep, bits, Colour((1, 8, 1)), True)
    assert found is not None
    light = deep[:, :, 0] / top
    wanted = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(found[:, :, 0] / top - wanted).max() < 2 / 255
    assert (found[:, :, :1] == found).all()


def test_what_cannot_be_turned_to_srgb() -> None:
    assert to_srgb(RGB, 8, Colour((9, 16, 1)), False) is None
    assert to_srgb(RGB, 8, Colour((2, 2, 1)), False) is None
    assert to_srgb(RGB, 8, Colour(icc=b"nothing"), False) is None
    assert image_as_srgb(Image.fromarray(RGB), b"nothing") is None

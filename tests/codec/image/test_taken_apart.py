"""What pictures keep through a file: orientation, colours, alpha, depth; and what is said of the rest."""

from __future__ import annotations

import functools
import io
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

import aez
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.image import api, decoding
from aez.codec.image.decoded import turned
from aez.codec.image.pillow import Choices, Picture, take_apart
from aez.codec.pixels.colour import Colour
from aez.codec.pixels.facts import Facts, facts_of
from tests.kit.png_maker import make_png
from tests.kit.tiny_pictures import photo, tiny

RGB = photo(40, 60)
HAND = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # how programs turn pictures, by orientation
encode = functools.partial(api.encode_picture, model=tiny())
decode = functools.partial(decoding.decode_picture, model=tiny())


def jpeg(orientation: int, size: tuple[int, int] | None = None) -> Image.Image:
    """A picture of a file, opened; `size` as a camera writes it."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = orientation, "a title"
    if size is not None:
        exif.get_ifd(0x8769).update({0xA002: size[0], 0xA003: size[1]})
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "JPEG", exif=exif, quality=98)
    return Image.open(buffer)


def header_of(data: bytes) -> ImageHeader:
    return Reader(io.BytesIO(data), ImageHeader).header


# -- orientation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_file_is_shown_as_it_was(orientation: int) -> None:
    data = encode(jpeg(orientation), 90).data
    assert header_of(data).orientation == orientation
    decoded = decode(data)
    assert decoded.image.size == (60, 40)
    shown = ImageOps.exif_transpose(decoded.image)
    np.testing.assert_array_equal(np.asarray(shown), decoded.array)
    assert shown.size == ImageOps.exif_transpose(jpeg(orientation)).size
    again = encode(decoded.image, 90).data
    assert header_of(again).orientation == orientation
    assert encode(decoded.image, 90).notices == ()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_arrays_turn_as_pillow_turns_them(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(RGB)
    image.info["exif"] = exif.tobytes()
    np.testing.assert_array_equal(turned(RGB, orientation), np.asarray(ImageOps.exif_transpose(image)))
    np.testing.assert_array_equal(turned(RGB[:, :, 0], orientation), turned(RGB, orientation)[:, :, 0])


@pytest.mark.parametrize("orientation", HAND)
@pytest.mark.parametrize("size", [None, (60, 40), (6000, 4000)])
def test_what_was_turned_by_hand_is_not_turned_again(orientation: int, size: tuple[int, int] | None) -> None:
    if size is not None and orientation < 5:
        pytest.skip("the size does not tell")
    encoded = encode(jpeg(orientation, size).transpose(Image.Transpose(HAND[orientation])), 60)
    assert header_of(encoded.data).orientation == 1
    assert decode(encoded.data).image.getexif()[0x010E] == "a title"
    assert len(encoded.notices) == (size is None)
    properly = encode(ImageOps.exif_transpose(jpeg(orientation, size)), 60)
    assert (header_of(properly.data).orientation, properly.notices) == (1, ())


def test_what_was_not_turned_stays_to_be_turned() -> None:
    for made in (lambda i: i.convert("L"), lambda i: i.resize((31, 20)), lambda i: i.copy()):
        encoded = encode(made(jpeg(6, (60, 40))), 60)
        assert (header_of(encoded.data).orientation, encoded.notices) == (6, ())
    smaller = jpeg(6)
    smaller.thumbnail((30, 30))
    assert header_of(encode(smaller, 60).data).orientation == 6


def test_an_orientation_that_is_given_counts() -> None:
    rotated = jpeg(6).rotate(90, expand=True)
    assert header_of(encode(rotated, 60, orientation=3).data).orientation == 3
    assert encode(rotated, 60, orientation=3).notices == ()
    exif = Image.Exif()
    exif[0x0112] = 8
    assert header_of(encode(rotated, 60, exif=exif).data).orientation == 8
    assert header_of(encode(RGB.astype(np.uint16) * 250, 60, exif=exif).data).orientation == 8
    with pytest.raises(InvalidArgument, match="orientation of 9"):
        encode(RGB, 60, orientation=9)


def test_a_region_is_of_stored_pixels() -> None:
    data = encode(jpeg(6), 90).data
    whole, part = decode(data), decode(data, region=(50, 5, 10, 20))
    assert part.image.size == (10, 20)
    assert part.array.shape == (10, 20, 3)
    assert np.abs(part.values.astype(int) - whole.values[5:25, 50:60]).max() <= 1


# -- what is said -----------------------------------------------------------------------------------------------------


def test_losses_are_warnings_and_nothing_else_is() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        aez.encode(RGB, 30, tiny())
        deep = aez.encode(RGB.astype(np.uint16) * 250 + 1, 30, tiny())
        grey = aez.encode(RGB[:, :, 0].astype(np.uint16) * 250 + 1, 30, tiny())
        assert aez.decode(grey, model=tiny()).mode == "I;16"
        assert aez.decode(deep, model=tiny(), as_array=True).dtype == np.uint16
    with pytest.warns(UserWarning, match="16 bits a channel are 8"):
        aez.decode(deep, model=tiny())
    with pytest.warns(UserWarning, match="CMYK is converted"):
        aez.encode(Image.fromarray(RGB).convert("CMYK"), 30, tiny())
    with pytest.warns(UserWarning, match="strip='all'"):
        data = aez.encode(jpeg(6), 30, tiny(), keep_metadata=False)
    assert dict(aez.decode(data, model=tiny()).getexif()) == {0x0112: 6}


def test_arguments_that_there_are_none_of() -> None:
    with pytest.raises(TypeError, match="'colour'"):
        encode(RGB, 30, colour="red")
    with pytest.raises(InvalidArgument, match="'gsp' cannot be stripped"):
        encode(RGB, 30, strip="gsp")
    with pytest.raises(InvalidArgument, match="no range"):
        encode(RGB.astype(np.float32), 30, value_range=(3.0, 3.0))
    with pytest.raises(UnsupportedInput, match="not within the range"):
        encode(RGB.astype(np.float32), 30, value_range=(0.0, 3.0))
    assert "the range of values is not used" in encode(RGB, 30, value_range=(0.0, 3.0)).notices[0]


# -- alpha ------------------------------------------------------------------------------------------------------------


def masked(hidden: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = np.zeros((120, 120), np.uint8)
    alpha[30:90, 30:90] = 255
    pixels = np.where(alpha[:, :, None] > 0, photo(120, 120), hidden)
    return np.dstack([pixels, alpha])


def test_what_nobody_sees_costs_nothing() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 120, 3)).astype(np.uint8)
    clean = np.zeros_like(noise)
    sizes = [len(encode(masked(hidden), 50).data) for hidden in (noise, clean)]
    assert sizes[0] == sizes[1]
    assert len(encode(masked(noise), 50, keep_hidden=True).data) > 1.2 * sizes[0]


def test_psnr_is_over_what_is_seen() -> None:
    picture = take_apart(masked(np.zeros((120, 120, 3), np.uint8)))
    wrong = picture.pixels.copy()
    wrong[:20] ^= 255
    assert api.psnr_of(picture, wrong) == np.inf
    wrong[40, 40] ^= 16
    assert 30 < api.psnr_of(picture, wrong) < 60
    noise = np.random.default_rng(0).integers(0, 256, (120, 120, 3)).astype(np.uint8)
    encoded = encode(masked(noise), psnr=24)
    found = decode(encoded.data)
    assert api.psnr_of(take_apart(masked(noise)), found.pixels) >= 24
    all_hidden = np.zeros((20, 20, 4), np.uint8)
    assert decode(encode(all_hidden, 50).data).image.mode == "RGBA"


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_opaque_alpha_is_dropped(mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    encoded = encode(image, 50)
    assert (header_of(encoded.data).mode, encoded.notices) == (mode[:-1], ())
    assert encoded.data == encode(image.convert(mode[:-1]), 50).data


def test_alpha_of_fewer_levels() -> None:
    rgba = np.dstack([RGB, np.random.default_rng(0).integers(0, 256, RGB.shape[:2]).astype(np.uint8)])
    whole, less = encode(rgba, 50), encode(rgba, 50, alpha_quality=20)
    assert len(less.data) < 0.8 * len(whole.data)
    assert decode(less.data).alpha is not None


# -- depth ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_deep_arrays_come_back(channels: int, bits: int) -> None:
    top = (1 << bits) - 1
    ramp = np.linspace(1, top, 60).astype(np.uint16)
    colours = np.repeat(np.repeat(ramp[None, :, None], 40, 0), channels - (channels % 2 == 0), 2)
    given: Any = colours
    if channels % 2 == 0:
        alpha = np.linspace(0, 65535, 40).astype(np.uint16)[:, None, None] + np.zeros((40, 60, 1), np.uint16)
        given = np.concatenate([colours, alpha], axis=2)
    data = encode(given, 95, content="photo").data
    assert header_of(data).bits == bits
    found = decode(data).array
    assert found.dtype == np.uint16
    assert found.shape == (given.shape if channels > 1 else (40, 60))
    found = found.reshape(given.shape)
    if channels % 2 == 0:
        np.testing.assert_array_equal(found[:, :, -1], given[:, :, -1])
    seen = given[:, :, -1] > 0 if channels % 2 == 0 else np.ones((40, 60), bool)
    error = np.abs(found[seen].astype(float) - given[seen])[:, : colours.shape[2]] / top
    assert error.mean() < 0.1
    assert np.unique(found[:, :, 0] % (1 << (bits - 8))).size > 2  # of the lower bits


def test_a_deep_psnr_has_a_deep_peak() -> None:
    picture = Picture(np.full((9, 9, 3), 1000, np.uint16), "RGB", bits=12)
    assert api.psnr_of(picture, picture.pixels + np.uint16(4)) == pytest.approx(20 * np.log10(4095 / 4))
    deep = RGB.astype(np.uint16) * 257 + np.arange(60, dtype=np.uint16)[None, :, None]
    encoded = encode(deep, psnr=22)
    assert api.psnr_of(take_apart(deep), decode(encoded.data).pixels) >= 22


def test_samples_that_were_changed_since_they_were_read_are_not_taken() -> None:
    deep = RGB.astype(np.uint16) * 257 + np.arange(60, dtype=np.uint16)[None, :, None]
    image = Image.open(io.BytesIO(make_png(deep, 16, 2)))
    assert facts_of(image).samples is not None
    before = take_apart(image)
    assert (before.bits, before.pixels.max()) == (16, deep.max())
    image = Image.open(io.BytesIO(make_png(deep, 16, 2)))
    taken = facts_of(image)
    image.load()
    image.paste((1, 2, 3), (0, 0, 5, 5))
    assert facts_of(image) == Facts()
    vars(image)["_aez_facts"] = taken
    changed = take_apart(image)
    assert (changed.bits, changed.notices) == (8, ["16-bit colour is kept as 8 bits a channel"])


# -- colour -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "space", "message"),
    [
        ("RGB", True, "for GRAY and the picture is RGB"),
        ("L", False, "for RGB and the picture is grey: its curve is kept"),
    ],
)
def test_profiles_of_other_samples_are_noticed(mode: str, space: bool, message: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    image.info["icc_profile"] = Colour((1, 4, 1)).profile(space)
    picture = take_apart(image)
    assert message in picture.notices[0]
    assert picture.meta.colour == (Colour() if space else Colour((1, 4, 1)))


def test_what_is_named_costs_three_bytes() -> None:
    image = Image.fromarray(RGB)
    plain = len(encode(image, 50).data)
    image.info["icc_profile"] = Colour((12, 13, 1)).profile(False)
    assert len(encode(image, 50).data) == plain + 3


def test_stripped_colours_of_any_depth() -> None:
    deep = RGB.astype(np.uint16) * 257 + 1
    for given in (RGB, deep):
        picture = take_apart(
            given, Choices(frozenset({"icc"}), given={"icc_profile": Colour((12, 13, 1)).profile(False)})
        )
        assert picture.notices == ["its colours (Display P3) are turned to sRGB"]
        assert not picture.meta.colour
        assert np.abs(picture.pixels.astype(int) - given).max() > given.max() // 50
    hdr = take_apart(deep, Choices(frozenset({"icc"}), given={"icc_profile": Colour((9, 16, 1)).profile(False)}))
    assert hdr.meta.colour == Colour((9, 16, 1))
    assert "cannot be turned to sRGB" in hdr.notices[0]

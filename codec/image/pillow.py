"""Between Pillow's pictures or arrays and the codec's samples: modes, depth, alpha, and a notice for what is lost."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from aez.codec.container.image_header import ImageHeader
from aez.codec.errors import AezError, InvalidArgument, UnsupportedInput
from aez.codec.pixels.alpha import fill_hidden, is_opaque, with_fewer_levels
from aez.codec.pixels.colour import Colour
from aez.codec.pixels.depth import Depth, Samples, from_numbers, from_values, to_8_bits
from aez.codec.pixels.facts import Facts, attach_facts, check_facts, facts_of
from aez.codec.pixels.icc import space_of
from aez.codec.pixels.metadata import Metadata, check_profile, read_metadata
from aez.codec.pixels.plugins import load_plugins, unread_format
from aez.codec.pixels.srgb import image_as_srgb, to_srgb

Pixels = NDArray[np.uint8]
ImageLike = Image.Image | NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.floating[Any]]


#: Modes of RGB in other numbers, to which a profile of RGB applies.
_RGB_MODES = ("YCbCr", "HSV", "RGBX")
_ORIENTATION = 274  # EXIF tag


class Loss(str):
    """A notice of what is in the source and nowhere else: who has it may not delete the source."""

    __slots__ = ()


@dataclass
class Picture:
    """A picture taken apart: `pixels` uint8 or uint16 [height, width, 3], `alpha` uint8 or uint16 [height, width].

    Samples have `bits` 8..16 over the `value_range`, as `Depth` says; alpha has 8 or 16 and is None for a picture
    without. `mode` is L, LA, RGB or RGBA; `notices` says, a sentence each, what was not kept. Where `free`
    [height, width] holds, colours are not seen and may be any.
    """

    pixels: Samples
    mode: str
    alpha: Samples | None = None
    bits: int = 8
    value_range: tuple[float, float] | None = None
    meta: Metadata = field(default_factory=Metadata)
    notices: list[str] = field(default_factory=list)
    free: NDArray[np.bool_] | None = None

    @property
    def metadata(self) -> dict[str, bytes]:
        """Chunks by letter: EXIF, XMP, ICC profile or colorimetry."""
        return self.meta.chunks

    @property
    def seen(self) -> NDArray[np.bool_] | None:
        """Which pixels are not wholly transparent, [height, width]; None where all are seen, or none is."""
        if self.alpha is None:
            return None
        seen = self.alpha > 0
        return None if seen.all() or not seen.any() else seen

    def header(self, level: int, model_id: bytes, tile: int) -> ImageHeader:
        """The header of a file of the picture."""
        height, width = self.pixels.shape[:2]
        return ImageHeader(
            width,
            height,
            self.mode,
            level,
            model_id,
            tile,
            self.meta.orientation,
            self.bits,
            self.meta.colour.cicp,
            self.value_range,
            self.meta.resolution,
        )


@dataclass
class Plain:
    """A picture as those take it that look at it and write none: `pixels` uint8 [height, width, 3], RGB.

    `alpha` uint8 [height, width] or None, `mode` L, LA, RGB or RGBA; `notices` as those of `Picture`.
    """

    pixels: Pixels
    mode: str
    alpha: Pixels | None
    notices: list[str]


@dataclass(frozen=True)
class Choices:
    """How a picture is taken apart.

    `strip`: words of `parse_strip`; `keep_hidden`: colours under alpha 0 stay as they are; `alpha_quality` 1..100, 100
    for alpha without loss; `value_range`: values outside are refused; `orientation` 1..8 in place of EXIF's; `given`:
    `exif`, `icc_profile` and `xmp` in place of those in the picture's `info`.
    """

    strip: frozenset[str] = frozenset()
    keep_hidden: bool = False
    alpha_quality: int = 100
    value_range: tuple[float, float] | None = None
    orientation: int | None = None
    given: Mapping[str, Any] = field(default_factory=dict)


def read_image(source: IO[bytes] | str, name: str = "the input", max_pixels: int | None = None) -> Image.Image:
    """Open and fully load a picture, HEIC and JPEG XL too where Pillow's plugins for them are installed.

    Raises UnsupportedInput for anything that Pillow cannot read, and for more than `max_pixels`; without it Pillow's
    own bound holds (`Image.MAX_IMAGE_PIXELS`).
    """
    load_plugins()
    with _pillow_errors(name, source), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged metadata and large pictures are handled below
        image = Image.open(source)
        if max_pixels is not None and image.width * image.height > max_pixels:
            raise UnsupportedInput(
                f"{name} has {image.width}x{image.height} pixels, more than the {max_pixels:,} allowed"
            )
        attach_facts(image)  # loading makes Pillow forget them
        image.load()
    return image


@contextlib.contextmanager
def _pillow_errors(name: str, source: IO[bytes] | str | None = None) -> Iterator[None]:
    """Turns what Pillow's readers raise into UnsupportedInput; `source` is looked at for what a plugin would read."""
    try:
        yield
    except AezError:
        raise
    except UnidentifiedImageError:
        head = _head(source)
        wanted = unread_format(head)
        what = f"a picture in {wanted}" if wanted else "not a picture that can be read here"
        what = what if head or source is None else "empty"
        raise UnsupportedInput(f"{name} is {what}") from None
    except Image.DecompressionBombError as error:
        count = str(error).split(",")[0]  # without what it could be
        raise UnsupportedInput(
            f"{name} is too large: {count}; raise max_pixels (Pillow's MAX_IMAGE_PIXELS) if it is to be trusted"
        ) from error
    except FileNotFoundError:
        raise UnsupportedInput(f"{name} does not exist") from None
    except OSError as error:
        raise UnsupportedInput(f"{name} cannot be read: {error}") from error
    except Exception as error:  # ValueError, SyntaxError, struct.error and a dozen more for damaged files
        if "MAX_TEXT" in str(error):  # what Pillow's reader of PNG guards against
            raise UnsupportedInput(f"{name} has more words beside its pixels than Pillow reads: {error}") from error
        raise UnsupportedInput(f"{name} is damaged: {error}") from error


def _head(source: IO[bytes] | str | None) -> bytes:
    """The first bytes of a file or stream; none where it cannot be read again."""
    with contextlib.suppress(OSError, ValueError):
        if isinstance(source, str):
            with Path(source).open("rb") as file:
                return file.read(16)
        if source is not None:
            source.seek(0)
            return source.read(16)
    return b""


def take_apart(image: ImageLike, choices: Choices | None = None) -> Picture:
    """A Pillow picture or an array [H, W], [H, W, 1..4] of uint8, uint16 or floating-point numbers as a `Picture`.

    Raises UnsupportedInput for pictures without pixels or with damaged ones and values outside the range,
    InvalidArgument for arrays of other shapes or types.
    """
    choices = choices or Choices()
    notices: list[str] = []
    if isinstance(image, Image.Image):
        picture = _from_pillow(image, choices, notices)
    elif np.asarray(image).dtype == np.uint8:
        picture = _from_pillow(_from_array(np.asarray(image)), choices, notices)
    else:
        picture = _from_numbers(np.asarray(image), choices, notices)
    _settle_colour(picture, choices)
    if picture.alpha is not None:
        _settle_alpha(picture, choices)
    if choices.value_range is not None and picture.value_range is None:
        notices.append("the range of values is not used: its samples are integers of at most 16 bits")
    return picture


def take_plain(image: Image.Image | Pixels) -> Plain:
    """A Pillow picture or an array [H, W], [H, W, 1..4] of uint8 in 8 bits, without metadata.

    Raises as `take_apart`.
    """
    notices: list[str] = []
    image, facts = _loaded(image if isinstance(image, Image.Image) else _from_array(image), notices)
    with _pillow_errors("the picture"):
        if image.mode[0] in "IF":
            if image.has_transparency_data:
                notices.append("the transparent value of 16-bit grey is not kept")
            image = _from_deep_grey(image, notices)
        elif facts.deep:
            notices.append("16-bit colour is kept as 8 bits a channel")
        plain = _to_plain_mode(image, None, notices)
    return Plain(*_planes(plain), notices)


def _loaded(image: Image.Image, notices: list[str]) -> tuple[Image.Image, Facts]:
    """The picture with its pixels, and what Pillow does not tell of its file."""
    if image.width < 1 or image.height < 1:
        raise UnsupportedInput(f"a picture of {image.width}x{image.height} pixels holds nothing to encode")
    facts = facts_of(image)  # loading makes Pillow forget them
    if facts.preview_of:
        raise UnsupportedInput(
            f"what can be read of it is a preview of {facts.preview_of}, {image.width}x{image.height} pixels; "
            "develop it first, or open the preview and save it as a picture of its own"
        )
    with _pillow_errors("the picture"):
        image.load()
        _note_frames(image, notices)
    if facts.beside:
        notices.append(Loss(f"not kept: {', '.join(facts.beside)}"))
    return image, facts


def _from_pillow(image: Image.Image, choices: Choices, notices: list[str]) -> Picture:
    image, facts = _loaded(image, notices)
    with _pillow_errors("the picture"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow says of damaged metadata
        meta = read_metadata(image, facts, choices.given, choices.strip, choices.orientation, notices)
        if image.mode[0] in "IF":
            return _from_deep_image(image, facts, meta, choices, notices)
        facts = check_facts(facts, image)
        if facts.samples is not None:
            return _from_samples(image, facts.samples, facts, meta, notices)
        if facts.deep:
            notices.append("16-bit colour is kept as 8 bits a channel")
        if facts.clear is not None and "transparency" in image.info:
            image = image.copy()
            image.info["transparency"] = facts.clear
        return Picture(*_planes(_to_plain_mode(image, meta, notices)), meta=meta, notices=notices)


def _planes(plain: Image.Image) -> tuple[Pixels, str, Pixels | None]:
    """(pixels, mode, alpha) of a picture of mode L, LA, RGB or RGBA."""
    mode = plain.mode
    alpha = np.asarray(plain.getchannel("A")) if mode in ("LA", "RGBA") else None
    if mode in ("L", "LA"):
        grey = np.asarray(plain.getchannel("L") if mode == "LA" else plain)
        pixels = np.repeat(grey[:, :, None], 3, axis=2)
    else:
        pixels = np.asarray(plain if mode == "RGB" else plain.convert("RGB"))
    return pixels, mode, alpha


def _from_deep_image(image: Image.Image, facts: Facts, meta: Metadata, choices: Choices, notices: list[str]) -> Picture:
    """Of Pillow's deep modes I;16 and alike, I and F, which are grey."""
    values = np.asarray(image)
    clear = image.info.get("transparency")
    alpha = np.where(values == clear, 0, 255).astype(np.uint8) if isinstance(clear, int) else None
    if (
        facts.samples is not None and facts.samples.shape[:2] == values.shape
    ):  # a PGM, of which Pillow scales the values
        depth = from_values(facts.samples[:, :, 0], True, facts.white, None, notices)
    elif image.mode == "F" or choices.value_range is not None:
        depth = from_numbers(values, choices.value_range, notices)
    elif values.min() < 0 or values.max() > 65535:
        raise UnsupportedInput(
            f"its values from {values.min()} to {values.max()} are no 16-bit samples; give the range that they have"
        )
    elif image.mode == "I" and values.max() < 256:
        depth = Depth(values.astype(np.uint8), 8)
    else:
        depth = from_values(values.astype(np.uint16), True, None, facts.significant, notices)
    return _of_depth(depth, True, alpha, meta, notices)


def _from_samples(
    image: Image.Image, samples: NDArray[np.uint16], facts: Facts, meta: Metadata, notices: list[str]
) -> Picture:
    """Of all bits of a picture that Pillow holds with 8 a channel."""
    colours = samples[:, :, :3]
    alpha = samples[:, :, 3] if samples.shape[2] == 4 else None
    clear = image.info.get("transparency")
    if isinstance(clear, tuple) and len(clear) == 3:
        alpha = np.where((colours == np.array(clear)).all(axis=2), 0, 65535).astype(np.uint16)
    grey = facts.is_grey
    depth = from_values(colours[:, :, :1] if grey else colours, grey, facts.white, facts.significant, notices)
    return _of_depth(depth, grey, alpha, meta, notices)


def _from_numbers(array: NDArray[Any], choices: Choices, notices: list[str]) -> Picture:
    """Of an array of uint16, whose alpha is 0..65535, or of floating-point numbers, without alpha."""
    _check_shape(array)
    array = array[:, :, None] if array.ndim == 2 else array
    nothing = Image.new("L", (1, 1))
    meta = read_metadata(nothing, Facts(), choices.given, choices.strip, choices.orientation, notices)
    grey, has_alpha = array.shape[2] < 3, array.shape[2] in (2, 4)
    colours = array[:, :, :-1] if has_alpha else array
    if array.dtype == np.uint16 and choices.value_range is None:
        depth = from_values(colours, grey, None, None, notices)
        return _of_depth(depth, grey, array[:, :, -1] if has_alpha else None, meta, notices)
    if array.dtype != np.uint16 and not np.issubdtype(array.dtype, np.floating):
        raise InvalidArgument(f"pixels are uint8, uint16 or floating-point numbers, not {array.dtype}")
    if has_alpha:
        raise InvalidArgument("pixels with a range of values have no alpha")
    return _of_depth(from_numbers(colours, choices.value_range, notices), grey, None, meta, notices)


def _of_depth(depth: Depth, grey: bool, alpha: Samples | None, meta: Metadata, notices: list[str]) -> Picture:
    samples = depth.samples.reshape(*depth.samples.shape[:2], -1)
    pixels = np.repeat(samples, 3, axis=2) if samples.shape[2] == 1 else samples
    if alpha is not None and alpha.dtype == np.uint16 and (depth.bits == 8 or bool((alpha % 257 == 0).all())):
        alpha = to_8_bits(alpha, 16)
    mode = ("L" if grey else "RGB") + ("" if alpha is None else "A")
    return Picture(np.ascontiguousarray(pixels), mode, alpha, depth.bits, depth.value_range, meta, notices)


def _settle_colour(picture: Picture, choices: Choices) -> None:
    """Check the profile, and turn the colours to sRGB where what describes them is stripped."""
    meta, grey = picture.meta, picture.mode in ("L", "LA")
    check_profile(meta, grey, picture.notices)
    if "icc" not in choices.strip or not meta.colour:
        return
    if meta.colour.icc is not None and space_of(meta.colour.icc) is None:  # it says nothing
        meta.take_colour(Colour())
        return
    converted = to_srgb(picture.pixels, picture.bits, meta.colour, grey) if picture.value_range is None else None
    if converted is None and not meta.colour.is_srgb:
        picture.notices.append(f"its colours ({meta.colour.describe()}) cannot be turned to sRGB, and stay described")
        return
    if converted is not None and not meta.colour.is_srgb:
        picture.pixels = converted
        picture.notices.append(f"its colours ({meta.colour.describe()}) are turned to sRGB")
    meta.take_colour(Colour())


def _settle_alpha(picture: Picture, choices: Choices) -> None:
    assert picture.alpha is not None
    picture.alpha = with_fewer_levels(picture.alpha, choices.alpha_quality)
    if is_opaque(picture.alpha):
        picture.alpha, picture.mode = None, picture.mode.removesuffix("A")
    elif not choices.keep_hidden:
        picture.free = picture.alpha == 0
        picture.pixels = fill_hidden(picture.pixels, picture.alpha)


def _to_plain_mode(image: Image.Image, meta: Metadata | None, notices: list[str]) -> Image.Image:
    """One of L, LA, RGB, RGBA."""
    mode = image.mode
    transparent = image.has_transparency_data
    if mode in ("LA", "RGBA") or (mode in ("L", "RGB") and not transparent):
        return image
    if mode in ("1", "L"):
        return image.convert("LA" if transparent else "L")
    if mode in ("P", "PA", "RGB"):
        return image.convert("RGBA" if transparent else "RGB")
    if mode in ("La", "RGBa"):
        return image.convert(mode.upper())
    profile = None if meta is None else meta.profile
    space = None if profile is None else space_of(profile)
    if meta is not None and profile is not None and (mode not in _RGB_MODES or space != "RGB "):
        meta.drop_profile()
        converted = image_as_srgb(image, profile) if mode == space == "CMYK" else None
        if converted is not None:
            notices.append("CMYK is converted to sRGB by its colour profile")
            return converted
        notices.append(f"{mode} is converted to RGB, and its colour profile is left out")
    else:
        notices.append(f"{mode} is converted to RGB")
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise UnsupportedInput(f"a picture of mode {mode} cannot be converted to RGB") from error


def _from_array(array: Pixels) -> Image.Image:
    if array.dtype != np.uint8:
        raise InvalidArgument(f"pixels must be uint8, not {array.dtype}")
    _check_shape(array)
    return Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array))


def _check_shape(array: NDArray[Any]) -> None:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)) or 0 in array.shape:
        raise InvalidArgument(f"pixels of shape {array.shape} are neither [H, W] nor [H, W, 1..4]")


def _note_frames(image: Image.Image, notices: list[str]) -> None:
    try:
        frames = getattr(image, "n_frames", 1)
    except Exception:  # noqa: BLE001 - counting reads later frames; damage there is no reason to refuse this one
        frames = 1
    if frames > 1 and image.format == "PSD":
        notices.append(Loss(f"its {frames} layers are kept as what they show together"))
    elif frames > 1:
        which = "the first" if image.tell() == 0 else f"number {image.tell() + 1}"
        notices.append(Loss(f"only {which} of {frames} frames is kept"))


def _from_deep_grey(image: Image.Image, notices: list[str]) -> Image.Image:
    values = np.asarray(image).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise UnsupportedInput("a floating-point picture with NaN or infinite pixels cannot be encoded")
    # Pillow reads a 16-bit PGM as 32-bit integers; its values say nothing about its depth when it is dark.
    if image.mode == "F" and low >= 0 and high <= 1:
        notices.append("floating-point grey in 0..1 is kept as 8 bits")
        values *= 255
    elif image.mode.startswith("I;16") or image.format == "PPM" or low < 0 or high > 255:
        outside = ", and values outside 0..65535 are cut off" if low < 0 or high > 65535 else ""
        notices.append(f"16-bit grey is kept as 8 bits: the upper half of every value{outside}")
        values /= 257
    elif image.mode == "F":
        notices.append("floating-point grey in 0..255 is kept as 8 bits")
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def take_upright(image: Image.Image | Pixels) -> Plain:
    """A picture as the latent's commands take it, turned as EXIF says: a `Plain` of mode L or RGB, without alpha.

    Raises UnsupportedInput, InvalidArgument as `take_plain`.
    """
    if isinstance(image, Image.Image):
        image = _turned(image)
    picture = take_plain(image)
    if picture.alpha is not None:
        if picture.alpha.min() < 255:
            picture.notices.append("transparency is left out: the colours under it count as if they were seen")
        picture.alpha = None
    picture.mode = picture.mode.removesuffix("A")
    return picture


def _turned(image: Image.Image) -> Image.Image:
    """The picture itself where there is nothing to turn: a copy would not know its file's frames."""
    try:
        upright = image.getexif().get(_ORIENTATION, 1) == 1
        return image if upright else ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - damaged EXIF is no reason to refuse the picture
        return image

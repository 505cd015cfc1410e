"""Pictures to `.aez` bytes and back: what `import aez` offers, in terms of the parts beside this file."""

from __future__ import annotations

import dataclasses
import io
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from aez.codec.bundle.bundle import Bundle
from aez.codec.bundle.library import PSNR_MODEL, find_bundle
from aez.codec.common.arguments import check_numbers
from aez.codec.container.chunks import MODEL
from aez.codec.container.image_header import MODEL_ID_BYTES, TILE_MAX, TILE_UNIT, ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.container.writer import Writer
from aez.codec.entropy.quality import LEVEL_MAX, level_to_quality, quality_to_level
from aez.codec.errors import InvalidArgument
from aez.codec.exact.samples import step_within
from aez.codec.image import distortion
from aez.codec.image.content.choice import Content, ExactTiles, ModelTiles, check_content
from aez.codec.image.content.opacity import alpha_of
from aez.codec.image.decoded import as_shown
from aez.codec.image.model import ImageModel, ModelLike, open_model
from aez.codec.image.pillow import Choices, ImageLike, Picture, take_apart
from aez.codec.image.region import RegionDecoder
from aez.codec.image.targets import OutOfReach, Target, find_level
from aez.codec.image.tiles import TILE_DEFAULT, Box, check_tile, usual_tile
from aez.codec.pixels.alpha import LOSSLESS as ALPHA_LOSSLESS
from aez.codec.pixels.depth import Samples, to_8_bits
from aez.codec.pixels.strip import ALL, parse_strip

QUALITY_DEFAULT = 50.0
#: No file comes near this many bits per pixel; more is not asked for.
BPP_MAX = 1e6
#: Of 16-bit samples no error is larger.
MAX_ERROR = 65535


@dataclass(frozen=True)
class Encoded:
    """An encoded picture: the file's bytes, the quality they were made with, and what was not kept."""

    data: bytes
    quality: float
    pixels: int
    notices: tuple[str, ...]

    @property
    def bpp(self) -> float:
        """Bits of the file per pixel."""
        return 8 * len(self.data) / self.pixels


def load(ref: ModelLike = None) -> Bundle:
    """A model by path, name, id or bytes; without one, the default. Raises ModelError."""
    return ref if isinstance(ref, Bundle) else find_bundle(ref)


def load_for(ref: ModelLike, psnr: float | None) -> Bundle:
    """As `load`; without a model, that with the highest PSNR where `psnr` is the target. Raises ModelError."""
    return load(PSNR_MODEL if ref is None and psnr is not None else ref)


def encode_picture(
    image: ImageLike,
    quality: float | None = None,
    model: ModelLike = None,
    *,
    bpp: float | None = None,
    psnr: float | None = None,
    ssimulacra2: float | None = None,
    max_bytes: int | None = None,
    lossless: bool = False,
    max_error: int | None = None,
    content: Content = "auto",
    tile: int | None = None,
    embed_model: bool = False,
    device: str = "auto",
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **how: Any,
) -> Encoded:
    """Encode a picture (Pillow, or an array [H, W], [H, W, 1..4] of uint8, uint16 or, without alpha, floating point).

    At most one of `quality` (1..100, default 50), `bpp` (bits per pixel of the whole file, not exceeded), `psnr` (dB
    over what is seen, reached), `ssimulacra2` (the score, reached; needs its package) and `max_bytes` (not exceeded);
    bytes end within 0.5 % of what is asked for where the levels allow it, a PSNR within 0.05 dB. Without a `model` it
    is the one that looks best, or with a `psnr` the one with the highest PSNR. `lossless`, or a `max_error` of each
    sample (in levels of the stored samples), take their place and need no model. `content` says whether tiles are coded
    as photographs, as graphics, or as is cheapest. `tile` is the side of the independently coded tiles (1024, without a
    model and of thin pictures 2048), `embed_model` stores the decoding half of the model inside. `progress(done,
    total)` counts tiles. `how` are the keyword arguments of `choices_of`. Raises InvalidArgument (also for a target
    that no quality reaches), UnsupportedInput, ModelError; TypeError for what is no number where one belongs.
    """
    targets = {"quality": quality, "bpp": bpp, "psnr": psnr, "ssimulacra2": ssimulacra2, "max_bytes": max_bytes}
    switches = {"lossless": lossless, "embed_model": embed_model}
    check_numbers({**targets, **switches, "max_error": max_error, "tile": tile, "threads": threads, **how})
    given = {name: value for name, value in targets.items() if value is not None}
    if len(given) > 1:
        raise InvalidArgument(f"give only one of {', '.join(given)}")
    check_content(content)
    if lossless or max_error is not None:
        others = {"model": model is not None, "content": content != "auto", "embed_model": embed_model}
        bound = check_exact(lossless, max_error, (*given, *(name for name, there in others.items() if there)))
        return _encode_exact(take_apart(image, _exactly(choices_of(**how))), bound, tile, progress)
    bundle = load_for(model, psnr)
    opened = open_model(bundle, device, threads)
    check_tile(TILE_DEFAULT if tile is None else tile, opened.geometry.alignment)
    picture = take_apart(image, choices_of(**how))
    height, width = picture.pixels.shape[:2]
    side = usual_tile(width, height) if tile is None else tile
    embedded = bundle.decoding_half() if embed_model else None
    job = _EncodeJob(opened, picture, side, embedded, progress, ModelTiles(opened, content, alpha_of(picture)))
    level, data = _encode_to(job, given)
    return Encoded(data, level_to_quality(level), job.pixels, tuple(picture.notices))


def _encode_to(job: _EncodeJob, target: Mapping[str, float]) -> tuple[int, bytes]:
    """(level, file) that the one target, or the usual quality without one, asks for. Raises InvalidArgument."""
    match dict(target):
        case {"psnr": wanted}:
            return _reach(job, _PSNR, wanted)
        case {"ssimulacra2": wanted}:
            return _reach(job, _SSIMULACRA2, wanted)
        case {"bpp": bpp}:
            if not (math.isfinite(bpp) and bpp > 0):
                raise InvalidArgument(f"bpp {bpp} is not a positive number")
            return _fit_bytes(job, math.floor(min(bpp, BPP_MAX) * job.pixels / 8))
        case {"max_bytes": limit}:
            return _fit_bytes(job, int(limit))
    level = quality_to_level(target.get("quality", QUALITY_DEFAULT))
    return level, job.encode(level)


def choices_of(
    *,
    strip: Iterable[str] | str = (),
    keep_hidden: bool = False,
    alpha_quality: int = 100,
    value_range: tuple[float, float] | None = None,
    orientation: int | None = None,
    **given: Any,
) -> Choices:
    """How a picture is taken apart.

    `strip` leaves out any of gps, exif, xmp, icc (whose colours are turned to sRGB) and dpi, or all; the picture stays
    upright. `keep_hidden` codes colours under alpha 0 as they are. `alpha_quality` 1..100 gives alpha fewer levels.
    `value_range` (low, high) is what floating-point and integer samples are mapped from; values outside are refused.
    `orientation` 1..8, `exif`, `icc_profile` and `xmp` stand in place of those that the picture has. Raises
    InvalidArgument, TypeError for another name.
    """
    if "keep_metadata" in given:
        if not given.pop("keep_metadata"):
            strip = ALL
        warnings.warn("keep_metadata=False is now strip='all'", UserWarning, stacklevel=3)
    if unknown := sorted(set(given) - {"exif", "icc_profile", "xmp"}):
        raise TypeError(f"there is no argument {unknown[0]!r}")
    if value_range is not None:
        low, high = value_range
        if not -math.inf < low < high < math.inf or np.float32(low) == np.float32(high):
            raise InvalidArgument(f"values from {low:g} to {high:g} are no range: the lower one comes first")
    if not 1 <= alpha_quality <= 100:
        raise InvalidArgument(f"an alpha quality of {alpha_quality} is outside 1..100")
    if orientation is not None and orientation not in range(1, 9):
        raise InvalidArgument(f"an orientation of {orientation} is outside 1..8")
    return Choices(parse_strip(strip), keep_hidden, alpha_quality, value_range, orientation, given)


def check_exact(lossless: bool, max_error: int | None, others: Iterable[str]) -> int:
    """The largest error of a sample that is allowed. Raises InvalidArgument for what does not go together."""
    if lossless and max_error:
        raise InvalidArgument(f"lossless allows no error, and max_error {max_error} does; give one of them")
    named = "lossless" if lossless else "max_error"
    if beside := list(others):
        raise InvalidArgument(f"{named} goes without {beside[0]}: neither a quality nor a model has a part in it")
    bound = 0 if max_error is None else max_error
    if not hasattr(bound, "__index__") or not 0 <= bound <= MAX_ERROR:
        raise InvalidArgument(f"a largest error of {bound} levels is no whole number of 0..{MAX_ERROR}")
    return bound


def _exactly(choices: Choices) -> Choices:
    """With colours under alpha 0 as they are. Raises InvalidArgument where alpha should lose levels."""
    if choices.alpha_quality != ALPHA_LOSSLESS:
        raise InvalidArgument("an alpha quality goes with lossy pictures, not with lossless or max_error")
    return dataclasses.replace(choices, keep_hidden=True)


def _encode_exact(
    picture: Picture, bound: int, tile: int | None, progress: Callable[[int, int], None] | None
) -> Encoded:
    side = TILE_MAX if tile is None else tile
    check_tile(side, TILE_UNIT)
    step = min(step_within(bound), 1 << picture.bits)
    data = _EncodeJob(None, picture, side, None, progress, ExactTiles(step, alpha_of(picture))).encode(LEVEL_MAX)
    pixels = picture.pixels.shape[0] * picture.pixels.shape[1]
    return Encoded(data, level_to_quality(LEVEL_MAX), pixels, tuple(picture.notices))


@dataclass
class _EncodeJob:
    """One picture that is encoded at one or several levels."""

    model: ImageModel | None
    picture: Picture
    tile: int
    embedded: bytes | None
    progress: Callable[[int, int], None] | None
    tiles: ModelTiles | ExactTiles

    @property
    def pixels(self) -> int:
        return int(self.picture.pixels.shape[0]) * int(self.picture.pixels.shape[1])

    def encode(self, level: int) -> bytes:
        model_id = bytes(MODEL_ID_BYTES) if self.model is None else bytes.fromhex(self.model.bundle.id)[:8]
        header = self.picture.header(level, model_id, self.tile)
        stream = io.BytesIO()
        writer = Writer(stream, header)
        for letter, content in self.picture.metadata.items():
            writer.add(letter, content)
        if self.embedded is not None:
            writer.add(MODEL, self.embedded)
        for number in range(header.tiles):
            writer.tile(number, self.tiles.encode(self.picture.pixels, header, number))
            if self.progress is not None:
                self.progress(number + 1, header.tiles)
        writer.close()
        return stream.getvalue()

    def decoded(self, data: bytes) -> Samples:
        return as_shown(_pixels(data, self.model), self.picture.mode)


def _pixels(data: bytes, model: ImageModel | None) -> Samples:
    reader = Reader(io.BytesIO(data), ImageHeader)
    header = reader.header
    return RegionDecoder(model, header, reader.tile).decode(Box(0, 0, header.width, header.height))


@dataclass(frozen=True)
class _Measure:
    """Of decoded pictures: what it is called, and of photographs its value at quality 1 and its rise up to 100.

    `near`: so much above the target is near enough.
    """

    name: str
    unit: str
    low: float
    rise: float
    near: float
    of: Callable[[Picture, Samples], float | None]


def psnr_of(picture: Picture, pixels: Samples) -> float:
    """PSNR in dB of decoded samples [height, width, 3] over what is seen of a picture: alpha above 0."""
    seen = picture.seen
    pair = (picture.pixels, pixels) if seen is None else (picture.pixels[seen], pixels[seen])
    return distortion.psnr(*pair, peak=(1 << picture.bits) - 1)


def _ssimulacra2_of(picture: Picture, pixels: Samples) -> float | None:
    """In 8 bits; what nobody sees counts as equal."""
    seen = picture.seen
    if seen is not None:
        pixels = np.where(seen[:, :, None], pixels, picture.pixels)
    return distortion.ssimulacra2(to_8_bits(picture.pixels, picture.bits), to_8_bits(pixels, picture.bits))


_PSNR = _Measure("PSNR", " dB", 25.5, 16.5, 0.05, psnr_of)
_SSIMULACRA2 = _Measure("SSIMULACRA 2", "", 10.0, 80.0, 0.5, _ssimulacra2_of)
#: How far below a limit of bytes, relatively, is near enough.
_BYTES_NEAR = 0.005
#: Of photographs: the logarithm of bits per pixel at quality 1, and its rise up to 100.
_USUAL_BPP = (-2.5, 3.0)


def _fit_bytes(job: _EncodeJob, limit: int) -> tuple[int, bytes]:
    """A level whose file has at most `limit` bytes, and nearly as many."""
    pixels = job.pixels
    low, rise = _USUAL_BPP
    wanted = math.log(max(limit, 1))
    start = _usual_level((wanted - math.log(pixels / 8) - low) / rise)

    def attempt(level: int) -> tuple[float, bytes]:
        data = job.encode(level)
        return math.log(len(data)), data

    target = Target(wanted + math.log1p(-_BYTES_NEAR), wanted, False, start, rise)
    try:
        return find_level(target, attempt)
    except OutOfReach as error:
        smallest = round(math.exp(error.nearest))
        raise InvalidArgument(f"even quality 1 needs {smallest} bytes, more than the {limit} asked for") from None


def _reach(job: _EncodeJob, measure: _Measure, wanted: float) -> tuple[int, bytes]:
    """A level that reaches a value of `measure`, and hardly more."""

    def attempt(level: int) -> tuple[float, bytes]:
        data = job.encode(level)
        value = measure.of(job.picture, job.decoded(data))
        if value is None:
            raise InvalidArgument(f"{measure.name} says nothing of so small a picture; give --quality")
        return value, data

    if not math.isfinite(wanted):
        raise InvalidArgument(f"a {measure.name} of {wanted} cannot be reached")
    start = _usual_level((wanted - measure.low) / measure.rise)
    try:
        return find_level(Target(wanted, wanted + measure.near, True, start, measure.rise), attempt)
    except OutOfReach as error:
        raise InvalidArgument(
            f"quality 100 gives {error.nearest:.2f}{measure.unit}, less than the {wanted}{measure.unit} asked for"
        ) from None


def _usual_level(share: float) -> int:
    return round(min(max(share, 0.0), 1.0) * LEVEL_MAX)

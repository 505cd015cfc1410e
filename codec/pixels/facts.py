"""What a picture file says and Pillow does not hand on: 16 bits a channel, significant bits, code points of colour.

Pillow opens 16-bit colour with the upper byte of each sample. Read once more with the byte order exchanged, the same
readers give the lower byte, so that every compression, filter and interlacing that Pillow knows goes through.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from aez.codec.pixels.beside import left_beside, stands_for

__all__ = ["Facts", "attach_facts", "check_facts", "facts_of", "is_as_stored", "mark_as_stored"]

_DEEP_RAW_MODE = re.compile(r"([A-Za-z]+;16)([BLN])")
_NATIVE, _OTHER = ("L", "B") if sys.byteorder == "little" else ("B", "L")
_SWAPPED = {"B": "L", "L": "B", "N": _OTHER}
_ATTRIBUTE = "_aez_facts"
_PNG = b"\x89PNG\r\n\x1a\n"
#: So much of a file's begin is searched for boxes of AVIF.
_HEAD = 1 << 16
#: EXIF tags that describe a picture. The others in a TIFF's directory say how its pixels are stored: description, make,
#: model, software, date, artist, IPTC, copyright, and the title to the subject as Windows stores them.
_TIFF_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 33432, 33723, 40091, 40092, 40093, 40094, 40095)
_TIFF_DIRECTORIES = (34665, 34853)


@dataclass(frozen=True)
class Facts:
    """`samples` uint16 [height, width, 3 or 4], all bits of a picture that Pillow holds with 8 bits a channel.

    `deep`: the file has more bits a channel than Pillow's pixels, whether they could be read or not. `white`: the value
    of white, where the file says it and it is not 65535. `significant`: bits of each sample, where the file says it.
    `is_grey`: all channels are one. `clear`: the grey that is transparent, of a file with 2 or 4 bits a sample, which
    Pillow compares with other numbers. `cicp`: colour code points of H.273. `exif`: the block of a file that keeps EXIF
    elsewhere. `beside`: what the file has besides and nobody reads. `preview_of`: what the picture only stands for.
    """

    deep: bool = False
    samples: NDArray[np.uint16] | None = None
    white: int | None = None
    significant: int | None = None
    is_grey: bool = False
    clear: int | None = None
    cicp: tuple[int, int, int] | None = None
    exif: bytes | None = None
    beside: tuple[str, ...] = ()
    preview_of: str = ""


def attach_facts(image: Image.Image) -> None:
    """Find the facts of a picture that was opened and not loaded yet, and keep them with it (not with its copies)."""
    setattr(image, _ATTRIBUTE, _find(image))


def mark_as_stored(image: Image.Image) -> None:
    """Say that the picture is as a file has it: its EXIF's orientation is that of its pixels."""
    setattr(image, _ATTRIBUTE, Facts())


def is_as_stored(image: Image.Image) -> bool:
    """Whether the picture is a file's and not one that was made of it, which may be turned."""
    return isinstance(image, ImageFile.ImageFile) or hasattr(image, _ATTRIBUTE)


def facts_of(image: Image.Image) -> Facts:
    """The facts of a picture, loaded or not; those of another one are never taken for its own."""
    kept = getattr(image, _ATTRIBUTE, None)
    if not isinstance(kept, Facts):
        kept = _find(image)
    return kept


def check_facts(facts: Facts, image: Image.Image) -> Facts:
    """The facts without samples that are not those of the loaded pixels, which were changed since they were read."""
    if facts.samples is None:
        return facts
    pixels = np.asarray(image)
    if facts.samples.shape == pixels.shape and bool((np.abs(_eight_bits_of(facts) - pixels) <= 1).all()):
        return facts
    return replace(facts, samples=None)


def _eight_bits_of(facts: Facts) -> NDArray[np.int16]:
    """The samples as Pillow gives them, nearly: some readers round, some cut off."""
    assert facts.samples is not None
    top = facts.white or 65535
    return (facts.samples.astype(np.uint32) * 255 // top).astype(np.int16)


def _find(image: Image.Image) -> Facts:
    if not isinstance(image, ImageFile.ImageFile):
        return Facts()
    with contextlib.suppress(Exception), _file_of(image) as file:  # what cannot be told is left to Pillow
        facts = Facts(deep=_is_deep(image), preview_of=stands_for(image, file))
        if facts.preview_of:
            return facts
        file.seek(0)
        return replace(_read(image, file), beside=left_beside(image, file))
    return Facts(deep=_is_deep(image))


@contextlib.contextmanager
def _file_of(image: ImageFile.ImageFile) -> Iterator[IO[bytes]]:
    """The file of a picture at its begin: as it is open, or opened anew by its name."""
    file: Any = image.fp
    if file is None or getattr(file, "closed", False):
        with Path(str(image.filename or "")).open("rb") as again:
            yield again
        return
    position = file.tell()
    try:
        file.seek(0)
        yield file
    finally:
        file.seek(position)


def _read(image: ImageFile.ImageFile, file: IO[bytes]) -> Facts:
    if image.format == "PNG":
        chunks = _png_chunks(file)
        if chunks["IHDR"][:8] != struct.pack(">II", *image.size):
            return Facts()
        depth, colour = chunks["IHDR"][8:10]
        significant = _png_bits(chunks.get("sBIT"), depth)
        facts = Facts(
            significant=significant,
            is_grey=colour in (0, 4),
            clear=_png_clear(chunks.get("tRNS"), depth) if colour == 0 else None,
            cicp=_png_cicp(chunks.get("cICP")),
        )
        return facts if depth < 16 or colour == 0 else _with_samples(facts, image, file)
    if image.format == "PPM":
        return _read_ppm(image, file)
    if image.format == "TIFF":
        return _read_tiff(image, file)
    if image.format == "AVIF":
        return _read_avif(file.read(_HEAD))
    if image.format == "JPEG2000":
        return Facts(deep=image.mode[0] not in "IF" and _jpeg2000_bits(file.read(_HEAD)) > 8)
    return Facts(deep=_is_deep(image))


# -- 16 bits a channel ------------------------------------------------------------------------------------------------


def _raw_modes(image: Image.Image) -> list[str]:
    found: list[str] = []
    for _, _, _, given in getattr(image, "tile", []):
        found += [one for one in (given if isinstance(given, tuple) else (given,)) if isinstance(one, str)]
    return found


def _is_deep(image: Image.Image) -> bool:
    """Whether an opened picture that is not loaded has 16 bits a channel of which Pillow keeps eight."""
    return image.mode[0] not in "IF" and any(_DEEP_RAW_MODE.fullmatch(mode) for mode in _raw_modes(image))


def _with_samples(facts: Facts, image: Image.Image, file: IO[bytes]) -> Facts:
    facts = replace(facts, deep=True)
    file.seek(0)
    data = file.read()
    with contextlib.suppress(Exception), warnings.catch_warnings():  # damage is told when the picture is loaded
        warnings.simplefilter("ignore")
        return replace(facts, samples=_both_bytes(data, image.tell()))
    return facts


def _both_bytes(data: bytes, frame: int) -> NDArray[np.uint16] | None:
    upper = Image.open(io.BytesIO(data))
    lower = Image.open(io.BytesIO(data))
    for image in (upper, lower):
        if frame:
            image.seek(frame)
    if _raw_modes(lower) == ["LA;16B"]:  # Pillow has no reader of its lower bytes; four bytes are those of RGBA
        lower.tile = [_tile_with(tile, {"LA;16B": "RGBA"}) for tile in lower.tile]
        pairs = np.asarray(lower).astype(np.uint16)
        grey, alpha = (pairs[:, :, at] << 8 | pairs[:, :, at + 1] for at in (0, 2))
        return np.stack([grey, grey, grey, alpha], axis=2).astype(np.uint16)
    exchanged = {}
    for mode in _raw_modes(lower):
        if match := _DEEP_RAW_MODE.fullmatch(mode):
            exchanged[mode] = match[1] + _SWAPPED[match[2]]
    if not exchanged or upper.mode not in ("RGB", "RGBA") or any(mode.startswith("RGBa") for mode in exchanged):
        return None
    lower.tile = [_tile_with(tile, exchanged) for tile in lower.tile]
    samples: NDArray[np.uint16] = np.asarray(upper).astype(np.uint16) << 8 | np.asarray(lower)
    return samples


def _tile_with(tile: Any, exchanged: dict[str, str]) -> Any:
    given = tile[3]
    changed = (
        tuple(exchanged.get(one, one) for one in given) if isinstance(given, tuple) else exchanged.get(given, given)
    )
    return tile._replace(args=changed)


# -- formats ----------------------------------------------------------------------------------------------------------


def _png_chunks(file: IO[bytes]) -> dict[str, bytes]:
    """The chunks before the pixels, the first of each name."""
    found: dict[str, bytes] = {}
    if file.read(8) != _PNG:
        raise ValueError("no PNG")
    while True:
        length, name = struct.unpack(">I4s", file.read(8))
        if name == b"IDAT":
            return found
        content = file.read(length)
        file.read(4)
        found.setdefault(name.decode("latin-1"), content)


def _png_cicp(content: bytes | None) -> tuple[int, int, int] | None:
    """Of RGB alone, as PNG has it."""
    if content is None or len(content) != 4 or content[2] != 0 or content[3] > 1:
        return None
    return content[0], content[1], content[3]


def _png_clear(content: bytes | None, depth: int) -> int | None:
    if content is None or len(content) != 2 or depth not in (2, 4):
        return None
    return int.from_bytes(content, "big") % (1 << depth) * (255 // ((1 << depth) - 1))


def _png_bits(content: bytes | None, depth: int) -> int | None:
    """Significant bits of a 16-bit sample: the most of any channel."""
    return max(content) if content and depth == 16 and 1 <= max(content) < 16 else None


def _read_ppm(image: ImageFile.ImageFile, file: IO[bytes]) -> Facts:
    tokens: list[bytes] = []
    magic = file.read(2)
    while len(tokens) < 3:
        token, byte = b"", file.read(1)
        while byte and (not byte.isspace() or not token):
            if byte == b"#":
                file.readline()
            elif not byte.isspace():
                token += byte
            byte = file.read(1)
        tokens.append(token)
    width, height, white = map(int, tokens)
    if magic not in (b"P5", b"P6") or not 255 < white < 65536 or (width, height) != image.size:
        return Facts(deep=white > 255 and image.mode[0] not in "IF")
    channels = 3 if magic == b"P6" else 1
    values = np.frombuffer(file.read(width * height * channels * 2), ">u2").reshape(height, width, channels)
    white_said = white if white < 65535 else None
    return Facts(deep=True, samples=values.astype(np.uint16), white=white_said, is_grey=channels == 1)


def _read_tiff(image: Any, file: IO[bytes]) -> Facts:
    facts = Facts(exif=_tiff_exif(image))
    return _with_samples(facts, image, file) if _is_deep(image) else facts


def _tiff_exif(image: Any) -> bytes | None:
    """A block of what a TIFF's directory says about the picture, and of its EXIF and GPS directories."""
    own, block = image.getexif(), Image.Exif()
    for tag in _TIFF_DESCRIPTIVE:
        if tag in own:
            block[tag] = own[tag]
    for tag in _TIFF_DIRECTORIES:
        inner = own.get_ifd(tag)
        if inner:
            block.get_ifd(tag).update(inner)
            block[tag] = 0
    return block.tobytes() if len(block) else None


def _jpeg2000_bits(head: bytes) -> int:
    """Bits of the first component, by the size marker."""
    at = head.find(b"\xff\x4f\xff\x51")
    return (head[at + 42] & 0x7F) + 1 if 0 <= at < len(head) - 42 else 8


def _read_avif(head: bytes) -> Facts:
    """Code points of AVIF, where they say more than sRGB and there is no profile, and whether it has above 8 bits."""
    coded, box = head.find(b"av1C"), head.find(b"colrnclx")
    deep = coded >= 0 and len(head) > coded + 6 and bool(head[coded + 6] & 0x40)
    cicp = None
    if box >= 0 and b"colrprof" not in head and b"colrrICC" not in head:
        primaries, transfer = struct.unpack_from(">HH", head, box + 8)
        if max(primaries, transfer) < 256 and (primaries not in (1, 2) or transfer in (8, 16, 18)):
            cicp = (primaries, transfer, 1)
    return Facts(deep=deep, cicp=cicp)

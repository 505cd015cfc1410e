"""A decoded picture: as Pillow can hold it, and as an array with all of its bits."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aez.codec.container.image_header import ImageHeader
from aez.codec.errors import CorruptFile
from aez.codec.pixels.depth import Samples, to_8_bits, to_values
from aez.codec.pixels.facts import mark_as_stored
from aez.codec.pixels.metadata import restore_info

__all__ = ["Decoded", "as_shown", "turned"]


@dataclass(frozen=True)
class Decoded:
    """A decoded picture, and the damage behind which parts of it are missing (grey); empty unless `partial`.

    `pixels` [height, width, 3] and `alpha` [height, width] are samples as the header says; `metadata` is that of the
    file, by chunk letter.
    """

    header: ImageHeader
    pixels: Samples
    alpha: Samples | None = None
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    damage: tuple[CorruptFile, ...] = ()

    @functools.cached_property
    def values(self) -> NDArray[Any]:
        """What the file's samples stand for, as they are stored: [height, width] or [height, width, 2..4].

        uint8; above 8 bits uint16, over 0..65535 where the file has no range of values (alpha always is); or float32.
        """
        grey = self.header.mode in ("L", "LA")
        samples = _grey(self.pixels)[:, :, None] if grey else self.pixels
        values = to_values(samples, self.header.bits, self.header.value_range)
        if self.alpha is not None:
            alpha = to_values(self.alpha, 8 * self.alpha.dtype.itemsize, None)
            values = np.concatenate([values, alpha[:, :, None]], axis=2)
        return values[:, :, 0] if values.shape[2] == 1 else values

    @property
    def array(self) -> NDArray[Any]:
        """`values`, turned and mirrored as the picture is to be shown."""
        return turned(self.values, self.header.orientation)

    @functools.cached_property
    def image(self) -> Image.Image:
        """The Pillow picture, with metadata in its `info`, where Pillow's writers find it; pixels as they are stored.

        Deep grey has mode I;16 or F, deep colour the upper 8 bits, for Pillow has no mode for more.
        """
        if self.header.mode != "L" or self.values.dtype == np.uint8:
            return self.image_of_8_bits
        return self._with_info(Image.fromarray(self.values))

    @functools.cached_property
    def image_of_8_bits(self) -> Image.Image:
        """As `image`, of mode L, LA, RGB or RGBA in any case."""
        plain = to_8_bits(self.pixels, self.header.bits)
        image = Image.fromarray(_grey(plain) if self.header.mode in ("L", "LA") else plain)
        if self.alpha is not None:
            image.putalpha(Image.fromarray(to_8_bits(self.alpha, 8 * self.alpha.dtype.itemsize)))
        return self._with_info(image)

    @property
    def scaled(self) -> NDArray[np.uint16]:
        """`values` without alpha as uint16 over 0..65535, whatever range they stand for."""
        samples = _grey(self.pixels) if self.header.mode in ("L", "LA") else self.pixels
        return to_values(samples, self.header.bits, None).astype(np.uint16)

    def fitted(self, side: int) -> Decoded:
        """This picture, or where its longer side has more pixels than `side`, a smaller one (Lanczos)."""
        height, width = self.pixels.shape[:2]
        if max(height, width) <= side:
            return self
        longer = max(height, width)
        size = max(1, round(width * side / longer)), max(1, round(height * side / longer))
        alpha = None if self.alpha is None else _resized(self.alpha, size)
        return dataclasses.replace(self, pixels=_resized(self.pixels, size), alpha=alpha)

    def _with_info(self, image: Image.Image) -> Image.Image:
        restore_info(image.info, self.header, self.metadata)
        mark_as_stored(image)
        return image

    @property
    def notices(self) -> tuple[str, ...]:
        """What of the picture `image` does not hold, a sentence each."""
        if self.header.mode == "L" or self.values.dtype == np.uint8:
            return ()
        return (f"its {self.header.bits} bits a channel are 8 in a Pillow picture; as an array it has them all",)


def as_shown(pixels: Samples, mode: str) -> Samples:
    """Decoded pixels [height, width, 3] with the colours that a picture of this mode shows."""
    if mode not in ("L", "LA"):
        return pixels
    shown = np.empty_like(pixels)
    shown[:] = _grey(pixels)[:, :, None]
    return shown


def turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """An array [height, width, ...], turned and mirrored as EXIF's orientation 1..8 says."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(values[::rows, ::columns])


def _resized(samples: Samples, size: tuple[int, int]) -> Samples:
    """Samples [height, width, ...] at a size (width, height), by floats, for Pillow resizes no deep colour."""
    planes = samples.reshape(*samples.shape[:2], -1)
    resized = [
        np.asarray(Image.fromarray(planes[:, :, number].astype(np.float32)).resize(size, Image.Resampling.LANCZOS))
        for number in range(planes.shape[2])
    ]
    top = np.iinfo(samples.dtype).max
    whole: Samples = np.clip(np.rint(np.stack(resized, axis=2)), 0, top).astype(samples.dtype)
    return whole if samples.ndim == 3 else whole[:, :, 0]


def _grey(pixels: Samples) -> Samples:
    """Mean of the three channels, rounded: the synthesis leaves them nearly equal."""
    total = pixels.sum(axis=2, dtype=np.uint32)
    grey: Samples = ((total + 1) // 3).astype(pixels.dtype)
    return grey

"""Training data of picture detectors: pictures of one size in memory, split, drawn from, and spoilt for repair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from aez.codec.common.progress import progress_bar
from aez.codec.errors import AezError, InvalidArgument, UnsupportedInput
from aez.codec.image.files import is_coloured, list_pictures, read_picture, to_planes
from aez.export.images.edges import cell_of

Planes = NDArray[np.uint8]
#: The longer side that a detector works at, suggested from the pictures: at most this.
SIDE_SUGGESTED, SIDE_MIN, SIDE_MAX = 128, 16, 512
#: Bytes of pictures at the working size; of more, evenly spread ones are taken.
MEMORY_MAX = 1 << 30
#: Fewer pictures tell nothing about what is normal.
FEWEST = 20
#: Pictures whose size and colours are looked at before all are read.
_LOOKED_AT = 200
#: Of the pictures in a batch, the share that is spoilt; and the sides of the spoilt part, relative to the picture's.
SPOILT, _LEAST_PART, _LARGEST_PART = 0.5, 0.05, 0.4


@dataclass(frozen=True, eq=False)
class PictureSet:
    """Pictures uint8 [n, colours, height, width] with their names; `skipped` says which could not be read, and why."""

    planes: Planes
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.planes)

    def take(self, numbers: NDArray[np.integer]) -> Tensor:
        """The pictures of these numbers: float32 [n, colours, height, width] in 0..255."""
        return torch.from_numpy(self.planes[numbers].astype(np.float32))

    def chosen(self, numbers: NDArray[np.integer]) -> PictureSet:
        """Some of the pictures."""
        return PictureSet(self.planes[numbers], tuple(self.names[number] for number in numbers))


def find_training_pictures(sources: Sequence[Path]) -> list[Path]:
    """Files among the sources, and those below the folders among them. Raises UnsupportedInput where there is none."""
    found: dict[Path, None] = {}
    for source in sources:
        if not source.exists():
            raise UnsupportedInput(f"{source} does not exist; name a folder of pictures")
        found |= dict.fromkeys(list_pictures(source) if source.is_dir() else [source])
    return list(found)


def read_training_pictures(paths: Sequence[Path], size: int | None = None, quiet: bool = True) -> PictureSet:
    """Read all pictures at one size, in one colour if none of them shows any.

    `size` is the longer side; by default that of most pictures, at most 128. The aspect is that of most pictures, and
    others are squeezed to it. Raises UnsupportedInput where fewer than 20 can be read, or all are the same.
    """
    height, width = working_size(_sizes(paths), size)
    most = max(1, MEMORY_MAX // (3 * height * width))
    used = list(paths) if len(paths) <= most else [paths[at] for at in np.linspace(0, len(paths) - 1, most).astype(int)]
    planes = np.empty((len(used), 3, height, width), np.uint8)
    names: list[str] = []
    skipped: list[tuple[str, str]] = []
    coloured = False
    for path in progress_bar(iterable=used, desc="reading", unit="picture", disable=quiet):
        try:
            pixels = read_picture(path)
        except AezError as error:
            skipped.append((str(path), str(error)))
            continue
        planes[len(names)] = to_planes(pixels, height, width, 3)
        coloured = coloured or is_coloured(planes[len(names)])
        names.append(str(path))
    planes = planes[: len(names)]
    return checked(PictureSet(planes if coloured else _grey(planes), tuple(names), tuple(skipped)))


def pictures_of_array(pictures: NDArray[np.uint8], size: int | None = None) -> PictureSet:
    """The set of an array uint8 [n, height, width] or [n, height, width, 1 or 3]. Raises InvalidArgument."""
    given = np.asarray(pictures)
    if given.ndim == 3:
        given = given[..., None]
    if given.ndim != 4 or given.shape[3] not in (1, 3) or given.dtype != np.uint8 or 0 in given.shape:
        raise InvalidArgument(
            f"pictures are uint8 [n, height, width] or [n, height, width, 1 or 3], not {given.dtype} {given.shape}"
        )
    height, width = working_size([(given.shape[1], given.shape[2])], size)
    rgb = np.broadcast_to(given, (*given.shape[:3], 3))
    planes = np.stack([to_planes(one, height, width, given.shape[3]) for one in rgb])
    return checked(PictureSet(planes, tuple(f"picture {number}" for number in range(len(planes)))))


def checked(pictures: PictureSet) -> PictureSet:
    """The pictures. Raises UnsupportedInput where they are too few, or nothing differs among them."""
    if len(pictures) < FEWEST:
        lost = f"; {len(pictures.skipped)} could not be read" if pictures.skipped else ""
        raise UnsupportedInput(f"{len(pictures)} pictures are too few to learn from; give {FEWEST} or more{lost}")
    if not np.any(pictures.planes != pictures.planes[0]):
        raise UnsupportedInput("all pictures are the same, and there is nothing to learn from them")
    return pictures


def working_size(sizes: Sequence[tuple[int, int]], longer: int | None = None) -> tuple[int, int]:
    """(height, width) to work at for pictures of these sizes (height, width); sides are whole cells of the edges.

    Raises InvalidArgument for a longer side outside 16..512.
    """
    if longer is not None and not SIDE_MIN <= longer <= SIDE_MAX:
        raise InvalidArgument(f"size {longer} is outside {SIDE_MIN}..{SIDE_MAX} pixels")
    usual = float(np.median([max(size) for size in sizes]))
    side = longer or min(max(usual, SIDE_MIN), SIDE_SUGGESTED)
    aspect = float(np.median([math.log(width / height) for height, width in sizes]))
    height, width = (side * math.exp(-max(aspect, 0)), side * math.exp(min(aspect, 0)))
    cell = cell_of(round(height), round(width))
    return max(2, round(height / cell)) * cell, max(2, round(width / cell)) * cell


def split_pictures(count: int, held_out: float, validation: float) -> tuple[NDArray[np.int64], ...]:
    """Numbers of the pictures that fit, that tell when to stop, and that calibrate; drawn, and the same at every run.

    The last ones would often be another class, as folders are sorted by name.
    """
    order = np.random.default_rng(0).permutation(count)
    calibrating = max(1, round(held_out * count))
    validating = max(1, round(validation * (count - calibrating)))
    parts = np.split(order, [count - calibrating - validating, count - calibrating])
    return tuple(np.sort(part) for part in parts)


def spoil(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the pictures with a part that is not their own: a rectangle from elsewhere in another, or of one level.

    A network that has to give the whole picture learns to repair what is abnormal instead of drawing it, too (as
    denoising does; Zavrtanik, Kristan, Skocaj 2021; cut and pasted parts: Li et al. 2021).
    """
    count, colours, height, width = pictures.shape
    draw = torch.rand(count, 5 + colours, generator=generator).to(pictures.device)
    sides = _LEAST_PART + (_LARGEST_PART - _LEAST_PART) * draw[:, :2]
    start = draw[:, 2:4] * (1 - sides)
    inside = _between(start[:, 0], sides[:, 0], height)[:, :, None] & _between(start[:, 1], sides[:, 1], width)[:, None]
    shift = torch.randint(0, max(height, width), (2,), generator=generator).tolist()
    other = pictures.roll(1, 0).roll(shift, (2, 3))
    low, high = pictures.amin(), pictures.amax()
    level = (low + (high - low) * draw[:, 5:, None, None]).expand_as(pictures)
    part = torch.where((draw[:, 4] < 0.5)[:, None, None, None], other, level)
    spoilt = torch.arange(count, device=pictures.device) < SPOILT * count
    return torch.where((inside & spoilt[:, None, None])[:, None], part, pictures)


def _between(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Which of `size` places lie in start .. start + length (shares), and at least one of them: bool [n, size]."""
    places = torch.arange(size, device=start.device)
    first = (start * size).floor()
    last = first + (length * size).ceil().clamp_min(1)
    return (places >= first[:, None]) & (places < last[:, None])


def _grey(planes: Planes) -> Planes:
    """[n, 1, height, width] of pictures whose three colours are nearly equal."""
    return np.ascontiguousarray(planes[:, 1:2])


def _sizes(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """(height, width) of some of the pictures, as shown. Raises UnsupportedInput where none can be read."""
    found = []
    for at in np.unique(np.linspace(0, len(paths) - 1, min(len(paths), _LOOKED_AT)).astype(int)):
        try:
            with Image.open(paths[at]) as image:
                width, height = image.size
                turned = image.getexif().get(0x0112, 1) >= 5
        except Exception:  # noqa: BLE001 - whatever is wrong with it, reading it will say so
            continue
        if width > 0 and height > 0:
            found.append((width, height) if turned else (height, width))
    if not found:
        raise UnsupportedInput(f"none of {len(paths)} pictures can be read, such as {paths[0]}")
    return found

"""The sample: pictures drawn by a seed, cut to windows that training and measuring take quickly."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aez import messages
from aez.codec.common.files import whole_file
from aez.codec.common.progress import progress_bar
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.image.files import read_picture
from aez.commands.collection.state import Collection
from aez.inputs import Inputs

#: Folders of the windows.
TRAINING, KEPT_OUT = "training", "kept-out"
#: Fewer pictures teach nothing, and fewer than the second number little.
LEAST, FEW = 10, 100
#: Pictures that are named where they cannot be read.
_NAMED = 10
#: At most this share of the pictures is kept out of training.
_SHARE = 0.2
#: Sides of windows in pixels; networks see no crop below the last.
_TRAINING_SIDE, _KEPT_OUT_SIDE, SMALLEST = 512, 1024, 32

Pixels = NDArray[np.uint8]


def draw(collection: Collection, found: Inputs) -> None:
    """Draw the names of the sample. Raises UnsupportedInput for too few pictures, InvalidArgument."""
    places = [one.place.as_posix() for one in found.files]
    if len(places) < LEAST:
        raise UnsupportedInput(
            f"{collection.folder} holds {len(places)} pictures that can be read, and a model of their own takes at "
            f"least {LEAST}, better hundreds; aez encode takes them as they are"
        )
    kept_out = min(collection.settings["keep_out"], max(2, int(_SHARE * len(places))))
    if len(places) < FEW:
        messages.note(f"{len(places)} pictures are few to learn from; hundreds make a better model")
    random.Random(collection.settings["seed"]).shuffle(places)
    collection.kept_out = sorted(places[:kept_out])
    collection.training = sorted(places[kept_out : kept_out + collection.settings["sample"]])


def cut(collection: Collection, name: str) -> None:
    """Write the windows of a part of the sample that are not there yet, as 8-bit PNG.

    A window for training lies anywhere in its picture, as drawn by the seed; large pictures of a small sample give
    several. Of a picture that is kept out it is the middle. Raises UnsupportedInput where none can be read,
    OutputError.
    """
    places = collection.training if name == TRAINING else collection.kept_out
    each = max(1, collection.settings["sample"] // len(places)) if name == TRAINING else 0
    with progress_bar(total=len(places), unit="picture") as bar:
        unread = list(_cut(collection, name, places, each, bar))
    for place, why in unread[:_NAMED]:
        messages.note(f"left out of the sample: {place}: {why}")
    if len(unread) > _NAMED:
        messages.note(f"left out of the sample: {len(unread) - _NAMED:,} more")
    if len(unread) == len(places):
        raise UnsupportedInput(f"no picture of the sample could be read, such as {unread[0][0]}: {unread[0][1]}")


def _cut(collection: Collection, name: str, places: Sequence[str], each: int, bar: Any) -> Iterator[tuple[str, str]]:
    """Cut the windows of pictures; yields those that cannot be read, and why."""
    folder = collection.work / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, place in enumerate(places):
        bar.update()
        last = folder / f"{number:06}.png"
        if last.exists():
            continue
        try:
            pixels = read_picture(collection.folder / place)
        except (UnsupportedInput, InvalidArgument) as error:
            yield place, str(error)
            continue
        rng = np.random.default_rng([collection.settings["seed"], number])
        windows = list(_windows(pixels, each, rng)) if each else [_middle(pixels)]
        for extra, window in enumerate(windows[1:], 1):
            _save(window, folder / f"{number:06}-{extra}.png")
        _save(windows[0], last)  # tells that all are there


def _windows(pixels: Pixels, each: int, rng: np.random.Generator) -> Iterator[Pixels]:
    height, width = (min(side, _TRAINING_SIDE) for side in pixels.shape[:2])
    fitting = max(1, pixels.shape[0] * pixels.shape[1] // _TRAINING_SIDE**2)
    for _ in range(min(each, fitting)):
        top, left = (int(rng.integers(side - of + 1)) for side, of in zip(pixels.shape, (height, width), strict=False))
        yield _padded(pixels[top : top + height, left : left + width])


def _middle(pixels: Pixels) -> Pixels:
    height, width = (min(side, _KEPT_OUT_SIDE) for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def _padded(pixels: Pixels) -> Pixels:
    """Continued by its edges to what networks take, as the codec does."""
    below, beside = (max(SMALLEST - side, 0) for side in pixels.shape[:2])
    return np.pad(pixels, ((0, below), (0, beside), (0, 0)), mode="edge") if below or beside else pixels


def _save(pixels: Pixels, path: Path) -> None:
    grey = bool((pixels == pixels[:, :, :1]).all())
    with whole_file(path, force=True) as partial:
        Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if grey else pixels)).save(
            partial, "PNG", compress_level=1
        )

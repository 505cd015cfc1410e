"""Pictures to latents, and pictures as a model gives them back, in one call each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aez.codec.image.api import QUALITY_DEFAULT, encode_picture, load
from aez.codec.image.decoded import as_shown
from aez.codec.image.decoding import decode_picture
from aez.codec.image.model import ModelLike
from aez.codec.image.pillow import Plain, take_upright
from aez.codec.latent.model import LATENT_MODEL, Latent, open_latent_model

__all__ = ["ReconstructedPicture", "embed_picture", "reconstruct_picture"]

Pixels = NDArray[np.uint8]
PlainImage = Image.Image | Pixels
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ReconstructedPicture:
    """A picture and what a model made of it, both uint8 [height, width, 3].

    `quality` and `coded_bytes` are None where the latent was not quantized.
    """

    original: Pixels
    result: Pixels
    quality: float | None
    coded_bytes: int | None
    notices: tuple[str, ...]


def embed_picture(
    image: PlainImage,
    model: ModelLike = LATENT_MODEL,
    *,
    device: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> tuple[Latent, tuple[str, ...]]:
    """The latent of a picture (Pillow, or uint8 [H, W] or [H, W, 1..4]), and what was left out of the picture.

    Pictures are turned as EXIF says. Raises ModelError for a model without a latent, UnsupportedInput, InvalidArgument.
    """
    opened = open_latent_model(load(model), device, threads)
    picture = take_upright(image)
    return opened.encode(picture.pixels, progress), tuple(picture.notices)


def reconstruct_picture(
    image: PlainImage,
    model: ModelLike = LATENT_MODEL,
    quality: float | None = None,
    *,
    device: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> ReconstructedPicture:
    """Encode a picture and decode it again, without a file.

    A model with a latent leaves it unquantized unless a `quality` 1..100 is given; every other one codes the picture,
    at quality 50 by default. `progress(done, total)` counts tiles. Raises as `embed_picture`.
    """
    bundle = load(model)
    picture = take_upright(image)
    notices = tuple(picture.notices)
    if quality is None and bundle.coding.get("latent") is not None:
        opened = open_latent_model(bundle, device, threads)
        latent = opened.encode(picture.pixels, _half(progress, 0))
        pixels = opened.decode(latent.mean, latent.size, _half(progress, 1))
        return ReconstructedPicture(
            picture.pixels, np.asarray(as_shown(pixels, picture.mode), np.uint8), None, None, notices
        )
    quality = QUALITY_DEFAULT if quality is None else quality
    encoded = encode_picture(
        _plain_image(picture),
        quality,
        bundle,
        content="photo",  # what the model makes of it, not what is cheapest
        device=device,
        threads=threads,
        progress=_half(progress, 0),
    )
    decoded = decode_picture(
        encoded.data, model=bundle, device=device, threads=threads, progress=_half(progress, 1)
    ).image.convert("RGB")
    return ReconstructedPicture(picture.pixels, np.asarray(decoded), encoded.quality, len(encoded.data), notices)


def _plain_image(picture: Plain) -> Image.Image:
    return Image.fromarray(picture.pixels[:, :, 0] if picture.mode == "L" else picture.pixels)


def _half(progress: Progress | None, half: int) -> Progress | None:
    """The progress of the first or the second half of the work."""
    if progress is None:
        return None
    report = progress  # the checker forgets that it is not None inside a function
    return lambda done, total: report(done + half * total, 2 * total)

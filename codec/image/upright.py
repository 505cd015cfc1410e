"""Pictures as the latent's commands take them: turned as EXIF says, RGB alone, with a notice for what is left out."""

from __future__ import annotations

from PIL import Image, ImageOps

from aez.codec.image.pillow import Picture, Pixels, take_apart

__all__ = ["take_upright"]

_ORIENTATION = 274  # EXIF tag


def take_upright(image: Image.Image | Pixels) -> Picture:
    """A Pillow picture or a uint8 array [H, W], [H, W, 1..4] as a `Picture` of mode L or RGB, without alpha.

    Raises UnsupportedInput, InvalidArgument as `take_apart`.
    """
    if isinstance(image, Image.Image):
        image = _turned(image)
    picture = take_apart(image, keep_metadata=False)
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

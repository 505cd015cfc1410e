"""Make small pictures of the kinds that people have, the same ones at every run: nothing in them is random.

Usage: python samples/make_samples.py [FOLDER], by default samples/pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from aez.bench.pictures.value_noise import value_noise

Field = npt.NDArray[np.float64]

ORIENTATION = 0x0112  # EXIF tag
TURN_RIGHT = 6  # show it turned by 90 degrees clockwise


def landscape() -> Image.Image:
    """RGB 384x256: a sky in gradients over ridges with texture that grows finer towards the viewer."""
    return Image.fromarray(_scene(256, 384))


def lines() -> Image.Image:
    """RGB 320x240: text, thin lines and flat colours, what transform codecs find hardest."""
    image = Image.new("RGB", (320, 240), "white")
    draw = ImageDraw.Draw(image)
    for i, size in enumerate((9, 12, 16, 24)):
        draw.text((10, 8 + 30 * i), "Sphinx of black quartz, 0123456789", "black", ImageFont.load_default(size))
    for i in range(16):
        draw.line((10 + 12 * i, 140, 10 + 18 * i, 230), fill=(16 * i, 0, 255 - 16 * i), width=1 + i % 3)
    draw.rectangle((220, 150, 310, 230), fill=(255, 212, 0), outline=(200, 0, 0), width=3)
    draw.ellipse((235, 160, 295, 220), fill=(0, 120, 90))
    return image


def soft_alpha() -> Image.Image:
    """RGBA 256x192: a disc whose edge fades out over 40 pixels; colour goes on where nothing shows."""
    height, width = 192, 256
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - height / 2, x - width / 2)
    alpha = np.clip((90 - distance) / 40, 0, 1)
    return Image.fromarray(np.dstack([_scene(height, width), _to_bytes(alpha)]))


def grey_16_bit() -> Image.Image:
    """Grey 256x192 with 16 bits: a ramp whose low byte carries structure of its own."""
    height, width = 192, 256
    y, x = np.mgrid[:height, :width]
    ramp = x / (width - 1) * 0.8 + 0.15 * _noise(height, width, octaves=4, seed=5) + 0.05 * y / (height - 1)
    return Image.fromarray(np.rint(ramp * 65535).astype(np.uint16))


def palette() -> Image.Image:
    """Palette 256x192 with 32 colours."""
    return Image.fromarray(_scene(192, 256)).quantize(32, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def one_pixel() -> Image.Image:
    """RGB 1x1."""
    return Image.new("RGB", (1, 1), (200, 80, 40))


def turned() -> Image.Image:
    """RGB, stored as 160x240 and shown as 240x160: its EXIF orientation says to turn it."""
    image = Image.fromarray(_scene(160, 240)).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[ORIENTATION] = TURN_RIGHT
    image.info["exif"] = exif.tobytes()
    return image


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "landscape.png": landscape,
    "lines.png": lines,
    "soft-alpha.png": soft_alpha,
    "grey-16-bit.png": grey_16_bit,
    "palette.png": palette,
    "one-pixel.png": one_pixel,
    "turned.jpg": turned,
}


def make(folder: Path) -> list[Path]:
    """Write all pictures into a folder, which is made when missing; the paths in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, picture in PICTURES.items():
        image = picture()
        image.save(folder / name, quality=95, exif=image.info.get("exif", b""))
        paths.append(folder / name)
    return paths


def _scene(height: int, width: int) -> npt.NDArray[np.uint8]:
    """A landscape, uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    haze = _noise(height, width, octaves=3, seed=1)
    picture = _blend((0.33, 0.52, 0.78), (0.93, 0.83, 0.70), y * 1.4 + 0.15 * haze)
    sun = np.clip(1.2 - 18 * np.hypot((y - 0.25) * height / width, x - 0.72), 0, 1)
    picture = _over(picture, (1.0, 0.95, 0.8), sun)
    layers = ((0.45, (0.45, 0.53, 0.62)), (0.6, (0.29, 0.41, 0.38)), (0.78, (0.24, 0.27, 0.12)))
    for depth, (level, colour) in enumerate(layers):
        skyline = level + 0.22 * (_noise(height, width, octaves=4, seed=10 + depth)[:1] - 0.5)
        texture = _noise(height, width, octaves=5 + depth, seed=20 + depth)
        shade = 1 + (0.25 + 0.5 * depth) * (texture - 0.5)
        ground = np.asarray(colour) * shade[:, :, None]
        covered = np.clip((y - skyline) * height, 0, 1)[:, :, None]  # one pixel of soft edge
        picture = picture * (1 - covered) + ground * covered
    return _to_bytes(picture)


def _blend(first: tuple[float, ...], second: tuple[float, ...], share: Field) -> Field:
    share = np.clip(share, 0, 1)[:, :, None]
    return np.asarray(first) * (1 - share) + np.asarray(second) * share


def _over(picture: Field, colour: tuple[float, ...], opacity: Field) -> Field:
    return picture * (1 - opacity[:, :, None]) + np.asarray(colour) * opacity[:, :, None]


def _to_bytes(values: Field) -> npt.NDArray[np.uint8]:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _noise(height: int, width: int, octaves: int, seed: int) -> Field:
    """Fractal value noise, 0..1 [height, width]; each octave has half the wavelength of the one before."""
    total, weight = np.zeros((height, width)), 0.0
    for octave in range(octaves):
        cell = max(1, 128 >> octave)
        total += value_noise(height, width, cell, seed * 16 + octave) * 0.6**octave
        weight += 0.6**octave
    return total / weight


def main() -> None:
    """Make the pictures in the folder that the command line names."""
    parser = argparse.ArgumentParser(description="Make small pictures of many kinds.")
    default = Path(__file__).parent / "pictures"
    parser.add_argument("folder", nargs="?", type=Path, default=default, help=f"by default {default}")
    for path in make(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    main()

"""Draw what a latent model does to pictures, for docs/latent.md: reconstructions, channels, a way between two.

Usage: python samples/latent_pictures.py [--model kl-f8] [-o docs/images] PICTURE PICTURE...

Takes two pictures or more, scaled down to 512 pixels where they are larger. Writes latent-reconstructions.jpg (three
at most, with error maps), latent-channels.jpg (two) and latent-interpolation.jpg (from the first to the second), each
under 200 kB.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

import aez
from aez.codec.common.files import write_whole
from aez.codec.image.distortion import psnr, ssim
from aez.codec.image.pillow import read_image, take_upright
from aez.codec.latent.drawing import fit, limit_side, side_by_side, strip
from aez.codec.latent.model import LATENT_MODEL, LatentModel
from aez.codec.latent.paths import path as way

Pixels = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float32]

LIMIT = 200_000  # bytes of a file
SIDE, FRAME, STEPS, TILE = 512, 208, 7, 232  # pixels, frames of the strip
RECONSTRUCTED, SHOWN = 3, 2  # pictures
RANGE = 3.0  # standard deviations at the ends of the colours
GAP, LABEL = 10, 24  # pixels
INK, QUIET, PAPER = "#1d2530", "#5c6673", "#ffffff"
#: Colours of a latent's values from -RANGE over 0 to RANGE.
STOPS = ((33, 60, 140), (120, 170, 220), (245, 245, 242), (235, 150, 110), (150, 25, 45))


def reconstructions(model: LatentModel, pictures: Sequence[tuple[str, Pixels]]) -> Image.Image:
    """For each picture a row: itself, its reconstruction without quantization, and the error."""
    panels = []
    for name, pixels in pictures[:RECONSTRUCTED]:
        latent = model.encode(pixels)
        decoded = model.decode(latent.mean, latent.size)
        shape = "x".join(map(str, latent.mean.shape))
        title = f"{name}: latent {shape}, {psnr(pixels, decoded):.2f} dB, SSIM {ssim(pixels, decoded):.3f}"
        panels.append(side_by_side(pixels, decoded, title))
    return _stacked(panels)


def channels(model: LatentModel, pictures: Sequence[tuple[str, Pixels]]) -> Image.Image:
    """For each picture a row: itself, and every channel of its latent in colours from -3 to 3 deviations."""
    g = model.geometry
    rows = []
    for name, pixels in pictures[:SHOWN]:
        latent = (model.encode(pixels).mean - g.shift_factor) * g.scaling_factor
        height = round(TILE * pixels.shape[0] / pixels.shape[1])
        tiles = [(name, Image.fromarray(pixels).resize((TILE, height), Image.Resampling.LANCZOS))]
        for number, channel in enumerate(latent):
            drawn = Image.fromarray(_coloured(channel)).resize((TILE, height), Image.Resampling.NEAREST)
            tiles.append((f"channel {number}: {channel.mean():+.2f} ± {channel.std():.2f}", drawn))
        rows.append(_labelled(tiles, columns=5))
    return _stacked(rows)


def interpolation(model: LatentModel, first: Pixels, second: Pixels) -> Image.Image:
    """Two rows of the same steps: decoded from the latents between two pictures, and their pixels mixed."""
    ends = [fit(pixels, FRAME, FRAME) for pixels in (first, second)]
    a, b = (model.encode(pixels).mean for pixels in ends)
    decoded = [model.decode(latent, (FRAME, FRAME)) for latent in way(a, b, STEPS)]
    shares = [number / (STEPS - 1) for number in range(STEPS)]
    mixed = [np.rint((1 - share) * ends[0] + share * ends[1]).astype(np.uint8) for share in shares]
    rows = (("decoded from latents in between", strip(decoded)), ("their pixels, mixed", strip(mixed)))
    return _stacked([_labelled([row], columns=1) for row in rows])


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the pictures; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE", help="two or more")
    parser.add_argument("--model", default=LATENT_MODEL, metavar="NAME|PATH")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parents[1] / "docs" / "images")
    given = parser.parse_args(arguments)
    if len(given.pictures) < 2:
        parser.error("name two pictures or more")
    try:
        model = LatentModel(aez.load(given.model))
        pictures = [(path.name, _read(path)) for path in given.pictures]
        drawn = {
            "latent-reconstructions.jpg": reconstructions(model, pictures),
            "latent-channels.jpg": channels(model, pictures),
            "latent-interpolation.jpg": interpolation(model, pictures[0][1], pictures[1][1]),
        }
        given.output.mkdir(parents=True, exist_ok=True)
        for name, image in drawn.items():
            data = _jpeg(image)
            write_whole(given.output / name, data, force=True)
            print(f"{given.output / name}: {image.width}x{image.height}, {len(data):,} bytes")
    except (aez.AezError, OSError) as error:
        print(f"latent_pictures.py: {error}", file=sys.stderr)
        return 1
    return 0


def _read(path: Path) -> Pixels:
    """The picture upright, at most 512 pixels on a side."""
    with path.open("rb") as file:
        return limit_side(take_upright(read_image(file, str(path))).pixels, SIDE)


def _coloured(channel: Float) -> Pixels:
    """Colours [h, w, 3] of values [h, w]."""
    place = (np.clip(channel / RANGE, -1, 1) + 1) / 2 * (len(STOPS) - 1)
    planes = [np.interp(place, range(len(STOPS)), [stop[c] for stop in STOPS]) for c in range(3)]
    return np.rint(np.stack(planes, -1)).astype(np.uint8)


def _labelled(tiles: Sequence[tuple[str, Image.Image]], columns: int) -> Image.Image:
    """Tiles of one size in rows, each under its label."""
    width, height = tiles[0][1].size
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + LABEL)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (label, tile) in enumerate(tiles):
        x, y = GAP + number % columns * (width + GAP), number // columns * (height + LABEL)
        draw.text((x, y + 5), label, INK if number == 0 else QUIET, ImageFont.load_default(13))
        sheet.paste(tile, (x, y + LABEL))
    return sheet


def _stacked(rows: Sequence[Image.Image]) -> Image.Image:
    width = max(row.width for row in rows)
    sheet = Image.new("RGB", (width, sum(row.height for row in rows) + GAP * len(rows)), PAPER)
    top = GAP // 2
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height + GAP
    return sheet


def _jpeg(image: Image.Image) -> bytes:
    """The best JPEG of at most 200 kB."""
    for quality in range(92, 10, -4):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True, subsampling="4:4:4" if quality > 80 else "4:2:0")
        if buffer.tell() <= LIMIT:
            break
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())

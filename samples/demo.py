"""Compress a photograph with aez, then with JPEG, WebP and AVIF at no more bytes, and compare the results.

Usage: python samples/demo.py [IMAGE], by default the portrait of Grace Hopper that matplotlib brings (public domain,
512x600). Prints a table and writes the crops side by side to samples/out/.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, ImageOps

import aez
from aez.bench.pictures.codecs import encode_to_size, standard_peers
from aez.codec.image.distortion import ms_ssim, psnr
from aez.codec.image.pillow import read_image

Pixels = npt.NDArray[np.uint8]

BPP = 0.35
PEERS = ("JPEG", "WebP", "AVIF 4:2:0", "AVIF 4:4:4")
OUT = Path(__file__).parent / "out"
CROP, ZOOM, COLUMNS = 192, 2, 3  # pixels of the picture, their size on the sheet, crops in a row
CAPTION, GAP = 44, 12  # pixels


@dataclass(frozen=True)
class Entry:
    """One codec's result; the original has no bytes."""

    name: str
    pixels: Pixels
    bytes: int = 0
    psnr: float = 0.0  # dB
    ms_ssim: float = 0.0  # 0..1

    @property
    def bpp(self) -> float:
        """Bits per pixel of the file."""
        return 8 * self.bytes / (self.pixels.shape[0] * self.pixels.shape[1])


def default_picture() -> Path:
    """The portrait that matplotlib brings."""
    from matplotlib.cbook import get_sample_data

    return Path(str(get_sample_data("grace_hopper.jpg", asfileobj=False)))


def load_pixels(path: Path) -> Pixels:
    """The picture upright as RGB, uint8 [height, width, 3]. Raises UnsupportedInput."""
    image = ImageOps.exif_transpose(read_image(str(path), str(path)))
    return np.asarray(image.convert("RGB"))


def compare(pixels: Pixels, model: str | None = None) -> list[Entry]:
    """aez at about `BPP`, then every peer that is here at no more bytes."""
    data = _encode(pixels, model)
    decoded = np.asarray(aez.decode(data, model=model))
    entries = [_entry("aez", pixels, decoded, len(data))]
    for peer in standard_peers():
        if peer.name in PEERS and peer.available():
            encoded = encode_to_size(peer, pixels, len(data))
            if encoded is not None:
                entries.append(_entry(peer.name, pixels, peer.decode(encoded.data), len(encoded.data)))
            else:
                print(f"{peer.name} takes more than {len(data)} bytes at its lowest quality")
    return entries


def table(entries: Sequence[Entry]) -> str:
    """The comparison as text."""
    lines = [f"{'codec':<12}{'bytes':>9}{'bpp':>8}{'PSNR dB':>10}{'MS-SSIM':>10}"]
    lines += [f"{e.name:<12}{e.bytes:>9,}{e.bpp:>8.3f}{e.psnr:>10.2f}{e.ms_ssim:>10.4f}" for e in entries]
    return "\n".join(lines)


def sheet(pixels: Pixels, entries: Sequence[Entry]) -> Image.Image:
    """The most detailed part of the picture, once for the original and once for each codec, with captions."""
    shown = [Entry("original", pixels), *entries]
    box = busiest_box(pixels, CROP)
    width, height = ZOOM * (box[2] - box[0]), ZOOM * (box[3] - box[1])
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    canvas = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + CAPTION + GAP) + GAP), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(15)
    for number, entry in enumerate(shown):
        row, column = divmod(number, columns)
        x, y = GAP + column * (width + GAP), GAP + row * (height + CAPTION + GAP)
        crop = Image.fromarray(entry.pixels).crop(box)
        canvas.paste(crop.resize((width, height), Image.Resampling.NEAREST), (x, y))
        figures = f"{entry.bytes:,} bytes, {entry.psnr:.2f} dB" if entry.bytes else ""
        draw.multiline_text((x, y + height + 3), f"{entry.name}\n{figures}", "black", font, spacing=2)
    return canvas


def busiest_box(pixels: Pixels, side: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the square with the largest sum of gradients, on a grid of half its side."""
    grey = pixels.mean(axis=2)
    gradient = np.zeros_like(grey)
    gradient[1:] += np.abs(np.diff(grey, axis=0))
    gradient[:, 1:] += np.abs(np.diff(grey, axis=1))
    height, width = grey.shape
    rows = range(0, max(height - side, 0) + 1, side // 2)
    columns = range(0, max(width - side, 0) + 1, side // 2)
    top, left = max(
        ((top, left) for top in rows for left in columns),
        key=lambda at: float(gradient[at[0] : at[0] + side, at[1] : at[1] + side].sum()),
    )
    return left, top, min(left + side, width), min(top + side, height)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; the exit code."""
    parser = argparse.ArgumentParser(description="Compare aez with JPEG, WebP and AVIF at equal bytes.")
    parser.add_argument("image", nargs="?", type=Path, help="a picture, by default matplotlib's grace_hopper.jpg")
    parser.add_argument("--model", help="name or .aezm file, by default photo-visual")
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder for the picture, by default {OUT}")
    options = parser.parse_args(arguments)
    try:
        path = options.image or default_picture()
        pixels = load_pixels(path)
        print(f"{path.name}, {pixels.shape[1]}x{pixels.shape[0]}")
        entries = compare(pixels, options.model)
        print(table(entries))
        options.out.mkdir(parents=True, exist_ok=True)
        target = options.out / f"{path.stem}-comparison.png"
        sheet(pixels, entries).save(target)
    except (aez.AezError, OSError) as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, aez.AezError) else aez.OutputError.exit_code
    print(f"the crops side by side: {target}")
    return 0


def _encode(pixels: Pixels, model: str | None) -> bytes:
    """At most `BPP`, or the smallest file where that is too little for this picture."""
    try:
        return aez.encode(pixels, model=model, bpp=BPP, content="photo")
    except aez.InvalidArgument:
        return aez.encode(pixels, model=model, quality=1, content="photo")


def _entry(name: str, pixels: Pixels, decoded: Pixels, size: int) -> Entry:
    return Entry(name, decoded, size, psnr(pixels, decoded), ms_ssim(pixels, decoded))


if __name__ == "__main__":
    sys.exit(main())

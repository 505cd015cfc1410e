"""Makes the golden files for second implementations: `python -m tests.kit.golden_vectors`.

Until the first release they are made anew in the commit that changes the format or a shipped model; from then on they
are only added to. What zlib and libwebp write may differ between their versions, so that a file which is there stays as
it is unless it is deleted first; what is said of it is written anew.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from aez.codec.bundle.bundle import Bundle, pack_bundle
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.writer import Writer
from aez.codec.exact.samples import encode_samples
from aez.codec.image.api import encode_picture
from aez.codec.image.decoding import decode_picture
from aez.codec.image.model import ImageModel
from aez.codec.image.tile_kinds import TileParts, join_parts
from aez.codec.image.tiles import encode_tile_pixels, tile_payload
from tests.kit import golden_refused
from tests.kit.arrays import npy
from tests.kit.golden_model import golden_model
from tests.kit.golden_traces import trace_file
from tests.kit.places import ROOT
from tests.kit.png_maker import make_png
from tests.kit.tiny_pictures import photo

FOLDER = ROOT / "tests" / "codec" / "golden"
SHIPPED = ("photo", "photo-visual", "photo-fast", "kl-f8", "kl-f8-16")
Pixels = NDArray[Any]


def soft(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth picture uint8 [height, width, 3]."""
    small = Image.fromarray(photo(height // 4 + 2, width // 4 + 2, seed))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def deep(bits: int, height: int = 40, width: int = 56) -> NDArray[np.uint16]:
    """A picture uint16 [height, width, 3] over 0..65535 of which so many bits count."""
    top = (1 << bits) - 1
    samples = soft(height, width).astype(np.uint32) * top // 255 + np.arange(3, dtype=np.uint32)
    samples = np.minimum(samples, top)
    return ((samples * 65535 + top // 2) // top).astype(np.uint16)


def drawn_on_nothing() -> NDArray[np.uint8]:
    """RGBA [70, 90, 4]: rings of few colours, which fade out as alpha does."""
    rows, columns = np.mgrid[:70, :90]
    away = np.hypot(rows - 35, columns - 45)
    fades = np.clip(255 - 6 * np.abs(away - 24), 0, 255)
    colours = np.dstack([away // 8 * 30, np.full_like(away, 90), 255 - away // 8 * 20])
    return np.dstack([np.where(fades[:, :, None] > 0, colours, 0), fades]).astype(np.uint8)


def alpha(height: int, width: int) -> NDArray[np.uint8]:
    """Clear at the left, opaque at the right."""
    ramp = np.linspace(-60, 320, width)[None, :] + np.linspace(-20, 20, height)[:, None]
    return np.clip(ramp, 0, 255).astype(np.uint8)


def exif() -> bytes:
    """A block with an orientation that means nothing, and a maker."""
    block = Image.Exif()
    block[271], block[274] = "golden", 3
    return block.tobytes()


def page() -> NDArray[np.uint8]:
    """Text around a picture, uint8 [96, 128, 3]."""
    image = Image.new("RGB", (128, 96), "white")
    draw = ImageDraw.Draw(image)
    for line in range(0, 96, 12):
        draw.text((2, line), "some words on a page", fill=(20, 20, 120))
    image.paste(Image.fromarray(soft(48, 64, 3)), (40, 26))
    return np.asarray(image)


def letters() -> NDArray[np.uint8]:
    """Letters that come again and again, uint8 [200, 320, 3], on two grounds."""
    image = Image.new("RGB", (320, 200), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 96, 319, 199), fill=(230, 236, 250))
    words = ("seven sails", "raven lines", "as eleven", "linens lean", "nine veils", "a sea level", "in vain")
    for line in range(12):
        text = " ".join(words[line * step % 7] for step in (1, 3, 5))
        draw.text((3 + line, 2 + 16 * line), text, (20, 20, 40), ImageFont.load_default(13))
    return np.asarray(image)


def mixed(bundle: Bundle) -> bytes:
    """A file of one tile of both kinds, whose mask is cut off at the edges."""
    pixels = page()[:90, :121]
    header = ImageHeader(121, 90, "RGB", 1500, bytes.fromhex(bundle.id)[:8], 128)
    mask = np.ones((6, 8), np.bool_)
    mask[1:5, 2:7] = False
    symbols = tile_payload(encode_tile_pixels(ImageModel(bundle, "cpu", 1), pixels, header, 0))
    return written(header, [join_parts(TileParts(symbols, encode_samples(pixels, 8, 3), mask))])


def written(header: ImageHeader, tiles: list[bytes], **extras: bytes) -> bytes:
    stream = io.BytesIO()
    writer = Writer(stream, header)
    for letter, content in extras.items():
        writer.add(letter, content)
    for number, content in enumerate(tiles):
        writer.tile(number, content)
    writer.close()
    return stream.getvalue()


def coded(picture: Any, model: Bundle | None = None, quality: float = 60, **options: Any) -> bytes:
    if model is not None:
        options = {"model": model, "quality": quality, "content": "photo", **options}
    return encode_picture(picture, threads=1, **options).data


def framed(pixels: Pixels, *more: Pixels) -> Image.Image:
    return Image.fromarray(np.dstack([pixels, *more]))


def linear_profile() -> bytes:
    """An ICC profile that no code points stand for: its channels have three curves."""
    from PIL import ImageCms

    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[16:20] = b"CMYK"  # nor the space of the picture: kept as it is in a file that is written by hand
    return bytes(made)


def files(g: Bundle) -> dict[str, Callable[[], bytes]]:
    """What makes each file; those of the model `golden` decode to the same pixels everywhere."""
    rgb, grey = soft(83, 61), soft(40, 56)[:, :, 1]
    words = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
    numbers = struct.pack("<9I", 50000, 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
    header = ImageHeader(20, 12, "RGB", 2048, bytes(8), 64)
    tile = join_parts(TileParts(exact=encode_samples(rgb[:12, :20], 8)))
    return {
        "learned_tiles": lambda: coded(rgb, g, 60, tile=64),
        "learned_grey": lambda: coded(grey, g),
        "learned_lowest": lambda: coded(rgb, g, 1),
        "learned_highest": lambda: coded(rgb[:1, :1], g, 100),
        "learned_12_bits": lambda: coded(deep(12), g),
        "learned_embedded": lambda: coded(soft(24, 24), g, embed_model=True),
        "mixed": lambda: mixed(g),
        "exact_rgb": lambda: coded(rgb, lossless=True, tile=64),
        "exact_grey": lambda: coded(grey, lossless=True),
        "exact_one_bit": lambda: coded(Image.fromarray(page()).convert("1"), lossless=True),
        "exact_shapes": lambda: coded(letters(), lossless=True),
        "exact_16_bits": lambda: coded(deep(16), lossless=True),
        "exact_16_bits_few": lambda: coded((grey // 16).astype(np.uint16) * 4000 + 7, lossless=True),
        "near_8_bits": lambda: coded(rgb, max_error=3),
        "near_12_bits": lambda: coded(deep(12), max_error=9),
        "alpha_rgba": lambda: coded(framed(rgb, alpha(83, 61)), g, tile=64),
        "alpha_held_rgba": lambda: coded(drawn_on_nothing(), lossless=True, tile=64),
        "alpha_held_la": lambda: coded(drawn_on_nothing()[:, :, 2:] // 51 * 51, lossless=True),
        "alpha_la": lambda: coded(framed(grey, alpha(40, 56)), lossless=True),
        "alpha_16_bits": lambda: coded(np.dstack([deep(16), alpha(40, 56).astype(np.uint16) * 257 ^ 5]), lossless=True),
        "turned": lambda: coded(framed(soft(20, 33)), g, exif=exif(), orientation=6),
        "metadata": lambda: written(header, [tile], x=exif()[6:], m=words, i=linear_profile()),
        "colour_points": lambda: written(
            ImageHeader(20, 12, "RGB", 2048, bytes(8), 64, 1, 8, (9, 16, 1), None, (1181102, 283465)), [tile]
        ),
        "colour_numbers": lambda: written(header, [tile], c=numbers),
        "range": lambda: coded(
            np.linspace(-2, 25, 40 * 30).reshape(40, 30).astype(np.float32), value_range=(-2, 25), lossless=True
        ),
        **{f"shipped_{name}": lambda name=name: coded(soft(70, 90, 5), _shipped(name), 50) for name in SHIPPED},
    }


def _shipped(name: str) -> Bundle:
    return Bundle.open(ROOT / "codec" / "models" / f"{name}.aezm")


def place_of(name: str) -> str:
    """The bundle that decodes a file, from the folder of the golden files."""
    return (
        f"../../../codec/models/{name.removeprefix('shipped_')}.aezm" if name.startswith("shipped") else "golden.aezm"
    )


def example() -> Bundle:
    """The bundle of the worked example of an id in FORMAT.md."""
    coding = {"alignment": 16, "decoder_members": ["a.npy"], "quality_range": [1.0, 100.0]}
    manifest = {"name": "example", "family": "example", "task": "none", "coding": coding}
    return pack_bundle(
        {**manifest, "graphs": {}, "provenance": {}, "figures": {}}, {"a.npy": npy(np.array([1, 2, 3], np.uint8))}
    )


def png_of(samples: Pixels) -> bytes:
    """Stored samples [height, width] or [height, width, 3], of 8 bits or as 16, not scaled."""
    if samples.dtype == np.uint8:
        buffer = io.BytesIO()
        Image.fromarray(samples).save(buffer, "PNG", optimize=True)
        return buffer.getvalue()
    planes = samples if samples.ndim == 3 else samples[:, :, None]
    return make_png(planes, 16, 2 if planes.shape[2] == 3 else 0)


def describe(name: str, data: bytes) -> dict[str, Any]:
    """The entry of a file, whose pictures are written beside it."""
    place = place_of(name)
    bundle = Bundle.open(FOLDER / place)
    decoded = decode_picture(data, model=bundle, device="cpu", threads=1)
    is_grey = decoded.header.mode in ("L", "LA")
    samples = decoded.pixels
    if is_grey:
        samples = ((samples.sum(axis=2, dtype=np.uint32) + 1) // 3).astype(samples.dtype)
    (FOLDER / f"{name}.png").write_bytes(png_of(samples))
    if decoded.alpha is not None:
        (FOLDER / f"{name}.alpha.png").write_bytes(png_of(decoded.alpha))
    trace = trace_file(data, bundle)
    learned = any("symbols" in tile for tile in trace["tiles"])
    return {
        "file": f"{name}.aez",
        "model": place if learned else None,
        "picture": f"{name}.png",
        "alpha": None if decoded.alpha is None else f"{name}.alpha.png",
        "largest_difference": int(learned and name.startswith("shipped")),
        **trace,
    }


def write_all(folder: Path = FOLDER) -> None:
    """Write what is not there, and what is said of all."""
    g = golden_model()
    (folder / "golden.aezm").write_bytes(g.to_bytes())
    (folder / "example.aezm").write_bytes(example().to_bytes())
    entries = []
    for name, make in files(g).items():
        path = folder / f"{name}.aez"
        if not path.exists():
            path.write_bytes(make())
        entries.append(describe(name, path.read_bytes()))
    (folder / "vectors.json").write_text("[\n" + ",\n".join(map(_spelled, entries)) + "\n]\n")
    golden_refused.write_all(folder / "refused", g)


def _spelled(entry: dict[str, Any]) -> str:
    """JSON with a line for each tile and for all that is said before them."""
    before = json.dumps({key: value for key, value in entry.items() if key != "tiles"})
    tiles = ",\n  ".join(map(json.dumps, entry["tiles"]))
    return f'{before[:-1]},\n "tiles": [\n  {tiles}\n ]}}'


if __name__ == "__main__":
    write_all()

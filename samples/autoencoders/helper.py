"""What the recipes for autoencoders share: command line, small pictures, training, sheets of pictures, tables."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from aez.codec.vectors import Autoencoder, Items, Reading, items_of_array, read_items
from aez.export import AutoencoderConfig, learn_items

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Float = NDArray[np.float32]
OUT = Path(__file__).parents[1] / "out"
#: Steps with which --quick trains, and pixels on a side of a sheet's picture.
QUICK, SIDE = 20, 56
BLUE, GREY, RED = "#1f4e79", "#8a8f98", "#c4212f"


@dataclass(frozen=True)
class Options:
    """Where results go, whether little training will do, the data, if any are given, kind of noise, and passes."""

    out: Path
    quick: bool
    data: Path | None
    noise: str = ""
    epochs: float = 0


def read_options(
    description: str, arguments: Sequence[str] | None, data: str = "", noises: Sequence[str] = (), epochs: float = 0
) -> Options:
    """The command line that all recipes have; `data` says what a folder given first holds, where one may be given.

    Of `noises`, where there are any, the first is the default of --noise; `epochs` is that of --epochs.
    """
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    if data:
        parser.add_argument("data", nargs="?", type=Path, help=data)
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder for picture and figures, by default {OUT}")
    parser.add_argument("--quick", action="store_true", help="train little, to see that it runs; figures mean little")
    if noises:
        parser.add_argument("--noise", choices=noises, default=noises[0], help="kind of noise")
    if epochs:
        parser.add_argument("--epochs", type=float, default=epochs, help=f"passes over the data, by default {epochs:g}")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    rest = {name: getattr(given, name) for name in ("noise", "epochs") if name in given}
    return Options(given.out, given.quick, getattr(given, "data", None), **rest)


MNIST_LIKE = "folder with the four files of MNIST or Fashion-MNIST; without it scikit-learn's digits are taken"


def small_pictures(folder: Path | None) -> tuple[Items, Items]:
    """Labelled pictures 28x28 (to learn from, to test): of a folder, or scikit-learn's 1,797 digits, enlarged."""
    if folder is not None:
        parts = [
            (folder / f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz") for part in ("train", "t10k")
        ]
        learned, tested = (read_items(path, Reading(labels=folder / labels)) for path, labels in parts)
        return learned, tested
    from sklearn.datasets import load_digits

    digits = load_digits()
    levels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    large = np.stack([np.asarray(Image.fromarray(one).resize((28, 28), Image.Resampling.BICUBIC)) for one in levels])
    items = items_of_array(large, "digits").labelled([str(label) for label in digits.target])
    return items.chosen(np.arange(1400)), items.chosen(np.arange(1400, len(items)))


def learn(items: Items | Float, family: str, quick: bool, epochs: float = 20, **options: Any) -> Autoencoder:
    """A trained model of a family; `options` are the family's own."""
    quickly = {"steps": QUICK, "validate_every": QUICK, "batch": 32}
    effort: dict[str, Any] = quickly if quick else {"epochs": epochs}
    return Autoencoder(learn_items(items, AutoencoderConfig(family, options), name=family, **effort))


def flat(values: NDArray[Any]) -> Float:
    """Items [n, numbers], float32."""
    return values.reshape(len(values), -1).astype(np.float32)


def psnr(wanted: Float, made: Float) -> float:
    """In dB, of pictures in 0..1, from the mean over all pixels."""
    return float(-10 * np.log10(np.square(made - wanted, dtype=np.float64).mean()))


def heat(pictures: Float) -> Float:
    """Colours [n, height, width, 3] from black over red and yellow to white, of values in 0..1."""
    stops = [np.clip(3 * pictures - at, 0, 1) for at in range(3)]
    return np.stack(stops, axis=-1).astype(np.float32)


def sheet(rows: Mapping[str, Float], columns: int = 12, side: int = SIDE) -> Image.Image:
    """Pictures [n, height, width(, 3)] in 0..1, a row for each name, which stands above it."""
    font, gap, title = ImageFont.load_default(13), 3, 20
    height, width = next(iter(rows.values())).shape[1:3]
    factor = max(1, round(side / max(height, width)))
    tall, wide = factor * height, factor * width
    columns = min(columns, max(map(len, rows.values())))
    whole = Image.new("RGB", (columns * (wide + gap) + gap, len(rows) * (tall + title) + gap), "white")
    draw = ImageDraw.Draw(whole)
    for row, (name, pictures) in enumerate(rows.items()):
        top = row * (tall + title)
        draw.text((gap, top + 3), name, "#1d2530", font)
        for column, one in enumerate(np.rint(255 * pictures[:columns].clip(0, 1)).astype(np.uint8)):
            picture = Image.fromarray(one).resize((wide, tall), Image.Resampling.NEAREST)
            whole.paste(picture, (gap + column * (wide + gap), top + title))
    return whole


def table(rows: Sequence[Sequence[object]]) -> str:
    """Rows as text, the first being the header; the first column is flush left, the others right."""
    texts = [[f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in texts
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def leave(options: Options, name: str, picture: Image.Image | Figure, rows: Sequence[Sequence[object]]) -> None:
    """Print a table, and write it and its picture as `name`.json and `name`.png."""
    print(table(rows))
    place = options.out / f"{name}.png"
    if isinstance(picture, Image.Image):
        buffer = io.BytesIO()
        picture.quantize(64).save(buffer, "PNG", optimize=True)
        place.write_bytes(buffer.getvalue())
    else:
        picture.savefig(place, dpi=100)
    figures = {str(row[0]): dict(zip(map(str, rows[0][1:]), row[1:], strict=True)) for row in rows[1:]}
    place.with_suffix(".json").write_text(json.dumps({"quick": options.quick, "rows": figures}, indent=1) + "\n")
    print(f"\npicture: {place}")

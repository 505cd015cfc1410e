"""Draw pictures like those of stained blood under a microscope, as folders to train on and to measure on.

Usage: python samples/blood_smears.py OUT [--train 800] [--test 40]

Red cells, white cells with lobed nuclei and platelets absorb light (Beer, Lambert) by the optical densities of two
stains, eosin and methylene blue; then come uneven light, a lens out of focus and the sensor's noise. Every picture is
drawn from its own seed, so that none is in both folders.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter

HEIGHT, WIDTH = 192, 256
MARGIN = 24
#: Optical densities of red, green and blue where a stain counts as one.
EOSIN, METHYLENE_BLUE = np.array([0.10, 0.62, 0.36]), np.array([0.74, 0.92, 0.30])
LIGHT = np.array([238.0, 233.0, 226.0])
NOISE = 1.2

Map = npt.NDArray[np.float64]
Place = tuple[float, float]


class Slide:
    """Amounts of both stains, each float64 [height, width], with a margin for cells that lie across the border."""

    def __init__(self) -> None:
        shape = HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN
        self.eosin, self.blue = np.zeros(shape), np.zeros(shape)

    def anywhere(self, rng: np.random.Generator) -> Place:
        """A place (row, column)."""
        return rng.uniform(0, self.eosin.shape[0]), rng.uniform(0, self.eosin.shape[1])


class Spot:
    """The neighbourhood of a place on a slide: `at` is where it lies in the slide's arrays."""

    def __init__(self, slide: Slide, place: Place, reach: float) -> None:
        spans = [
            (max(0, int(middle - reach)), min(side, int(middle + reach) + 2))
            for middle, side in zip(place, slide.eosin.shape, strict=True)
        ]
        self.at = tuple(slice(*span) for span in spans)
        self._rows, self._columns = np.ogrid[self.at]

    def distance(self, place: Place, radius: float, stretch: float = 1, angle: float = 0) -> Map:
        """Distances from the middle of an ellipse, in radii."""
        y, x = self._rows - place[0], self._columns - place[1]
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        return np.asarray(np.hypot(along / stretch, across * stretch) / radius)


def disc(distance: Map, softness: float) -> Map:
    """1 inside, 0 outside of a radius."""
    return np.asarray(1 / (1 + np.exp(np.clip((distance - 1) / softness, -40, 40))))


def red_cell(slide: Slide, rng: np.random.Generator) -> None:
    """Thick at the rim, thin in the middle; how pale the middle is differs from cell to cell."""
    place = slide.anywhere(rng)
    spot = Spot(slide, place, 24)
    d = spot.distance(place, rng.normal(12, 0.9), rng.uniform(1, 1.12), rng.uniform(0, np.pi))
    thickness = 1 - rng.uniform(0.35, 0.7) * np.exp(-((d / rng.uniform(0.35, 0.5)) ** 2))
    slide.eosin[spot.at] += rng.uniform(0.42, 0.55) * thickness * disc(d, 0.05)


def white_cell(slide: Slide, rng: np.random.Generator) -> None:
    """Pale cytoplasm, a nucleus of several lobes with texture, and grains."""
    place, radius = slide.anywhere(rng), rng.normal(20, 1.5)
    spot = Spot(slide, place, 48)
    cell = disc(spot.distance(place, radius, rng.uniform(1, 1.1), rng.uniform(0, np.pi)), 0.06)
    nucleus = np.zeros_like(cell)
    for _ in range(rng.integers(1, 5)):
        lobe = place[0] + rng.normal(0, 0.3) * radius, place[1] + rng.normal(0, 0.3) * radius
        nucleus = np.maximum(nucleus, disc(spot.distance(lobe, radius * rng.uniform(0.35, 0.5)), 0.08))
    texture = gaussian_filter(rng.normal(size=cell.shape), 1.5) * 3
    slide.blue[spot.at] += cell * (0.1 + 0.75 * nucleus * (1 + 0.2 * texture))
    slide.eosin[spot.at] *= 1 - 0.9 * cell  # it pushes red cells aside
    slide.eosin[spot.at] += 0.12 * cell * np.maximum(gaussian_filter(rng.normal(size=cell.shape), 1) * 4, 0)


def platelet(slide: Slide, rng: np.random.Generator) -> None:
    """A small, dark grain."""
    place = slide.anywhere(rng)
    spot = Spot(slide, place, 12)
    slide.blue[spot.at] += rng.uniform(0.3, 0.6) * disc(spot.distance(place, rng.uniform(2, 3.5)), 0.15)


def smear(rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A picture, uint8 [192, 256, 3]."""
    slide = Slide()
    for draw, count in ((red_cell, rng.integers(40, 110)), (white_cell, rng.poisson(1)), (platelet, rng.poisson(5))):
        for _ in range(count):
            draw(slide, rng)
    amounts = [gaussian_filter(amount, rng.uniform(0.7, 1.1)) for amount in (slide.eosin, slide.blue)]
    density = sum(amount[..., None] * stain for amount, stain in zip(amounts, (EOSIN, METHYLENE_BLUE), strict=True))
    rows, columns = np.mgrid[-1 : 1 : density.shape[0] * 1j, -1 : 1 : density.shape[1] * 1j]
    uneven = 1 - 0.05 * ((rows - rng.normal(0, 0.3)) ** 2 + (columns - rng.normal(0, 0.3)) ** 2)
    light = LIGHT * rng.uniform(0.95, 1.02) * uneven[..., None] * np.exp(-density)
    seen = light[MARGIN:-MARGIN, MARGIN:-MARGIN] + rng.normal(0, NOISE, (HEIGHT, WIDTH, 3))
    return np.rint(np.clip(seen, 0, 255)).astype(np.uint8)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=800, metavar="N")
    parser.add_argument("--test", type=int, default=40, metavar="N")
    arguments = parser.parse_args()
    for stream, name, count in ((20, "train", arguments.train), (21, "test", arguments.test)):
        folder = arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.fromarray(smear(np.random.default_rng([stream, number]))).save(folder / f"{number:05}.png")
        print(f"{folder}: {count} pictures of {WIDTH} x {HEIGHT} pixels")


if __name__ == "__main__":
    main()

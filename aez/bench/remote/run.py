"""The benchmark of reading from afar: regions of a large picture, by a web server on this machine that counts."""

from __future__ import annotations

import dataclasses
import json
import random
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from aez.bench.machine import Environment, describe_environment
from aez.bench.remote.picture import repeated_file
from aez.bench.remote.server import RangeServer, serving
from aez.bench.table_text import aligned
from aez.codec.common.progress import progress_bar
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.image.decoding import describe
from aez.codec.image.model import ModelLike
from aez.pillow import OpenedPicture

__all__ = ["RemoteReport", "run"]

_NAME = "picture.aez"


@dataclass(frozen=True)
class Place:
    """What one region cost, the picture opened anew: of opening it, and of the region.

    processor: seconds of this process in all, in which the server runs, too.
    """

    x: int
    y: int
    requests: tuple[int, int]
    bytes: tuple[int, int]
    seconds: tuple[float, float]
    processor: float


@dataclass(frozen=True)
class RemoteReport:
    """Regions of `region` x `region` pixels of a file, whose answers came after `delay` seconds."""

    environment: Environment
    width: int
    height: int
    tile: int
    bytes: int
    model: str
    region: int
    delay: float
    places: tuple[Place, ...]

    def to_json(self) -> str:
        """Everything measured."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    def table(self) -> str:
        """For people."""
        size = f"{self.width}x{self.height} pixels in tiles of {self.tile}, {self.bytes:,} bytes, model {self.model}"
        kept = [place.bytes[1] for place in self.places]
        rows = [
            ["", "mean", "median", "most"],
            _row("bytes, % of the file's", [100 * sum(place.bytes) / self.bytes for place in self.places], "{:.2f}"),
            _row("  of the region alone", [100 * count / self.bytes for count in kept], "{:.2f}"),
            _row("requests", [float(sum(place.requests)) for place in self.places], "{:.3g}"),
            _row("  of the region alone", [float(place.requests[1]) for place in self.places], "{:.3g}"),
            _row("seconds", [sum(place.seconds) for place in self.places], "{:.3f}"),
            _row("  of the region alone", [place.seconds[1] for place in self.places], "{:.3f}"),
            _row("seconds of the processor", [place.processor for place in self.places], "{:.3f}"),
        ]
        about = f"{len(self.places)} regions of {self.region}x{self.region}, the picture opened anew for each; "
        about += f"answers after {1000 * self.delay:g} ms"
        return "\n".join([size, about, *aligned(rows), *self.environment.lines()])


def run(
    path: Path | None = None,
    *,
    model: ModelLike = None,
    quality: float = 50.0,
    side: int = 10000,
    tile: int = 512,
    region: int = 512,
    count: int = 100,
    delay: float = 0.0,
    progress: bool = True,
) -> RemoteReport:
    """Read `count` regions at random places, the same at each call, of a file at a path, or of one that is made.

    One region before them opens the model, and counts nowhere. Raises UnsupportedInput, InvalidArgument, ModelError.
    """
    data = repeated_file(side, tile, model, quality) if path is None else _read(path)
    about = describe(data, path)
    width, height = about["width"], about["height"]
    if min(width, height) < region:
        raise InvalidArgument(f"the picture of {width}x{height} pixels holds no region of {region}x{region}")
    chance = random.Random(0)
    corners = [(chance.randint(0, width - region), chance.randint(0, height - region)) for _ in range(count + 1)]
    with serving(RangeServer({_NAME: data}, delay)) as server, progress_bar(total=count, disable=not progress) as bar:
        places = []
        for x, y in corners:
            places.append(_measure(server, x, y, region, model))
            bar.update()
    name = about["model"]["name"] or about["model"]["id"]
    environment = describe_environment()
    return RemoteReport(environment, width, height, about["tile"], len(data), name, region, delay, tuple(places[1:]))


def _measure(server: RangeServer, x: int, y: int, side: int, model: ModelLike) -> Place:
    server.answers.clear()
    begun, busy = time.perf_counter(), time.process_time()
    with OpenedPicture(server.url(_NAME), {"model": model}) as picture:
        opened, requests, sent = time.perf_counter(), len(server.answers), server.sent
        picture.region(x, y, side, side)
    ended = time.perf_counter()
    counts = requests, len(server.answers) - requests
    return Place(x, y, counts, (sent, server.sent - sent), (opened - begun, ended - opened), time.process_time() - busy)


def _row(name: str, values: list[float], form: str) -> list[str]:
    return [name, *(form.format(one) for one in (statistics.mean(values), statistics.median(values), max(values)))]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnsupportedInput(f"{path} cannot be read: {error.strerror or error}") from error

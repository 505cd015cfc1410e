"""The latent of a variational autoencoder: pictures to it and back, tile by tile, and draws from the prior.

Encoder and decoder see each tile with a halo of its neighbourhood as wide as their receptive fields, so that a tile's
border is computed from the same numbers as its middle, and memory does not grow with the picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.bundle.session import Session, open_session
from aez.codec.common.caches import cached
from aez.codec.errors import InvalidArgument, ModelError
from aez.codec.image.tiles import Box, aligned, crop_planes, to_pixels

__all__ = ["LATENT_MODEL", "TILE", "Latent", "LatentGeometry", "LatentModel", "open_latent_model"]

Float = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]
#: The model with a latent that is named to whoever asks one without for it.
LATENT_MODEL = "kl-f8"
#: Side of the tiles in pixels, without their halos.
TILE = 512
_BOUNDS: dict[str, tuple[tuple[type[int] | type[float], ...], float, float]] = {
    "channels": ((int,), 1, 1024),
    "stride": ((int,), 1, 64),
    "scaling_factor": ((int, float), 1e-6, 1e6),
    "shift_factor": ((int, float), -1e6, 1e6),
    "encoder_halo": ((int,), 0, 512),
    "decoder_halo": ((int,), 0, 512),
}


@dataclass(frozen=True)
class LatentGeometry:
    """`coding.latent` of a manifest: `stride` and halos in pixels.

    (latent - shift_factor) * scaling_factor has about zero mean and unit variance.
    """

    channels: int
    stride: int
    scaling_factor: float
    shift_factor: float
    encoder_halo: int
    decoder_halo: int

    @classmethod
    def of(cls, stated: Mapping[str, Any]) -> LatentGeometry:
        """Checked geometry; raises ModelError for a missing or absurd number."""
        for name, (kinds, low, high) in _BOUNDS.items():
            value = stated.get(name)
            if not isinstance(value, kinds) or isinstance(value, bool) or not low <= value <= high:
                shown = str(value)[:40]
                raise ModelError(f"the model's manifest says latent {name} = {shown}, which is outside {low}..{high}")
        g = cls(**{name: stated[name] for name in _BOUNDS})
        if TILE % g.stride or g.encoder_halo % g.stride or g.decoder_halo % g.stride:
            raise ModelError(f"the model's latent stride {g.stride} does not divide its halos and tiles of {TILE}")
        return g

    def side(self, pixels: int) -> int:
        """Elements of the latent along a side of so many pixels."""
        return -(-pixels // self.stride)


@dataclass(frozen=True)
class Latent:
    """What the encoder says of a picture of `size` (height, width): a normal distribution for each element.

    `mean` and `log_variance` are float32 [C, ceil(height / stride), ceil(width / stride)].
    """

    mean: Float
    log_variance: Float
    size: tuple[int, int]

    def sample(self, seed: int | Sequence[int]) -> Float:
        """A draw from the distribution, float32 of the mean's shape. Raises ModelError where it is not finite."""
        noise = np.random.default_rng(seed).standard_normal(self.mean.shape, np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            drawn: Float = self.mean + np.exp(self.log_variance * np.float32(0.5)) * noise
        if not np.isfinite(drawn).all():
            raise ModelError("the model gives log-variances too large to draw from")
        return drawn


@dataclass
class LatentModel:
    """Encoder and decoder of a bundle. Sessions open at first use; one object serves many threads.

    Raises ModelError for a bundle that has no variational latent.
    """

    bundle: Bundle
    device: str = "auto"
    threads: int | None = None
    tile: int = TILE
    geometry: LatentGeometry = field(init=False)
    _sessions: dict[str, Session] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check bundle and tile."""
        self.geometry = LatentGeometry.of(_stated_latent(self.bundle))
        if self.tile < 1 or self.tile % self.geometry.stride:
            raise InvalidArgument(f"tile size {self.tile} is not a multiple of {self.geometry.stride}")

    def encode(self, pixels: Pixels, progress: Progress | None = None) -> Latent:
        """The latent of a picture uint8 [height, width, 3]; `progress(done, total)` counts tiles.

        Sides that are no multiples of the stride are filled up with their edge. Raises InvalidArgument for other
        arrays, ModelError where the graph gives anything but finite latents.
        """
        pixels = np.asarray(pixels)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise InvalidArgument(
                f"a picture to embed is uint8 [height, width, 3], not {pixels.dtype} {list(pixels.shape)}"
            )
        height, width = pixels.shape[:2]
        if height < 1 or width < 1:
            raise InvalidArgument(f"a picture of {width}x{height} pixels has no latent")
        g = self.geometry
        whole = aligned(Box(0, 0, width, height), g.stride)
        shape = (g.channels, g.side(height), g.side(width))
        mean, log_variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for box in self._tiles(whole, progress):
            seen = box.grow(g.encoder_halo, whole)
            inner, outer = box.slices(seen, g.stride), box.slices(whole, g.stride)
            small = (g.channels, seen.height // g.stride, seen.width // g.stride)
            shapes = {"mean": small, "log_variance": small}
            given = self._run("encoder", "image", crop_planes(pixels, seen), shapes)
            for part, result in zip(given, (mean, log_variance), strict=True):
                result[(slice(None), *outer)] = part[(slice(None), *inner)]
        if not (np.isfinite(mean).all() and np.isfinite(log_variance).all()):
            raise ModelError(f"model {self.bundle.name} gives latents that are not finite for this picture")
        return Latent(mean, log_variance, (height, width))

    def decode(
        self, latent: NDArray[Any], size: tuple[int, int] | None = None, progress: Progress | None = None
    ) -> Pixels:
        """The picture of a latent [C, h, w] of floats: uint8 [height, width, 3].

        `size` (height, width) cuts off what was filled up; without it the picture has stride times h, w pixels. Raises
        InvalidArgument for a latent that is not this model's or not finite, ModelError.
        """
        checked = self._checked(latent)
        stride = self.geometry.stride
        height, width = size if size is not None else (checked.shape[1] * stride, checked.shape[2] * stride)
        tiles = self.decoded_tiles(checked, (height, width), progress)
        picture = np.empty((height, width, 3), np.uint8)
        for box, planes in tiles:
            picture[box.slices(Box(0, 0, width, height), 1)] = to_pixels(planes)
        return picture

    def decoded_tiles(
        self, latent: NDArray[Any], size: tuple[int, int], progress: Progress | None = None
    ) -> Iterator[tuple[Box, Float]]:
        """Tiles of the picture of `decode`, before they are rounded: where, and float32 [3, h, w] in 0..1.

        Raises as `decode`, for its arguments at once.
        """
        g = self.geometry
        checked = self._checked(latent)
        height, width = size
        if (g.side(height), g.side(width)) != checked.shape[1:]:
            raise InvalidArgument(
                f"a picture of {width}x{height} pixels has a latent of {g.side(height)} rows and {g.side(width)} "
                f"columns, not {checked.shape[1]} and {checked.shape[2]}"
            )
        return self._decoded_tiles(checked, Box(0, 0, width, height), progress)

    def draw(self, height: int, width: int, seed: int | Sequence[int], temperature: float = 1.0) -> Float:
        """A latent from the prior for a picture of this size, float32 [C, h, w]: N(0, temperature^2) once scaled.

        Raises InvalidArgument for a size or a temperature that is none.
        """
        if height < 1 or width < 1:
            raise InvalidArgument(f"a picture of {width}x{height} pixels has no latent")
        if not (math.isfinite(temperature) and temperature >= 0):
            raise InvalidArgument(f"temperature {temperature} is not a number of 0 or more")
        g = self.geometry
        noise = np.random.default_rng(seed).standard_normal(
            (g.channels, g.side(height), g.side(width)), dtype=np.float32
        )
        drawn: Float = noise * np.float32(temperature / g.scaling_factor) + np.float32(g.shift_factor)
        return drawn

    def _decoded_tiles(self, latent: Float, shown: Box, progress: Progress | None) -> Iterator[tuple[Box, Float]]:
        g = self.geometry
        whole = aligned(shown, g.stride)
        for box in self._tiles(whole, progress):
            seen = box.grow(g.decoder_halo, whole)
            part = np.ascontiguousarray(latent[(slice(None), *seen.slices(whole, g.stride))])
            (image,) = self._run("decoder", "latent", part, {"image": (3, seen.height, seen.width)})
            visible = box.grow(0, shown)
            yield visible, image[(slice(None), *visible.slices(seen, 1))]

    def _tiles(self, whole: Box, progress: Progress | None) -> Iterator[Box]:
        """The tiles of an aligned box, row after row."""
        places = [(top, left) for top in range(0, whole.bottom, self.tile) for left in range(0, whole.right, self.tile)]
        for done, (top, left) in enumerate(places, 1):
            yield Box(left, top, min(left + self.tile, whole.right), min(top + self.tile, whole.bottom))
            if progress is not None:
                progress(done, len(places))

    def _checked(self, latent: NDArray[Any]) -> Float:
        channels = self.geometry.channels
        latent = np.asarray(latent)
        if latent.dtype.kind != "f":
            raise InvalidArgument(f"a latent is an array of floats, not {latent.dtype}")
        if latent.ndim != 3 or latent.shape[0] != channels or 0 in latent.shape:
            raise InvalidArgument(
                f"a latent of model {self.bundle.name} is [{channels}, height, width], not {list(latent.shape)}"
            )
        with np.errstate(over="ignore"):
            values = latent.astype(np.float32, copy=False)
        if not np.isfinite(values).all():
            raise InvalidArgument("the latent holds NaN or infinite values, which no picture has")
        return values

    def _run(self, name: str, given: str, values: Float, shapes: Mapping[str, tuple[int, int, int]]) -> list[Float]:
        """The outputs of a graph that `shapes` names, in its order. Raises ModelError where it gives other ones."""
        session = self._sessions.get(name)
        if session is None:
            session = open_session(self.bundle.graph(name), self.device, self.threads)
            self._sessions[name] = session
        return session.run_checked({given: values[None]}, shapes, f"{name} of model {self.bundle.name}")


def open_latent_model(bundle: Bundle, device: str = "auto", threads: int | None = None) -> LatentModel:
    """The latent model of a bundle; a few are kept open, so that later calls find warm sessions. Raises ModelError."""
    key = (bundle, device, threads)
    return cached("aez.codec.latent.model.open_latent_model", 4, key, partial(LatentModel, bundle, device, threads))


def _stated_latent(bundle: Bundle) -> Mapping[str, Any]:
    """The manifest's `coding.latent`. Raises ModelError that says what to use where there is none."""
    stated = bundle.coding.get("latent")
    if stated is None:
        what = f"is made for {bundle.task}"
        if bundle.task == "image-codec":
            what = f"codes {bundle.coding.get('channels')} coefficients per block"
        raise ModelError(f"model {bundle.name} {what} and has no latent to embed or sample; use {LATENT_MODEL}")
    if not isinstance(stated, dict):
        raise ModelError(f"the model's manifest says latent = {str(stated)[:80]!r}, which is no object")
    encoder = bundle.manifest["graphs"].get("encoder", {"outputs": []})
    if "log_variance" not in {output["name"] for output in encoder["outputs"]}:
        raise ModelError(
            f"model {bundle.name} is no variational autoencoder: its encoder gives no log_variance; use {LATENT_MODEL}"
        )
    return stated

"""An opened image model: the four graphs of a bundle, its tables, and the numbers that tiling needs."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.bundle import Bundle
from aez.codec.entropy import TileTables
from aez.codec.errors import ModelError
from aez.codec.quality import LEVEL_MAX
from aez.codec.runtime import Session, open_session

Float = NDArray[np.float32]
TASK = "image-codec"
_INTEGERS = {
    "alignment": (2, 64),
    "latent_stride": (1, 64),
    "hyper_stride": (1, 64),
    "channels": (1, 4096),
    "hyper_channels": (1, 4096),
    "analysis_halo": (0, 512),
    "synthesis_halo": (0, 512),
    "level_max": (LEVEL_MAX, LEVEL_MAX),
}


@dataclass(frozen=True)
class Geometry:
    """Sizes from the manifest's `coding`, in pixels unless they count channels."""

    alignment: int
    latent_stride: int
    hyper_stride: int
    channels: int
    hyper_channels: int
    analysis_halo: int
    synthesis_halo: int
    level_max: int

    @classmethod
    def of(cls, coding: dict[str, Any]) -> Geometry:
        """Checked geometry; raises ModelError for a missing or absurd number."""
        for name, (low, high) in _INTEGERS.items():
            value = coding.get(name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ModelError(f"the model's manifest says {name} = {value!r}, which is outside {low}..{high}")
        geometry = cls(**{name: coding[name] for name in _INTEGERS})
        g = geometry
        if g.alignment % g.hyper_stride or g.hyper_stride % g.latent_stride:
            raise ModelError(f"strides {g.latent_stride}, {g.hyper_stride} and alignment {g.alignment} do not divide")
        if g.analysis_halo % g.alignment or g.synthesis_halo % g.alignment:
            raise ModelError("the model's halos are not multiples of its alignment")
        return geometry


@dataclass
class ImageModel:
    """Runs a bundle's graphs on one tile at a time. Sessions open at first use; one object serves many threads.

    Arrays are float32 without a batch axis: image [3, H, W] in 0..1 with H, W multiples of the alignment, y and mean
    [channels, H/8, W/8], z [hyper_channels, H/16, W/16].
    """

    bundle: Bundle
    device: str = "auto"
    threads: int | None = None
    optimize: bool = True
    geometry: Geometry = field(init=False)
    _sessions: dict[str, Session] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check that the bundle is an image codec; raises ModelError otherwise."""
        if self.bundle.task != TASK:
            raise ModelError(f"model {self.bundle.name} is made for {self.bundle.task}, not for coding pictures")
        self.geometry = Geometry.of(self.bundle.coding)

    @functools.cached_property
    def tables(self) -> TileTables:
        """The probability tables."""
        return TileTables.load(self.bundle.array, self.geometry.hyper_channels)

    def analysis(self, image: Float, level: int) -> tuple[Float, Float]:
        """(y, z) of an image; z holds integers."""
        g = self.geometry
        y_shape = (g.channels, image.shape[1] // g.latent_stride, image.shape[2] // g.latent_stride)
        z_shape = (g.hyper_channels, image.shape[1] // g.hyper_stride, image.shape[2] // g.hyper_stride)
        y, z = self._run("analysis", {"image": image}, level, {"y": y_shape, "z": z_shape})
        return y, z

    def mean(self, z: NDArray[np.int32], level: int) -> Float:
        """Predicted mean of y, in quantization steps."""
        (mean,) = self._run("mean", {"z": z.astype(np.float32)}, level, {"mean": self._latent_shape(z)})
        return mean

    def index(self, z: NDArray[np.int32], level: int) -> NDArray[np.uint8]:
        """Scale index of every element of y, exact on every runtime: uint8 [channels, H/8, W/8]."""
        (index,) = self._run("scale", {"z": z.astype(np.float32)}, level, {"index": self._latent_shape(z)})
        with np.errstate(invalid="ignore"):
            exact = index.astype(np.uint8)
        if not np.array_equal(exact, index):
            raise ModelError(f"the scale graph of model {self.bundle.name} gives numbers that are no indices 0..255")
        return exact

    def synthesis(self, y: Float, level: int) -> Float:
        """Image [3, H, W] in 0..1."""
        stride = self.geometry.latent_stride
        shape = (3, y.shape[1] * stride, y.shape[2] * stride)
        (image,) = self._run("synthesis", {"y": y}, level, {"image": shape})
        return image

    def _latent_shape(self, z: NDArray[np.int32]) -> tuple[int, int, int]:
        times = self.geometry.hyper_stride // self.geometry.latent_stride
        return self.geometry.channels, z.shape[1] * times, z.shape[2] * times

    def _run(
        self, name: str, inputs: dict[str, Float], level: int, shapes: dict[str, tuple[int, int, int]]
    ) -> list[Float]:
        """The outputs that `shapes` names, in its order. Raises ModelError where the graph gives other ones."""
        session = self._sessions.get(name)
        if session is None:
            graph = self.bundle.graph(name)
            session = open_session(graph, self.device, self.threads, exact=name == "scale", optimize=self.optimize)
            self._sessions[name] = session
        feed = {key: value[None] for key, value in inputs.items()} | {"level": np.array([level], np.float32)}
        results = session.run(feed)
        for output, shape in shapes.items():
            found = results.get(output)
            if not isinstance(found, np.ndarray) or found.dtype != np.float32 or found.shape != (1, *shape):
                raise ModelError(
                    f"the {name} graph of model {self.bundle.name} gives no {output} of shape {shape} in float32"
                )
        return [results[output][0] for output in shapes]


_OPEN_MAX = 4
_open: OrderedDict[tuple[str, bool, str, int | None], ImageModel] = OrderedDict()
_open_lock = threading.Lock()


def open_model(bundle: Bundle, device: str = "auto", threads: int | None = None) -> ImageModel:
    """The model of a bundle on a device; a few are kept open, so that later calls find warm sessions.

    Bundles with one id decode alike, so that a bundle that was read again, or out of a file, finds them too.
    """
    key = (bundle.id, bundle.half, device, threads)
    with _open_lock:
        model = _open.pop(key, None) or ImageModel(bundle, device, threads)
        _open[key] = model
        while len(_open) > _OPEN_MAX:
            _open.popitem(last=False)
    return model

"""An opened image model: the graphs of a bundle, its tables, and the numbers that coding and tiling need."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.bundle.session import Session, open_session
from aez.codec.common.caches import cached
from aez.codec.entropy.quality import LEVEL_MAX
from aez.codec.entropy.tables import TileTables
from aez.codec.errors import ModelError

Float = NDArray[np.float32]
Number = TypeVar("Number", bound=np.generic)
#: A model by path, name or id, as bytes, or opened; None where it is to be found.
ModelLike = str | os.PathLike[str] | bytes | Bundle | None
TASK = "image-codec"
_INTEGERS = {
    "alignment": (2, 64),
    "latent_stride": (1, 64),
    "hyper_stride": (1, 64),
    "state_stride": (1, 64),
    "channels": (1, 4096),
    "hyper_channels": (1, 4096),
    "state_channels": (1, 4096),
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
    state_stride: int  # of the cells that means and scales are predicted for
    channels: int
    hyper_channels: int
    state_channels: int
    analysis_halo: int
    synthesis_halo: int
    level_max: int
    #: The phases in which the latent is coded: (row, column) in each of its cells of state_stride, every one once.
    phases: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def of(cls, coding: dict[str, Any]) -> Geometry:
        """Checked geometry; raises ModelError for a missing or absurd number."""
        if "state_stride" not in coding:
            raise ModelError("the model is of a design before the first release; take a shipped one, or train it anew")
        for name, (low, high) in _INTEGERS.items():
            value = coding.get(name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ModelError(f"the model's manifest says {name} = {value!r}, which is outside {low}..{high}")
        g = cls(**{name: coding[name] for name in _INTEGERS}, phases=_phases(coding.get("phases")))
        if g.alignment % g.hyper_stride or g.hyper_stride % g.state_stride or g.state_stride % g.latent_stride:
            strides = f"{g.latent_stride}, {g.state_stride}, {g.hyper_stride}"
            raise ModelError(f"strides {strides} and alignment {g.alignment} do not divide")
        if g.analysis_halo % g.alignment or g.synthesis_halo % g.alignment:
            raise ModelError("the model's halos are not multiples of its alignment")
        side = range(g.cells)
        if sorted(place for phase in g.phases for place in phase) != [(row, column) for row in side for column in side]:
            raise ModelError("the model's phases do not name every position of a cell once")
        return g

    @property
    def cells(self) -> int:
        """Latent positions along one side of a cell."""
        return self.state_stride // self.latent_stride

    @property
    def hyper_cells(self) -> int:
        """Cells along one side of what one position of the hyper-latent stands for."""
        return self.hyper_stride // self.state_stride

    def take_phase(self, y: NDArray[Number], number: int) -> NDArray[Number]:
        """The latents of one phase of y [C, H, W]: [positions * C, H / cells, W / cells], position after position."""
        n = self.cells
        return np.concatenate([y[:, row::n, column::n] for row, column in self.phases[number]])

    def put_phase(self, y: NDArray[Number], number: int, part: NDArray[Number]) -> None:
        """Inverse of `take_phase`, into y."""
        n = self.cells
        positions = self.phases[number]
        for (row, column), values in zip(positions, part.reshape(len(positions), -1, *part.shape[1:]), strict=True):
            y[:, row::n, column::n] = values


def _phases(listed: object) -> tuple[tuple[tuple[int, int], ...], ...]:
    """The manifest's `phases`, [[[row, column], ...], ...]. Raises ModelError."""
    try:
        phases = tuple(tuple((row, column) for row, column in phase) for phase in cast(Any, listed))
    except (TypeError, ValueError):
        phases = ()
    numbers = [number for phase in phases for place in phase for number in place]
    if not phases or not all(phases) or not all(type(number) is int for number in numbers):
        raise ModelError(f"the model's manifest says phases = {repr(listed)[:80]}, which are no lists of (row, column)")
    return phases


@dataclass
class ImageModel:
    """Runs a bundle's graphs on one tile at a time. Sessions open at first use; one object serves many threads.

    Arrays are float32 without a batch axis: image [3, H, W] in 0..1 with H, W multiples of the alignment, y [channels,
    H / latent_stride, W / latent_stride], z [hyper_channels, H / hyper_stride, W / hyper_stride].
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

    @property
    def has_latent(self) -> bool:
        """Whether the codec works on the latent of an autoencoder, which has graphs of its own."""
        return "latent" in self.bundle.coding

    @property
    def runs_on(self) -> str:
        """`cpu` or `cuda` once a graph ran; before that the device that was asked for."""
        return next((session.device for session in self._sessions.values()), self.device)

    @functools.cached_property
    def tables(self) -> TileTables:
        """The probability tables."""
        return TileTables.load(self.bundle.array, self.geometry.hyper_channels)

    def analysis(self, image: Float, level: int) -> tuple[Float, Float]:
        """(y, z) of an image; z holds integers."""
        g = self.geometry
        y_shape = (g.channels, image.shape[1] // g.latent_stride, image.shape[2] // g.latent_stride)
        z_shape = (g.hyper_channels, image.shape[1] // g.hyper_stride, image.shape[2] // g.hyper_stride)
        name, inputs = "analysis", {"image": image}
        if self.has_latent:
            (latent,) = self.run("encoder", inputs, None, {"mean": y_shape})
            name, inputs = "latent_analysis", {"latent": latent}
        y, z = self.run(name, inputs, level, {"y": y_shape, "z": z_shape})
        return y, z

    def predict(self, z: NDArray[np.int32], level: int) -> Prediction:
        """What z tells about y, phase after phase."""
        return Prediction(self, z, level)

    def synthesis(self, y: Float, level: int) -> Float:
        """Image [3, H, W] in 0..1."""
        stride = self.geometry.latent_stride
        shape = (3, y.shape[1] * stride, y.shape[2] * stride)
        if self.has_latent:
            (latent,) = self.run("latent_synthesis", {"y": y}, level, {"latent": y.shape})
            (image,) = self.run("decoder", {"latent": latent}, None, {"image": shape})
        else:
            (image,) = self.run("synthesis", {"y": y}, level, {"image": shape})
        return image

    @property
    def has_thumbnail(self) -> bool:
        """Whether there is a graph for pictures at an eighth of their size."""
        return "thumbnail" in self.bundle.manifest["graphs"]

    def thumbnail(self, y: Float, level: int) -> Float:
        """Image [3, h, w] in 0..1 of the size of y, from a graph that not every model has."""
        (image,) = self.run("thumbnail", {"y": y}, level, {"image": (3, *y.shape[1:])})
        return image

    def run(
        self, name: str, inputs: dict[str, Float], level: int | None, shapes: Mapping[str, tuple[int, ...]]
    ) -> list[Float]:
        """The outputs of a graph that `shapes` names, in its order; `level` is None where the graph takes none.

        Raises ModelError where it gives other ones.
        """
        session = self._sessions.get(name)
        if session is None:
            graph = self.bundle.graph(name)
            exact = name.startswith("scale")
            session = open_session(graph, self.device, self.threads, exact=exact, optimize=self.optimize)
            self._sessions[name] = session
        feed = {key: value[None] for key, value in inputs.items()}
        if level is not None:
            feed["level"] = np.array([level], np.float32)
        return session.run_checked(feed, shapes, f"{name} graph of model {self.bundle.name}")


def _beside() -> ThreadPoolExecutor:
    """Threads for means: they are needed later than the scales, which decoding waits for.

    A process that was forked gets its own, as threads do not survive a fork.
    """
    return cached("aez.codec.image.model.beside", 1, os.getpid(), partial(ThreadPoolExecutor, None, "aez-mean"))


class Prediction:
    """Predicts the latent of one tile, phase after phase, from the hyper-latent and the residuals of earlier phases.

    For every phase: `index`, `mean` (either may come first), then `learn` with the residuals; who wants no means leaves
    them out in every phase. A phase's arrays are [positions * C, h, w] as `Geometry.take_phase` gives them, h and w
    counting cells: `hyper_cells` for each position of the hyper-latent.
    """

    def __init__(self, model: ImageModel, z: NDArray[np.int32], level: int) -> None:
        self._model, self._level = model, level
        self._cells = z.shape[1] * model.geometry.hyper_cells, z.shape[2] * model.geometry.hyper_cells
        self._number = 0
        self._inputs: dict[str, Float] = {"z": z.astype(np.float32)}
        self._states: dict[str, Float] = {}
        self._next_states: dict[str, Float] = {}
        self._residuals: list[Float] = []

    def index(self) -> NDArray[np.uint8]:
        """Scale index of every element of the phase, exact on every runtime: uint8."""
        index = self._predict("scale", "index")
        with np.errstate(invalid="ignore"):
            exact = index.astype(np.uint8)
        if not np.array_equal(exact, index):
            name = self._model.bundle.name
            raise ModelError(f"the scale graph of model {name} gives numbers that are no indices 0..255")
        return exact

    def mean(self) -> Float:
        """Predicted mean of the phase, in quantization steps: float32."""
        return self._predict("mean", "mean")

    def mean_soon(self) -> Callable[[], Float]:
        """Begin with the mean, beside what the caller does meanwhile; the result is to be called before `learn`."""
        if self._model.threads == 1:
            return self.mean
        return _beside().submit(self.mean).result

    def learn(self, residual: NDArray[np.int32]) -> None:
        """Go on to the next phase, knowing the residuals of this one."""
        self._residuals.append(residual.astype(np.float32))
        self._inputs = {"residual": np.concatenate(self._residuals)}
        self._states, self._next_states = self._next_states, {}
        self._number += 1

    def _predict(self, name: str, output: str) -> Float:
        g = self._model.geometry
        inputs = self._inputs if self._number == 0 else {"state": self._states[name], **self._inputs}
        shapes = {
            output: (len(g.phases[self._number]) * g.channels, *self._cells),
            "next_state": (g.state_channels, *self._cells),
        }
        result, self._next_states[name] = self._model.run(f"{name}{self._number}", inputs, self._level, shapes)
        return result


_OPEN_MAX = 4


def open_model(bundle: Bundle, device: str = "auto", threads: int | None = None) -> ImageModel:
    """The model of a bundle on a device; a few are kept open, so that later calls find warm sessions.

    Bundles with one id decode alike, so that a bundle that was read again, or out of a file, finds them too.
    """
    key = (bundle.id, bundle.half, device, threads)
    return cached("aez.codec.image.model.open_model", _OPEN_MAX, key, partial(ImageModel, bundle, device, threads))

"""An opened autoencoder: a bundle's encoder and decoder, run on items in the data's own units.

Guarantees: the bundle's probe gave the code that it promises; batches are bounded, so that memory does not grow with
what is run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.bundle.library import find_bundle
from aez.codec.bundle.session import Session, open_session
from aez.codec.common.words import listed
from aez.codec.errors import InvalidArgument, ModelError
from aez.codec.vectors.coding import CodeCoder
from aez.codec.vectors.items import NUMBERS_MAX, Items
from aez.codec.vectors.reading import Reading

__all__ = ["TASK", "Autoencoder", "Codes", "load_autoencoder"]

Float = NDArray[np.float32]
Progress = Callable[[int, int], None]
TASK = "autoencoder"
DIMENSIONS_MAX = 1 << 16
#: Numbers that run at a time, and items.
_BATCH_NUMBERS, _BATCH = 1 << 20, 256
#: Largest difference between the probe's code here and where the model was made, in deviations.
_PROBE_TOLERANCE = 1e-2


@dataclass(frozen=True, eq=False)
class Codes:
    """Codes of n items, float32 [n, dimensions]: the mean, and log-variances where the encoder is variational."""

    mean: Float
    log_variance: Float | None = None


class Autoencoder:
    """Runs the graphs of a bundle with the task `autoencoder`. One object serves many threads.

    kind: `pictures` or `vectors`. shape: of an item, [height, width], [height, width, 3] or [numbers]. range: (0, 255)
    or (0, 1) of pictures. columns: names of a vector's numbers, or none. dimensions: of the code. has_prior: whether
    codes are drawn from N(0, 1). removes: the noise and the amount that it learned to remove, or None.

    Raises ModelError for another bundle, one that contradicts itself, and one whose probe has another code here;
    InvalidArgument as `open_session`.
    """

    def __init__(self, bundle: Bundle, device: str = "auto", threads: int | None = None) -> None:
        if bundle.task != TASK:
            raise ModelError(
                f"model {bundle.name} is made for {bundle.task} and is no autoencoder of `aez train dense`"
            )
        self.bundle, coding = bundle, bundle.coding
        self.family = str(bundle.manifest["family"])
        self.kind = coding.get("kind")
        if self.kind not in ("pictures", "vectors"):
            raise _wrong("kind", self.kind)
        self.shape = _shape(coding, (1,) if self.kind == "vectors" else (2, 3))
        self.range = _range(coding.get("range")) if self.kind == "pictures" else None
        self.columns = _texts(coding.get("columns", []))
        dimensions = coding.get("dimensions")
        if not isinstance(dimensions, int) or not 1 <= dimensions <= DIMENSIONS_MAX:
            raise _wrong("dimensions", dimensions)
        self.dimensions: int = dimensions
        prior = coding.get("prior")
        if prior not in (None, {"kind": "normal"}):
            raise _wrong("prior", prior)
        self.has_prior = prior is not None
        self.removes: Mapping[str, Any] | None = coding.get("removes")
        self._device, self._threads = device, threads
        self._sessions: dict[str, Session] = {}
        if not bundle.half:
            self._check_probe()

    @property
    def device(self) -> str:
        """Where the graphs run: `cpu` or `cuda`."""
        return self._session("decoder").device

    def reading(self, how: Reading) -> Reading:
        """How to read items for this model: pictures are brought to its size and colours."""
        if self.kind != "pictures":
            return how
        colours = 3 if len(self.shape) == 3 else 1
        return Reading(how.label, how.labels, how.ignore, how.array, (self.shape[0], self.shape[1]), colours)

    def values(self, items: Items) -> NDArray[Any]:
        """The items' values in the model's units, [n, *shape], as `in_range` gives them.

        Columns of a table are taken by their names where both have some. Raises InvalidArgument for items of another
        kind, shape or range, and for other columns.
        """
        if items.kind != self.kind or items.shape != self.shape:
            raise InvalidArgument(
                f"model {self.bundle.name} takes {self.kind} of {_by(self.shape)}, and these are {items.kind} of "
                f"{_by(items.shape)}{_more_columns(items.columns, self.columns)}"
            )
        if self.kind == "pictures":
            return self.in_range(items)
        if not items.columns or not self.columns or items.columns == self.columns:
            return items.values
        if missing := [name for name in self.columns if name not in items.columns]:
            raise InvalidArgument(
                f"model {self.bundle.name} takes the columns {listed(self.columns, 12)}, and {missing[0]!r} is not "
                f"among {listed(items.columns, 12)}"
            )
        return items.values[:, [items.columns.index(name) for name in self.columns]]

    def in_range(self, items: Items) -> NDArray[Any]:
        """Pictures of any size in the model's range: bytes for a model of 0..1, and shares for one of 0..255, scaled.

        Raises InvalidArgument for values outside both.
        """
        assert self.range is not None
        highest = self.range[1]
        if items.values.dtype == np.uint8:
            given = 255.0
        else:
            low, high = float(items.values.min()), float(items.values.max())
            if low < 0 or high > highest:
                raise InvalidArgument(
                    f"model {self.bundle.name} takes pictures in 0..{highest:g}, and values lie in "
                    f"{low:.4g}..{high:.4g}; scale or clip them"
                )
            given = 1.0 if high <= 1 else 255.0
        if given == highest:
            return items.values
        return items.values.astype(np.float32) / np.float32(given / highest)

    def encode(self, values: NDArray[Any], progress: Progress | None = None) -> Codes:
        """Codes of values [n, *shape] in the model's units. Raises InvalidArgument, ModelError."""
        if values.shape[1:] != self.shape:
            raise InvalidArgument(
                f"items of model {self.bundle.name} have the shape {list(self.shape)}, not {list(values.shape[1:])}"
            )
        variational = "log_variance" in self._session("encoder").outputs
        shape = (len(values), self.dimensions)
        found = Codes(np.empty(shape, np.float32), np.empty(shape, np.float32) if variational else None)
        for part in self._parts(len(values), progress):
            given = self._session("encoder").run({"x": np.ascontiguousarray(values[part], np.float32)})
            found.mean[part] = self._finite(given.get("mean"), (part.stop - part.start, self.dimensions), "encoder")
            if found.log_variance is not None:
                found.log_variance[part] = given["log_variance"]
        return found

    def decode(self, codes: Float, progress: Progress | None = None) -> Float:
        """Values [n, *shape] of codes [n, dimensions], in the model's units. Raises InvalidArgument, ModelError."""
        if codes.ndim != 2 or codes.shape[1] != self.dimensions:
            raise InvalidArgument(
                f"codes of model {self.bundle.name} are [n, {self.dimensions}], not {list(codes.shape)}"
            )
        values = np.empty((len(codes), *self.shape), np.float32)
        for part in self._parts(len(codes), progress):
            given = self._session("decoder").run({"z": np.ascontiguousarray(codes[part], np.float32)})
            values[part] = self._finite(given.get("x"), (part.stop - part.start, *self.shape), "decoder")
        return values

    def coder(self, bits: int) -> CodeCoder:
        """What makes bytes of codes. Raises as `CodeCoder.of`."""
        return CodeCoder.of(self.bundle, self.dimensions, bits)

    def draw(self, count: int, seed: int | Sequence[int], temperature: float = 1.0) -> Float:
        """Codes [count, dimensions] from the prior. Raises InvalidArgument for a model without one."""
        if not self.has_prior:
            raise InvalidArgument(
                f"model {self.bundle.name} is of the family {self.family} and has no prior to draw from; train one "
                "with `aez train variational`, or look between two items with `aez interpolate`"
            )
        if not (math.isfinite(temperature) and temperature >= 0):
            raise InvalidArgument(f"temperature {temperature} is not a number of 0 or more")
        drawn: Float = np.random.default_rng(seed).standard_normal((count, self.dimensions), np.float32)
        return drawn * np.float32(temperature)

    def check_removes(self) -> None:
        """Raise InvalidArgument for a model that did not learn to remove noise."""
        if self.removes is None:
            raise InvalidArgument(
                f"model {self.bundle.name} is of the family {self.family} and did not learn to remove noise; train one "
                "with `aez train denoising`, or use `aez reconstruct`"
            )

    def denoise(self, values: NDArray[Any], progress: Progress | None = None) -> Float:
        """Values [n, *shape] without their noise. Raises InvalidArgument for a model that did not learn it."""
        self.check_removes()
        return self.decode(self.encode(values, progress).mean)

    def unit(self, values: NDArray[Any]) -> Float:
        """Values with pictures in 0..1, float32, in which errors are said; vectors stay as they are."""
        scale = np.float32(1 if self.range is None else 1 / self.range[1])
        scaled: Float = values.astype(np.float32) * scale
        return scaled

    def _parts(self, count: int, progress: Progress | None) -> Iterator[slice]:
        size = max(1, min(_BATCH, _BATCH_NUMBERS // math.prod(self.shape)))
        for start in range(0, count, size):
            end = min(start + size, count)
            yield slice(start, end)
            if progress is not None:
                progress(end, count)

    def _session(self, name: str) -> Session:
        if name not in self._sessions:
            self._sessions[name] = open_session(self.bundle.graph(name), self._device, self._threads)
        return self._sessions[name]

    def _finite(self, found: Any, shape: tuple[int, ...], graph: str) -> Float:
        if not isinstance(found, np.ndarray) or found.dtype != np.float32 or found.shape != shape:
            raise ModelError(
                f"the {graph} of model {self.bundle.name} gives nothing of the shape {list(shape)} in float32"
            )
        if not np.isfinite(found).all():
            raise ModelError(f"the {graph} of model {self.bundle.name} gives numbers that are not finite")
        return found

    def _check_probe(self) -> None:
        items, expected = self.bundle.array("probe_x"), self.bundle.array("probe_code")
        if items.shape[1:] != self.shape or expected.shape != (len(items), self.dimensions):
            raise ModelError(f"the probe of model {self.bundle.name} has the shape {list(items.shape)}")
        found = self.encode(items).mean
        if float(np.abs(found - expected).max()) > _PROBE_TOLERANCE * max(float(expected.std()), 1e-6):
            raise ModelError(f"model {self.bundle.name} gives other codes here than where it was made")


def load_autoencoder(
    source: str | os.PathLike[str] | bytes, device: str = "auto", threads: int | None = None
) -> Autoencoder:
    """The autoencoder of a bundle: a path, a name or an id as `find_bundle` takes them, or the bundle's bytes.

    Raises ModelError where there is none, or one of another kind.
    """
    return Autoencoder(find_bundle(source), device, threads)


def _shape(coding: Mapping[str, Any], ranks: tuple[int, ...]) -> tuple[int, ...]:
    value = coding.get("shape")
    if not isinstance(value, list) or len(value) not in ranks or not all(type(one) is int and one > 0 for one in value):
        raise _wrong("shape", value)
    if math.prod(value) > NUMBERS_MAX or (len(value) == 3 and value[2] != 3):
        raise _wrong("shape", value)
    return tuple(value)


def _range(value: Any) -> tuple[float, float]:
    if value not in ([0, 1], [0, 255]):
        raise _wrong("range", value)
    return float(value[0]), float(value[1])


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _wrong("columns", value)
    return tuple(value)


def _wrong(name: str, value: object) -> ModelError:
    return ModelError(f"the model's manifest says {name} = {str(value)[:80]}, which an autoencoder cannot have")


def _more_columns(given: Sequence[str], known: Sequence[str]) -> str:
    """What to do about columns that a model does not know."""
    more = [name for name in given if name not in known]
    if not known or not more or len(given) - len(more) != len(known):
        return ""
    return f"; leave out what it does not know with --ignore {','.join(more)}"


def _by(shape: Sequence[int]) -> str:
    return f"{'x'.join(map(str, shape))} numbers"

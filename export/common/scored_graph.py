"""What the graphs of all detectors share: the Gaussian of what is normal, the export and its check, the bundle."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aez.codec.bundle.bundle import Bundle, pack_bundle
from aez.codec.bundle.session import open_session
from aez.codec.errors import ModelError
from aez.export.common.provenance import npy_bytes, versions
from aez.export.common.to_onnx import serialize, tidy, to_onnx

#: Largest relative difference between torch's and ONNX Runtime's scores that an export accepts.
TOLERANCE = 1e-4
_BATCH = 256


@dataclass(frozen=True)
class Signature:
    """Name of a graph, of its inputs, and of its outputs, of which `score` [batch] is the first.

    neutral: of inputs that a caller may leave out, what then stands for them in all of a batch, float32 [1, ...].
    """

    graph: str
    takes: Sequence[str]
    gives: Sequence[str]
    neutral: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def whitening(codes: Tensor, shrinkage: float) -> tuple[Tensor, Tensor]:
    """(mean [d], matrix [d, d]) of codes [n, d]: (code - mean) @ matrix has unit covariance.

    `shrinkage` is the share of a spherical covariance that is mixed into the codes' own (Ledoit, Wolf 2004, with a
    fixed weight), so that few codes do.
    """
    codes = codes.double()
    size = codes.shape[1]
    mean = codes.mean(0)
    covariance = (codes - mean).T @ (codes - mean) / max(len(codes) - 1, 1)
    identity = torch.eye(size, dtype=codes.dtype, device=codes.device)
    covariance = (1 - shrinkage) * covariance + (shrinkage * covariance.trace() / size + 1e-9) * identity
    values, vectors = torch.linalg.eigh(covariance)
    return mean.float(), (vectors * values.clamp_min(1e-9).rsqrt()).float()


@torch.no_grad()
def export_scored(
    graph: nn.Module,
    signature: Signature,
    example: Sequence[Tensor],
    metadata: Mapping[str, Any],
    samples: Sequence[NDArray[np.float32]],
    probe: Sequence[NDArray[np.float32]],
) -> tuple[bytes, NDArray[np.float32]]:
    """(ONNX bytes, scores of the probe), checked against torch on `samples` and `probe`, as `example` is.

    Each of the three has an array [n, ...] for each input. `metadata` (plain JSON values) goes into the graph's
    metadata_props beside the probe (base64 of float32 little endian, row-major; `probe_shape` is that of its first
    array) and its scores. Raises ModelError where ONNX Runtime does not compute what torch does.
    """
    graph = graph.cpu().eval()
    dynamic = [{0: torch.export.Dim("batch", min=1, max=65536)}] * len(example)
    model = to_onnx(graph, dict(zip(signature.takes, example, strict=True)), signature.gives, dynamic)
    tidy(model, signature.graph)
    _may_be_left_out(model, signature.neutral)
    expected = graph(*map(torch.from_numpy, probe))[0].numpy()
    _describe(model, {**metadata, "probe_shape": list(probe[0].shape), "probe_score": [float(s) for s in expected]})
    for name, array in zip(signature.takes, probe, strict=True):
        _describe(model, {f"probe_{name}": base64.b64encode(array.astype("<f4").tobytes()).decode()})
    data = serialize(model)
    difference = compare_scores(graph, data, *map(np.concatenate, zip(probe, samples, strict=True)))
    if difference > TOLERANCE:
        raise ModelError(f"the exported graph's scores differ from torch's by {difference:.2g} of their value")
    return data, expected


def _may_be_left_out(model: onnx.ModelProto, neutral: Mapping[str, NDArray[np.float32]]) -> None:
    """Give inputs a value that stands where a caller leaves them out: an initializer of the input's name."""
    for taken in model.graph.input:
        if taken.name in neutral:
            # One row for all, so its length is not the batch's: runtimes plan memory by the names of lengths.
            taken.type.tensor_type.shape.dim[0].dim_param = f"{taken.name}_batch"
            model.graph.initializer.append(onnx.numpy_helper.from_array(neutral[taken.name], taken.name))


def _describe(model: onnx.ModelProto, metadata: Mapping[str, Any]) -> None:
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value, allow_nan=False)


@torch.no_grad()
def compare_scores(graph: nn.Module, data: bytes, *samples: NDArray[np.float32]) -> float:
    """Largest relative difference of the scores between torch and ONNX Runtime on samples [n, ...] of each input."""
    session = open_session(data, "cpu", threads=1)
    names = [taken.name for taken in onnx.load_from_string(data).graph.input]
    worst = 0.0
    for start in range(0, len(samples[0]), _BATCH):
        batch = [np.ascontiguousarray(array[start : start + _BATCH]) for array in samples]
        wanted = graph(*map(torch.from_numpy, batch))[0].numpy()
        found = session.run(dict(zip(names, batch, strict=True)))["score"]
        worst = max(worst, float(np.max(np.abs(found - wanted) / np.maximum(np.abs(wanted), 1e-3))))
    return worst


def probe_members(probe: Mapping[str, NDArray[Any]], scores: NDArray[np.float32]) -> dict[str, bytes]:
    """The members of a bundle by which every user checks its scores; `probe` has an array for each input."""
    return {f"probe_{name}.npy": npy_bytes(array) for name, array in {**probe, "score": scores}.items()}


def tensor_entry(name: str, shape: Sequence[int | str], unit: str, values: str) -> dict[str, Any]:
    """An input or output of a graph in a manifest; `values` is its range."""
    return {"name": name, "shape": list(shape), "dtype": "float32", "unit": unit, "range": values}


def pack_scored(
    manifest: Mapping[str, Any],
    coding: Mapping[str, Any],
    members: Mapping[str, bytes],
    decoding_members: Sequence[str] | None = None,
) -> Bundle:
    """The bundle of a detector or an autoencoder, in memory; by default all members are needed for scoring.

    `manifest` comes without `coding`. Raises ModelError where the bundle would not open.
    """
    provenance = {"versions": versions(), **manifest["provenance"]}
    decoding = {**coding, "decoder_members": sorted(members if decoding_members is None else decoding_members)}
    return pack_bundle({**manifest, "coding": decoding, "provenance": provenance}, members)

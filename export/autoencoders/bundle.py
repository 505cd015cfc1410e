"""From a trained autoencoder to an `.aezm` bundle: encoder and decoder in the data's units, its coder, its probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aez.codec.bundle.bundle import Bundle
from aez.codec.bundle.session import open_session
from aez.codec.errors import ModelError
from aez.codec.vectors.coding import MEMBERS
from aez.codec.vectors.model import TASK
from aez.export.autoencoders.base import Network
from aez.export.autoencoders.code_tables import code_members
from aez.export.common.provenance import npy_bytes
from aez.export.common.scored_graph import pack_scored, tensor_entry
from aez.export.common.to_onnx import serialize, tidy, to_onnx

#: Largest difference between torch and ONNX Runtime that an export accepts, relative to the outputs' deviation.
TOLERANCE = 2e-3
#: Items on which they are compared, and those that every user's codes are checked on.
_CHECKED, _PROBE = 64, 2


class EncoderGraph(nn.Module):
    """Raw items to the mean of their code, and where there is one its log-variance."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        unit = self.network.unit(x)
        return self.network.posterior(unit) or self.network.encode(unit)


class DecoderGraph(nn.Module):
    """Codes to raw items."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor) -> Tensor:
        return self.network.raw(self.network.decode(z))


def pack_autoencoder(
    network: Network,
    name: str,
    items: Tensor,
    value_range: tuple[float, float] | None,
    columns: Sequence[str],
    provenance: Mapping[str, Any],
    figures: Mapping[str, Any],
) -> Bundle:
    """The bundle of a trained network, in memory; raw `items` [n, *shape] of the training data set its coder.

    Raises ModelError where ONNX Runtime does not compute what torch does.
    """
    network = network.cpu().eval()
    with torch.no_grad():
        codes = torch.cat([network.encode(network.unit(part)).float() for part in items.split(1024)])
    some = items[:_CHECKED]
    outputs = ["mean"] + (["log_variance"] if network.posterior(network.unit(some[:2])) is not None else [])
    graphs = {
        "encoder": _graph("encoder", EncoderGraph(network), "x", some, outputs),
        "decoder": _graph("decoder", DecoderGraph(network), "z", codes[:_CHECKED].contiguous(), ["x"]),
    }
    probe = some[:_PROBE]
    arrays: dict[str, NDArray[Any]] = {
        **code_members(network, codes),
        "probe_x": probe.numpy(),
        "probe_code": codes[: len(probe)].numpy(),
    }
    members = {f"{key}.onnx": data for key, data in graphs.items()} | {
        f"{k}.npy": npy_bytes(v) for k, v in arrays.items()
    }
    coding = {
        "kind": "pictures" if network.subject.pictures else "vectors",
        "shape": list(network.subject.shape),
        "range": None if value_range is None else list(value_range),
        "columns": list(columns),
        "dimensions": network.latent,
        "prior": {"kind": "normal"} if network.has_prior else None,
        "removes": network.removes,
    }
    manifest = {
        "name": name,
        "family": network.family,
        "task": TASK,
        "graphs": _described(network, value_range, outputs),
        "provenance": provenance,
        "figures": dict(figures),
    }
    return pack_scored(manifest, coding, members, ["decoder.onnx", *(f"{key}.npy" for key in MEMBERS)])


@torch.no_grad()
def _graph(name: str, module: nn.Module, given: str, example: Tensor, outputs: Sequence[str]) -> bytes:
    """A graph's bytes, checked against torch. Raises ModelError."""
    module = module.eval()
    dynamic = [{0: torch.export.Dim("batch", min=1, max=65536)}]
    two = torch.cat((example, example))[:3].contiguous()
    model = to_onnx(module, {given: two}, outputs, dynamic)
    tidy(model, name)
    data = serialize(model)
    found = open_session(data, "cpu", threads=1).run({given: np.ascontiguousarray(example.numpy(), np.float32)})
    wanted = module(example)
    for output, expected in zip(outputs, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        scale = max(float(expected.std()), 1e-6)
        difference = float(np.abs(found[output] - expected.numpy()).max()) / scale
        if not difference <= TOLERANCE:
            raise ModelError(f"the exported {name}'s {output} differs from torch's by {difference:.2g} deviations")
    return data


def _described(network: Network, value_range: tuple[float, float] | None, outputs: Sequence[str]) -> dict[str, Any]:
    """The manifest's entries for the graphs."""
    unit = "the data's own"
    values = "any" if value_range is None else f"{value_range[0]:g} to {value_range[1]:g}"
    item = tensor_entry("x", ["batch", *network.subject.shape], unit, values)
    units = {"mean": "code", "log_variance": "ln of a squared code"}
    return {
        "encoder": {
            "inputs": [item],
            "outputs": [tensor_entry(one, ["batch", network.latent], units[one], "any") for one in outputs],
        },
        "decoder": {"inputs": [tensor_entry("z", ["batch", network.latent], "code", "any")], "outputs": [item]},
    }

"""From a trained photo network to an `.aezm` bundle, and back to a network that goes on training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from aez.codec.bundle.bundle import Bundle, write_bundle
from aez.codec.entropy.quality import LEVEL_MAX, QUALITY_MAX, QUALITY_MIN
from aez.codec.entropy.tables import TileTables
from aez.codec.errors import ModelError
from aez.export.common.provenance import npy_bytes, versions
from aez.export.hyperprior.graphs import (
    describe_graphs,
    export_graphs,
    load_weights,
    other_weights,
    round_stored_weights,
    signatures,
)
from aez.export.hyperprior.network import ALIGNMENT, PHASES, STRIDE, HyperpriorNetwork
from aez.export.hyperprior.tables import count_symbols, fit_tables

Network = TypeVar("Network", bound=HyperpriorNetwork)
#: What decoding needs of any network with a hyperprior.
HYPER_MEMBERS = [
    "hyper_numbers.npy",
    "hyper_starts.npy",
    "hyper_weights.npy",
    *(f"mean{number}.onnx" for number in range(len(PHASES))),
    "residual_starts.npy",
    "residual_weights.npy",
    *(f"scale{number}.onnx" for number in range(len(PHASES))),
]


def export_codec(
    network: HyperpriorNetwork,
    path: Path,
    name: str,
    family: str,
    synthesis_members: list[str],
    pictures: Iterable[Tensor],
    coding: Mapping[str, Any],
    provenance: Mapping[str, Any],
    figures: Mapping[str, Any] | None = None,
) -> Bundle:
    """`export_photo` for any network with a hyperprior; `coding` adds to what its manifest says under that name.

    `synthesis_members` are those that decoding needs beside the hyperprior's.
    """
    network = copy.deepcopy(network).eval().cpu()
    try:
        round_stored_weights(network)
        tables = fit_tables(network, count_symbols(network, pictures))
        graphs = export_graphs(network)
    except ValueError as error:
        raise ModelError(f"the network cannot be exported: {error}; its checkpoint stays as it is") from error
    config = network.config
    members = {f"{key}.onnx": graph for key, graph in graphs.items()}
    members |= {f"{key}.npy": npy_bytes(array) for key, array in _table_arrays(tables).items()}
    members["other_weights.npy"] = npy_bytes(other_weights(network, graphs))
    manifest = {
        "name": name,
        "family": family,
        "task": "image-codec",
        "coding": {
            "alignment": ALIGNMENT,
            "latent_stride": STRIDE,
            "hyper_stride": ALIGNMENT,
            "channels": config.channels,
            "hyper_channels": config.hyper_channels,
            "state_channels": config.hyper_width,
            "phases": [[list(place) for place in phase] for phase in PHASES],
            "level_max": LEVEL_MAX,
            "quality_range": [QUALITY_MIN, QUALITY_MAX],
            "decoder_members": sorted(HYPER_MEMBERS + synthesis_members),
            **coding,
        },
        "graphs": describe_graphs(config),
        "provenance": {"network": config.as_dict(), "versions": versions(), **provenance},
        "figures": dict(figures or {}),
    }
    return write_bundle(path, manifest, members)


def trained_network(bundle: Bundle, family: str, build: Callable[[dict[str, Any]], Network]) -> Network:
    """The network of a bundle, which `build` makes from its sizes. Raises ModelError where it is of another family."""
    if bundle.manifest.get("family") != family or bundle.half:
        raise ModelError(f"model {bundle.name} holds no {family} network to train on from")
    try:
        network = build(bundle.manifest["provenance"]["network"])
        graphs = {name: bundle.graph(name) for name in signatures(network.config)}
        load_weights(network, graphs, bundle.array("other_weights"))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"model {bundle.name} cannot be trained on from: {error}") from error
    return network


def round_up(pixels: int) -> int:
    """To a multiple of the alignment."""
    return -(-pixels // ALIGNMENT) * ALIGNMENT


def _table_arrays(tables: TileTables) -> dict[str, np.ndarray[Any, Any]]:
    return {
        "hyper_numbers": tables.numbers,
        "hyper_weights": tables.hyper.weights,
        "hyper_starts": tables.hyper.starts,
        "residual_weights": tables.residual.weights,
        "residual_starts": tables.residual.starts,
    }

"""From a trained network with a hyperprior to an `.aezm` bundle, and back to a network that goes on training."""

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
    export_fitted,
    export_graphs,
    load_weights,
    other_weights,
    round_stored_weights,
    signatures,
)
from aez.export.hyperprior.network import CELL, HYPER_BLOCKS, PHASES, STRIDE, HyperConfig, HyperpriorNetwork
from aez.export.hyperprior.tables import count_symbols, fit_tables
from aez.export.hyperprior.thumbnail import THUMBNAIL, ThumbnailGraph, thumbnail_sides

Network = TypeVar("Network", bound=HyperpriorNetwork)


def export_codec(
    network: HyperpriorNetwork,
    path: Path,
    name: str,
    pictures: Iterable[Tensor],
    coding: Mapping[str, Any],
    provenance: Mapping[str, Any],
    figures: Mapping[str, Any] | None = None,
    *,
    thumbnail: bool = False,
) -> Bundle:
    """Fit tables on `pictures` (batches [B, 3, H, W]), export and check the graphs, write the bundle.

    With `thumbnail` there is a graph for pictures at an eighth of their size. `coding` adds to what the manifest of any
    network with a hyperprior says under that name. Raises ModelError when the network cannot be exported faithfully,
    OutputError when the bundle cannot be written.
    """
    network = copy.deepcopy(network).eval().cpu()
    try:
        round_stored_weights(network)
        pictures = list(pictures)
        tables = fit_tables(network, count_symbols(network, pictures))
        graphs = export_graphs(network)
        sides = signatures(network.config)
        if thumbnail:
            sides[THUMBNAIL] = thumbnail_sides(network.config.channels)
            part = ThumbnailGraph.fitted(network, pictures)
            graphs[THUMBNAIL] = export_fitted(THUMBNAIL, part, sides[THUMBNAIL], network.config)
    except ValueError as error:
        raise ModelError(f"the network cannot be exported: {error}; its checkpoint stays as it is") from error
    config = network.config
    arrays = {f"{key}.npy": npy_bytes(array) for key, array in _table_arrays(tables).items()}
    members = {f"{key}.onnx": graph for key, graph in graphs.items()} | arrays
    decoding = [f"{key}.onnx" for key, side in sides.items() if side.decodes]
    members["other_weights.npy"] = npy_bytes(other_weights(network, graphs))
    manifest = {
        "name": name,
        "family": network.family,
        "task": "image-codec",
        "coding": {
            "alignment": config.alignment,
            "latent_stride": STRIDE,
            "hyper_stride": config.hyper_stride,
            "state_stride": CELL,
            "channels": config.channels,
            "hyper_channels": config.hyper_channels,
            "state_channels": config.hyper_width,
            "phases": [[list(place) for place in phase] for phase in PHASES],
            "level_max": LEVEL_MAX,
            "quality_range": [QUALITY_MIN, QUALITY_MAX],
            "decoder_members": sorted([*decoding, *arrays]),
            **coding,
        },
        "graphs": describe_graphs(sides),
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


def round_up(pixels: int, alignment: int) -> int:
    """To a multiple of the alignment."""
    return -(-pixels // alignment) * alignment


def hyper_reach(config: HyperConfig) -> int:
    """How many pixels beyond a hyper-latent's own the hyper-analysis sees, on either side."""
    deeper = HYPER_BLOCKS * config.hyper_stride if config.hyper_stride > CELL else 0
    return HYPER_BLOCKS * CELL + deeper


def _table_arrays(tables: TileTables) -> dict[str, np.ndarray[Any, Any]]:
    return {
        "hyper_numbers": tables.numbers,
        "hyper_weights": tables.hyper.weights,
        "hyper_starts": tables.hyper.starts,
        "residual_weights": tables.residual.weights,
        "residual_starts": tables.residual.starts,
    }

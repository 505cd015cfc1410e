"""From a calibrated picture graph to an `.aezm` bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.detect.pictures import GRAPH, TASK
from aez.export.common.scored_graph import (
    Signature,
    export_scored,
    pack_scored,
    probe_members,
    tensor_entry,
)
from aez.export.images.graph import OUTPUTS, PictureGraph

#: Real pictures on which torch and ONNX Runtime are compared.
CHECKED_PICTURES = 64


def pack_picture_detector(
    graph: PictureGraph,
    name: str,
    pictures: NDArray[np.uint8],
    provenance: Mapping[str, Any],
    figures: Mapping[str, Any],
) -> Bundle:
    """The bundle of a calibrated graph, in memory; `pictures` [n, colours, height, width] are real ones to check it on.

    Raises ModelError where ONNX Runtime does not compute what torch does.
    """
    metadata = {
        "height": graph.height,
        "width": graph.width,
        "colours": graph.colours,
        "threshold": float(graph.threshold),
        "score": graph.score_name,
    }
    probe = make_probe(pictures)
    data, probe_score = export_scored(
        graph,
        Signature(GRAPH, ("image",), OUTPUTS),
        [torch.zeros(3, graph.colours, graph.height, graph.width)],
        metadata,
        [pictures[:CHECKED_PICTURES].astype(np.float32)],
        [probe.astype(np.float32)],
    )
    members = {f"{GRAPH}.onnx": data, **probe_members({"image": probe}, probe_score)}
    manifest = {
        "name": name,
        "family": graph.network.family,
        "task": TASK,
        "graphs": {GRAPH: describe_graph(graph)},
        "provenance": provenance,
        "figures": dict(figures),
    }
    return pack_scored(manifest, metadata, members)


def describe_graph(graph: PictureGraph) -> dict[str, Sequence[Mapping[str, Any]]]:
    """The manifest's entry for the graph."""
    image: list[Any] = ["batch", graph.colours, graph.height, graph.width]

    return {
        "inputs": [tensor_entry("image", image, "levels of sRGB or grey", "0 to 255")],
        "outputs": [
            tensor_entry("score", ["batch"], "thresholds", "0 and up; above 1 is abnormal"),
            tensor_entry(
                "error_map", ["batch", graph.height, graph.width], "thresholds", "0 and up; above 1 is abnormal"
            ),
            tensor_entry("reconstruction", image, "levels of sRGB or grey", "0 to 255"),
        ],
    }


def make_probe(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two pictures of which every user's scores are checked: a real one, and one with a spot of inverted levels."""
    usual = pictures[len(pictures) // 2]
    spotted = usual.copy()
    height, width = usual.shape[1:]
    spot = (slice(None), slice(height // 4, height // 2), slice(width // 4, width // 2))
    spotted[spot] = 255 - spotted[spot]
    return np.stack([usual, spotted])

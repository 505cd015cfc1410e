"""How a bundle was made: the part of its manifest that every training run of pictures states alike."""

from __future__ import annotations

import hashlib
import io
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aez.codec.bundle.bundle import Bundle
from aez.export.common.trainer import Result, TrainOptions


def describe_run(
    paths: Sequence[Path], folder: Path, result: Result, options: TrainOptions, start: Bundle | None
) -> dict[str, Any]:
    """Data (by name, never by content), steps, hours, batch, seed, learning rate and the model it went on from."""
    names = "\n".join(sorted(path.name for path in paths))
    return {
        "data": f"{len(paths)} pictures of the folder {folder.resolve().name}",
        "data_names_sha256": hashlib.sha256(os.fsencode(names)).hexdigest(),
        "steps": result.steps,
        "hours": round(result.seconds / 3600, 2),
        "batch": options.batch,
        "seed": options.seed,
        "learning_rate": options.learning_rate,
        "from": start.id if start is not None else None,
        "licence": "Apache-2.0",
    }


def npy_bytes(array: np.ndarray[Any, Any]) -> bytes:
    """An array as a bundle's member `.npy`."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def versions() -> dict[str, str]:
    """What a bundle was made with, for its provenance."""
    return {
        "aez": version("aez"),
        "torch": torch.__version__,
        "onnx": version("onnx"),
        "python": platform.python_version(),
    }

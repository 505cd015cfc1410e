"""aez.export: networks, losses, data, training and ONNX export (needs the `train` extra, torch).

Nothing outside this package imports torch; what leaves it is an `.aezm` bundle of plain ONNX graphs and tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aez.codec.common.face import lazily

if TYPE_CHECKING:
    from aez.export.autoencoders.train import AutoencoderConfig, learn_items
    from aez.export.images.train import PictureConfig, learn_pictures
    from aez.export.latent.losses import Reconstruction
    from aez.export.series.arrays.estimator import RowScores, SeriesDetector

__all__ = [
    "AutoencoderConfig",
    "PictureConfig",
    "Reconstruction",
    "RowScores",
    "SeriesDetector",
    "learn_items",
    "learn_pictures",
]

__getattr__ = lazily(
    __name__,
    {
        "aez.export.autoencoders.train": "AutoencoderConfig learn_items",
        "aez.export.images.train": "PictureConfig learn_pictures",
        "aez.export.latent.losses": "Reconstruction",
        "aez.export.series.arrays.estimator": "RowScores SeriesDetector",
    },
)

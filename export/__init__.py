"""aez.export: networks, losses, data, training and ONNX export (needs the `train` extra, torch).

Nothing outside this package imports torch; what leaves it is an `.aezm` bundle of plain ONNX graphs and tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aez.export.series_detector import SeriesDetector
    from aez.export.train_images import PictureConfig, learn_pictures

__all__ = ["PictureConfig", "SeriesDetector", "learn_pictures"]


def __getattr__(name: str) -> Any:
    """Import a public name at first use: the package itself loads neither torch nor scikit-learn."""
    if name == "SeriesDetector":
        from aez.export.series_detector import SeriesDetector

        return SeriesDetector
    if name in ("PictureConfig", "learn_pictures"):
        from aez.export import train_images

        return getattr(train_images, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

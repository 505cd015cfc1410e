"""aez.codec: the runtime that turns pictures into `.aez` files and back, and scores series and pictures.

Its rooms: `container` is the byte format, `entropy` the coding of symbols, `bundle` the models, `pixels` what surrounds
the samples of a picture, `image` and `latent` the codecs, `series` and `detect` the detectors. Needs numpy, onnxruntime
and constriction, never torch. Importing this package loads none of them: names are imported at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aez.codec.common.face import lazily
from aez.codec.errors import (
    AezError,
    CorruptFile,
    InvalidArgument,
    ModelError,
    OutputError,
    TruncatedFile,
    UnsupportedInput,
    VersionError,
)

if TYPE_CHECKING:
    from aez.codec.bundle.bundle import Bundle, write_bundle
    from aez.codec.bundle.library import find_bundle, list_bundles
    from aez.codec.container.image_header import ImageHeader
    from aez.codec.container.reader import Reader
    from aez.codec.container.writer import Writer
    from aez.codec.detect.pictures import PictureDetector, load_picture_detector

__all__ = [
    "AezError",
    "Bundle",
    "CorruptFile",
    "ImageHeader",
    "InvalidArgument",
    "ModelError",
    "OutputError",
    "PictureDetector",
    "Reader",
    "TruncatedFile",
    "UnsupportedInput",
    "VersionError",
    "Writer",
    "find_bundle",
    "list_bundles",
    "load_picture_detector",
    "write_bundle",
]

__getattr__ = lazily(
    __name__,
    {
        "aez.codec.bundle.bundle": "Bundle write_bundle",
        "aez.codec.bundle.library": "find_bundle list_bundles",
        "aez.codec.container.image_header": "ImageHeader",
        "aez.codec.container.reader": "Reader",
        "aez.codec.container.writer": "Writer",
        "aez.codec.detect.pictures": "PictureDetector load_picture_detector",
    },
)

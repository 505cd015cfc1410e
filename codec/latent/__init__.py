"""The latent of a picture: embed, decode, files, paths, samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aez.codec.common.face import lazily

if TYPE_CHECKING:
    from aez.codec.latent.api import ReconstructedPicture, embed_picture, reconstruct_picture
    from aez.codec.latent.files import LatentFile
    from aez.codec.latent.model import Latent, LatentGeometry, LatentModel, open_latent_model
    from aez.codec.latent.paths import path
    from aez.codec.latent.prior import draw_coded

__all__ = [
    "Latent",
    "LatentFile",
    "LatentGeometry",
    "LatentModel",
    "ReconstructedPicture",
    "draw_coded",
    "embed_picture",
    "open_latent_model",
    "path",
    "reconstruct_picture",
]

__getattr__ = lazily(
    __name__,
    {
        "aez.codec.latent.api": "ReconstructedPicture embed_picture reconstruct_picture",
        "aez.codec.latent.files": "LatentFile",
        "aez.codec.latent.model": "Latent LatentGeometry LatentModel open_latent_model",
        "aez.codec.latent.paths": "path",
        "aez.codec.latent.prior": "draw_coded",
    },
)

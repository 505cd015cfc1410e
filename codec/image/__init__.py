"""Pictures to `.aez` bytes and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aez.codec.common.face import lazily

if TYPE_CHECKING:
    from aez.codec.image.api import Encoded, encode_picture, load
    from aez.codec.image.arriving import Decoder, Part
    from aez.codec.image.decoded import Decoded
    from aez.codec.image.decoding import decode_picture, describe
    from aez.codec.image.distortion import ms_ssim, ms_ssim_db, psnr, ssim
    from aez.codec.image.files import list_pictures, read_picture
    from aez.codec.image.model import ImageModel

__all__ = [
    "Decoded",
    "Decoder",
    "Encoded",
    "ImageModel",
    "Part",
    "decode_picture",
    "describe",
    "encode_picture",
    "list_pictures",
    "load",
    "ms_ssim",
    "ms_ssim_db",
    "psnr",
    "read_picture",
    "ssim",
]

__getattr__ = lazily(
    __name__,
    {
        "aez.codec.image.api": "Encoded load encode_picture",
        "aez.codec.image.arriving": "Decoder Part",
        "aez.codec.image.decoded": "Decoded",
        "aez.codec.image.decoding": "decode_picture describe",
        "aez.codec.image.distortion": "ms_ssim ms_ssim_db psnr ssim",
        "aez.codec.image.files": "list_pictures read_picture",
        "aez.codec.image.model": "ImageModel",
    },
)

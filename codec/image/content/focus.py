"""Symbols of a tile that shows a photograph in a part only: elsewhere they tell of one colour, which costs little."""

from __future__ import annotations

import numpy as np

from aez.codec.container.image_header import ImageHeader
from aez.codec.image.model import Float, ImageModel
from aez.codec.image.tile_kinds import BLOCK, Mask
from aez.codec.image.tiles import Box, Pixels, aligned, encode_latents, latents_within

__all__ = ["encode_focused"]

#: Pixels around the photograph that the model sees as well, so that its edges come out as they are.
_MARGIN = 32


def encode_focused(model: ImageModel, pixels: Pixels, header: ImageHeader, number: int, photo: Mask) -> bytes:
    """Content of a tile of a picture [height, width, 3] whose blocks are seen where `photo` [rows, columns] holds."""
    g = model.geometry
    box = aligned(Box(*header.box(number)), g.alignment)
    rows, columns = np.flatnonzero(photo.any(axis=1)), np.flatnonzero(photo.any(axis=0))
    shown = Box(
        box.left + int(columns[0]) * BLOCK,
        box.top + int(rows[0]) * BLOCK,
        box.left + (int(columns[-1]) + 1) * BLOCK,
        box.top + (int(rows[-1]) + 1) * BLOCK,
    )
    unit = g.alignment
    outer = Box(
        max(box.left, (shown.left - _MARGIN) // unit * unit),
        max(box.top, (shown.top - _MARGIN) // unit * unit),
        min(box.right, -(-(shown.right + _MARGIN) // unit) * unit),
        min(box.bottom, -(-(shown.bottom + _MARGIN) // unit) * unit),
    )
    y, z = latents_within(model, pixels, header, outer)
    if outer == box:
        return encode_latents(model, y, z, header.level)
    plain = _plain_hyper(model, pixels[shown.top : shown.bottom, shown.left : shown.right], header)
    whole_z = np.empty((len(z), box.height // g.hyper_stride, box.width // g.hyper_stride), np.float32)
    whole_z[:] = plain[:, None, None]
    whole_z[(slice(None), *outer.slices(box, g.hyper_stride))] = z
    whole_y = np.zeros((len(y), box.height // g.latent_stride, box.width // g.latent_stride), np.float32)
    whole_y[(slice(None), *outer.slices(box, g.latent_stride))] = y
    return encode_latents(model, whole_y, whole_z, header.level, outer.slices(box, g.state_stride))


def _plain_hyper(model: ImageModel, part: Pixels, header: ImageHeader) -> Float:
    """z [channels] that the model has in the midst of the mean colour of `part`."""
    g = model.geometry
    side = 2 * g.analysis_halo + g.alignment
    mean = part.reshape(-1, 3).mean(axis=0, dtype=np.float64) / ((1 << header.bits) - 1)
    _, z = model.analysis(np.broadcast_to(mean[:, None, None], (3, side, side)).astype(np.float32), header.level)
    plain: Float = z[:, z.shape[1] // 2, z.shape[2] // 2]
    return plain

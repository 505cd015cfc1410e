"""Contact sheets: crops of one place of a picture as several codecs give it back at equal bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aez.bench.pictures.peers import Peer, aez_peer, standard_peers
from aez.bench.pictures.rd import find_pictures
from aez.bench.pictures.rd_figures import contact_sheet_png, sheet_codecs
from aez.bench.pictures.rd_report import load_picture, spread
from aez.codec.errors import InvalidArgument

__all__ = ["BPPS", "folder_sheet_png"]

#: Bits per pixel of the whole picture, one row of crops for each.
BPPS = (0.15, 0.3)
LEAST_COUNT = 2


def folder_sheet_png(
    folder: str | Path,
    models: Sequence[str | Path | Peer],
    bpps: Sequence[float] = BPPS,
    count: int = 3,
    peers: Sequence[Peer] | None = None,
) -> bytes:
    """A PNG with crops of at most `count` of a folder's lossless pictures: original, models, JPEG, WebP, AVIF 4:4:4.

    Each codec works at the highest quality that takes at most so many bits per pixel; below its crop stand bytes, PSNR
    and MS-SSIM of the whole picture. A codec that is not available here is left out.

    Raises UnsupportedInput when the folder holds no such picture, InvalidArgument for rates that are not positive.
    """
    if not bpps or any(not bpp > 0 for bpp in bpps):
        raise InvalidArgument(f"rates are positive numbers of bits per pixel, not {list(bpps)}")
    paths, _ = find_pictures(Path(folder))
    chosen = spread(paths, count) if count >= LEAST_COUNT else paths[:1]
    tested = [model if isinstance(model, Peer) else aez_peer(model) for model in models]
    others = [p for p in (standard_peers() if peers is None else peers) if p.available()]
    codecs = sheet_codecs([*tested, *others], [c.name for c in tested])
    return contact_sheet_png([(path.name, load_picture(path)) for path in chosen], codecs, bpps)

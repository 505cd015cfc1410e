"""Bodies of requests unpacked as they come, and held to be damaged where their end is missing."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

__all__ = ["Unpacker", "unpacker"]

_PIECE = 1 << 18  # bytes that are unpacked at a time, whatever a packed byte holds
_GZIP, _ZLIB, _RAW = 31, 15, -15  # `wbits`
#: The method of compression in the first byte of a zlib stream; browsers and others send deflate without it.
_DEFLATED = 8


class Unpacker:
    """Gives back what it gets, for bodies that are not packed."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What these bytes unpack to. Raises ValueError where they are damaged."""
        yield data

    def end(self) -> None:
        """Nothing more comes. Raises ValueError where more should."""


class _Zlib(Unpacker):
    def __init__(self, wbits: int | None) -> None:
        self._wbits = wbits  # None until the first byte tells
        self._unpack = zlib.decompressobj(wbits) if wbits is not None else None
        self._begun = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self._unpack is None or self._unpack.eof:  # gzip may hold several members
                    if self._unpack is not None and self._wbits != _GZIP:
                        raise ValueError("something follows on its end")
                    if self._unpack is not None and not data.strip(b"\0"):
                        return  # zeros that fill a block up
                    if self._wbits is None:
                        self._wbits = _ZLIB if data[0] & 0x0F == _DEFLATED else _RAW
                    self._unpack = zlib.decompressobj(self._wbits)
                self._begun = True
                piece = self._unpack.decompress(data, _PIECE)
                data = self._unpack.unconsumed_tail or self._unpack.unused_data
                if piece:
                    yield piece
        except zlib.error as error:
            raise ValueError("it is damaged, or not packed as Content-Encoding says") from error

    def end(self) -> None:
        if self._begun and self._unpack is not None and not self._unpack.eof:
            raise ValueError("it is cut short")


def unpacker(encoding: str) -> Unpacker | None:
    """For a Content-Encoding; None where it is not known."""
    match encoding.strip().lower():
        case "" | "identity":
            return Unpacker()
        case "gzip" | "x-gzip":
            return _Zlib(_GZIP)
        case "deflate":
            return _Zlib(None)
    return None

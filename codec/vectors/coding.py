"""Codes of items as bytes: each dimension rounded to a step of its own, and coded with the codec's integer tables.

A bundle holds for 1 to 8 bits a number: `code_steps` float32 [bits, dimensions], `code_tables` uint8 of that shape, the
numbers of the tables, and the tables as `code_weights` and `code_starts` (table 0 is never used). A step of 0 leaves a
dimension at its mean. What decodes, decodes to the same symbols everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.entropy.tables import SYMBOL_LIMIT, Tables
from aez.codec.entropy.tile import PhaseSymbols, SymbolDecoder, encode_symbols
from aez.codec.errors import InvalidArgument, ModelError

__all__ = ["BITS_MAX", "MEMBERS", "CodeCoder"]

Float = NDArray[np.float32]
BITS_MAX = 8
#: What a bundle holds for this, all of it needed for decoding.
MEMBERS = ("code_mean", "code_starts", "code_steps", "code_tables", "code_weights")


@dataclass(frozen=True, eq=False)
class CodeCoder:
    """Codes [n, dimensions] to bytes and back, at so many bits a number on average."""

    mean: Float
    step: Float
    table: NDArray[np.uint8]
    tables: Tables

    @classmethod
    def of(cls, bundle: Bundle, dimensions: int, bits: int) -> CodeCoder:
        """The coder of a bundle. Raises InvalidArgument for bits outside 1..8, ModelError for a bundle without."""
        if not 1 <= bits <= BITS_MAX:
            raise InvalidArgument(f"{bits} bits a number are outside 1..{BITS_MAX}")
        mean, steps, numbers = (bundle.array(name) for name in ("code_mean", "code_steps", "code_tables"))
        shape = (BITS_MAX, dimensions)
        if mean.dtype != np.float32 or steps.dtype != np.float32 or mean.shape != shape[1:] or steps.shape != shape:
            raise _unfit(bundle, f"steps {steps.dtype} {list(steps.shape)}")
        if numbers.dtype != np.uint8 or numbers.shape != shape or not (np.isfinite(steps).all() and (steps >= 0).all()):
            raise _unfit(bundle, f"numbers of tables {numbers.dtype} {list(numbers.shape)}")
        tables = Tables(bundle.array("code_weights"), bundle.array("code_starts"))
        if int(numbers.max()) >= len(tables) or ((numbers == 0) != (steps == 0)).any():
            raise _unfit(bundle, "numbers of tables that are not there")
        return cls(mean, steps[bits - 1], numbers[bits - 1], tables)

    def encode(self, codes: Float) -> bytes:
        """Bytes of codes float32 [n, dimensions]. Raises InvalidArgument for codes that are too far from usual ones."""
        return encode_symbols(PhaseSymbols(self._symbols(codes), self._index(len(codes))), self.tables)

    def decode(self, data: bytes, count: int) -> Float:
        """The codes of `count` items, each number to half a step. Raises CorruptFile."""
        decoder = SymbolDecoder(data)
        symbols = decoder.take(self.tables, self._index(count))
        decoder.finish()
        codes: Float = self.mean + symbols[:, 0].astype(np.float32) * self.step
        return codes

    def _symbols(self, codes: Float) -> NDArray[np.int32]:
        used = self.step > 0
        scaled = np.where(used, (codes - self.mean) / np.where(used, self.step, 1), 0)
        if scaled.size and float(np.abs(scaled).max()) >= SYMBOL_LIMIT - 1:
            raise InvalidArgument("the code of an item is too far from usual ones to be coded with so small steps")
        symbols: NDArray[np.int32] = np.rint(scaled).astype(np.int32)[:, None]
        return symbols

    def _index(self, count: int) -> NDArray[np.uint8]:
        return np.ascontiguousarray(np.broadcast_to(self.table, (count, 1, self.table.size)))


def _unfit(bundle: Bundle, what: Any) -> ModelError:
    return ModelError(f"model {bundle.name} has {what}, which do not go with its code")

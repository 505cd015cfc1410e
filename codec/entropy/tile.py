"""Entropy coding of one tile: integer symbols and integer tables to bytes and back, without loss.

Guarantees: what decodes, decodes to exactly the symbols that were encoded, on any machine; anything else ends in
`CorruptFile`. Probabilities are integers with 24 bits, so no floating-point number decides about a symbol. The coder
is ANS with 32-bit words and a 64-bit state (`constriction`); `FORMAT.md` states it in integers.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from aez.codec.entropy.hyper_context import PHASES, table_indices
from aez.codec.entropy.tables import PRECISION, SYMBOL_LIMIT, Int32, Tables, TileTables
from aez.codec.errors import CorruptFile, InvalidArgument, ModelError

_CHECKSUM_BYTES = 4
_ESCAPE_BYTES_MAX = 3  # an escape is below 2 * SYMBOL_LIMIT = 2^21: three groups of seven bits


@dataclass(frozen=True)
class _SymbolOrder:
    """The coding order of one phase's symbols: by ascending index of their tables, then by position.

    `positions` int64 [n] points into the flattened array; `bounds` int64 [groups + 1] delimits index g in it.
    """

    positions: NDArray[np.int64]
    bounds: NDArray[np.int64]

    @classmethod
    def of(cls, index: NDArray[np.uint8], tables: int) -> _SymbolOrder:
        if index.dtype != np.uint8 or index.ndim != 3:
            raise InvalidArgument(f"indices of tables must be uint8 [C, H, W], not {index.dtype} {index.shape}")
        flat = index.reshape(-1)
        coded = np.flatnonzero(flat != 0)  # much faster than over integers
        chosen = flat[coded]
        counts = np.bincount(chosen, minlength=tables)
        if counts.size > tables:
            raise ModelError(f"the scale graph gives index {counts.size - 1}, and the model has {tables} tables")
        order = np.argsort(chosen, kind="stable")  # a radix sort for 8-bit keys
        return cls(coded[order], np.concatenate(([0], np.cumsum(counts))))

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """One value for each table -> one for each symbol, [n]."""
        return np.repeat(values, np.diff(self.bounds))

    def groups(self) -> Iterator[tuple[int, int, int]]:
        """(index, first, end) of every group that has symbols, ascending."""
        for index in np.flatnonzero(np.diff(self.bounds)).tolist():
            yield index, int(self.bounds[index]), int(self.bounds[index + 1])


@dataclass(frozen=True)
class PhaseSymbols:
    """The residuals of one phase of a tile, int32 of any shape [C, h, w], and the scale index of each, uint8.

    Values are below 2^20 in absolute value, and 0 wherever the index is 0.
    """

    residual: Int32
    index: NDArray[np.uint8]


@dataclass(frozen=True)
class _Part:
    """Symbols that are coded one after the other: values int32 [n] in the order's order, and their tables."""

    order: _SymbolOrder
    values: Int32
    tables: Tables

    @classmethod
    def of(cls, symbols: Int32, index: NDArray[np.uint8], tables: Tables) -> _Part:
        order = _SymbolOrder.of(index, len(tables))
        return cls(order, symbols.reshape(-1)[order.positions], tables)


def encode_tile(z: Int32, phases: Sequence[PhaseSymbols], level: int, tables: TileTables) -> bytes:
    """Payload of one tile: z int32 [Cz, h, w], below 2^20 in absolute value, and its phases. Raises InvalidArgument."""
    return _encode(_parts(z, phases, level, tables))


def encode_symbols(symbols: PhaseSymbols, tables: Tables) -> bytes:
    """Payload of symbols without a tile around them, for `SymbolDecoder`. Raises InvalidArgument."""
    return _encode([_residual_part(symbols, tables)])


def _encode(parts: Sequence[_Part]) -> bytes:
    coded = [_to_symbols(part.values, part.order.spread(part.tables.reach)) for part in parts]
    coder = constriction.stream.stack.AnsCoder()
    # The coder is a stack: what is encoded last is decoded first.
    for part, (symbols, _) in zip(reversed(parts), reversed(coded), strict=True):
        for group, first, end in reversed(list(part.order.groups())):
            coder.encode_reverse(symbols[first:end], part.tables.model(group))

    escape_bytes = _pack_varints(np.concatenate([escapes for _, escapes in coded]))
    checksum = 0
    for part in parts:
        checksum = _checksum(part.values, checksum)
    words: bytes = coder.get_compressed().astype("<u4").tobytes()
    head = checksum.to_bytes(_CHECKSUM_BYTES, "little")
    return head + _pack_varints(np.array([len(escape_bytes)])) + escape_bytes + words


def ideal_bits(z: Int32, phases: Sequence[PhaseSymbols], level: int, tables: TileTables) -> float:
    """Bits that the tables assign to one tile's symbols: the sum of -log2 p, and 8 for each byte of an escape."""
    bits = 0.0
    for part in _parts(z, phases, level, tables):
        symbols, escapes = _to_symbols(part.values, part.order.spread(part.tables.reach))
        weights = part.tables.weights[part.order.spread(part.tables.starts[:-1]) + symbols]
        bits += PRECISION * part.values.size - float(np.log2(weights).sum()) + 8 * len(_pack_varints(escapes))
    return bits


def symbol_bytes(payload: bytes) -> int:
    """Bytes of a tile's payload that carry symbols: the words and the escapes."""
    _, start = _read_varint(payload, _CHECKSUM_BYTES)
    return len(payload) - start


class SymbolDecoder:
    """The symbols of a payload in the order of their coding: `take` as often as there are parts, then `finish`.

    A damaged payload raises CorruptFile at the latest in `finish`; values before that are not to be trusted.
    """

    def __init__(self, payload: bytes) -> None:
        if len(payload) <= _CHECKSUM_BYTES:
            raise CorruptFile(f"a tile's payload ends after {len(payload)} bytes", "tile")
        self._expected = int.from_bytes(payload[:_CHECKSUM_BYTES], "little")
        self._checksum = 0
        size, start = _read_varint(payload, _CHECKSUM_BYTES)
        end = start + size
        if end > len(payload) or (len(payload) - end) % 4:
            raise CorruptFile(
                f"a tile's {len(payload)} bytes do not hold {size} bytes of escapes and whole words", "tile"
            )
        self._escapes = _unpack_varints(payload[start:end])
        self._escapes_used = 0
        words = np.frombuffer(payload, "<u4", offset=end).astype(np.uint32)
        if words.size and words[-1] == 0:
            raise CorruptFile("a tile's coded words end in a zero", "tile")
        self._coder = constriction.stream.stack.AnsCoder(words)

    def finish(self) -> None:
        """Check that everything was decoded, and decoded rightly. Raises CorruptFile."""
        if self._checksum != self._expected:
            raise CorruptFile(
                f"a tile's symbols have the checksum {self._checksum:08x}, not {self._expected:08x}: "
                "the file is damaged or belongs to another model",
                "tile",
            )
        if not self._coder.is_empty() or self._escapes_used != self._escapes.size:
            raise CorruptFile("a tile holds more data than its symbols use", "tile")

    def take(self, tables: Tables, index: NDArray[np.uint8]) -> Int32:
        """The next symbols, with the tables of `index` [C, H, W]: int32, 0 where it is 0. Raises CorruptFile."""
        order = _SymbolOrder.of(index, len(tables))
        values = np.empty(order.positions.size, np.int32)
        for group, first, end in order.groups():
            values[first:end] = self._coder.decode(tables.model(group), end - first)
        reach = order.spread(tables.reach)
        values -= reach
        escaped = np.flatnonzero(values > reach)
        if escaped.size:
            values[escaped] = self._next_escapes(escaped.size, reach[escaped])
        self._checksum = _checksum(values, self._checksum)
        symbols = np.zeros(index.shape, np.int32)
        symbols.reshape(-1)[order.positions] = values
        return symbols

    def _next_escapes(self, count: int, reach: Int32) -> Int32:
        end = self._escapes_used + count
        coded = self._escapes[self._escapes_used : end]
        if coded.size < count:
            raise CorruptFile(f"a tile needs more than its {self._escapes.size} escapes", "tile")
        self._escapes_used = end
        magnitude = (coded >> 1) + (reach + 1)
        if int(magnitude.max()) >= SYMBOL_LIMIT:
            raise CorruptFile(f"a tile's escape stands for {magnitude.max()}, the limit is {SYMBOL_LIMIT - 1}", "tile")
        return np.where(coded & 1, -magnitude, magnitude).astype(np.int32)


class TileDecoder(SymbolDecoder):
    """One tile's symbols, in the order that the networks need them: `hyper`, `residual` per phase, then `finish`."""

    def __init__(self, payload: bytes, tables: TileTables, level: int) -> None:
        self._tables = tables
        self._numbers = tables.hyper_numbers(level)
        super().__init__(payload)

    def hyper(self, shape: tuple[int, int, int]) -> Int32:
        """Hyper-latents, int32 of `shape` [Cz, h, w]. Raises CorruptFile; InvalidArgument for another Cz."""
        channels = self._tables.hyper_channels
        if shape[0] != channels or min(shape) < 1:
            raise InvalidArgument(f"the hyper-latents have {channels} channels, not the shape {shape}")
        z = np.zeros(shape, np.int32)
        for phase in range(PHASES):
            z += self.take(self._tables.hyper, table_indices(z, phase, self._numbers))
        return z

    def residual(self, index: NDArray[np.uint8]) -> Int32:
        """Residuals of the next phase, int32, for scale indices uint8 [C, h, w]. Raises CorruptFile."""
        return self.take(self._tables.residual, index)


def _parts(z: Int32, phases: Sequence[PhaseSymbols], level: int, tables: TileTables) -> list[_Part]:
    """A tile's symbols in the order of coding. Raises InvalidArgument for those that cannot be coded."""
    if z.dtype != np.int32 or z.ndim != 3 or z.shape[0] != tables.hyper_channels or z.size == 0:
        raise InvalidArgument(f"z must be int32 [{tables.hyper_channels}, h, w], not {z.dtype} {z.shape}")
    _check_range(z)
    numbers = tables.hyper_numbers(level)
    parts = [_Part.of(z, table_indices(z, phase, numbers), tables.hyper) for phase in range(PHASES)]
    return parts + [_residual_part(phase, tables.residual) for phase in phases]


def _residual_part(phase: PhaseSymbols, tables: Tables) -> _Part:
    """Raises InvalidArgument for residuals that cannot be coded."""
    residual, shape = phase.residual, phase.index.shape
    if residual.dtype != np.int32 or residual.shape != shape:
        raise InvalidArgument(f"residuals must be int32 {list(shape)}, not {residual.dtype} {residual.shape}")
    part = _Part.of(residual, phase.index, tables)
    if np.count_nonzero(part.values) != np.count_nonzero(residual):
        raise InvalidArgument("a residual is not zero where its scale index is 0, so it cannot be coded")
    _check_range(part.values)
    return part


def _check_range(values: Int32) -> None:
    if values.size and max(-int(values.min()), int(values.max())) >= SYMBOL_LIMIT:
        raise InvalidArgument(f"symbols must be below {SYMBOL_LIMIT}, not {values.min()}..{values.max()}")


def _to_symbols(values: Int32, reach: Int32) -> tuple[Int32, NDArray[np.int64]]:
    """Table entries of values, and the escapes' numbers in order: twice the excess over the table, plus 1 if < 0."""
    magnitude = np.abs(values)
    escaped = magnitude > reach
    symbols = np.where(escaped, 2 * reach + 1, values + reach).astype(np.int32)
    excess = (magnitude - reach - 1)[escaped].astype(np.int64)
    return symbols, 2 * excess + (values[escaped] < 0)


def _checksum(values: Int32, start: int = 0) -> int:
    """CRC-32 of values as little-endian int32, continuing `start`."""
    return zlib.crc32(np.ascontiguousarray(values, "<i4").data, start)


def _pack_varints(numbers: NDArray[np.int64]) -> bytes:
    """LEB128 of non-negative numbers below 2^35, back to back."""
    groups = np.arange(5)
    parts = numbers[:, None] >> (7 * groups)
    used = (parts > 0) | (groups == 0)
    more = np.concatenate((used[:, 1:], np.zeros((numbers.size, 1), bool)), axis=1)
    octets = (parts & 0x7F) | (more << 7)
    packed: bytes = octets[used].astype(np.uint8).tobytes()
    return packed


def _unpack_varints(data: bytes) -> NDArray[np.int64]:
    """Numbers below 2^21 from canonical LEB128. Raises CorruptFile."""
    octets = np.frombuffer(data, np.uint8).astype(np.int64)
    last = np.flatnonzero(octets < 0x80)
    lengths = np.diff(last, prepend=-1)
    whole = last[-1] + 1 if last.size else 0
    padded = (octets[last] == 0) & (lengths > 1)
    if whole != octets.size or bool((lengths > _ESCAPE_BYTES_MAX).any()) or bool(padded.any()):
        raise CorruptFile("a tile's escapes are not numbers of one to three bytes", "tile")
    numbers = np.zeros(last.size, np.int64)
    for place in range(_ESCAPE_BYTES_MAX):
        has = lengths > place
        numbers[has] |= (octets[(last - lengths + 1 + place)[has]] & 0x7F) << (7 * place)
    return numbers


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    """(number, position after it) of a canonical LEB128 below 2^35 at `position`. Raises CorruptFile."""
    number = 0
    for place, octet in enumerate(data[position : position + 5]):
        number |= (octet & 0x7F) << (7 * place)
        if octet < 0x80 and (octet or not place):
            return number, position + place + 1
        if octet < 0x80:
            break
    raise CorruptFile("the length of a tile's escapes is not a number of one to five bytes", "tile")

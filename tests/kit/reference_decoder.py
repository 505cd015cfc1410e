"""A second decoder, written from FORMAT.md alone: Python integers, no code of aez, no NumPy, no constriction."""

from __future__ import annotations

import itertools
import struct
import zlib
from typing import Any

MODES = ("L", "LA", "RGB", "RGBA")


class Damaged(Exception):
    """The bytes contradict the format."""


def demand(condition: bool, what: str) -> None:
    if not condition:
        raise Damaged(what)


def number(data: bytes, at: int) -> tuple[int, int]:
    """(LEB128 number, position behind it)."""
    value = shift = 0
    while True:
        demand(at < len(data), "number")
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def parse(data: bytes) -> dict[str, Any]:
    """Header fields, `chunks` [(type, payload)] and `tiles` [content] of a whole file."""
    demand(data[:8] == b"\x89AEZ\r\n\x1a\x02", "signature")
    chunks, index, at = [], b"", 8
    while True:
        start, letter = at, data[at : at + 1]
        size, at = number(data, at + 1)
        payload = data[at : at + size]
        at += size + 4
        demand(at <= len(data), "length")
        demand(zlib.crc32(data[start : at - 4]) == int.from_bytes(data[at - 4 : at], "little"), "checksum")
        chunks.append((letter.decode(), payload))
        if letter == b"E":
            break
        if letter != b"H":
            length, octets = at - start, b""
            while length > 127:
                octets, length = octets + bytes([length & 127 | 128]), length >> 7
            index += letter + octets + bytes([length])
    demand(payload == index, "index")
    demand(data[at:] == (len(data) - start).to_bytes(4, "little") + b"AEZ\x1a", "end mark")
    return {**header(chunks[0][1]), "chunks": chunks, "tiles": tiles(chunks)}


def header(payload: bytes) -> dict[str, Any]:
    demand(payload[0] & 15 == 0, "kind")
    follows = payload[1]
    demand(follows < 128, "fields")
    width, at = number(payload, 2)
    height, at = number(payload, at)
    tile, end = number(payload, at + 10)
    bits, cicp, value_range, resolution = 8, None, None, None
    if follows & 8:
        bits, end = payload[end], end + 1
    if follows & 16:
        cicp, end = tuple(payload[end : end + 3]), end + 3
    if follows & 32:
        value_range, end = struct.unpack("<2f", payload[end : end + 8]), end + 8
    if follows & 64:
        across, end = number(payload, end)
        down, end = number(payload, end)
        resolution = across, down
    demand(end == len(payload), "header")
    return {
        "width": width,
        "height": height,
        "mode": MODES[payload[0] >> 4],
        "level": int.from_bytes(payload[at : at + 2], "little"),
        "model_id": payload[at + 2 : at + 10],
        "tile": 16 * tile,
        "orientation": follows % 8 + 1,
        "bits": bits,
        "cicp": cicp,
        "value_range": value_range,
        "resolution": resolution,
    }


def tiles(chunks: list[tuple[str, bytes]]) -> list[bytes]:
    contents = []
    for letter, payload in chunks:
        if letter == "T":
            which, at = number(payload, 0)
            demand(which == len(contents), "tile number")
            contents.append(payload[at:])
    return contents


def hyper_phase(row: int, column: int) -> int:
    """0, 1 or 2: when a position of z is coded."""
    return {(0, 0): 0, (1, 1): 1}.get((row % 2, column % 2), 2)


def hyper_context(plane: list[list[int]], row: int, column: int) -> int:
    """0..7, for one position of a channel [row][column] of z, in which the phases before are known."""
    phase = hyper_phase(row, column)
    if phase == 0:
        return 0
    near = [
        plane[i][j]
        for i in range(max(row - 1, 0), min(row + 2, len(plane)))
        for j in range(max(column - 1, 0), min(column + 2, len(plane[0])))
        if abs(i - row) + abs(j - column) == (2 if phase == 1 else 1)
    ]
    s, n = sum(near), len(near)
    return min(max((4 * s + n) // (2 * n), -3), 3) + 4


class Tile:
    """The symbols of one tile, one at a time."""

    def __init__(self, content: bytes) -> None:
        self.checksum = int.from_bytes(content[:4], "little")
        size, at = number(content, 4)
        self.escapes, self.escape_at = content[at : at + size], 0
        self.words = [int.from_bytes(content[i : i + 4], "little") for i in range(at + size, len(content), 4)]
        self.state = 0
        self.coded = b""
        for _ in range(2):
            self.state = self.state << 32 | (self.words.pop() if self.words else 0)

    def symbol(self, weights: list[int]) -> int:
        """The next symbol, which was coded with a table of integer weights."""
        quantile, entry, left = self.state & 0xFFFFFF, 0, 0
        while quantile >= left + weights[entry]:
            left += weights[entry]
            entry += 1
        self.state = (self.state >> 24) * weights[entry] + quantile - left
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()
        reach = len(weights) // 2 - 1
        value = entry - reach
        if value > reach:
            escape, self.escape_at = number(self.escapes, self.escape_at)
            value = (reach + 1 + escape // 2) * (-1 if escape & 1 else 1)
        self.coded += value.to_bytes(4, "little", signed=True)
        return value

    def hyper(
        self, tables: list[list[int]], numbers: list[list[list[int]]], level: int, height: int, width: int
    ) -> list[list[list[int]]]:
        """z as [channel][row][column]; `numbers` [knot][context][channel] name the tables."""
        chosen = numbers[(level + 128) // 256]
        channels = range(len(chosen[0]))
        z = [[[0] * width for _ in range(height)] for _ in channels]
        places = list(itertools.product(channels, range(height), range(width)))
        for phase in range(3):
            now = [place for place in places if hyper_phase(*place[1:]) == phase]
            order = sorted((chosen[hyper_context(z[c], row, column)][c], c, row, column) for c, row, column in now)
            for table, channel, row, column in order:
                z[channel][row][column] = self.symbol(tables[table])
        return z

    def residual(self, tables: list[list[int]], indices: list[int]) -> list[int]:
        """One residual for each of the flattened scale indices."""
        values = [0] * len(indices)
        for index in range(1, len(tables)):
            for position, chosen in enumerate(indices):
                if chosen == index:
                    values[position] = self.symbol(tables[index])
        return values

    def finish(self) -> None:
        demand(zlib.crc32(self.coded) == self.checksum, "symbols")
        demand(self.state == 0 and not self.words and self.escape_at == len(self.escapes), "surplus")

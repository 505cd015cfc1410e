"""Numbers in the bytes: LEB128, and fields read one after another."""

from __future__ import annotations


def write_varint(number: int) -> bytes:
    """LEB128 of a non-negative number."""
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


class Fields:
    """Reads numbers from a payload that passed its checksum; what does not fit is a ValueError."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, count: int) -> bytes:
        taken = self.data[self.position : self.position + count]
        if len(taken) < count:
            raise ValueError("a field is cut off")
        self.position += count
        return taken

    def varint(self) -> int:
        """A canonical LEB128 number below 2^63."""
        number = 0
        for place in range(9):
            (octet,) = self.take(1)
            number |= (octet & 0x7F) << (7 * place)
            if octet < 0x80:
                if place and not octet:
                    break
                return number
        raise ValueError("a number is too long")

    @property
    def rest(self) -> int:
        """Count of bytes that are left."""
        return len(self.data) - self.position

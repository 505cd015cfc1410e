"""What of a picture's metadata is left out: the words of `--strip`, and positions in XMP."""

from __future__ import annotations

import re
from collections.abc import Iterable

from aez.codec.errors import InvalidArgument

__all__ = ["ALL", "WORDS", "parse_strip", "xmp_without_gps"]

ALL = "all"
#: `dpi` is the resolution; `icc` is whatever says what the colours are, which become sRGB.
WORDS = ("gps", "exif", "xmp", "icc", "dpi")
_GPS_ATTRIBUTE = re.compile(rb"""\s+[\w.-]+:GPS\w*\s*=\s*("[^"]*"|'[^']*')""")
_GPS_ELEMENT = re.compile(rb"<([\w.-]+:GPS\w*)\b[^<>]*?(?:/>|>.*?</\1\s*>)", re.DOTALL)


def parse_strip(words: Iterable[str] | str) -> frozenset[str]:
    """The words of lists such as `gps,exif`; `all` stands for all of them. Raises InvalidArgument for another word."""
    given = [words] if isinstance(words, str) else list(words)
    found = {word.strip().lower() for part in given for word in str(part).split(",")}
    unknown = sorted(found - {*WORDS, ALL})
    if unknown:
        raise InvalidArgument(f"{unknown[0]!r} cannot be stripped; what can is {', '.join(WORDS)} and {ALL}")
    return frozenset(WORDS) if ALL in found else frozenset(found)


def xmp_without_gps(packet: bytes) -> bytes | None:
    """The packet without its positions; None where some are left, or it is not UTF-8, so that nobody can tell."""
    cleaned = _GPS_ATTRIBUTE.sub(b"", _GPS_ELEMENT.sub(b"", packet))
    try:
        cleaned.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if b":GPS" in cleaned else cleaned

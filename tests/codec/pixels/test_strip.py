"""Words of what is left out, and positions in XMP."""

from __future__ import annotations

import pytest

from aez.codec.errors import InvalidArgument
from aez.codec.pixels.strip import WORDS, parse_strip, xmp_without_gps

XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/"
 exif:GPSLatitude="48,8.55N" exif:GPSLongitude='11,34E' tiff:Make="m"><exif:GPSAltitude>5/1</exif:GPSAltitude>
<exif:GPSMapDatum/><dc:title>t</dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"""


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), set()),
        ("gps", {"gps"}),
        ("gps, EXIF", {"gps", "exif"}),
        (["gps,xmp", "icc"], {"gps", "xmp", "icc"}),
        ("all", set(WORDS)),
        (["exif", "all"], set(WORDS)),
    ],
)
def test_words(words: str | list[str], found: set[str]) -> None:
    assert parse_strip(words) == found


@pytest.mark.parametrize("words", ["gsp", "exif,", "", "exif;gps"])
def test_unknown_words_are_refused_with_those_that_there_are(words: str) -> None:
    with pytest.raises(InvalidArgument, match="gps, exif, xmp, icc, dpi and all"):
        parse_strip(words)


def test_positions_in_xmp() -> None:
    cleaned = xmp_without_gps(XMP)
    assert cleaned is not None
    assert b"GPS" not in cleaned
    for kept in (b'tiff:Make="m"', b"<dc:title>t</dc:title>", b"</x:xmpmeta>"):
        assert kept in cleaned
    assert xmp_without_gps(b"<a/>") == b"<a/>"
    assert xmp_without_gps(b"<exif:GPSLatitude>48 with no end") is None
    assert xmp_without_gps(b"\xff\xfe<\0a\0") is None

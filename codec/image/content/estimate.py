"""Whether exact samples can be the cheapest of a photograph's tile, told by a few of its places."""

from __future__ import annotations

from aez.codec.exact.samples import encode_samples, quantize
from aez.codec.image.content.weights import squared, steps_at, weight_at
from aez.codec.image.tiles import Pixels

__all__ = ["exact_may_win"]

#: Places that are looked at along either side, and their own sides in pixels.
_PLACES, _SIDE = 2, 64
#: A small place takes more bytes than its share of a whole tile.
_OVER = 0.8
#: Bytes that a place has beside its pixels.
_HEAD = 40
#: Of the model: worth of its errors as a share of its bits, at most so many bits per pixel, and what is spare.
_ERROR_SHARE, _ERROR_MAX, _SPARE = 1.0, 1.2, 0.02


def exact_may_win(samples: Pixels, bits: int, level: int, learned: float) -> bool:
    """Whether exact samples are worth trying where the model takes `learned` bits per pixel.

    A trained model stands where a bit more buys errors worth one bit, so that its errors are worth about its bits.
    """
    bound = learned + min(_ERROR_SHARE * learned, _ERROR_MAX) + _SPARE
    places = _places(samples)
    pixels = sum(place.shape[0] * place.shape[1] for place in places)
    for step in steps_at(level, flat=False):
        scaled = 1 if step == 1 else step << (bits - 8)
        octets = error = 0.0
        for place in places:
            octets += max(0, len(encode_samples(place, bits, scaled, quick=True)) - _HEAD)
            error += squared(place, quantize(place, scaled, bits), bits) / len(places)
        if _OVER * 8 * octets / pixels + weight_at(level) * error < bound:
            return True
    return False


def _places(samples: Pixels) -> list[Pixels]:
    """Squares spread over the samples, or fewer where these are small."""
    height, width = samples.shape[:2]
    tops, lefts = (
        {round((2 * n + 1) * (max(0, size - _SIDE)) / (2 * _PLACES)) for n in range(_PLACES)}
        for size in (height, width)
    )
    return [samples[top : top + _SIDE, left : left + _SIDE] for top in sorted(tops) for left in sorted(lefts)]

"""ColorVideoVDP of still pictures in torch, to train on.

The measure is that of Mantiuk, Hanji, Ashraf, Asano and Chapiro, "ColorVideoVDP: A visual difference predictor for
image, video and display distortions" (ACM Transactions on Graphics 43, 2024; version 0.5.7 of their package `cvvdp`,
MIT licence), without time: contrast in a pyramid of cone-opponent colours, weighted by how well people see it and by
what masks it, pooled to JOD, "just objectionable differences". The screen is the one called `standard_fhd` there: 24
inches, 1920 x 1080 pixels, 200 cd/m2 in an office, seen from 0.6 m.

Where one of a picture's sides becomes odd on another step of the pyramid than the other, the package goes wrong at an
edge, and figures differ by some hundredths; elsewhere they are equal to 0.003.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from aez.export.distortions.ssimulacra2 import linear

#: Linear RGB (Rec. 709) -> XYZ -> cones (CIE 2006) -> opponent colours: luminance, red-green, violet-yellow.
RGB_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.072175), (0.0193339, 0.119192, 0.9503041))
XYZ_CONES = (
    (0.187596268556126, 0.585168649077728, -0.026384263306304),
    (-0.133397430663221, 0.405505777260049, 0.034502127690364),
    (0.000244379021663, -0.000542995890619, 0.019406849066323),
)
CONES_OPPONENT = ((1.0, 1.0, 0.0), (1.0, -2.311130179947035, 0.0), (-1.0, -1.0, 50.977571328718781))
#: The screen in cd/m2: white, black, and office light that it reflects (250 lux, 0.5 %).
WHITE, BLACK, REFLECTED = 200.0, 0.2, 0.39788735773
#: Cycles per degree of the pyramid's first bands; the last one, whatever its place, counts as 0.1.
LEAST_FREQUENCY, PIXELS_PER_DEGREE, SECOND_BAND = 0.2, 37.842503853602885, 0.3228
#: log10 of the luminances that sensitivities are stated at: the first, and the steps between them.
FIRST_LUMINANCE, LUMINANCE_STEP = -0.2684395, 0.2032600
#: log10 of the sensitivity to luminance [band, luminance], the last row that of what no band holds.
LUMINANCE = (
    (156, 344, 524, 697, 860, 1013, 1153, 1279, 1387, 1477, 1549, 1602, 1641, 1667),
    (1354, 1491, 1622, 1746, 1862, 1969, 2067, 2153, 2228, 2289, 2337, 2374, 2400, 2419),
    (1751, 1857, 1957, 2051, 2138, 2218, 2289, 2352, 2405, 2449, 2484, 2510, 2529, 2542),
    (1878, 1954, 2024, 2088, 2146, 2198, 2243, 2282, 2314, 2340, 2361, 2377, 2388, 2396),
    (1774, 1819, 1859, 1893, 1922, 1946, 1965, 1984, 2000, 2016, 2035, 2050, 2061, 2069),
    (1474, 1496, 1521, 1552, 1584, 1615, 1645, 1673, 1698, 1721, 1740, 1755, 1766, 1774),
    (1154, 1187, 1220, 1252, 1284, 1315, 1345, 1373, 1399, 1421, 1440, 1455, 1466, 1474),
    (874, 907, 939, 972, 1004, 1035, 1065, 1093, 1118, 1141, 1160, 1175, 1186, 1194),
)
#: The same of the two colour axes, each the sum of what the luminance and what the band gives.
COLOURS = (
    (
        (819, 917, 1013, 1107, 1199, 1287, 1370, 1446, 1512, 1568, 1612, 1645, 1668, 1685),
        (0, 479, 716, 865, 896, 843, 745, 628),
    ),
    (
        (240, 318, 396, 474, 550, 625, 697, 765, 828, 884, 932, 971, 1001, 1023),
        (0, 477, 717, 881, 925, 867, 751, 611),
    ),
)
SENSITIVITY_DECIBELS = -0.2797423303127289
CHANNEL_GAINS = (1.0, 1.45, 1.0)
#: Masking: exponents of differences and, by channel, of what masks them; log2 of how much channel i masks channel j.
DIFFERENCE_POWER, MASK_POWERS = 2.264355182647705, (1.302622675895691, 2.8885908126831055, 3.6807713508605957)
MASK_GAIN, LARGEST_DIFFERENCE = -0.7954971194267273, 2.5642454624176025  # log10
CROSS_MASKING = (
    (-0.18950104713439941, -5.962151050567627, -4.31834602355957),
    (2.5655593872070312, 0.34406712651252747, -2.719646453857422),
    (3.8118371963500977, -1.0051705837249756, -0.5193376541137695),
)
BLUR, BLUR_SIGMA, BLUR_LEAST_SIDE = 13, 3.0, 6
#: Pooling: norms over pixels and over bands and channels, weights of the last band, and the way to JOD.
BAND_NORM, LAST_BAND_WEIGHTS = 4.0, (0.0036334486212581396, 1.6627724170684814, 4.11874532699585)
PICTURE_FACTOR, JOD_FACTOR, JOD_POWER = 0.577918291091919, 0.0439569391310215, 0.9302042722702026
LINEAR_BELOW = 0.1
TINY = 1e-5
KERNEL = (0.05, 0.25, 0.4, 0.25, 0.05)


def colorvideovdp(decoded: Tensor, image: Tensor) -> Tensor:
    """JOD [B] of pictures [B, 3, H, W] in 0..1 beside their originals: 10 for equal ones, less the more people object.

    Sides are at least 16 pixels. What pictures hold beyond 0..1 the screen does not show.
    """
    test, reference = _pyramid(_opponent(decoded)), _pyramid(_opponent(image))
    pooled = [
        _band(shown, wanted, _sensitivity(luminance, place, last=place == len(test) - 1), place == len(test) - 1)
        for place, ((shown, _), (wanted, luminance)) in enumerate(zip(test, reference, strict=True))
    ]
    bands = torch.stack(pooled, dim=-1)
    last = bands.new_tensor(LAST_BAND_WEIGHTS)
    bands = torch.cat([bands[..., :-1], bands[..., -1:] * last[:, None]], dim=-1)
    return _jod(PICTURE_FACTOR * _norm(_norm(bands, BAND_NORM, -1), BAND_NORM, -1))


def _opponent(picture: Tensor) -> Tensor:
    """Opponent colours [B, 3, H, W] of the light that comes from the screen."""
    light = (WHITE - BLACK) * linear(picture.clamp(0, 1)) + BLACK + REFLECTED
    rows = [torch.tensor(rows, dtype=picture.dtype) for rows in (CONES_OPPONENT, XYZ_CONES, RGB_XYZ)]
    matrix = (rows[0] @ rows[1] @ rows[2]).to(picture.device)
    return functional.conv2d(light, matrix[:, :, None, None])


def _pyramid(colours: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Contrast [B, 3, h, w] of each band and the luminance [B, 1, h, w] that it is seen on, from fine to coarse."""
    bands, fine = [], colours
    for place in range(_steps(min(colours.shape[-2:]))):
        coarse = _reduced(fine)
        around = _expanded(coarse, fine.shape[-2:])
        luminance = around[:, :1].clamp_min(0.01)
        contrast = ((fine - around) / luminance).clamp_max(1000.0)
        bands.append((contrast * (1.0 if place == 0 else 2.0), luminance))
        fine = coarse
    mean = fine[:, :1].clamp_min(0.01).mean(dim=(-2, -1), keepdim=True)
    return [*bands, ((fine / mean).clamp_max(1000.0), mean)]


def _steps(side: int) -> int:
    """How often a pyramid halves pictures of such a shorter side."""
    least = next(n for n in range(20) if SECOND_BAND / 2**n * PIXELS_PER_DEGREE / 2 <= LEAST_FREQUENCY)
    return min(least + 2, side.bit_length() - 2)


def _reduced(picture: Tensor) -> Tensor:
    """Half of the size, with the edges mirrored."""
    for _ in range(2):
        padded = torch.cat([picture[..., :2].flip(-1), picture, picture[..., -2:].flip(-1)], dim=-1)
        end = 2 * ((picture.shape[-1] + 1) // 2)
        picture = torch.stack([padded[..., k : k + end : 2] * KERNEL[k] for k in range(5)]).sum(0).transpose(-1, -2)
    return picture


def _expanded(picture: Tensor, size: torch.Size) -> Tensor:
    """Twice the size, or one pixel less, with the edges repeated."""
    for wanted in (size[1], size[0]):
        padded = torch.cat([picture[..., :1], picture, picture[..., -1:]], dim=-1)
        before, here, after = padded[..., :-2], picture, padded[..., 2:]
        even = 2 * (KERNEL[0] * (before + after) + KERNEL[2] * here)
        odd = 2 * KERNEL[1] * (here + after)
        picture = torch.stack([even, odd], dim=-1).flatten(-2)[..., :wanted].transpose(-1, -2)
    return picture


@cache
def _tables() -> Tensor:
    """log10 of the sensitivity [band, channel, luminance]."""
    luminance = torch.tensor(LUMINANCE)[:, None]
    colours = [torch.tensor(curve)[None, None] + torch.tensor(bands)[:, None, None] for curve, bands in COLOURS]
    return torch.cat([luminance, *colours], dim=1) / 1000 + SENSITIVITY_DECIBELS / 20


def _sensitivity(luminance: Tensor, place: int, last: bool) -> Tensor:
    """[B, 3, h, w] on luminances [B, 1, h, w]: interpolated in the logarithm of both."""
    table = _tables()[-1 if last else place].to(luminance.device)
    where = ((luminance.log10() - FIRST_LUMINANCE) / LUMINANCE_STEP).clamp(0, table.shape[1] - 1)
    below = where.floor().long().clamp_max(table.shape[1] - 2)
    exponents = torch.lerp(table[:, below], table[:, below + 1], where - below)
    return torch.pow(10, exponents[:, :, 0].movedim(0, 1))


def _band(test: Tensor, reference: Tensor, sensitivity: Tensor, last: bool) -> Tensor:
    """Differences [B, 3] that people see in one band."""
    if last:
        return _norm(((test - reference).abs() * sensitivity).flatten(2), 2.0, -1, mean=True)
    gains = sensitivity * sensitivity.new_tensor(CHANNEL_GAINS)[:, None, None]
    test, reference = test * gains, reference * gains
    common = _blurred(torch.minimum(test.abs(), reference.abs())) * 10**MASK_GAIN
    powers = common.new_tensor(MASK_POWERS)[:, None, None]
    across = 2 ** common.new_tensor(CROSS_MASKING)
    masks = torch.einsum("bihw,ij->bjhw", _power(common, powers), across)
    differences = _power((test - reference).abs(), DIFFERENCE_POWER) / (1 + masks)
    largest = 10**LARGEST_DIFFERENCE
    return _norm((largest * differences / (largest + differences)).flatten(2), 2.0, -1, mean=True)


def _blurred(masks: Tensor) -> Tensor:
    """What masks a place is what lies around it; small bands are left as they are."""
    if min(masks.shape[-2:]) <= BLUR_LEAST_SIDE:
        return masks
    places = torch.arange(BLUR, dtype=masks.dtype, device=masks.device) - BLUR // 2
    window = torch.exp(-0.5 * (places / BLUR_SIGMA) ** 2)
    window = window / window.sum()
    padded = functional.pad(masks, [BLUR // 2] * 4, mode="reflect").flatten(0, 1)[:, None]
    rows = functional.conv2d(padded, window[None, None, :, None])
    return functional.conv2d(rows, window[None, None, None, :]).reshape(masks.shape)


def _power(values: Tensor, power: Tensor | float) -> Tensor:
    """values^power for values >= 0, with a finite slope at 0."""
    return torch.pow(values + TINY, power) - TINY**power


def _norm(values: Tensor, power: float, dim: int, mean: bool = False) -> Tensor:
    pooled = _power(values, power).mean(dim) if mean else _power(values, power).sum(dim)
    return _power(pooled, 1 / power)


def _jod(differences: Tensor) -> Tensor:
    slope = JOD_FACTOR * LINEAR_BELOW ** (JOD_POWER - 1)
    curved = JOD_FACTOR * differences.clamp_min(LINEAR_BELOW) ** JOD_POWER
    return 10 - torch.where(differences <= LINEAR_BELOW, slope * differences, curved)

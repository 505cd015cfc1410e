"""SSIMULACRA 2 in torch, to train on.

The measure is Jon Sneyers's (Cloudinary, 2022; version 2.1): structural similarity and two kinds of edge differences in
XYB over six scales, each as the mean and the 4-norm, weighted as people judged. Windows beyond the edges see what the
`ssimulacra2` package on PyPI shows them; roots, which have no finite slope at zero, are rounded off a little.

Pictures with a side below 225 pixels have fewer scales. The published program then gives each scale the weights of
others, as it counts on without the missing ones, and so does the package; here a scale keeps its weights, so that a
crop is judged as a part of a larger picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

SCALES, WINDOW, SIGMA = 6, 11, 1.5
#: Scales below this side are left out.
LEAST_SIDE = 8
C2 = 0.0009
#: From linear RGB to the cones' responses.
OPSIN = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.55180986650955360),
)
OPSIN_BIAS = 0.0037930732552754493
#: Below these the roots are rounded off: of the curve and of cones, and of 4-norms, whose sum has large weights.
SMOOTHING, NORM_SMOOTHING = 1e-16, 1e-24
#: The published weights that are not zero: (channel, scale, norm, kind) -> weight; channels are X, Y and B - Y, norms
#: the mean and the 4-norm, kinds similarity, artefacts and lost detail.
WEIGHTS: tuple[tuple[int, float], ...] = (
    (1, 0.0007376606707406586),
    (4, 0.0007793481682867309),
    (7, 0.0004371155730107379),
    (9, 1.1041726426657346),
    (10, 0.00066284834129271),
    (11, 0.00015231632783718752),
    (13, 0.0016406437456599754),
    (15, 1.8422455520539298),
    (16, 11.441172603757666),
    (18, 0.0007989109436015163),
    (19, 0.000176816438078653),
    (21, 1.8787594979546387),
    (22, 10.94906990605142),
    (24, 0.0007289346991508072),
    (25, 0.9677937080626833),
    (27, 0.00014003424285435884),
    (28, 0.9981766977854967),
    (29, 0.00031949755934435053),
    (30, 0.0004550992113792063),
    (33, 0.0013648766163243398),
    (39, 7.466890328078848),
    (41, 17.445833984131262),
    (42, 0.0006235601634041466),
    (45, 6.683678146179332),
    (46, 0.00037724407979611296),
    (47, 1.027889937768264),
    (48, 225.20515300849274),
    (51, 19.213238186143016),
    (52, 0.0011401524586618361),
    (53, 0.001237755635509985),
    (54, 176.39317598450694),
    (57, 24.43300999870476),
    (58, 0.28520802612117757),
    (59, 0.0004485436923833408),
    (63, 34.77906344483772),
    (64, 44.835625328877896),
    (73, 0.0008680556573291698),
    (79, 0.0005313191874358747),
    (81, 0.00016533814161379112),
    (87, 0.0004179171803251336),
    (88, 0.0017290828234722833),
    (90, 0.0020827005846636437),
    (93, 8.826982764996862),
    (94, 23.19243343998926),
    (96, 95.1080498811086),
    (97, 0.9863978034400682),
    (98, 0.9834382792465353),
    (99, 0.0012286405048278493),
    (100, 171.2667255897307),
    (101, 0.9807858872435379),
    (105, 0.0005130064588990679),
    (107, 0.00010854057858411537),
)


def ssimulacra2(decoded: Tensor, image: Tensor) -> Tensor:
    """Scores [B] of decoded pictures against their originals, [B, 3, H, W] sRGB in 0..1; 100 for equal ones.

    Sides are of at least 8 pixels.

    The published curve from the weighted sum to the score is steep where pictures are nearly equal; nothing is cut off
    below zero.
    """
    first, second = (linear(picture) for picture in (image, decoded.clamp(0, 1)))
    total: Tensor | None = None
    for scale in range(SCALES):
        if min(first.shape[2:]) < LEAST_SIDE:
            break
        for place, figure in _figures(_positive_xyb(first), _positive_xyb(second)):
            channel_weights = _weights(first.device)[scale, place]  # [3]
            if bool(channel_weights.any()):
                part = figure @ channel_weights
                total = part if total is None else total + part
        first, second = (functional.avg_pool2d(picture, 2, ceil_mode=True) for picture in (first, second))
    assert total is not None
    total = total * 0.9562382616834844
    curve = 2.326765642916932 * total - 0.020884521182843837 * total**2 + 6.248496625763138e-05 * total**3
    return 100 - 10 * (curve.clamp_min(0) + SMOOTHING) ** 0.6276336467831387


@cache
def _weights(device: torch.device) -> Tensor:
    """[scale, norm * 3 + kind, channel]: the published order runs over channels, scales, norms and kinds."""
    flat = torch.zeros(3 * SCALES * 6)
    for index, weight in WEIGHTS:
        flat[index] = weight
    return flat.reshape(3, SCALES, 6).permute(1, 2, 0).contiguous().to(device)


def _figures(first: Tensor, second: Tensor) -> Iterator[tuple[int, Tensor]]:
    """(norm * 3 + kind, [B, 3]) of one scale."""
    products = torch.cat((first, second, first * first, second * second, first * second), dim=1)
    mean_1, mean_2, square_1, square_2, product = _blur(products).chunk(5, dim=1)
    closeness = 1 - (mean_1 - mean_2) ** 2
    covariance = 2 * (product - mean_1 * mean_2) + C2
    variances = (square_1 - mean_1**2) + (square_2 - mean_2**2) + C2
    dissimilarity = (1 - closeness * covariance / variances).clamp_min(0)
    edges = (1 + (second - mean_2).abs()) / (1 + (first - mean_1).abs()) - 1
    for kind, error in enumerate((dissimilarity, edges.clamp_min(0), (-edges).clamp_min(0))):
        yield kind, error.mean(dim=(2, 3))
        yield 3 + kind, (error.square().square().mean(dim=(2, 3)) + NORM_SMOOTHING) ** 0.25 - NORM_SMOOTHING**0.25


def linear(picture: Tensor) -> Tensor:
    """Linear RGB of sRGB in 0..1."""
    return torch.where(picture <= 0.04045, picture / 12.92, ((picture.clamp_min(0.04) + 0.055) / 1.055) ** 2.4)


def _positive_xyb(rgb: Tensor) -> Tensor:
    cones = torch.einsum("oi,bihw->bohw", rgb.new_tensor(OPSIN), rgb) + OPSIN_BIAS
    long, middle, short = (cones.clamp_min(SMOOTHING) ** (1 / 3) - OPSIN_BIAS ** (1 / 3)).unbind(1)
    x, y = (long - middle) / 2, (long + middle) / 2
    return torch.stack((14 * x + 0.42, y + 0.01, short - y + 0.55), dim=1)


def _blur(planes: Tensor) -> Tensor:
    """Beyond the upper and lower edges lie the planes' mirror images, beyond the others zeros."""
    offsets = torch.arange(WINDOW, dtype=planes.dtype, device=planes.device) - WINDOW // 2
    kernel = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    kernel = kernel / kernel.sum()
    channels, reach = planes.shape[1], WINDOW // 2
    mirrored = torch.cat((planes[:, :, :reach].flip(2), planes, planes[:, :, -reach:].flip(2)), dim=2)
    rows = functional.conv2d(mirrored, kernel[:, None].repeat(channels, 1, 1, 1), groups=channels)
    return functional.conv2d(rows, kernel.repeat(channels, 1, 1, 1), padding=(0, reach), groups=channels)

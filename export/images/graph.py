"""The graph of a picture detector: a picture in levels 0..255 in; score, error map and reconstruction out.

Scaling, errors and the threshold are inside, so that whoever embeds it needs one call. A score of 1 is the threshold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aez.codec.detect.thresholds import percentile
from aez.codec.errors import InvalidArgument
from aez.export.common.scored_graph import whitening
from aez.export.families.base import Family
from aez.export.families.pictures.rows import pictures_of, rows_of
from aez.export.images.edges import Edges, cell_of

OUTPUTS = ("score", "error_map", "reconstruction")
Kind = Literal["edges", "spots", "reconstruction", "mahalanobis"]
KINDS: tuple[Kind, ...] = ("edges", "spots", "reconstruction", "mahalanobis")
#: Of the covariances of edges and latents, as in `whitening`.
EDGE_SHRINKAGE, LATENT_SHRINKAGE = 0.5, 0.05
#: This share of the mean normal error is added everywhere: where pictures never differ, they may a little.
FLOOR = 0.3
#: Widths of a picture's scale are no less than this, in levels of 0..1.
WIDTH_MIN = 0.02


@dataclass(frozen=True)
class PictureScaling:
    """Levels 0..1 become (level - centre) / width; `centre` has one number for each colour."""

    centre: tuple[float, ...]
    width: float


def fit_picture_scaling(planes: NDArray[np.uint8]) -> PictureScaling:
    """The mean level of each colour and the deviation of all, over pictures [n, colours, height, width]."""
    count = planes.shape[0] * planes.shape[2] * planes.shape[3]
    levels = np.arange(256) / 255
    counts = np.stack([np.bincount(planes[:, c].ravel(), minlength=256) for c in range(planes.shape[1])])
    centre = counts @ levels / count
    variance = float((counts * np.square(levels - centre[:, None])).sum() / counts.sum())
    return PictureScaling(tuple(float(value) for value in centre), max(variance**0.5, WIDTH_MIN))


class PictureScale(nn.Module):
    """Pictures in levels 0..255 to about unit variance, and back."""

    centre: Tensor

    def __init__(self, scaling: PictureScaling) -> None:
        super().__init__()
        self.width = scaling.width
        self.register_buffer("centre", torch.tensor(scaling.centre, dtype=torch.float32)[None, :, None, None])

    def forward(self, image: Tensor) -> Tensor:
        return (image.clamp(0, 255) / 255 - self.centre) / self.width

    def inverse(self, scaled: Tensor) -> Tensor:
        """Levels 0..255; nothing lies outside."""
        return ((scaled * self.width + self.centre) * 255).clamp(0, 255)


class PictureGraph(nn.Module):
    """From pictures to scores.

    image float32 [batch, colours, height, width] in 0..255 -> score [batch], error_map [batch, height, width],
    reconstruction [batch, colours, height, width] in 0..255.

    The parts that a score may have: `edges`, how far the picture's edges and colours lie from the normal ones' (see
    `Edges`); `spots`, the highest value of the error map; `reconstruction`, the mean error; `mahalanobis`, how far the
    network's code lies from the normal ones'. Each is divided by its own limit, and the score is the largest.

    The error map is the squared error of the reconstruction, averaged over a few pixels around, over what is normal at
    that place, over the limit of its highest value: with `spots`, no pixel of it exceeds the picture's score.

    `fit_normal`, then `calibrate`, then set `threshold`; before, all of this is 1.
    """

    normal: Tensor
    normal_around: Tensor
    latent_mean: Tensor
    latent_whitening: Tensor
    edge_mean: Tensor
    edge_whitening: Tensor
    part_scale: Tensor
    map_scale: Tensor
    threshold: Tensor

    def __init__(
        self, network: Family, colours: int, scaling: PictureScaling, kinds: tuple[Kind, ...] = ("edges", "spots")
    ) -> None:
        super().__init__()
        if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= set(KINDS):
            raise InvalidArgument(f"score {'+'.join(kinds)!r} is unknown; use one or several of {', '.join(KINDS)}")
        if len(network.members) > 1:
            raise InvalidArgument(f"family {network.family} is none for pictures")
        self.network, self.scaling, self.kinds = network, scaling, kinds
        self.scale = PictureScale(scaling)
        self.height, self.width, self.colours = network.window, network.channels // colours, colours
        self.edges = Edges(cell_of(self.height, self.width))
        around = 1 + 2 * max(1, max(self.height, self.width) // 32)
        self.smooth = nn.AvgPool2d(around, 1, around // 2, count_include_pad=False)
        example = torch.zeros(1, colours, self.height, self.width)
        features = self.edges(example).shape[1] if "edges" in kinds else 1
        latent = network.latent if "mahalanobis" in kinds else 1
        for name, size in (("edge", features), ("latent", latent)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_whitening", torch.eye(size))
        self.register_buffer("normal", torch.ones(self.height, self.width))
        self.register_buffer("normal_around", torch.ones(self.height, self.width))
        self.register_buffer("part_scale", torch.ones(len(kinds)))
        self.register_buffer("map_scale", torch.ones(()))
        self.register_buffer("threshold", torch.ones(()))

    @property
    def score_name(self) -> str:
        """As in the manifest: the kind, or the kinds with a plus between them."""
        return "+".join(self.kinds)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, code, reconstruction, error = self._errors(image)
        around = self._relative(error)
        parts = self._parts(x, code, error, around) / self.part_scale
        score = parts.amax(1) / self.threshold
        return score, around / (self.map_scale * self.threshold), self.scale.inverse(reconstruction)

    def _errors(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scaled picture, code [batch, L], reconstruction, and squared error [batch, height, width]."""
        x = self.scale(image)
        rows = rows_of(x)
        code = self.network.encode(rows, torch.ones_like(rows))
        reconstruction = pictures_of(self.network.decode(code), self.colours)
        return x, code, reconstruction, (x - reconstruction).square().mean(1)

    def _relative(self, error: Tensor) -> Tensor:
        """Mean error around each pixel over what is normal there."""
        around: Tensor = self.smooth(error[:, None])[:, 0]
        return around / self.normal_around

    def _parts(self, x: Tensor, code: Tensor, error: Tensor, around: Tensor) -> Tensor:
        """[batch, kinds], before any division."""
        found = []
        for kind in self.kinds:
            if kind == "edges":
                found.append(_distance(self.edges(x), self.edge_mean, self.edge_whitening))
            elif kind == "spots":
                found.append(around.amax((1, 2)))
            elif kind == "reconstruction":
                found.append((error / self.normal).mean((1, 2)))
            else:
                found.append(_distance(code, self.latent_mean, self.latent_whitening))
        return torch.stack(found, 1)

    @torch.no_grad()
    def fit_normal(self, batches: Iterable[Tensor]) -> None:
        """Set what errors, edges and codes are usual from pictures [batch, colours, height, width] in 0..255."""
        total, around = torch.zeros_like(self.normal, dtype=torch.float64), torch.zeros_like(self.normal).double()
        codes, features, count = [], [], 0
        for batch in batches:
            x, code, _, error = self._errors(batch)
            total += error.sum(0)
            around += self.smooth(error[:, None])[:, 0].sum(0)
            count += len(batch)
            codes.append(code)
            features.append(self.edges(x))
        for buffer, usual in ((self.normal, total / count), (self.normal_around, around / count)):
            buffer.copy_(usual + FLOOR * usual.mean() + 1e-6)
        if "edges" in self.kinds:
            self.edge_mean, self.edge_whitening = whitening(torch.cat(features), EDGE_SHRINKAGE)
        if "mahalanobis" in self.kinds:
            self.latent_mean, self.latent_whitening = whitening(torch.cat(codes), LATENT_SHRINKAGE)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Tensor], q: float) -> NDArray[np.float32]:
        """Set each part's limit to the percentile `q` of its scores on held-out pictures; their joint scores [n].

        The scores are those of a threshold of 1.
        """
        self.threshold.fill_(1)
        parts, highest = [], []
        for batch in batches:
            x, code, _, error = self._errors(batch)
            around = self._relative(error)
            parts.append(self._parts(x, code, error, around))
            highest.append(around.amax((1, 2)))
        found = torch.cat(parts)
        for number in range(len(self.kinds)):
            self.part_scale[number] = max(percentile(found[:, number].numpy(), q), 1e-6)
        self.map_scale.fill_(max(percentile(torch.cat(highest).numpy(), q), 1e-6))
        joint: NDArray[np.float32] = (found / self.part_scale).amax(1).numpy()
        return joint


def _distance(codes: Tensor, mean: Tensor, matrix: Tensor) -> Tensor:
    """Mean square of whitened codes [batch, d]: about 1 for those that the Gaussian was fitted to."""
    return ((codes - mean) @ matrix).square().mean(1)

"""Pictures: principal components, and beside them strided convolutions that learn what those leave out."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from torch import Tensor, nn

from aez.codec.errors import InvalidArgument
from aez.export.families.base import Components, Family, within
from aez.export.families.layers import Compression, correction
from aez.export.families.pictures.rows import pictures_of, rows_of

#: The convolutions halve the sides until the longer one has at most so many places.
GRID_MAX = 8
_FEATURES_MAX = 32


class PictureConv(Family):
    """A picture is a window of `height` rows with `width * colours` channels, the colours of a place side by side.

    The code has `latent` numbers. Encoder and decoder are each a sum: principal components, which stay as they are, and
    convolutions (`features` at the first stage, doubled at each of the next, at most 32), which start at 0.
    """

    family: ClassVar[str] = "conv"
    components_for_pictures = Components("latent", 32, matrices=2)

    def __init__(
        self, window: int, channels: int, *, colours: int = 1, latent: int = 32, features: int = 8, hidden: int = 128
    ) -> None:
        super().__init__(window, channels)
        within("latent", latent, 1, 4096)
        within("features", features, 1, _FEATURES_MAX)
        within("hidden", hidden, 1, 4096)
        if colours < 1 or channels % colours:
            raise InvalidArgument(f"{channels} channels are no row of pixels with {colours} colours")
        self.colours, self.width = colours, channels // colours
        self.compression = Compression(window * channels, latent).requires_grad_(False)
        self.size = self.compression.rank
        stages, sides = 0, (window, self.width)
        while max(sides) > GRID_MAX and stages < 8:
            sides = (-(-sides[0] // 2), -(-sides[1] // 2))
            stages += 1
        counts = [min(features * 2**stage, _FEATURES_MAX) for stage in range(max(stages, 1))]
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for stage, count in enumerate(counts):
            before = counts[stage - 1] if stage else colours
            step = 2 if stages else 1
            down += [nn.Conv2d(before, count, 3, step, 1), nn.GELU()]
            # What is drawn at a stage: step * step places for each of those below.
            outgoing = nn.Conv2d(count, (before if stage else features) * step * step, 3, 1, 1)
            up[:0] = [outgoing, nn.PixelShuffle(step), nn.GELU()]
        self.see, self.draw = nn.Sequential(*down), nn.Sequential(*up)
        self.last = nn.Conv2d(features, colours, 3, 1, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(cast(Tensor, self.last.bias))
        self.grid = (counts[-1], *sides)
        places = counts[-1] * sides[0] * sides[1]
        self.gather, self.spread = correction(places, hidden, self.size), nn.Linear(self.size, places)
        self.check_size()

    @classmethod
    def options_for_pictures(cls, pixels: int, colours: int) -> dict[str, Any]:
        """The colours too."""
        return {"colours": colours, **super().options_for_pictures(pixels, colours)}

    def encode(self, x: Tensor, present: Tensor) -> Tensor:
        del present
        seen = cast(Tensor, self.see(self.picture(x))).flatten(1)
        code: Tensor = self.compression(x.flatten(1)) + self.gather(seen)
        return code

    def decode(self, latent: Tensor) -> Tensor:
        places = nn.functional.gelu(self.spread(latent)).unflatten(1, self.grid)
        drawn = self.last(cast(Tensor, self.draw(places))[:, :, : self.window, : self.width])
        return self.shaped(self.compression.back(latent)) + rows_of(drawn)

    def fit(self, x: Tensor, present: Tensor) -> None:
        """Start from the pictures' principal components."""
        self.compression.fit(x.flatten(1), present.flatten(1))

    def picture(self, rows: Tensor) -> Tensor:
        """Pictures [batch, colours, height, width] of windows."""
        return pictures_of(rows, self.colours)

"""What the scores of the training rows say of another score: a probability and a confidence, in PyOD's meaning.

Kept as a few numbers, so that a detector without its rows can tell them, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, erf

from aez.codec.errors import InvalidArgument

Floats = NDArray[np.float64]
METHODS = ("linear", "unify")
#: Ranks that are kept: so many over all, and so many where the confidence changes, so many deviations around the limit.
_OVER_ALL, _NEAR, _DEVIATIONS = 64, 160, 5.0


@dataclass(frozen=True)
class TrainingScores:
    """The scores of `rows` training rows: mean, deviation, and some by their rank (0: the lowest), both ascending.

    `contamination` is the share of them that counts as outliers.
    """

    rows: int
    contamination: float
    mean: float
    deviation: float
    ranks: tuple[int, ...]
    scores: tuple[float, ...]

    @classmethod
    def of(cls, scores: Floats, contamination: float) -> Self:
        """Of scores [rows]."""
        ordered, rows = np.sort(scores), len(scores)
        middle = rows - int(rows * contamination)
        reach = _DEVIATIONS * max(1.0, float(np.sqrt(rows * contamination * (1 - contamination))))
        near = np.linspace(middle - reach, middle + reach, _NEAR)
        every = np.concatenate([np.linspace(0, rows - 1, _OVER_ALL), near]).round().astype(np.int64)
        ranks = np.unique(np.clip(every, 0, rows - 1))
        kept = tuple(float(score) for score in ordered[ranks])
        return cls(rows, contamination, float(np.mean(scores)), float(np.std(scores)), tuple(ranks.tolist()), kept)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Self:
        """Of what `plain` gave."""
        return cls(**{**values, "ranks": tuple(values["ranks"]), "scores": tuple(values["scores"])})

    def plain(self) -> dict[str, Any]:
        """Values for JSON."""
        return {**asdict(self), "ranks": list(self.ranks), "scores": list(self.scores)}

    def probability(self, scores: Floats, method: str = "linear") -> Floats:
        """The probability, 0..1, that rows of these scores are outliers.

        `linear`: where a score lies between the lowest and the highest of training; `unify`: the Gaussian scaling of
        Kriegel and others (2011). Raises InvalidArgument for another method.
        """
        if method == "linear":
            low, high = self.scores[0], self.scores[-1]
            return np.clip((scores - low) / ((high - low) or 1.0), 0.0, 1.0)
        if method == "unify":
            found: Floats = erf((scores - self.mean) / ((self.deviation or 1.0) * np.sqrt(2)))
            return np.clip(found, 0.0, 1.0)
        raise InvalidArgument(f"method {method!r} is unknown; use {' or '.join(METHODS)}")

    def confidence(self, scores: Floats, outlier: NDArray[np.bool_]) -> Floats:
        """How surely, 0..1, the same would be said of each row had the training rows been others of their kind.

        `outlier` is what was said. Perini, Vercruyssen and Davis (2020).
        """
        posterior = (1 + self._at_most(scores)) / (2 + self.rows)
        limit = self.rows - int(self.rows * self.contamination)
        sure = 1 - bdtr(limit, self.rows, posterior)
        return np.where(outlier, sure, 1 - sure)

    def _at_most(self, scores: Floats) -> Floats:
        """How many of the training scores are no higher; between the kept ones, in proportion."""
        kept, ranks = np.array(self.scores), np.array(self.ranks, np.float64)
        last = np.searchsorted(kept, scores, side="right") - 1
        following = np.minimum(last + 1, len(kept) - 1)
        lower = np.maximum(last, 0)
        width = kept[following] - kept[lower]
        share = np.where(width > 0, (scores - kept[lower]) / np.where(width > 0, width, 1.0), 0.0)
        between = np.floor(share * (ranks[following] - ranks[lower] - 1)).clip(0)
        return np.where(last < 0, 0.0, ranks[lower] + 1 + between)


def limit_factor(scores: Floats, share: float | None, asked: float, beside: Floats | None = None) -> float | None:
    """What the limit is to be multiplied by, from the scores of the training rows; None where it is to stay.

    `share` of them shall be outliers; `beside` are the scores of what speaks beside the network, which no limit
    changes, and whose outliers are among them. Without a share, a limit for single rows that the share `asked` of them
    is meant to exceed (0: none), and that none does, was put too high by the few that were held out: the loudest
    exceeds it then.
    """
    if share is not None:
        if beside is not None and (heard := beside > 1).any():
            found = float(np.quantile(np.where(heard, np.inf, scores), 1 - share, method="higher"))
            return min(found, float(np.max(scores, where=~heard, initial=0.0)))
        return float(np.quantile(scores, 1 - share))
    highest = float(scores.max())
    return highest * (1 - 1e-6) if asked * len(scores) >= 1 and highest <= 1 else None

"""Numbers as they come, and what becomes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["TRUTH", "Conversion", "is_no_reading"]

#: What is on or off, as texts, in any case.
TRUTH = {"true": 1.0, "on": 1.0, "false": 0.0, "off": 0.0}

#: Numbers between these, 9.9e37 and SCPI's other ways to say that there is no reading, are missing values.
_NO_READING = 9.8999e37, 3.5e38


def is_no_reading(values: Any) -> Any:
    """Whether a number beyond the magnitude, or each of an array of them, says that there is no reading."""
    low, high = _NO_READING
    return (abs(values) >= low) & (abs(values) <= high)


@dataclass(frozen=True)
class Conversion:
    """value * scale + offset, NaN for what is no reading; the same for one and for many."""

    scale: float
    offset: float
    no_reading: tuple[float, ...] = ()

    @property
    def idle(self) -> bool:
        """Whether it changes nothing."""
        return self.scale == 1 and not self.offset and not self.no_reading

    def one(self, value: float) -> float:
        if value in self.no_reading or is_no_reading(value):
            return math.nan
        return value * self.scale + self.offset

    def many(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np  # reading a configuration needs none

        with np.errstate(over="ignore", invalid="ignore"):
            found: NDArray[np.float64] = values * self.scale + self.offset
        return np.where(np.isin(values, self.no_reading) | is_no_reading(values), np.nan, found)

"""The device, the precision and the processes of a run: Lightning Fabric's.

Fabric imports torchmetrics, and with that Matplotlib and SciPy, to ask for its version, which only a part that is not
used here wants: a third of the time until a training begins. It is not found while Fabric is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch

from aez.codec.errors import InvalidArgument

__all__ = ["Fabric", "open_fabric"]


@contextmanager
def _unseen(name: str) -> Iterator[None]:
    """A module that is not imported yet, and is not found in here."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = cast(Any, None)
    try:
        yield
    finally:
        del sys.modules[name]


if TYPE_CHECKING:
    from lightning_fabric import Fabric
else:
    with _unseen("torchmetrics"):
        from lightning_fabric import Fabric


def open_fabric(device: str, devices: int | str, precision: str) -> Fabric:
    """A Fabric for `cpu`, `cuda` or `auto`, whichever is there, and one of its precisions or `auto`.

    Raises InvalidArgument where there is no such device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidArgument("device cuda was asked for, but torch finds no CUDA device; use auto or cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision == "auto":
        precision = "bf16-mixed" if device == "cuda" or _cpu_has_bfloat16() else "32-true"
    return Fabric(accelerator=device, devices=devices if device == "cuda" else 1, precision=cast(Any, precision))


def _cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; where it does not, autocast is many times slower."""
    return bool(torch.cpu._is_avx512_bf16_supported())

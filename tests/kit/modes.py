"""Rows of a machine whose load follows a mode told in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_words(path: Path, rows: int, seed: int, strange: bool = False) -> Path:
    """A load that follows a mode told in words; `strange`: for a while in one that nobody knows."""
    rng = np.random.default_rng(seed)
    modes = [("idle", "run", "run", "rinse")[row // 25 % 4] for row in range(rows)]
    load = [{"idle": 0, "run": 6, "rinse": 3}[mode] + rng.normal() for mode in modes]
    if strange:
        modes[200:230] = ["boil"] * 30
    lines = [f"{value:.4f},{mode}" for value, mode in zip(load, modes, strict=True)]
    path.write_text("load,mode\n" + "\n".join(lines) + "\n")
    return path

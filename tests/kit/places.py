"""Where things lie in the repository."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
DATA = ROOT / "tests" / "data"
#: The smallest models of each kind; `make_tiny.py` beside them makes them.
TINY, TINY_KL = DATA / "tiny.aezm", DATA / "tiny-kl.aezm"

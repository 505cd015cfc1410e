"""Scans computed for the recipes: chests and slices of heads, healthy or with planted spots, in 0..1."""

from __future__ import annotations

import numpy as np
from helper import Float
from scipy.ndimage import gaussian_filter

_SIDE = 64
_Y, _X = np.mgrid[-1 : 1 : _SIDE * 1j, -1 : 1 : _SIDE * 1j]


def _oval(x: float, y: float, wide: float, tall: float, soft: float = 0.06) -> Float:
    """1 inside an ellipse and 0 outside, with a soft border."""
    distance = np.hypot((_X - x) / wide, (_Y - y) / tall)
    return (1 / (1 + np.exp((distance - 1) / soft))).astype(np.float32)


def _textured(rng: np.random.Generator, fine: float, share: float) -> Float:
    cloud = gaussian_filter(rng.standard_normal((_SIDE, _SIDE)), fine)
    return (share * cloud / cloud.std()).astype(np.float32)


def chests(count: int, seed: int) -> tuple[Float, Float]:
    """(Radiographs [count, 64, 64], their lungs in 0..1), of people of different builds."""
    rng = np.random.default_rng(seed)
    pictures, lungs = [], []
    for _ in range(count):
        wide, tall, turned = rng.uniform(0.27, 0.36), rng.uniform(0.55, 0.7), rng.uniform(-0.05, 0.05)
        lung = np.maximum(_oval(-0.42 + turned, -0.05, wide, tall), _oval(0.42 + turned, -0.05, wide, tall))
        ribs = np.sin(2 * np.pi * (rng.uniform(4, 5) * (_Y + 0.25 * np.abs(_X) ** 2) + rng.uniform()))
        heart = _oval(0.12 + turned, 0.3, rng.uniform(0.22, 0.32), rng.uniform(0.25, 0.35))
        picture = 0.72 - 0.5 * lung * (1 - 0.7 * heart) + 0.06 * ribs * lung + 0.12 * _oval(turned, 0, 0.1, 2)
        pictures.append((picture + _textured(rng, 1.0, 0.02)).clip(0, 1))
        lungs.append(lung)
    return np.stack(pictures).astype(np.float32), np.stack(lungs)


def heads(count: int, seed: int) -> tuple[Float, Float]:
    """(Slices of heads [count, 64, 64] as magnetic resonance shows them, their brains in 0..1)."""
    rng = np.random.default_rng(seed)
    pictures, brains = [], []
    for _ in range(count):
        wide, tall = rng.uniform(0.6, 0.72), rng.uniform(0.72, 0.85)
        brain = _oval(0, 0, wide, tall)
        folds = np.sin(
            rng.uniform(9, 12) * np.hypot(_X / wide, _Y / tall) + 3 * np.sin(4 * np.arctan2(_Y, _X) + rng.uniform(0, 6))
        )
        side, size = rng.uniform(0.13, 0.2), rng.uniform(0.08, 0.14)
        hollow = np.maximum(_oval(-side, 0, size, 2.6 * size), _oval(side, 0, size, 2.6 * size))
        skull = _oval(0, 0, wide + 0.15, tall + 0.12) - _oval(0, 0, wide + 0.06, tall + 0.05)
        grey = (0.55 + 0.08 * folds + _textured(rng, 1.5, 0.015)) * brain * (1 - 0.75 * hollow)
        pictures.append((grey + 0.8 * skull).clip(0, 1))
        brains.append(brain * (1 - hollow))
    return np.stack(pictures).astype(np.float32), np.stack(brains)


def planted(pictures: Float, places: Float, seed: int, strength: float = 0.22) -> tuple[Float, Float]:
    """(Pictures with a spot each, where it is, 0 or 1): brighter or darker, 3 to 7 pixels wide, in `places`."""
    rng = np.random.default_rng(seed)
    made, masks = [], []
    for picture, place in zip(pictures, places, strict=True):
        inside = np.argwhere(place > 0.9)
        y, x = 2 * inside[rng.integers(len(inside))] / (_SIDE - 1) - 1
        spot = _oval(x, y, rng.uniform(0.08, 0.2), rng.uniform(0.08, 0.2), 0.2) * place
        made.append((picture + rng.choice([-1, 1]) * strength * spot).clip(0, 1))
        masks.append(spot > 0.5)
    return np.stack(made).astype(np.float32), np.stack(masks).astype(np.float32)

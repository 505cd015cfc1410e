"""Planted lesions: an autoencoder of healthy heads gives back healthy heads, and what differs is the heat map.

A spot is brighter or darker than what lies around it; where it is, is known to the pixel. AUROC and average precision
are of pixels in the brain. The heat map is the error in usual errors of its pixel, smoothed a little.

python samples/autoencoders/lesions.py [--out FOLDER] [--quick]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from helper import Float, heat, learn, leave, read_options, sheet
from scans import heads, planted
from scipy.ndimage import gaussian_filter
from sklearn.metrics import average_precision_score, roc_auc_score

from aez.codec.vectors import Autoencoder


def heat_maps(model: Autoencoder, usual: Float, asked: Float) -> Float:
    """Smoothed errors [n, height, width] of pictures, divided by the usual one of each pixel."""

    def errors(pictures: Float) -> Float:
        return np.abs(model.decode(model.encode(pictures).mean) - pictures)

    scale = gaussian_filter(errors(usual).mean(0), 1.5) + 0.02
    return np.stack([gaussian_filter(one, 1) for one in errors(asked) / scale])


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn healthy heads, plant spots in others, and say how well they are found."""
    options = read_options(str(__doc__), arguments)
    count = 20 if options.quick else 100
    learned, usual = heads(60 if options.quick else 1500, 1)[0], heads(count, 2)[0]
    healthy, brains = heads(count, 3)
    asked, masks = planted(healthy, brains, 4)
    inside = brains > 0.9
    rows: list[list[object]] = [["", "AUROC of pixels", "average precision", "AUROC of pictures"]]
    shown = {"heads with a spot": asked, "where it is": masks}
    families = {"conv": ("conv", {}), "variational": ("variational", {"network": "conv"}), "PCA": ("pca", {})}
    for name, (family, own) in families.items():
        model = learn(learned, family, options.quick, 25, latent=16, **own)
        maps, without = heat_maps(model, usual, asked), heat_maps(model, usual, healthy)
        whole = [np.where(inside, one, 0).reshape(len(one), -1).max(1) for one in (without, maps)]
        of_pictures = roc_auc_score(np.repeat([0, 1], len(asked)), np.concatenate(whole))
        truth, given = masks[inside] > 0, maps[inside]
        rows.append(
            [name, float(roc_auc_score(truth, given)), float(average_precision_score(truth, given)), float(of_pictures)]
        )
        if name != "PCA":
            shown[f"what comes back, {name}"] = model.decode(model.encode(asked).mean)
        shown[f"what differs, {name}"] = heat((np.where(inside, maps, 0) / 8).clip(0, 1))
    brightness = np.abs(asked - 0.55)[inside]
    truth = masks[inside] > 0
    rows.append(
        [
            "unusual brightness",
            float(roc_auc_score(truth, brightness)),
            float(average_precision_score(truth, brightness)),
            "-",
        ]
    )
    shown = {key: one if one.ndim == 4 else np.repeat(one[..., None], 3, 3) for key, one in shown.items()}
    leave(options, "lesions", sheet(shown, 10, 64), rows)


if __name__ == "__main__":
    main()

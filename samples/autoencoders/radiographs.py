"""Radiographs: a detector learns healthy chests, and a heat map shows what it did not expect in others.

FOLDER has the folders normal-train, normal-test and abnormal ones of any name. Without it chests are computed, with a
spot in the lung of each second test picture. This shows what a heat map is, and is no means of finding illness: a good
AUROC on one hospital's pictures says nothing about another's.

python samples/autoencoders/radiographs.py [FOLDER] [--out FOLDER] [--quick]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from helper import QUICK, Float, flat, heat, leave, read_options, sheet
from PIL import Image, ImageOps
from scans import chests, planted
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from aez.codec.detect import load_picture_detector
from aez.export import PictureConfig, learn_pictures

SIDE = 64


def read(folder: Path) -> Float:
    """The pictures of a folder [n, 64, 64], in 0..1, their contrast evened."""
    opened = [
        Image.open(path).convert("L") for path in sorted(folder.iterdir()) if path.suffix in (".png", ".avif", ".jpg")
    ]
    small = [ImageOps.autocontrast(one.resize((SIDE, SIDE), Image.Resampling.LANCZOS), 1) for one in opened]
    return np.stack([np.asarray(one, np.float32) / 255 for one in small])


def pictures(folder: Path | None, quick: bool) -> tuple[Float, Float, Float]:
    """(Healthy ones to learn from, healthy ones to test, abnormal ones)."""
    if folder is not None:
        parts = [folder / "normal-train", folder / "normal-test"]
        odd = [one for one in sorted(folder.iterdir()) if one.is_dir() and one not in parts]
        return read(parts[0]), read(parts[1]), np.concatenate([read(one) for one in odd])
    count = 60 if quick else 400
    return chests(count, 1)[0], chests(60, 2)[0], planted(*chests(60, 3), seed=4)[0]


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, score, and show the heat maps of the pictures that score highest."""
    options = read_options(str(__doc__), arguments, "folder with normal-train, normal-test and others")
    learned, normal, odd = pictures(options.data, options.quick)
    asked = np.concatenate([normal, odd])
    wrong = np.repeat([0, 1], [len(normal), len(odd)])
    levels = [np.rint(255 * part).astype(np.uint8) for part in (learned, asked)]
    effort = {"steps": QUICK} if options.quick else {}
    bundle = learn_pictures(levels[0], PictureConfig(size=SIDE), **effort)
    found = load_picture_detector(bundle.to_bytes()).score(list(levels[1]))
    components = PCA(min(32, len(learned) // 2), random_state=0).fit(flat(learned))
    left = flat(asked) - components.inverse_transform(components.transform(flat(asked)))
    forest = IsolationForest(random_state=0).fit(components.transform(flat(learned)))
    scores = {
        "detector": found.score,
        "its heat map alone": np.stack(found.error_map).reshape(len(asked), -1).max(1),
        "PCA, what is left": np.square(left).mean(1),
        "isolation forest": -forest.score_samples(components.transform(flat(asked))),
        "mean brightness": flat(asked).mean(1),
    }
    rows: list[list[object]] = [
        ["", "AUROC"],
        *([name, float(roc_auc_score(wrong, one))] for name, one in scores.items()),
    ]
    maps = np.stack(found.error_map)
    first = np.argsort(-found.score)[:10]
    bright = np.quantile(maps[wrong == 0], 0.999)
    shown = {
        "highest scores": asked[first],
        "what was not expected": heat((maps[first] / bright / 2).clip(0, 1)),
        "a healthy chest each": normal[:10],
        "and theirs": heat((maps[:10] / bright / 2).clip(0, 1)),
    }
    shown = {name: one if one.ndim == 4 else np.repeat(one[..., None], 3, 3) for name, one in shown.items()}
    leave(options, "radiographs", sheet(shown, 10, 2 * SIDE), rows)


if __name__ == "__main__":
    main()

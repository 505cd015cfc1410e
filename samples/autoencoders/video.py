"""Video: the frames that are unlike those before, without a word about what may happen.

A camera looks at a pendulum while the light changes. The network learns 600 frames; in the 400 after them a ball comes
in, the pendulum stands still upright, or a part of the picture freezes to grey. A frame's score is its worst place.

python samples/autoencoders/video.py [--out FOLDER] [--quick]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from helper import Float, flat, learn, leave, read_options, sheet
from scipy.ndimage import uniform_filter
from sklearn.metrics import roc_auc_score

HEIGHT, WIDTH, LEARNED, ASKED = 40, 56, 600, 400
#: What happens -> the first frame after the learned ones, and for how many.
EVENTS = {"ball": (60, 15), "stands still": (170, 12), "grey part": (300, 10)}


def disk(x: float, y: float, size: float) -> Float:
    """1 inside a disk, 0 outside, with a border of a pixel."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.clip(size - np.hypot(columns - x, rows - y) + 0.5, 0, 1).astype(np.float32)


def film(seed: int = 0) -> tuple[Float, list[str]]:
    """(Frames [n, height, width] in 0..1, what happens in each, mostly nothing)."""
    rng = np.random.default_rng(seed)
    wall = 0.35 + 0.15 * np.sin(np.mgrid[:HEIGHT, :WIDTH][1] / 6.0)
    frames, happens = [], []
    for number in range(LEARNED + ASKED):
        at = number - LEARNED
        event = next((name for name, (start, count) in EVENTS.items() if start <= at < start + count), "")
        angle = 2.6 if event == "stands still" else 0.9 * np.sin(number / 5.3)
        frame = wall * (1 + 0.25 * np.sin(number / 90))
        for share in np.linspace(0.1, 1, 12):
            bob = disk(28 + share * 26 * np.sin(angle), 4 + share * 26 * np.cos(angle), 4.0 if share == 1 else 0.8)
            frame = frame * (1 - bob) + 0.9 * bob
        if event == "ball":
            ball = disk(6 + 3 * (at - EVENTS["ball"][0]), 34, 3)
            frame = frame * (1 - ball) + 0.1 * ball
        if event == "grey part":
            frame[24:36, 6:18] = 0.5
        frames.append(frame + 0.02 * rng.standard_normal(frame.shape))
        happens.append(event)
    return np.stack(frames).clip(0, 1).astype(np.float32), happens


def worst_place(errors: Float) -> Float:
    """The largest mean of 5 x 5 pixels of squared errors [n, height, width]."""
    return np.array([uniform_filter(one, 5).max() for one in errors])


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, score, and list the frames above the highest of the learned ones."""
    options = read_options(str(__doc__), arguments)
    frames, happens = film()
    learned, asked = frames[:LEARNED], frames[LEARNED:]
    odd = np.array([bool(one) for one in happens[LEARNED:]])
    rows: list[list[object]] = [["", "AUROC", "events found", "false alarms"]]
    shown = {}
    for name, family in (("conv, 16 numbers", "conv"), ("PCA, 16 numbers", "pca")):
        model = learn(learned, family, options.quick, 120, latent=16)
        score = worst_place(np.square(model.decode(model.encode(frames).mean) - frames))
        limit = 1.2 * score[:LEARNED].max()
        flagged = score[LEARNED:] > limit
        found = [event for event, (start, count) in EVENTS.items() if flagged[start : start + count].any()]
        rows.append(
            [
                name,
                float(roc_auc_score(odd, score[LEARNED:])),
                f"{len(found)} of {len(EVENTS)}",
                int((flagged & ~odd).sum()),
            ]
        )
        if family == "conv":
            print(f"flagged frames after the learned ones: {np.flatnonzero(flagged).tolist()}\n")
            first = np.array([start + count // 2 for start, count in EVENTS.values()] + [20, 120, 240])
            shown = {
                "what happens, and three usual frames": asked[first],
                "what comes back": model.decode(model.encode(asked[first]).mean),
            }
    before = worst_place(np.square(np.diff(flat(frames), axis=0).reshape(-1, HEIGHT, WIDTH)))
    rows.append(["difference to the frame before", float(roc_auc_score(odd, before[LEARNED - 1 :])), "-", "-"])
    leave(options, "video", sheet(shown, 6, 112), rows)


if __name__ == "__main__":
    main()

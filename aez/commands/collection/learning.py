"""The training of a collection's own model, which goes on from its checkpoint after any end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from aez import messages
from aez.codec.bundle.library import find_bundle
from aez.commands.collection.sample import SMALLEST, TRAINING
from aez.commands.collection.state import Collection
from aez.commands.train.options import CROP_UNIT, EXIT_STOPPED, MS_SSIM_CROP

if TYPE_CHECKING:
    from aez.export.common.trainer import TrainOptions

#: What is known to work: docs/training.md.
_CROP, _BATCH, _LEARNING_RATE, _WARMUP = 128, 8, 1e-3, 50
#: What is lost at most where a run is killed.
_CHECKPOINT_SECONDS = 30.0


def learn(collection: Collection, device: str) -> None:
    """Train until the minutes are over, and write the model; a signal ends the program behind a checkpoint.

    Raises what training raises.
    """
    from aez.export.common.run_files import run_folder
    from aez.export.photo import train

    folder = collection.work / TRAINING
    resume = (run_folder(collection.model) / "checkpoint.pt").exists()
    bundle = train.main(
        folder,
        collection.model,
        name=collection.name,
        options=_options(collection, device),
        resume=resume,
        start=None if resume else find_bundle(collection.base),
        distortion=str(collection.settings["loss"]),
        crop=_crop(folder, collection.settings["loss"] == "visual"),
        scales=(1.0, 1.0),
    )
    if bundle is None:
        messages.summary("the training is kept as it stands, and the same command goes on with it")
        sys.exit(EXIT_STOPPED)


def _options(collection: Collection, device: str) -> TrainOptions:
    from aez.export.common.trainer import TrainOptions

    return TrainOptions(
        minutes=collection.settings["minutes"],
        batch=_BATCH,
        learning_rate=_LEARNING_RATE,
        warmup_steps=_WARMUP,
        seed=collection.settings["seed"],
        device=device,
        checkpoint_seconds=_CHECKPOINT_SECONDS,
    )


def _crop(folder: Path, for_the_eye: bool) -> int:
    """The usual side of crops, less where most pictures are smaller; measures of the eye have a least one."""
    if for_the_eye:
        return (MS_SSIM_CROP // CROP_UNIT + 1) * CROP_UNIT
    sides = []
    for path in sorted(folder.glob("*.png"))[:200]:
        with Image.open(path) as image:
            sides.append(min(image.size))
    middle = sorted(sides)[len(sides) // 2]
    return max(SMALLEST, min(_CROP, middle // CROP_UNIT * CROP_UNIT))

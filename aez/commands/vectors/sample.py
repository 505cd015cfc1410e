"""`aez sample` with an autoencoder: items drawn from its prior."""

from __future__ import annotations

import math
from pathlib import Path

from aez.commands.codec.picture_files import picture_bytes
from aez.commands.vectors import opened
from aez.commands.vectors.reconstruct import check_result
from aez.files import Job, check_target, write_output
from aez.inputs import STDIO


def sample_items(
    output: str, count: int, model: str, device: str, threads: int | None, *, seed: int, temperature: float, force: bool
) -> None:
    """Draw codes from the prior and write their items, as a sheet or as values. Raises AezError."""
    from aez.codec.latent.drawing import contact_sheet
    from aez.codec.vectors.drawing import pixels_of
    from aez.codec.vectors.files import VALUE_SUFFIXES, write_values
    from aez.commands.latent.shared import format_of

    check_target(Job(STDIO, output), force)
    autoencoder = opened.open_autoencoder(model, device, threads)
    codes = autoencoder.draw(count, seed, temperature)
    check_result(output, autoencoder)
    values = autoencoder.decode(codes)
    if Path(output).suffix.lower() in VALUE_SUFFIXES:
        write_values(output, values, autoencoder.columns, [f"sample#{number}" for number in range(count)], force)
    else:
        assert autoencoder.range is not None
        sheet = contact_sheet(pixels_of(values, autoencoder.range[1]), math.ceil(math.sqrt(count)))
        write_output(output, picture_bytes(sheet, format_of(output)), force)
    opened.say_wrote(output, f"{count} samples" if count > 1 else "a sample")

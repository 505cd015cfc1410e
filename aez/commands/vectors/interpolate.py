"""`aez interpolate` with an autoencoder: the items between two."""

from __future__ import annotations

from pathlib import Path

from aez.codec.errors import InvalidArgument
from aez.commands.codec.picture_files import picture_bytes
from aez.commands.vectors import opened
from aez.files import Job, check_target, write_output

_ANIMATIONS = {".gif": "GIF", ".webp": "WEBP"}
_STEPS, _ANIMATION_STEPS = 8, 24


def interpolate_items(
    first: str,
    second: str,
    output: str,
    model: str,
    device: str,
    threads: int | None,
    *,
    steps: int | None,
    mode: str,
    fps: float | None,
    force: bool,
) -> None:
    """Write the items between A and B as a strip, an animation or values. Raises AezError."""
    import numpy as np

    from aez.codec.latent.drawing import animation_bytes, strip
    from aez.codec.latent.paths import path
    from aez.codec.vectors.drawing import pixels_of
    from aez.codec.vectors.files import VALUE_SUFFIXES, write_values
    from aez.codec.vectors.reading import Reading
    from aez.commands.latent.shared import format_of
    from aez.commands.vectors.reconstruct import check_result

    suffix = Path(output).suffix.lower()
    for name in (first, second):
        check_target(Job(name, output), force)
    autoencoder = opened.open_autoencoder(model, device, threads)
    if suffix not in _ANIMATIONS or autoencoder.kind == "vectors":
        check_result(output, autoencoder)
    ends = []
    for name in (first, second):
        items, values = opened.read_for(autoencoder, name, Reading())
        if len(items) > 1:
            raise InvalidArgument(f"{name} holds {len(items):,} items; name one, such as {name}#0")
        ends.append(autoencoder.encode(values).mean[0])
    count = steps or (_ANIMATION_STEPS if suffix in _ANIMATIONS else _STEPS)
    between = autoencoder.decode(np.stack(list(path(ends[0], ends[1], count, mode))))
    if suffix in VALUE_SUFFIXES:
        write_values(output, between, autoencoder.columns, [f"step#{number}" for number in range(count)], force)
    else:
        assert autoencoder.range is not None
        frames = pixels_of(between, autoencoder.range[1])
        if suffix in _ANIMATIONS:
            data = animation_bytes(frames, _ANIMATIONS[suffix], fps or 12)
        else:
            data = picture_bytes(strip(frames), format_of(output))
        write_output(output, data, force)
    opened.say_wrote(output, f"{count} items from {first} to {second}")

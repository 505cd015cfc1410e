"""`aez denoise`: pictures, arrays and series without the noise that a model learned to remove."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aez.codec.errors import InvalidArgument
from aez.commands import options
from aez.commands.codec.picture_files import picture_bytes
from aez.commands.latent import shared as latent_shared
from aez.commands.vectors import opened, shared
from aez.commands.vectors.reconstruct import check_result, figures, tell, write_result
from aez.files import Job, check_target, refuse_two_results, write_output

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aez.codec.vectors.items import Items
    from aez.codec.vectors.model import Autoencoder
    from aez.codec.vectors.reading import Reading


@click.command()
@click.argument("data", metavar="DATA")
@click.option("-o", "--output", required=True, metavar="OUT", help="A sheet, a picture, or .npy, .npz, .csv, .parquet.")
@shared.model
@click.option("--clean", metavar="DATA", help="The same items without noise: says how many decibels are gained.")
@shared.reading
@latent_shared.running
@options.as_json
def denoise(
    data: str,
    output: str,
    model: str,
    clean: str | None,
    device: str,
    threads: int | None,
    force: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Remove noise with a model of `aez train denoising`.

    DATA is as for training. Pictures larger than the model's are taken in tiles that overlap; so is a series, a table
    or an array of one column, by a model of windows of it. OUT is a sheet of the noisy items above the clean ones, one
    clean picture where DATA is a large one, or all values.
    """
    refuse_two_results(output, as_json)
    check_target(Job(data, output), force)
    autoencoder = opened.open_autoencoder(model, device, threads)
    autoencoder.check_removes()
    check_result(output, autoencoder)
    how = shared.reading_of(**reading)
    items, values = _read(autoencoder, data, how)
    made = _denoised(autoencoder, values)
    whole = values.shape[1:] != autoencoder.shape
    record = {"input": data, "output": output, "model": autoencoder.bundle.name, "items": len(items)}
    if clean is not None:
        _, wanted = _read(autoencoder, clean, shared.without_labels_file(how))
        if wanted.shape != values.shape:
            raise InvalidArgument(f"clean items {list(wanted.shape)} and noisy {list(values.shape)} are not the same")
        before, after = figures(autoencoder, wanted, values), figures(autoencoder, wanted, made)
        record |= after | {f"{key}_before": value for key, value in before.items()}
    if whole:
        _write_whole(output, autoencoder, made, items, force)
        written = opened.counted(len(items))
    else:
        written = write_result(output, autoencoder, items, [values, made], force)
    if clean is not None:
        tell(record, as_json)
    opened.say_wrote(output, f"{written} without noise")


def _read(model: Autoencoder, source: str, how: Reading) -> tuple[Items, NDArray[Any]]:
    """(Items, their values), at their own size unless --size asks for another. Raises AezError."""
    from dataclasses import replace

    from aez.codec.vectors.reading import read_items

    colours = (3 if len(model.shape) == 3 else 1) if model.kind == "pictures" else None
    items = read_items(source, replace(how, colours=how.colours or colours))
    shared.tell_skipped(items)
    if items.kind == model.kind == "vectors" and items.shape == (1,) != model.shape:
        return items.chosen(_first()), items.values[None, :, 0]
    return items, model.in_range(items) if items.kind == "pictures" == model.kind else model.values(items)


def _first() -> NDArray[Any]:
    import numpy as np

    return np.zeros(1, np.int64)


def _denoised(model: Autoencoder, values: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    from aez.codec.vectors.tiling import in_tiles

    if values.shape[1:] == model.shape:
        return model.denoise(values)
    return np.stack([in_tiles(one, model.shape, model.denoise) for one in values])


def _write_whole(output: str, model: Autoencoder, made: NDArray[Any], items: Items, force: bool) -> None:
    """A large picture as a picture, and everything else as values. Raises AezError."""
    from PIL import Image

    from aez.codec.vectors.drawing import pixels_of
    from aez.codec.vectors.files import VALUE_SUFFIXES, write_values

    if Path(output).suffix.lower() in VALUE_SUFFIXES:
        if model.kind == "vectors":
            made = made[0][:, None]
        write_values(output, made, items.columns, items.names, force)
        return
    if len(made) > 1 or model.range is None:
        raise InvalidArgument(f"{output} holds one picture, and there are {len(made):,}; give a name that ends in .npy")
    image = Image.fromarray(pixels_of(made, model.range[1])[0])
    write_output(output, picture_bytes(image, latent_shared.format_of(output)), force)

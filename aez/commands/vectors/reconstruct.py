"""`aez reconstruct` with an autoencoder: items beside what comes back, and what their codes take in bytes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aez import messages
from aez.codec.errors import InvalidArgument
from aez.commands.codec.picture_files import picture_bytes
from aez.commands.vectors import opened, shared
from aez.files import Job, check_target, write_output

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aez.codec.vectors.items import Items
    from aez.codec.vectors.model import Autoencoder

#: Items on a sheet, and in a row of it.
SHOWN, COLUMNS = 40, 10


def reconstruct_items(
    data: str,
    output: str,
    model: str,
    device: str,
    threads: int | None,
    *,
    bits: int | None,
    force: bool,
    as_json: bool,
    **reading: object,
) -> None:
    """Write what comes back of the items of DATA, a sheet or values, and say how far it is off. Raises AezError."""
    check_target(Job(data, output), force)
    autoencoder = opened.open_autoencoder(model, device, threads)
    check_result(output, autoencoder)
    items, values = opened.read_for(autoencoder, data, shared.reading_of(**reading))  # type: ignore[arg-type]
    codes = autoencoder.encode(values).mean
    size = None
    if bits is not None:
        coder = autoencoder.coder(bits)
        coded = coder.encode(codes)
        codes, size = coder.decode(coded, len(codes)), len(coded)
    made = autoencoder.decode(codes)
    written = write_result(output, autoencoder, items, [values, made], force)
    record = {"input": data, "output": output, "model": autoencoder.bundle.name, "items": len(items)}
    record |= figures(autoencoder, values, made) | {"dimensions": autoencoder.dimensions}
    if size is not None:
        record |= {"bits": bits, "bytes": size, "bytes_an_item": round(size / len(items), 3)}
    tell(record, as_json)
    opened.say_wrote(output, written)


def check_result(output: str, model: Autoencoder) -> None:
    """Refuse a result that the model's items cannot be. Raises InvalidArgument."""
    from aez.codec.vectors.files import VALUE_SUFFIXES
    from aez.commands.latent.shared import format_of

    if Path(output).suffix.lower() in VALUE_SUFFIXES:
        return
    if model.kind == "vectors":
        raise InvalidArgument(
            f"{output}: vectors are no pictures; give a name that ends in {', '.join(VALUE_SUFFIXES)}"
        )
    format_of(output)


def write_result(output: str, model: Autoencoder, items: Items, rows: list[NDArray[Any]], force: bool) -> str:
    """Write the last of the rows as values, or some items of each row on a sheet, above each other; says which.

    Raises AezError.
    """
    from aez.codec.latent.drawing import contact_sheet
    from aez.codec.vectors.drawing import interleaved, pixels_of
    from aez.codec.vectors.files import VALUE_SUFFIXES, write_values
    from aez.commands.latent.shared import format_of

    if Path(output).suffix.lower() in VALUE_SUFFIXES:
        write_values(output, rows[-1], model.columns, items.names, force)
        return opened.counted(len(items))
    assert model.range is not None
    some = opened.some_of(len(items), SHOWN)
    pictures = [pixels_of(row[some], model.range[1]) for row in rows]
    sheet = contact_sheet(interleaved(pictures, COLUMNS), COLUMNS)
    write_output(output, picture_bytes(sheet, format_of(output)), force)
    return opened.counted(len(items), len(some))


def figures(model: Autoencoder, wanted: NDArray[Any], made: NDArray[Any]) -> dict[str, Any]:
    """Mean squared error, of pictures in 0..1, with their PSNR in dB from it."""
    import numpy as np

    error = float(np.square(model.unit(made) - model.unit(wanted), dtype=np.float64).mean())
    found: dict[str, Any] = {"mse": error}
    if model.range is not None:
        # JSON has no infinity; equal pictures have no error.
        found["psnr"] = None if error == 0 else -10 * math.log10(error)
    return found


def tell(record: dict[str, Any], as_json: bool) -> None:
    """The figures, as JSON or for a person."""
    if as_json:
        messages.result(json.dumps(record))
        return
    said = [f"{opened.counted(record['items'])}: mean squared error {record['mse']:.5g}"]
    if record.get("psnr") is not None:
        said.append(f"PSNR {record['psnr']:.2f} dB")
    if "bytes_an_item" in record:
        said.append(f"{record['dimensions']:,} numbers in {record['bytes_an_item']:.4g} bytes an item")
    messages.result(", ".join(said))

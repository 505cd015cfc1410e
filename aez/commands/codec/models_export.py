"""`aez models export`: a model as plain ONNX files, as programs around it expect them, or what decodes of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aez import messages
from aez.codec.common.extras import needs
from aez.codec.errors import InvalidArgument
from aez.commands.codec.models_example import EXAMPLE_FILES, PROGRAMS, example_files

if TYPE_CHECKING:
    from aez.codec.bundle.bundle import Bundle

MANIFEST = "manifest.json"
#: The files of a model with a latent.
LATENT_FILES = frozenset(
    {
        "config.json",
        *("vae_encoder/config.json", "vae_decoder/config.json"),
        *(f"{graph}/model.onnx" for graph in ("vae_encoder", "vae_decoder", "autoencoder")),
    }
)


@click.command()
@click.argument("model", metavar="NAME|PATH")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A new folder, or a file.aezm.",
)
@click.option("--decoder", is_flag=True, help="Write the decoding half alone, a bundle, into the file.aezm of -o.")
@click.option(
    "--encoder",
    is_flag=True,
    help="Write what encodes pictures alone into the file.aezm of -o, for programs in JavaScript.",
)
@click.option("--float16", is_flag=True, help="Weights, inputs and outputs in float16 (models with a latent).")
@click.option("--int8", is_flag=True, help="Weights in int8 (detectors of series, autoencoders).")
@click.option(
    "--example",
    type=click.Choice([*PROGRAMS]),
    help="Add a program in this language that scores a series without aez (detectors of series).",
)
@click.option("-f", "--force", is_flag=True, help="Replace an earlier export.")
def export(
    model: str,
    output: Path,
    decoder: bool,
    encoder: bool,
    float16: bool,
    int8: bool,
    example: str | None,
    force: bool,
) -> None:
    """Write a model as plain ONNX files into a folder, or what decodes of it into a file.

    A model with a latent, such as kl-f8, becomes what libraries for latent diffusion read: vae_encoder/model.onnx,
    vae_decoder/model.onnx, autoencoder/model.onnx for the round trip, and config.json. Each is compared with the
    model's own graphs first. This needs the packages of aez[train].

    Of every other model the folder gets the graphs (.onnx), arrays (.npy) and manifest.json as they are.

    With --example the folder of a detector of series also gets a program of about a page, score.cpp with the constants
    of model.h, or score.py, that reads CSV and gives the scores and events of `aez score --causal` with ONNX Runtime
    alone.

    With --int8 the weights of its networks are kept in int8, for small devices; what that costs stands in
    docs/embedding.md. Such graphs take one window at a time. This needs the packages of aez[train].

    With --decoder it is a bundle with the same id that decodes all that the model encoded, and cannot encode: what lies
    beside files that others are to open. With --encoder it is one that encodes, and makes no pictures of files: what
    the JavaScript package encodes with.
    """
    from aez.codec.bundle.library import find_bundle
    from aez.codec.common.folders import check_folder, write_whole_folder

    if decoder or encoder:
        half = "--decoder" if decoder else "--encoder"
        if decoder and encoder:
            raise InvalidArgument("give only one of --decoder and --encoder")
        if example is not None:
            raise InvalidArgument(f"give only one of {half} and --example")
        if int8:
            raise InvalidArgument(f"give only one of {half} and --int8: other weights would be another model")
        _write_half(model, output, half, float16, force)
        return
    replaceable = _earlier_export(output).__contains__
    check_folder(output, force, replaceable)
    bundle = find_bundle(Path(model) if Path(model).is_file() else model)
    if int8 and float16:
        raise InvalidArgument("give only one of --int8 and --float16")
    written = _in_int8(bundle) if int8 else bundle
    files = _files_of(written)(written, float16)
    if example is not None:
        files |= example_files(bundle, example, written)
    write_whole_folder(output, files, force, replaceable)
    size = sum(map(len, files.values()))
    messages.summary(f"wrote {bundle.name} to {click.format_filename(output)}: {len(files)} files, {size:,} bytes")


def _write_half(model: str, output: Path, option: str, float16: bool, force: bool) -> None:
    from aez.codec.bundle.bundle import SUFFIX
    from aez.codec.bundle.library import find_bundle
    from aez.codec.common.files import write_whole

    if float16:
        raise InvalidArgument(f"give only one of {option} and --float16: other weights would be another model")
    if output.suffix != SUFFIX:
        raise InvalidArgument(f"{option} writes a file, and {output} does not end with {SUFFIX}")
    bundle = find_bundle(Path(model) if Path(model).is_file() else model)
    decodes = option == "--decoder"
    half, whole = bundle.decoding_half() if decodes else bundle.encoding_half(), len(bundle.to_bytes())
    write_whole(output, half, force)
    kind = "decoding" if decodes else "encoding"
    messages.summary(
        f"wrote the {kind} half of {bundle.name} to {click.format_filename(output)}: {len(half):,} bytes of "
        f"{whole:,}, id {bundle.id[:16]}"
    )


def _files_of(bundle: Bundle) -> Callable[[Bundle, bool], dict[str, bytes]]:
    if bundle.coding.get("latent") is None:
        return _members
    with needs("aez[train]", ["onnx", "torch", "onnxscript"]):
        from aez.export.latent.parts import latent_files

    return latent_files


def _in_int8(bundle: Bundle) -> Bundle:
    with needs("aez[train]", ["onnx", "torch", "onnxscript"]):
        from aez.export.common.int8 import int8_bundle

    return int8_bundle(bundle)


def _members(bundle: Bundle, float16: bool) -> dict[str, bytes]:
    """Graphs, arrays and manifest as they are."""
    import numpy as np

    if float16:
        raise InvalidArgument(f"model {bundle.name} has no latent, and only models with one are written in float16")
    files = {}
    for member in bundle.members:
        stem, _, suffix = member.rpartition(".")
        if suffix == "onnx":
            files[member] = bundle.graph(stem)
        else:
            buffer = io.BytesIO()
            np.save(buffer, bundle.array(stem), allow_pickle=False)
            files[member] = buffer.getvalue()
    manifest = json.dumps({**bundle.manifest, "id": bundle.id}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return files | {MANIFEST: manifest.encode()}


def _earlier_export(folder: Path) -> frozenset[str]:
    """Names of the files that an earlier export may have written there."""
    try:
        members = json.loads((folder / MANIFEST).read_bytes())["members"]
        return LATENT_FILES | EXAMPLE_FILES | {MANIFEST, *members}
    except (OSError, ValueError, KeyError, TypeError):  # none there, or not one of ours
        return LATENT_FILES | EXAMPLE_FILES

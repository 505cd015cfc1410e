"""`aez models export`: a model as plain ONNX files, in the form that programs around it expect."""

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
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A new folder.")
@click.option("--float16", is_flag=True, help="Weights, inputs and outputs in float16 (models with a latent).")
@click.option("-f", "--force", is_flag=True, help="Replace an earlier export.")
def export(model: str, output: Path, float16: bool, force: bool) -> None:
    """Write a model as plain ONNX files into a folder.

    A model with a latent, such as kl-f8, becomes what libraries for latent diffusion read: vae_encoder/model.onnx,
    vae_decoder/model.onnx, autoencoder/model.onnx for the round trip, and config.json. Each is compared with the
    model's own graphs first. This needs the packages of aez[train].

    Of every other model the folder gets the graphs (.onnx), arrays (.npy) and manifest.json as they are.
    """
    from aez.codec.bundle.library import find_bundle
    from aez.codec.common.folders import check_folder, write_whole_folder

    replaceable = _earlier_export(output).__contains__
    check_folder(output, force, replaceable)
    bundle = find_bundle(Path(model) if Path(model).is_file() else model)
    files = _files_of(bundle)(bundle, float16)
    write_whole_folder(output, files, force, replaceable)
    size = sum(map(len, files.values()))
    messages.summary(f"wrote {bundle.name} to {click.format_filename(output)}: {len(files)} files, {size:,} bytes")


def _files_of(bundle: Bundle) -> Callable[[Bundle, bool], dict[str, bytes]]:
    if bundle.coding.get("latent") is None:
        return _members
    with needs("aez[train]", ["onnx", "torch", "onnxscript"]):
        from aez.export.latent.parts import latent_files

    return latent_files


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
        return LATENT_FILES | {MANIFEST, *members}
    except (OSError, ValueError, KeyError, TypeError):  # none there, or not one of ours
        return LATENT_FILES

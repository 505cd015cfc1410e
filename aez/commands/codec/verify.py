"""`aez verify`: whether `.aez` files are whole, down to the last symbol."""

from __future__ import annotations

import io
import sys

import click

from aez import messages
from aez.batch import run_each
from aez.codec.errors import CorruptFile
from aez.commands import options
from aez.files import read_input
from aez.inputs import STDIO, find_coded


@click.command()
@options.files
@options.looking
@options.model
def verify(files: tuple[str, ...], recursive: bool, follow_links: bool, model: str | None) -> None:
    """Check .aez files in full: every chunk's checksum, symbols, samples and alpha of every tile.

    FILE may be a folder, for the .aez files in it; - is standard input.
    """
    from aez.codec.container.chunks import SIGNATURE

    def check(name: str) -> None:
        tiles, used = check_file(read_input(name, SIGNATURE[:-1]), model, None if name == STDIO else name)
        found = f"{tiles} tile{'s' if tiles > 1 else ''}, {f'model {used}' if used else 'no model'}"
        messages.result(f"{click.format_filename(name)}: sound ({found})")

    found = find_coded(files, recursive=recursive, follow_links=follow_links)
    code = run_each([one.path for one in found.files], check, found.failed)
    if found.in_folder and code == 0:
        messages.note(f"all {len(found.files):,} files are sound" if len(found.files) > 1 else "the one file is sound")
    sys.exit(code)


def check_file(data: bytes, model: str | None = None, beside: str | None = None) -> tuple[int, str]:
    """(count of tiles, name of the model or nothing) of a sound file.

    Raises CorruptFile that names all damage, ModelError.
    """
    from aez.codec.bundle.library import find_bundle
    from aez.codec.container.chunks import MODEL, TILE
    from aez.codec.container.image_header import ImageHeader
    from aez.codec.container.reader import Reader
    from aez.codec.image.decoding import MAX_PIXELS
    from aez.codec.image.model import open_model
    from aez.codec.image.tile_kinds import needs_model
    from aez.codec.image.tiles import check_plausible, check_tile_content

    reader = Reader(io.BytesIO(data), ImageHeader, partial=True)
    header = reader.header
    check_plausible(header, len(data), MAX_PIXELS)
    chunks = list(reader.chunks())
    damage: list[CorruptFile] = list(reader.damage)
    embedded = next((chunk.content for chunk in chunks if chunk.type == MODEL), None)
    needed = any(chunk.type == TILE and needs_model(chunk.content) for chunk in chunks)
    bundle = find_bundle(model, header.model_id, embedded, beside) if needed else None
    opened = None if bundle is None else open_model(bundle, "cpu")
    for chunk in chunks:
        try:
            if chunk.type == TILE:
                check_tile_content(opened, chunk.content, header, chunk.tile)
        except CorruptFile as error:
            where = f"tile {chunk.tile}" if chunk.type == TILE else chunk.info.name
            damage.append(CorruptFile(f"{where}: {error}", error.chunk))
    if damage:
        raise CorruptFile("; ".join(str(error) for error in damage), damage[0].chunk)
    return header.tiles, "" if bundle is None else bundle.name

"""`aez view`: `.aez` files in the browser, and others made into such, with the models, from a port of this machine."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port; by default one that is free.")
@click.option("--no-browser", is_flag=True, help="Open no browser; the address is printed in any case.")
def view(files: tuple[str, ...], port: int, no_browser: bool) -> None:
    """Show .aez files in the browser: zoom, header, chunks, the bytes of each tile, other formats beside them.

    Other pictures (PNG, JPEG, WebP, AVIF) that are opened there it encodes, at a quality chosen by eye; without FILE
    it begins empty. The page decodes and encodes itself. It, the files and the models come from 127.0.0.1 until
    Ctrl+C, and nothing goes anywhere else.
    """
    from aez.commands.codec.view_server import ViewServer, check_picture
    from aez.commands.page_server import show

    paths = [Path(name) for name in files]
    for path in paths:
        check_picture(path)
    with ViewServer(paths, port) as server:
        show(server, no_browser)

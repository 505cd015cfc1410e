"""`aez monitor options`: all that a configuration may say."""

from __future__ import annotations

from pathlib import Path

import click

from aez import messages
from aez.codec.errors import OutputError, UnsupportedInput


@click.command()
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--markdown", "as_markdown", is_flag=True, help="As tables in Markdown.")
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the tables into a document, between its lines <!-- keys: begin --> and <!-- keys: end -->.",
)
def options(name: str | None, as_markdown: bool, into: Path | None) -> None:
    """List what a configuration may say: every option with its default, its values and its meaning.

    NAME is one of its tables, such as web, models or sinks.webhook, or a kind, such as mqtt.
    """
    from aez.daemon.config.listing import chosen, into_document, markdown, text

    found = chosen(name)
    if into is None:
        messages.result((markdown(found) if as_markdown else text(found)).rstrip())
        return
    try:
        document = into.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnsupportedInput(f"{into} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    changed = into_document(document, markdown(found))
    try:
        into.write_text(changed, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{into} cannot be written: {error.strerror or error}") from error


COMMANDS = (options,)

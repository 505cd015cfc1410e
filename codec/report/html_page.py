"""The frame of every report: one HTML file that holds all it shows, with a style and a policy that loads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["facts_table", "html_page"]

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; color: #1d2530; background: #fff;
  margin: 2rem auto; max-width: 76rem; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.sub { color: #5c6673; margin: 0 0 1.4rem; }
.verdict { border-left: 6px solid; background: #f6f7f9; padding: .8rem 1.1rem; font-size: 1.1rem; margin: 0 0 1rem; }
.notice { background: #fff8e5; border-left: 6px solid #d99a00; padding: .5rem 1.1rem; margin: .5rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: #5c6673; }
td, th { padding: .3rem 1.1rem .3rem 0; vertical-align: top; }
.events { width: 100%; } .events td, .events th { border-bottom: 1px solid #e3e6ea; white-space: nowrap; }
.facts th { font-weight: 400; min-width: 9rem; } .facts td { overflow-wrap: anywhere; }
.number { text-align: right; } .pill { color: #fff; border-radius: 1em; padding: .1rem .6rem; font-size: .85rem; }
.channel { display: inline-block; min-width: 7rem; margin-right: .9rem; }
.bar { display: block; height: 4px; background: #1f4e79; border-radius: 2px; }
img { width: 100%; height: auto; } footer { color: #5c6673; margin: 2.5rem 0 1rem; font-size: .85rem; }
.id { font-family: ui-monospace, Consolas, monospace; font-size: .9em; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } tr, img { break-inside: avoid; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def html_page(title: str, body: Sequence[str], style: str = "") -> str:
    """A page of parts that are HTML already; `title` is text, `style` CSS beside the common one."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def facts_table(facts: Iterable[tuple[str, str]]) -> str:
    """Names and texts as a table of two columns."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>\n" for name, text in facts)
    return f'<table class="facts">{rows}</table>'

"""Pages of reports: texts are escaped, pictures lie inside, and a template that lacks a value makes no page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from aez.codec.report.pages import TEMPLATES, Figure, html_page
from tests.kit.places import ROOT

BODY = """{% extends "base.html" %}{% from "parts.html" import facts, figure %}
{% block sub %}{{ kind }}{% endblock %}
{% block body %}{{ facts([(name, 1234 | thousands)]) }}{{ figure(one) }}{% endblock %}
{% block meaning %}One is much.{% endblock %}
"""


def test_a_page_of_another_folder_stands_in_the_frame_and_escapes_every_text(tmp_path: Path) -> None:
    (tmp_path / "own.html").write_text(BODY)
    hostile = "<script>\"&'"
    values = {"title": hostile, "kind": "x\udcff", "name": hostile, "one": Figure(b"PNG", hostile, width=900)}
    text = html_page("own.html", tmp_path, version="", **values)
    assert "<script" not in text
    assert text.count("&lt;script&gt;&#34;&amp;&#39;") == 5  # title, heading, table, and a figure's text twice
    assert text.startswith("<!DOCTYPE html>\n")
    assert "default-src 'none'" in text
    assert '<p class="sub">x?</p>' in text
    assert "<td>1,234</td>" in text
    assert '<figure class="plot" style="--own: 900px"><img alt=' in text
    assert 'src="data:image/png;base64,UE5H"' in text
    assert "One is much. Made by aez. This file" in text
    with pytest.raises(UndefinedError, match="'kind' is undefined"):
        html_page("own.html", tmp_path, title="", name="", one=values["one"], version="")


def test_no_template_says_that_a_text_is_safe() -> None:
    for folder in (TEMPLATES, ROOT / "aez" / "commands" / "collection"):
        texts = [path.read_text() for path in folder.glob("*.html")]
        assert texts
        assert not [text for text in texts if re.search(r"\|\s*safe\b|autoescape", text)]

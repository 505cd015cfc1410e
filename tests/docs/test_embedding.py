"""`docs/embedding.md` has the graphs, inputs and outputs that bundles have."""

from __future__ import annotations

import re

import pytest

from aez.codec.bundle.library import find_bundle
from aez.codec.image.model import Geometry
from tests.kit.places import ROOT

DOCUMENT = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")


def rows(first: str) -> dict[str, str]:
    """Graph -> what its row says, of each table whose first column is called so."""
    found: dict[str, str] = {}
    for table in re.findall(rf"^\| {first} \|.*?\n\|[-|]+\n((?:\|.*\n)+)", DOCUMENT, re.MULTILINE):
        for line in table.splitlines():
            cell, _, rest = line.strip("|").partition(" | ")
            found |= {name: rest + found.get(name, "") for name in re.findall(r"`(\w+)`", cell)}
    return found


@pytest.mark.parametrize("name", ["photo", "photo-fast", "kl-f8"])
def test_every_graph_of_a_codec_is_there_with_what_it_takes_and_gives(name: str) -> None:
    said = rows("graph")
    for graph, entry in find_bundle(name).manifest["graphs"].items():
        assert graph in said, f"{graph} of {name}"
        if re.fullmatch(r"(mean|scale)[1-9]|latent_analysis", graph):
            continue  # "as" the one before
        for one in [*entry["inputs"], *entry["outputs"]]:
            assert f"`{one['name']}`" in said[graph], f"{one['name']} of {graph}"


def test_the_numbers_of_shipped_models_are_right() -> None:
    photo, fast, latent = (Geometry.of(find_bundle(name).coding) for name in ("photo", "photo-fast", "kl-f8"))
    sizes = f"{photo.channels}, {photo.hyper_channels}, {photo.state_channels}, alignment {photo.alignment}"
    assert f"(`photo`: {sizes})" in " ".join(DOCUMENT.split())
    assert f"`analysis_halo` ({photo.analysis_halo} for `photo`)" in DOCUMENT
    assert f"`synthesis_halo` ({photo.synthesis_halo}; {fast.synthesis_halo} for `photo-fast`)" in DOCUMENT
    halos = find_bundle("kl-f8").coding["latent"]
    assert f"({halos['encoder_halo']} and {halos['decoder_halo']} pixels)" in DOCUMENT
    assert f"(`kl-f8`, alignment {latent.alignment})" in DOCUMENT

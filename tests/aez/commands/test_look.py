"""`aez look`: its page holds everything that it shows, of pictures and of vectors."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aez.codec.report.autoencoder_page import AutoencoderLook
from aez.codec.report.code_plots import shown_figures
from aez.codec.vectors.items import items_of_array
from aez.codec.vectors.model import load_autoencoder
from tests.kit.commands import run
from tests.kit.made_once import MadeOnce
from tests.kit.rings import rings

SECTIONS = [
    "How it learned",
    "Originals and what comes back",
    "Where the items lie",
    "What the code draws",
    "From one item to another",
    "What each number of the code stands for",
    "Active units",
    "Histograms of the codes",
    "Model",
]


@pytest.fixture(scope="module")
def folder(made_once: MadeOnce) -> Path:
    """Data and models of two kinds, hardly trained."""

    def make(folder: Path) -> None:
        np.savez(folder / "rings.npz", x=rings(60), y=np.arange(60) % 3)
        rows = np.random.default_rng(0).normal(size=(60, 5))
        lines = [",".join([*(f"{one:.4f}" for one in row), "<b>" if row[0] > 0 else "$a_"]) for row in rows]
        (folder / "rows.csv").write_text("\n".join(["a,b,c,d,e,kind", *lines]))
        for command in (
            ("variational", folder / "rings.npz", "--array", "x", "-o", folder / "vae.aezm", "--latent", 2),
            ("dense", folder / "rows.csv", "--ignore", "kind", "-o", folder / "dense.aezm", "--latent", 3),
        ):
            done = run("train", *command, "--steps", 40, "--lr", 0.01, "--device", "cpu")
            assert done.exit_code == 0, done.stderr
        done = run("train", "pca", folder / "rows.csv", "--ignore", "kind", "-o", folder / "pca.aezm", "--latent", 1)
        assert done.exit_code == 0, done.stderr

    return made_once("look", make)


def page(output: Path, *arguments: str | int | Path) -> tuple[str, list[Image.Image]]:
    """The page's text and its pictures, each of which opens."""
    done = run("look", *arguments, "-o", output)
    assert done.exit_code == 0, done.stderr
    text = output.read_text()
    assert re.findall("<h2>(.*?)</h2>", text) == SECTIONS
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    found = re.findall(r'src="data:image/(png|webp);base64,([^"]+)"', text)
    images = [Image.open(io.BytesIO(base64.b64decode(data))) for _, data in found]
    for image in images:
        image.load()
    return text, images


def test_pictures_with_labels_and_a_log(folder: Path, tmp_path: Path) -> None:
    given = (folder / "rings.npz", "-m", folder / "vae.aezm", "--array", "x", "--label", "y")
    text, images = page(tmp_path / "vae.html", *given)
    assert len(images) == 10
    assert sum(getattr(image, "n_frames", 1) > 1 for image in images) == 1  # the animation, without equal frames
    assert text.count('<figure class="plot" style="--own: ') == 4  # these scroll on a phone
    assert "Coloured by label" in text
    assert "KL divergence" in text
    assert "at even shares of the prior" in text
    assert "does not lie beside" not in text


def test_a_loss_that_is_the_error_is_drawn_once() -> None:
    same = [{"step": 1, "loss": 0.5, "mse": 0.5, "norm": 1.0}, {"step": 1, "validation": 0.4, "validation_mse": 0.4}]
    names, titles = shown_figures(same)
    assert names == ["mse"]
    assert titles["mse"] == "loss = reconstruction: mean squared error"
    assert shown_figures([*same, {"step": 2, "loss": 0.6, "mse": 0.5}])[0] == ["loss", "mse"]


def test_vectors_without_a_log_in_three_axes(folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "moved.aezm"
    model.write_bytes((folder / "dense.aezm").read_bytes())
    text, images = page(tmp_path / "d.html", folder / "rows.csv", "-m", model, "--label", "kind", "--axes", 3)
    assert "does not lie beside" in text
    assert "a, b, c, d, e" in text
    assert len(images) == 9


def test_a_code_of_one_number(folder: Path, tmp_path: Path) -> None:
    text, _ = page(tmp_path / "p.html", folder / "rows.csv", "-m", folder / "pca.aezm", "--ignore", "kind")
    assert "1 of 1 numbers of the code are active" in text
    assert "Its components have a closed form" in text


def test_figures_of_the_page_are_those_of_the_codes(folder: Path) -> None:
    model, items = load_autoencoder(folder / "vae.aezm", "cpu"), items_of_array(rings(60))
    look = AutoencoderLook(model, items, model.values(items))
    mean, log_variance = look.codes.mean, look.codes.log_variance
    assert log_variance is not None
    assert look.divergences is not None
    expected = 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).sum(1).mean()
    assert look.divergences.sum() == pytest.approx(expected, rel=1e-4)
    assert look.active == int((mean.var(0) > 0.01).sum())
    unit = items.values / 255
    assert look.error(look.made) == pytest.approx(float(np.square(look.made / 255 - unit).mean()), rel=1e-4)
    assert look.principal_error is not None
    centred = (unit - unit.mean(0)).reshape(60, -1)
    left = np.square(np.linalg.svd(centred, compute_uv=False)[2:]).sum() / unit.size
    assert look.principal_error == pytest.approx(left, rel=1e-3)
    codes, _ = look.manifold()
    assert codes.max() == pytest.approx(1.8808, abs=1e-3)  # the 97th percentile of N(0, 1)


def test_what_cannot_be_looked_at_is_refused(folder: Path, tmp_path: Path) -> None:
    data, model = folder / "rows.csv", folder / "dense.aezm"
    done = run("look", data, "-m", model, "--ignore", "kind", "-o", tmp_path / "page.png")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert ".html" in done.stderr
    done = run("look", folder / "rings.npz", "-m", model, "--array", "x", "-o", tmp_path / "page.html")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert not list(tmp_path.iterdir())

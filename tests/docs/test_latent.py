"""`docs/latent.md`: its programs run, the first of them without aez, and its facts are those of the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("torch")

from aez.bench.latent.report import UNUSED_VARIANCE
from aez.cli import main
from aez.codec.bundle.bundle import Bundle
from aez.codec.latent.model import LatentModel
from aez.commands.codec.models_export import export
from aez.export.latent.parts import GRAPHS, latent_files
from tests.kit.places import ROOT, TINY_KL

DOCUMENT = (ROOT / "docs" / "latent.md").read_text(encoding="utf-8")
SHIPPED = ROOT / "codec" / "models" / "kl-f8.aezm"
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with kl-f8.aezm, picture.png of 50x40 pixels, and six pictures of 32x32 in pictures/."""
    shutil.copy(TINY_KL, tmp_path / "kl-f8.aezm")
    y, x = np.mgrid[:40, :50] / 8
    waves = 128 + 100 * np.sin(x + np.arange(3)[:, None, None]) * np.cos(y)
    pixels = np.rint(waves).astype(np.uint8).transpose(1, 2, 0)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    (tmp_path / "pictures").mkdir()
    for number in range(6):
        Image.fromarray(pixels[number : number + 32, 3 * number : 3 * number + 32]).save(
            tmp_path / "pictures" / f"{number}.png"
        )
    return tmp_path


def run(program: str, folder: Path, before: str = "") -> str:
    command = [sys.executable, "-c", before + program]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_program_in_numpy_runs_without_aez_and_decodes_what_aez_decodes(here: Path) -> None:
    alone = "import sys\nsys.modules.update(dict.fromkeys(('aez', 'torch')))\n"  # None: no such module
    said = run(PROGRAMS[0], here, alone)
    assert said.startswith("latent (1, 4, 5, 6), mean ")
    with Image.open(here / "picture.png") as picture:
        original = np.asarray(picture.crop((0, 0, 48, 40)))
    model = LatentModel(Bundle.open(TINY_KL))
    wanted = model.decode(model.encode(original).mean)
    errors = []
    for step in (0, 100, 300):
        with Image.open(here / f"step-{step}.png") as decoded:
            assert decoded.size == (48, 40)
            errors.append(np.abs(np.asarray(decoded).astype(int) - wanted).mean())
    assert errors[0] < errors[1] < errors[2]  # more noise, less picture
    assert errors[0] < 6


def test_the_sketch_of_training_runs(here: Path) -> None:
    command = ["embed", str(here / "pictures"), "-m", str(TINY_KL), "-o", str(here / "latents.npz")]
    assert CliRunner().invoke(main, command, catch_exceptions=False, prog_name="aez").exit_code == 0
    lines = run(PROGRAMS[1], here, "import torch\ntorch.set_num_threads(1)\ntorch.manual_seed(0)\n").splitlines()
    assert 0 < float(lines[0].removeprefix("loss ")) < 2
    assert lines[1] == "picture (32, 32, 3)"


def test_it_names_every_file_and_tensor_of_the_export() -> None:
    bundle = Bundle.open(TINY_KL)
    config = latent_files(bundle)["config.json"].decode()
    for name in GRAPHS:
        assert f"`{name}/model.onnx`" in DOCUMENT
    for key in re.findall(r'^  "(\w+)":', config, re.MULTILINE):
        assert key in ("in_channels", "out_channels") or f"`{key}`" in DOCUMENT, key
    for name in ("sample", "latent_parameters", "latent_sample", "out_sample"):
        assert f"`{name}`" in DOCUMENT
    options = {option for parameter in export.params for option in parameter.opts}
    assert "--float16" in options
    assert "`--float16`" in DOCUMENT
    assert f"below {UNUSED_VARIANCE}" in DOCUMENT


def test_its_figures_are_those_of_the_report() -> None:
    report = ROOT / "docs" / "results" / "latent.txt"
    if not report.exists():
        pytest.skip("there is no docs/results/latent.txt")
    (shown,) = re.findall(r"<!-- latent.txt.*?-->\n```text\n(.*?)```\n<!-- /latent.txt -->", DOCUMENT, re.DOTALL)
    assert shown.strip()
    assert shown.rstrip("\n") in report.read_text(encoding="utf-8")


@pytest.mark.skipif(not SHIPPED.exists(), reason="the model of the pictures is not shipped")
def test_its_pictures_are_there_and_small() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", DOCUMENT)
    assert len(pictures) == 3
    for name in pictures:
        assert (ROOT / "docs" / name).stat().st_size < 200_000, name

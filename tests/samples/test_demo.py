"""The demonstration in samples/: its table and its picture."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from tests.kit.places import SAMPLES, TINY


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", SAMPLES / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "demo", module)  # its dataclass looks there
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """200x130 pixels: flat on the left, with an edge in each row and column of eight on the right."""
    y, x = np.mgrid[:130, :200]
    grey = np.where(x < 100, 90, 90 + 100 * ((x // 8 + y // 8) % 2)).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "mine.png")
    return tmp_path / "mine.png"


def test_demo_compares_at_equal_bytes(demo: ModuleType, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main([str(picture), "--model", str(TINY), "--out", str(picture.parent)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "mine.png, 200x130"
    rows = {line[:12].strip(): line[12:].split() for line in said if line.startswith(("aez", *demo.PEERS))}
    size = int(rows["aez"][0].replace(",", ""))
    assert float(rows["aez"][1]) == pytest.approx(8 * size / 26_000, abs=5e-4)
    assert all(int(row[0].replace(",", "")) <= size for row in rows.values() if row[0][0].isdigit())
    target = picture.parent / "mine-comparison.png"
    assert said[-1] == f"the crops side by side: {target}"
    with Image.open(target) as sheet:
        # Crops of 192x130 pixels, twice their size, three in a row.
        assert sheet.width == 3 * (384 + demo.GAP) + demo.GAP
        first = sheet.crop((demo.GAP, demo.GAP, demo.GAP + 384, demo.GAP + 260))
        with Image.open(picture) as original:
            expected = original.convert("RGB").crop((0, 0, 192, 130)).resize((384, 260), Image.Resampling.NEAREST)
        assert np.array_equal(np.asarray(first), np.asarray(expected))


def test_crop_shows_detail(demo: ModuleType, picture: Path) -> None:
    pixels = demo.load_pixels(picture)
    left, top, right, bottom = demo.busiest_box(pixels, 64)
    assert (right - left, bottom - top) == (64, 64)
    assert left >= 96
    assert demo.busiest_box(pixels[:10, :20], 64) == (0, 0, 20, 10)


def test_missing_picture_is_a_sentence(demo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["/nothing.png"]) == 5
    assert capsys.readouterr().err == "demo: error: /nothing.png does not exist\n"

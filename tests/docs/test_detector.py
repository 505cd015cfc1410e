"""`docs/detector.md`: its program runs without aez and finds what aez finds, and its facts are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("pyarrow")

from aez.codec.detect.detector import load_detector
from aez.codec.detect.events import DEFAULT_RULE
from aez.codec.detect.rhythm.seasons import CLIP
from aez.codec.series.core import Series
from aez.codec.series.reader import read_series
from aez.export.families.registry import NAMES as FAMILIES
from aez.export.series.graph import LATENT_SHARE
from aez.export.series.recency import FEWEST, LOUD, PARTS, STEEPNESS, WORST
from aez.export.series.seasons.finding import DAY_BINS, EXPLAINED
from aez.export.series.train import METHODS, SEASON_PERCENTILE, DetectorConfig, LimitOptions, main
from aez.export.series.windows import ROWS_PER_WINDOW
from tests.kit.places import ROOT
from tests.kit.rhythm import as_saturday, rhythmic

DOCUMENT = (ROOT / "docs" / "detector.md").read_text(encoding="utf-8")
CHANNELS = ("flow", "pressure", "heat")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with the model pump.aezm and march.csv, in which a sensor fails and another lacks some samples."""
    rng = np.random.default_rng(0)
    rows = np.sin(2 * np.pi * np.arange(2000)[:, None] / 20 + np.arange(3)) + 0.1 * rng.normal(size=(2000, 3))
    rows = rows * [2, 50, 0.01] + [20, 900, 0.5]
    assert main([Series(rows[:1600], CHANNELS, None)], tmp_path / "pump.aezm", config=DetectorConfig("pca")) is not None
    march = rows[1600:]
    march[200:220, 1] += 300
    march[100:105, 2] = np.nan
    lines = [",".join(["time", *CHANNELS])]
    for number, row in enumerate(march):
        cells = ["" if np.isnan(value) else f"{value:.7g}" for value in row]
        lines.append(f"2024-03-01T00:{number // 60:02}:{number % 60:02},{','.join(cells)}")
    (tmp_path / "march.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def program_of(heading: str) -> str:
    """The first program behind a heading."""
    found = re.search(r"^```python\n(.*?)^```$", DOCUMENT.partition(f"{heading}\n")[2], re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.slow
def test_the_program_for_seasons_finds_what_aez_finds_without_torch(tmp_path: Path) -> None:
    assert main([rhythmic(42)], tmp_path / "shop.aezm") is not None
    july = as_saturday(rhythmic(14, first=42), 9)
    times = [str(np.datetime64(moment, "ns").astype("datetime64[s]")) for moment in july.time.tolist()]
    cells = zip(times, july.values[:, 0].tolist(), strict=True)
    lines = ["timestamp,load0", *(f"{when},{value!r}" for when, value in cells)]
    (tmp_path / "july.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    alone = "import sys\nsys.modules.update(dict.fromkeys(('torch', 'pyarrow')))\n"
    program = [sys.executable, "-c", alone + program_of("### Seasons")]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    scores = load_detector(tmp_path / "shop.aezm").score(july).score
    loud = np.flatnonzero(scores > 1)
    assert done.stdout.splitlines() == [f"{times[row]}: {scores[row]:.2f}" for row in loud]
    assert set(range(9 * 24 + 8, 9 * 24 + 18)) <= set(loud.tolist())


def test_it_states_what_the_code_does_with_seasons() -> None:
    assert f"at least {EXPLAINED:.0%} of what moves".replace("%", " %") in DOCUMENT
    assert f"the {SEASON_PERCENTILE:g}th percentile of held-out scores" in DOCUMENT
    assert f"{DAY_BINS} a day and {7 * DAY_BINS:,} a week at most" in DOCUMENT
    assert f"clip(away, -{CLIP:g}, {CLIP:g})" in DOCUMENT


@pytest.mark.slow
def test_the_program_in_it_finds_what_aez_finds_without_aez(here: Path) -> None:
    program = program_of("## In another program")
    alone = "import sys\nsys.modules.update(dict.fromkeys(('aez', 'torch', 'pyarrow')))\n"  # None: no such module
    done = subprocess.run(
        [sys.executable, "-c", alone + program], cwd=here, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    detector = load_detector(here / "pump.aezm")
    scores = detector.score(read_series(here / "march.csv", channels=CHANNELS)[0])
    loud = np.flatnonzero(scores.score > 1)
    names = [CHANNELS[channel] for channel in scores.channel_score[loud].argmax(axis=1)]
    assert done.stdout.splitlines() == [
        f"row {row}: {scores.score[row]:.2f}, mostly {name}" for row, name in zip(loud, names, strict=True)
    ]
    assert set(range(203, 220)) <= set(loud.tolist())
    assert "pressure" in names


def test_it_names_every_family_and_every_threshold() -> None:
    for name in (*FAMILIES, *METHODS):
        assert f"`{name}`" in DOCUMENT, name


def test_it_states_the_defaults_of_the_code() -> None:
    assert f"after {DEFAULT_RULE.open_after} rows in a row above 1" in DOCUMENT
    assert f"closes after {DEFAULT_RULE.close_after} at or below" in DOCUMENT
    assert f"the latest {DetectorConfig().held_out:.0%}".replace("%", " %") in DOCUMENT
    assert f"`--margin` ({LimitOptions().margin:g})" in DOCUMENT
    assert f"`--alarms` ({LimitOptions().alarms:g})" in DOCUMENT
    assert LATENT_SHARE == 0.3
    assert "The other part, three tenths," in DOCUMENT
    words = " ".join(DOCUMENT.split())
    assert (STEEPNESS, WORST, PARTS, FEWEST) == (0.5, 0.2, 4, 8)
    assert "from a half at the first to one and a half at the last" in words
    assert "the worst quarter of the window, which has a fifth (of windows of 8 rows and more)" in words
    assert f"beyond {LOUD:g} times the usual" in words
    assert ROWS_PER_WINDOW == 40
    assert "never more than a fortieth of the data" in DOCUMENT
    assert DetectorConfig().gaps == 0.2
    assert "with gaps in a fifth of their windows" in DOCUMENT

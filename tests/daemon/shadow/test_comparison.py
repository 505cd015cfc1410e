"""A candidate beside a model: the same rows, figures of both, no alarms of its own, and none of what it fails at."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aez.codec.detect.events import EventRule
from aez.codec.errors import InvalidArgument
from aez.daemon.alarms.habits import Habits
from aez.daemon.common.records import Samples
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.rows import ScoredRows
from aez.daemon.engine.watched import Watched
from aez.daemon.shadow.candidate import Candidate, fits
from aez.daemon.shadow.figures import MODEL, SHADOW, Comparison
from aez.daemon.shadow.folder import ShadowFolder
from aez.daemon.shadow.shadows import Shadows
from aez.daemon.signals.rules import Figures, SignalRules
from tests.daemon.engine.test_scales import Scaled
from tests.kit.engine_models import Magnitude

RULE = EventRule(open_after=2, close_after=3, merge_within=0, min_length=1)
SECOND = 10**9
START = 1_700_000_000 * SECOND


def model(name: str = "old") -> Magnitude:
    return Magnitude(name=name)


def watched(**settings: object) -> Watched:
    return Watched("plant", model(), rule=RULE, **settings)  # type: ignore[arg-type]


def samples(values: np.ndarray, names: tuple[str, ...] = ("a",), at: int = 0) -> Samples:
    """Rows [n, channels] of each stream, in turn."""
    period = int((model().period or 1) * SECOND)
    count = len(values)
    stream = np.tile(np.arange(len(names), dtype=np.int32), count)
    time = np.repeat(START + period * (at + np.arange(count)), len(names))
    return Samples(names, stream, time, model().channels, np.repeat(values, len(names), axis=0).astype(np.float32))


def bursts(count: int, size: float) -> np.ndarray:
    values = np.full((count, len(model().channels)), 0.1)
    for start in range(40, count - 10, 60):
        values[start : start + 8] = size
    return values


def candidate(**settings: object) -> Candidate:
    return Candidate(watched(**settings), model("new"), RULE, Comparison(1))


def run(one: Candidate, values: np.ndarray, pieces: int = 1, names: tuple[str, ...] = ("a",)) -> Engine:
    engine = Engine([one.watched], listener=one.take)
    for part in np.array_split(np.arange(len(values)), pieces):
        engine.process([samples(values[part], names, int(part[0]))])
    return engine


@pytest.mark.parametrize("pieces", [1, 7, 150])
def test_an_equal_candidate_sees_what_the_model_sees(pieces: int) -> None:
    one = candidate()
    values = bursts(300, 5.0)
    told = []
    engine = Engine([one.watched], listener=one.take)
    for part in np.array_split(np.arange(len(values)), pieces):
        told += engine.process([samples(values[part], ("a", "b"), int(part[0]))])
    figures = one.comparison.as_dict()
    opened = sum(record.action == "open" for record in told)
    closed = sum(record.action == "close" for record in told)
    assert figures[MODEL] == figures[SHADOW]
    assert figures[MODEL]["events"] == opened > 0
    assert figures[MODEL]["ended"] == figures[MODEL]["overlap"] == closed > 0
    assert figures["rows"] == engine.stats()["scored"]
    assert figures["both_above"] == figures[MODEL]["above"] > 0
    assert figures["streams"] == [{"stream": name, MODEL: opened // 2, SHADOW: opened // 2} for name in ("a", "b")]


@pytest.mark.parametrize("pieces", [1, 7, 150])
def test_events_are_counted_as_people_hear_of_them(pieces: int) -> None:
    """Five bursts an hour apart of one cause are two events and one that goes on, of both alike."""
    one = candidate(habits=Habits(2 * 60 * SECOND, repeats=3))
    values, told = bursts(400, 5.0), []
    engine = Engine([one.watched], listener=one.take)
    for part in np.array_split(np.arange(len(values)), pieces):
        told += engine.process([samples(values[part], at=int(part[0]))])
    figures = one.comparison.as_dict()
    assert [record.action for record in told if record.action != "update"].count("reopen") > 0
    assert figures[MODEL] == figures[SHADOW]
    assert figures[MODEL]["events"] == sum(record.action == "open" for record in told) == 3
    assert figures[MODEL]["ended"] == len({record.id for record in told if record.action == "close"}) == 3


RULES = SignalRules(model().channels, Figures(rest=(1, 1), absence=(0, 0), ranges=((-9, 9), (-9, 9))))


@pytest.mark.parametrize("value", [5.0, -999.0])
@pytest.mark.parametrize("pieces", [1, 9])
def test_a_channel_that_is_missing_or_stuck_is_left_out_of_the_candidates_score(value: float, pieces: int) -> None:
    values = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 2))
    values[50:150, 0] = value
    plant = watched(signals=RULES)
    above = []
    for signals in (RULES, None):
        one = Candidate(plant, model("new"), RULE, Comparison(1), signals)
        run(one, values, pieces)
        figures = one.comparison.as_dict()
        above.append(figures[SHADOW]["above"])
        if signals is not None:
            assert figures[SHADOW] == figures[MODEL]
    assert above[0] < 10
    assert above[1] > 90 or value == -999.0  # the engine took that for no reading already


def test_a_level_that_was_taken_is_the_candidates_too() -> None:
    one = candidate()
    engine = Engine([one.watched], listener=one.take)
    values = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 2)) + np.array([5.0, 0.0])
    engine._groups[0].add("a", 10)
    engine._places["a"] = 0, 0
    engine._groups[0].levels.take(0, np.array([5, 0], np.float32))
    engine.process([samples(values)])
    figures = one.comparison.as_dict()
    assert figures["rows"] > 190
    assert figures[SHADOW] == figures[MODEL]
    assert figures[SHADOW]["above"] == 0


def test_a_candidate_with_a_scale_for_each_stream_learns_it() -> None:
    one = Candidate(watched(), Scaled(name="new"), RULE, Comparison(1))
    values = 1000 + 2 * np.random.default_rng(0).uniform(-1, 1, (700, 2))
    run(one, values, 5)
    figures = one.comparison.as_dict()
    assert figures["rows"] == 700 - 300  # the first ones teach it
    assert (figures[MODEL]["above"], figures[SHADOW]["above"]) == (400, 0)


def test_limits_apply_to_the_candidate_as_to_its_model() -> None:
    one = candidate(limits={"a": 1000.0})
    run(one, bursts(300, 5.0))
    assert one.comparison.as_dict()[SHADOW]["events"] == 0


def test_quantiles_are_those_of_the_scores() -> None:
    figures = Comparison(0)
    scores = np.random.default_rng(1).lognormal(-1, 1, 20_000).astype(np.float32)
    figures.scored(scores, 2 * scores, np.arange(20_000))
    for side, factor in ((MODEL, 1.0), (SHADOW, 2.0)):
        for share, value in figures.as_dict()[side]["quantiles"].items():
            assert value == pytest.approx(factor * np.quantile(scores, float(share)), rel=0.03)


def test_events_overlap_where_their_rows_do() -> None:
    figures = Comparison(0)
    for side, spans in ((MODEL, [(0, 10), (20, 30), (50, 60)]), (SHADOW, [(8, 22), (70, 80)])):
        for start, end in spans:
            figures.opened(side, "a")
            figures.ended(side, "a", start, end)
    told = figures.as_dict()
    assert (told[MODEL]["overlap"], told[SHADOW]["overlap"]) == (2, 1)
    figures.ended(SHADOW, "b", 0, 100)
    assert figures.as_dict()[MODEL]["overlap"] == 2


def test_figures_outlive_the_process() -> None:
    one = candidate()
    run(one, bursts(200, 5.0))
    assert Comparison.from_state(one.comparison.state()).as_dict() == one.comparison.as_dict()
    with pytest.raises(InvalidArgument, match="cannot be read"):
        Comparison.from_state({"begun": 1})


def test_one_with_other_channels_is_refused_in_a_sentence() -> None:
    other = model("new")
    other.channels = ("x", *other.channels[1:])
    assert fits(watched(), other) == f"it has no channel {model().channels[0]!r}, which model plant has"
    with pytest.raises(InvalidArgument, match="cannot stand in for model plant: it has no channel"):
        Candidate(watched(), other, RULE, Comparison(0))
    other = model("new")
    other.period = 17.0
    assert "its period is 17 s" in fits(watched(), other)


def test_channels_may_stand_in_another_order() -> None:
    other = model("new")
    other.channels = tuple(reversed(other.channels))
    one = Candidate(watched(), other, RULE, Comparison(0))
    run(one, bursts(200, 5.0))
    figures = one.comparison.as_dict()
    assert figures[MODEL]["events"] == figures[SHADOW]["events"] > 0


def test_what_a_candidate_fails_at_ends_it_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = candidate()

    def failing(_: object, **__: object) -> None:
        raise ZeroDivisionError

    one.detector.score_batch = failing  # type: ignore[method-assign, assignment]
    shadows = Shadows(ShadowFolder(tmp_path / "monitor.db"))
    shadows.begin({"plant": one})
    with caplog.at_level(logging.ERROR):
        run(replace_take(one, shadows), bursts(100, 5.0))
        assert shadows.settle(30)
    assert shadows.candidates() == {}
    assert "the candidate of model plant failed" in caplog.text
    shadows.close(1)


def replace_take(one: Candidate, shadows: Shadows) -> Candidate:
    """So that rows go the way that they go in a monitor."""
    proxy = object.__new__(Candidate)
    proxy.watched = one.watched
    proxy.take = shadows.take  # type: ignore[method-assign]
    return proxy


def test_rows_that_it_is_too_slow_for_are_counted(tmp_path: Path) -> None:
    one = candidate()
    shadows = Shadows(ShadowFolder(tmp_path / "monitor.db"), queue_bytes=1)
    held = shadows._using
    shadows.folder.path.mkdir()
    with held:
        shadows._candidates = {"plant": one}
        got: list[ScoredRows] = []
        Engine([one.watched], listener=got.append).process([samples(bursts(100, 5.0))])
        shadows.take(got[0])
        shadows.take(replace(got[0]))
    assert one.comparison.skipped == len(got[0].rows)


def test_the_folder_keeps_candidates_by_any_name(tmp_path: Path) -> None:
    folder = ShadowFolder(tmp_path / "monitor.db")
    assert folder.names() == []
    (tmp_path / "new.aezm").write_bytes(b"bundle")
    folder.put("a/b ü", tmp_path / "new.aezm")
    assert folder.names() == ["a/b ü"]
    folder.keep("a/b ü", {"rows": 1})
    assert folder.figures("a/b ü") == {"rows": 1}
    folder.put("a/b ü", tmp_path / "new.aezm")  # another one: its figures begin anew
    assert folder.figures("a/b ü") is None
    folder.drop("a/b ü")
    assert folder.names() == []

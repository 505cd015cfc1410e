"""Numbers as people read them, and the curves that are made of them."""

import json
import math

import numpy as np

from aez.daemon.alarms.curve import POINTS, Curve, short, shortened


def _some_numbers() -> np.ndarray:
    rng = np.random.default_rng(5)
    wide = rng.normal(size=20_000) * 10.0 ** rng.integers(-40, 40, 20_000)
    # Halfway between two numbers of five digits, and beside it; powers of ten, and beside them.
    halves = (rng.integers(10_000, 100_000, 20_000) + 0.5) * 10.0 ** rng.integers(-12, 12, 20_000)
    tens = 10.0 ** np.arange(-30, 30)
    ends = [0.0, -0.0, 5e-324, 1e308, 99_999.5, 99_999.499999, 0.1 + 0.2, -1.0, 2.0**53, math.nan, math.inf, -math.inf]
    exact = np.concatenate([halves, tens, ends])
    around = np.concatenate([exact, np.nextafter(exact, np.inf), np.nextafter(exact, -np.inf)])
    single = np.concatenate([wide, around]).astype(np.float32)
    return np.concatenate([wide, around, single])


def test_many_numbers_are_shortened_as_one_is():
    with np.errstate(over="ignore"):
        given = _some_numbers()
    given = given[: len(given) // 4 * 4].reshape(-1, 4)
    found, wanted = shortened(given), [[short(value) for value in row] for row in given.tolist()]
    assert list(map(repr, found)) == list(map(repr, wanted))  # -0.0 is not 0.0, and all are Python's own
    assert shortened(np.empty((3, 0))) == [[], [], []]
    assert shortened(np.empty((0, 3))) == []


def test_what_is_written_of_a_curve_is_its_state_however_often_it_is_written():
    rng = np.random.default_rng(3)
    curve, seldom = Curve([2, 0]), Curve([2, 0])
    for one in (curve, seldom):
        one.begin(7, 70, rng.normal(size=(5, 3)).astype(np.float32), 10)
    for row in range(7, 7 + 3 * POINTS):  # so that points are thinned out, and the last one is put in another's place
        shown = [short(float(rng.exponential())), None if row % 5 == 0 else short(float(rng.normal())), -1e-7]
        for one in (curve, seldom):
            one.add(row, 10 * row, shown)
        assert json.loads(curve.text()) == curve.state()
    assert json.loads(seldom.text()) == seldom.state()
    again = Curve.from_state(json.loads(seldom.text()))
    assert again.text() == seldom.text()

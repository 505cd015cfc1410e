"""`[[transform]]`: texts that are numbers, units, scale and names; nothing is guessed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.parse.formats import parser
from aez.daemon.transform.columns import Transforms, of_source, shadowed
from aez.daemon.transform.conversion import Conversion
from aez.daemon.transform.table import Transform
from tests.kit.parse_helpers import chunk, encode, rows

CELSIUS = Transform(columns=("temp",), unit="°C", rename="heat")
FAHRENHEIT = Transform(columns=("temp",), unit="°F", scale=5 / 9, offset=-160 / 9)


@pytest.mark.parametrize(
    ("given", "text", "value"),
    [
        ({}, "21.5", 21.5),
        ({}, " -1e3 ", -1000.0),
        ({}, "\u22125", -5.0),
        ({}, "21,5", None),
        ({}, "1,234", None),
        ({}, "21.5 °C", None),
        ({}, "nan", None),
        ({}, "0x10", None),
        ({}, "1_000", None),
        ({}, "", None),
        ({"decimal": ","}, "21,5", 21.5),
        ({"decimal": ","}, "21.5", None),
        ({"decimal": ",", "thousands": "."}, "1.234.567,8", 1234567.8),
        ({"decimal": ",", "thousands": "."}, "1.234", 1234.0),
        ({"decimal": ",", "thousands": "."}, "1.23", None),
        ({"decimal": ",", "thousands": "."}, "1234,5", 1234.5),
        ({"thousands": ","}, "-12,345.5", -12345.5),
        ({"thousands": " "}, "12\u202f345", 12345.0),
        ({"thousands": "'"}, "1'000", 1000.0),
        ({"unit": "°C"}, "21.5 °C", 21.5),
        ({"unit": "°C"}, "21.5°C", 21.5),
        ({"unit": "°C"}, "21.5", None),
        ({"unit": "°C"}, "70 °F", None),
        ({"unit": "kPa", "decimal": ","}, "101,3 kPa", 101.3),
    ],
)
def test_a_text_is_a_number_by_the_transforms_signs_and_no_others(
    given: dict[str, Any], text: str, value: float | None
) -> None:
    assert Transform(columns=("x",), **given).read(text) == value


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"columns": ()}, "columns: it is a text or a list of texts"),
        ({"columns": ("a", "b"), "rename": "x"}, "rename: it is for one column"),
        ({"columns": ("a*",), "rename": "x"}, "rename: it is for one column"),
        ({"columns": ("a",), "rename": "x*"}, "rename: it is for one column"),
        ({"columns": ("a*b*",), "rename": "x*"}, r"rename: one \* in"),
        ({"columns": ("a",), "rename": ""}, "rename: it is empty"),
        ({"columns": ("a",), "decimal": ",", "thousands": ","}, "thousands: ',' is the decimal sign, too"),
        ({"columns": ("a",), "decimal": ";"}, "decimal: it is one of"),
        ({"columns": ("a",), "scale": 0.0}, "scale: it is a number other than 0"),
        ({"columns": ("a",), "scale": math.nan}, "scale"),
        ({"columns": ("a",), "unit": "m2 3"}, "unit"),
    ],
)
def test_what_cannot_be_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Transform(**given)


def test_units_choose_the_transform_and_another_unit_is_no_reading() -> None:
    some = Transforms([CELSIUS, FAHRENHEIT])
    assert some.renamed("temp") == "heat"
    assert some.number("temp", "21.5 °C") == 21.5
    assert some.number("temp", "50 °F") == pytest.approx(10)
    assert math.isnan(some.number("temp", "294 K"))
    assert math.isnan(some.number("temp", "21.5"))


def test_one_and_many_numbers_become_the_same() -> None:
    conversion = Conversion(0.1, -3, (-999, 1.5))
    values = np.array([1.0, -999, 1.5, 9.9e37, np.nan, 1e300, 7])
    assert np.array_equal(conversion.many(values), [conversion.one(value) for value in values.tolist()], equal_nan=True)
    assert np.isnan(conversion.many(values)).tolist() == [False, True, True, True, True, False, False]


def test_a_pattern_renames_what_its_star_stands_for() -> None:
    some = Transforms([Transform(columns=("fields.*",), rename="*", scale=2), Transform(columns=("a*z",), rename="b*")])
    assert [some.renamed(name) for name in ("fields.heat", "afz", "heat")] == ["heat", "bf", "heat"]


def test_two_columns_of_one_name_are_refused() -> None:
    twice = [Transform(columns=(name,), rename="x") for name in "ab"]
    with pytest.raises(InvalidArgument, match="a and b would both be called 'x'"):
        Transforms(twice).check(())
    with pytest.raises(InvalidArgument, match="a and x would both be called 'x'"):
        Transforms(twice[:1]).check(("a", "x"))


def test_a_transform_that_is_never_reached_is_found() -> None:
    same = {1: CELSIUS, 2: FAHRENHEIT, 3: Transform(columns=("temp",), unit="°C"), 4: Transform(columns=("*",))}
    assert shadowed(same) == [(3, 1)]
    assert shadowed({1: Transform(columns=("*",)), 2: Transform(columns=("a",), scale=2)}) == [(2, 1)]
    assert not shadowed({1: Transform(columns=("*",), source=("s",)), 2: Transform(columns=("a",), scale=2)})
    assert of_source([Transform(columns=("a",), source=("s",)), CELSIUS], "t") == (CELSIUS,)


MESSAGES = [
    {"time": 1_700_000_000_000_000_000, "machine": "m", "temp": "21.5 °C", "volts": 1500.0, "load": "1.234,5"},
    {"time": 1_700_000_001_000_000_000, "machine": "m", "temp": "50 °F", "volts": -999.0, "load": "?"},
]
TRANSFORMS = [
    CELSIUS,
    FAHRENHEIT,
    Transform(columns=("v*",), scale=0.001, offset=1, no_reading=(-999,)),
    Transform(columns=("load",), decimal=",", thousands="."),
]
WANTED = [{"heat": 21.5, "volts": 2.5, "load": 1234.5}, {"heat": 10.0, "volts": math.nan, "load": math.nan}]


@pytest.mark.parametrize("form", ["json", "csv", "line", "arrow"])
@pytest.mark.parametrize("times", [1, 20])
def test_every_format_gives_the_same(form: str, times: int) -> None:
    given = MESSAGES * times
    if form == "line":
        lines = [
            f'm,machine=m temp="{one["temp"]}",volts={one["volts"]},load="{one["load"]}" {one["time"]}' for one in given
        ]
        data = ("\n".join(lines) + "\n").encode()
    elif form == "csv":
        lines = [f'{one["time"]};m;"{one["temp"]}";{one["volts"]};{one["load"]}' for one in given]
        data = ("time;machine;temp;volts;load\n" + "\n".join(lines) + "\n").encode()
    else:
        data = encode(form, given)
    options = {"stream": "machine", "transforms": TRANSFORMS, "separator": ";"}
    samples, malformed = parser(form, options).parse(chunk(data, form))
    assert not malformed
    found = [values for _, _, values in rows(samples)]
    assert len(found) == len(given)
    for values, wanted in zip(found, WANTED * times, strict=True):
        assert values.keys() == wanted.keys()
        for name, value in values.items():
            assert value == pytest.approx(wanted[name], nan_ok=True)


def test_texts_of_arrow_may_be_missing_and_of_other_kinds() -> None:
    sink = pa.BufferOutputStream()
    batch = pa.record_batch({"load": pa.array(["1,5", None, "x"], pa.large_string())})
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    samples, _ = parser("arrow", {"transforms": TRANSFORMS}).parse(chunk(sink.getvalue().to_pybytes(), "arrow"))
    assert str(samples[0].values.ravel().tolist()) == "[1.5, nan, nan]"

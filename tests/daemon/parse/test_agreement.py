"""A line means the same whether it is read among regular ones or by itself, and whatever its neighbours."""

import json
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aez.daemon.parse.formats import parser
from aez.daemon.transform.table import Transform
from tests.kit.parse_helpers import START, chunk, comparable, counts, parse_alone, rows

#: To shrink so many lines takes minutes.
_PHASES = [Phase.explicit, Phase.reuse, Phase.generate]


def _words(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from(text.split())


_NUMBERS = st.one_of(
    _words(
        "0 -0 1 -1 12 1.5 -0.25 1e5 1E+5 1e-5 01 -01 1. .5 -.5 1.e5 1e +1 - -- 1.2.3 0x10 0e0 1e400 1e30 -1e19 NaN "
        "inf -inf Infinity -Infinity nan 9.9e37 -9.91e37 3.4e38 1e39 null true false t F TRUE True None 1_0 1i 3u -3i "
        "on Off -3u -0u 1.5i "
        "9223372036854775807i 99999999999999999999 1700000000000000000 12345678901234567890i"
    ),
    st.floats().map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(
        [
            '"a"',
            '""',
            '"1.5"',
            '"1.234,5"',
            '"21.5 °C"',
            '"7 K"',
            '"a,b"',
            '"a b"',
            '"a=b"',
            '"a\\"b"',
            "[1,2]",
            "{}",
            '{"z":1}',
            "",
            " 1",
            "1 ",
        ]
    ),
)
_TIMES = st.one_of(
    st.integers(0, 50).map(lambda i: str(START + i)),
    _words(
        "1700000000 1700000000.25 1700000000000 1e9 -5 99999999999999999999 9223372036854775807 9223372036854775808 "
        "null true 2024-01-01T00:00:00Z 2024-01-01 20240101 2024 0x10 nan 1.5e300"
    ),
    st.sampled_from(
        ['"2024-01-01T00:00:00Z"', '"2024-01-01 10:00:00.123456789"', '"2024-13-01"', '"20240101"', '"1"', '""']
    ),
)
_NAMES = st.one_of(
    st.sampled_from(["m1", "m2", "m3"]),
    st.sampled_from(
        ["", "ä", "a=b", 'a"b', "a\\ b", "a b", "\x01", "x" * 300, "7", "-0", "07", "1.5", "NaN", "\ufeff"]
    ),
)


def _mostly(usual: str, odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.integers(0, 9).flatmap(lambda dice: st.just(usual) if dice else odd)


@st.composite
def _json_line(draw: st.DrawFn) -> bytes:
    values = [draw(_mostly(number, _NUMBERS)) for number in ("1.5", "-2", "3e2", "4.25")]
    moment = draw(_mostly(str(START), _TIMES))
    name = draw(_mostly('"m1"', st.one_of(_NAMES.map(lambda n: f'"{n}"'), _NUMBERS)))
    note = draw(_mostly('"fine"', st.one_of(_NAMES.map(lambda n: f'"{n}"'), _NUMBERS)))
    shape = draw(_mostly("0", st.sampled_from("1234567")))
    a, b, c, d = values
    return {
        "0": f'{{"time":{moment},"m":{name},"a":{a},"in":{{"b":{b},"l":[{c}]}},"d":{d},"note":{note}}}',
        "1": f'{{"time": {moment}, "m": {name}, "a": {a}}}',
        "2": f'{{"m":{name},"a":{a},"d":{d}}}',
        "3": f'{{"time":{moment},"m":{name},"a":{a},"a":{b}}}',
        "4": f'[{{"time":{moment},"m":{name},"a":{a}}},{{"m":{name},"a":{d}}}]',
        "5": f'{{"time":{moment},"a":{a}}}\r',
        "6": f'  {{"time":{moment},"m":{name},"a":{a}}}',
        "7": f'{{"time":{moment},"m":{name},"a":{a}',
    }[shape].encode("utf-8", "surrogatepass")


@st.composite
def _protocol_line(draw: st.DrawFn) -> bytes:
    a, b = (draw(_mostly(number, _NUMBERS)) for number in ("1.5", "-2"))
    whole, unsigned, flag = draw(_mostly("3i", _NUMBERS)), draw(_mostly("4u", _NUMBERS)), draw(_mostly("t", _NUMBERS))
    note = draw(_mostly('"fine"', _NUMBERS))
    moment = draw(_mostly(str(START), _TIMES))
    m = draw(_mostly("m1", _NAMES))
    shape = draw(_mostly("0", st.sampled_from("1234567")))
    return {
        "0": f"cpu,m={m},rack=7 a={a},b={b},c={whole},u={unsigned},on={flag},note={note} {moment}",
        "1": f"cpu,m={m} a={a}",
        "2": f"# cpu,m={m} a={a}",
        "3": f"cpu,rack=7,m={m} b={b},a={a} {moment}",
        "4": f"{m},m={m} a={a} {moment}",
        "5": f"cpu,m={m} a={a},a={b} {moment}",
        "6": f"cpu,m={m}  a={a}  {moment} \r",
        "7": f"cpu,m={m} a={a}, {moment}",
    }[shape].encode()


@st.composite
def _csv_line(draw: st.DrawFn) -> bytes:
    cells = [draw(_mostly(str(START), _TIMES)), draw(_mostly("m1", _NAMES))]
    cells += [draw(_mostly(number, _NUMBERS)) for number in ("1.5", "-2", "fine")]
    shape = draw(_mostly("0", st.sampled_from("1234")))
    line = {"0": ",", "1": ", ", "2": " ,", "3": ",,", "4": '","'}[shape].join(cells)
    return (f'"{line}"' if shape == "4" else line).encode()


_LINES = {"json": _json_line(), "line": _protocol_line(), "csv": _csv_line()}
_TRANSFORMS = [
    Transform(columns=("a",), rename="x", scale=0.1, offset=-3, no_reading=(1.5, -2)),
    Transform(columns=("b", "in.b"), decimal=",", thousands="."),
    Transform(columns=("b", "d", "in.*", "c"), unit="°C", scale=2),
    Transform(columns=("n*", "c"), scale=1e30),
]
_OPTIONS: dict[str, list[dict[str, Any]]] = {
    "json": [
        {"stream": "m"},
        {"columns": ["a", "in.b"], "stream": "{source}-{m}"},
        {"time": "time", "tags": ["note"]},
        {"stream": "m", "transforms": _TRANSFORMS},
    ],
    "line": [
        {},
        {"stream": "m", "columns": ["a", "c"], "transforms": [Transform(columns=("a",), rename="x")]},
        {"stream": "{note}", "time_unit": "auto"},
        {"transforms": _TRANSFORMS},
    ],
    "csv": [
        {"stream": "m"},
        {"stream": "{m}", "columns": ["a", "b"], "complete": True},
        {"time": "time"},
        {"stream": "m", "transforms": _TRANSFORMS},
    ],
}


@pytest.mark.parametrize("form", _LINES)
@pytest.mark.parametrize("choice", range(4))
@settings(max_examples=30, phases=_PHASES)
@given(data=st.data())
def test_fast_and_careful_way_agree(form: str, choice: int, data: st.DataObject) -> None:
    lines = data.draw(st.lists(_LINES[form], min_size=8, max_size=40))
    if data.draw(st.integers(0, 9)) == 0:
        lines[data.draw(st.integers(0, 7))] = data.draw(st.binary(max_size=60).map(lambda b: b.replace(b"\n", b"")))
    options = _OPTIONS[form][choice]
    more = {"header": "time,m,a,b,note"} if form == "csv" else {}

    def make() -> Any:
        return parser(form, options)

    alone, faults = parse_alone(make, lines, form, **more)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aez.daemon.parse.lines._FEW", 2)  # the fast way for as many lines as can be
        made = make()
        made.short = 2
        samples, malformed = made.parse(chunk(b"\n".join(lines), form, **more))
    assert comparable(rows(samples)) == comparable(alone)
    assert counts(malformed) == faults


@pytest.mark.parametrize("form", _LINES)
def test_a_tenth_malformed_leaves_the_rest_unharmed(form: str) -> None:
    def line(row: int) -> bytes:
        moment = START + row
        if form == "json":
            return json.dumps({"time": moment, "m": "a", "x": row / 4, "y": 1.5}).encode()
        return f"q,m=a x={row / 4},y=1.5 {moment}".encode() if form == "line" else f"{moment},a,{row / 4},1.5".encode()

    bad = {
        "json": [
            b'{"time":1,"m":"a","x":1e31}', b'{"x":1e40}', b'{"x":1e30}', b'{"x":"1"', b"\xff\xfe", b"[[[[" * 1000,
            b'{"a":' * 100_000, b"[" * 100_000, b"17", b'"text"', b"nul", b'{"x":' + b"9" * 10_000 + b"}", b"{}",
            b'{"x":1,"\xed\xa0\x80":2}', b'{"x":' + b"1" * 10_000_000 + b"}", b'{"time":[],"x":1}', b"[1,2]",
            b"{" + b",".join(b'"c%d":1' % i for i in range(2000)) + b"}", b'{"x":1e999}', b"\x00",
        ],
        "line": [
            b"q", b"q x", b"q x=", b"q x=1e31", b"q x=1e40", b"q x=9e9e", b"q x=a", b",m=a x=1", b"q,m= x=1", b"q,m=a",
            b"q,m=a x=1 17.5", b"q,m=a x=1 1 1", b'q,m=a x="open', b"\xff x=1", b"q x=" + b"1" * 10_000_000, b"=", b" ",
            b"q " + b",".join(b"c%d=1" % i for i in range(3000)), b"q x=-1u", b"q x=1 " + b"9" * 400, b"q,m=a\\",
            b'q x=""',
        ],
        "csv": [
            b"1", b"1,a,1e40,2", b"1,a,1e30,2", b"1,a,1,2,3", b"\xff,a,1,2", b'1,a,"1,2', b"x,a,1,2", b"," * 100_000,
            b"1" * 10_000_000, b"1,a,-1e40,nan", b"9" * 30 + b",a,1,2", b'"', b"1,a,b,c",
        ],
    }[form]  # fmt: skip
    idle = [b" "] if form == "line" else []
    lines, good = [], []
    for row in range(10 * len(bad)):
        lines.append(line(row))
        good.append(row)
        if row % 10 == 9:
            lines.append(bad[row // 10])
    more = {"header": "time,m,x,y"} if form == "csv" else {}
    reader = parser(form)
    for _ in range(2):  # the second time with what the first taught
        samples, malformed = reader.parse(chunk(b"\n".join(lines), form, **more))
        found = {moment: values for moment, _, values in rows(samples) if "y" in values}
        assert found == {START + row: {"x": row / 4, "y": 1.5} for row in good}
        assert sum(counts(malformed).values()) == len(bad) - len(idle)
        assert all(len(one.data) <= 1000 and len(one.detail) < 500 for one in malformed)

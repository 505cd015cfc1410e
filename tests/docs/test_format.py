"""What codec/FORMAT.md says of bundles: the worked example of an id, the operators of graphs, why scales are exact."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from aez.codec.bundle.bundle import Bundle, pack_bundle
from tests.kit.arrays import npy
from tests.kit.places import DATA, ROOT

TEXT = (ROOT / "codec" / "FORMAT.md").read_text(encoding="utf-8")
BUNDLES = [*sorted((ROOT / "codec" / "models").glob("*.aezm")), *sorted(DATA.glob("*.aezm"))]


@functools.cache
def opened(path: Path) -> Bundle:
    return Bundle.open(path)


def graphs(path: Path) -> Iterator[tuple[str, onnx.ModelProto]]:
    """The graphs that decoding needs."""
    for member in opened(path).coding["decoder_members"]:
        if member.endswith(".onnx"):
            yield member, onnx.load_from_string(opened(path).graph(member.removesuffix(".onnx")))


def test_the_worked_example_of_an_id() -> None:
    stated = re.search(r"\n    (a\.npy) 00 ([0-9a-f]{64})\n    (\{.*\})\n", TEXT)
    assert stated is not None
    name, digits, coding = stated.groups()
    octets = f"{name}\0{digits}\n{coding}".encode()
    stated_id = hashlib.sha256(octets).hexdigest()
    assert f"`{stated_id}`" in TEXT
    assert f"{len(octets)} bytes" in TEXT
    assert f"`{bytes.fromhex(stated_id)[:8].hex(' ')}`" in re.sub(r"\s+", " ", TEXT)
    member = npy(np.array([1, 2, 3], np.uint8))
    manifest = {key: {} for key in ("graphs", "provenance", "figures")} | dict.fromkeys(("name", "family", "task"), "")
    keys = {"alignment": 16, "decoder_members": ["a.npy"], "quality_range": [1.0, 100.0]}
    assert pack_bundle({**manifest, "coding": keys}, {"a.npy": member}).id == stated_id
    assert (len(member), hashlib.sha256(member).hexdigest()) == (131, digits)


def listed_operators() -> dict[str, str]:
    """Operator -> its attributes, as the table says them."""
    rows = re.findall(r"^\| ((?:`[A-Z]\w+` ?)+) \| (.*) \|$", TEXT, re.MULTILINE)
    return {operator: attributes for names, attributes in rows for operator in re.findall(r"`(\w+)`", names)}


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.stem)
def test_graphs_use_the_operators_that_are_listed(path: Path) -> None:
    listed = listed_operators()
    scales = set(re.findall(r"`([A-Z]\w+)`", TEXT.partition("`scale` graphs use")[2]))
    assert len(listed) > 20
    for name, model in graphs(path):
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
        assert model.SerializeToString()[:1] == b"\x08"
        assert model.ir_version in (8, 10)
        for node in model.graph.node:
            assert node.op_type in listed, name
            assert name[:5] != "scale" or node.op_type in scales
            for attribute in node.attribute:
                assert f"`{attribute.name}`" in listed[node.op_type], (name, node.op_type)


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.stem)
def test_sums_of_scales_stay_below_the_integers_that_float32_holds(path: Path) -> None:
    convolutions = 0
    for name, model in graphs(path):
        if not name.startswith("scale"):
            continue
        tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Cast" and node.input[0] in tensors:
                tensors[node.output[0]] = tensors[node.input[0]].astype(np.float32)
        for node in model.graph.node:
            if node.op_type != "Conv":
                continue
            weight, *biases = (tensors[given].astype(np.float64) for given in node.input[1:])
            bias = biases[0] if biases else np.zeros(len(weight))
            assert (weight == np.rint(weight)).all()
            assert (bias == np.rint(bias)).all()
            assert np.abs(weight).max() <= 127
            assert (np.abs(weight).sum(axis=(1, 2, 3)) * 255 + np.abs(bias)).max() < 1 << 24
            convolutions += 1
    assert convolutions > 5

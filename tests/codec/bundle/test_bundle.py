"""Model bundles: deterministic, verified at opening, and nothing hostile gets through."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.defs
import onnx.parser
import pytest
from onnx import TensorProto, helper

from aez.codec.bundle import bundle as bundle_module
from aez.codec.bundle import graph_check as onnx_check
from aez.codec.bundle import library
from aez.codec.bundle.bundle import Bundle, write_bundle
from aez.codec.bundle.graph_check import GraphInfo, check_graph
from aez.codec.bundle.library import find_bundle, list_bundles
from aez.codec.errors import AezError, InvalidArgument, ModelError, OutputError
from tests.kit.arrays import npy


def graph_model(operator: str = "Relu", **attributes: Any) -> onnx.ModelProto:
    """y = operator(x) + w."""
    node = helper.make_node(operator, ["x"], ["r"], **attributes)
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in "xy")
    graph = helper.make_graph([node, helper.make_node("Add", ["r", "w"], ["y"])], "g", [x], [y], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


TENSORS = {"inputs": [{"name": "x", "shape": ["batch", 2], "dtype": "float32"}]}
TENSORS["outputs"] = [{**TENSORS["inputs"][0], "name": "y"}]
MANIFEST: dict[str, Any] = {
    "name": "tiny",
    "family": "test",
    "task": "image-codec",
    "coding": {"alignment": 16, "decoder_members": ["synthesis.onnx", "table.npy"]},
    "graphs": {"analysis": TENSORS, "synthesis": TENSORS},
    "provenance": {"seed": 1},
    "figures": {},
}
MEMBERS = {
    "analysis.onnx": graph_model().SerializeToString(),
    "synthesis.onnx": graph_model("Tanh").SerializeToString(),
    "table.npy": npy(np.arange(6, dtype=np.uint32).reshape(2, 3)),
}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.aezm"
    write_bundle(path, MANIFEST, MEMBERS)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's model folder, with no models in the package."""
    path = tmp_path / "models"
    path.mkdir()
    monkeypatch.setenv("AEZ_MODELS", str(path))
    monkeypatch.setattr(library, "_SHIPPED", tmp_path / "shipped")
    return path


def full_manifest(members: dict[str, bytes], **changes: Any) -> dict[str, Any]:
    listed = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in members.items()}
    return {**copy.deepcopy(MANIFEST), "format": 1, "members": listed, **changes}


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def bundled(members: dict[str, bytes], manifest: dict[str, Any] | None = None) -> bytes:
    """A bundle made by hand, so that it may be wrong."""
    manifest = full_manifest(members) if manifest is None else manifest
    return zipped({"manifest.json": json.dumps(manifest).encode(), **members})


# -- writing and opening -----------------------------------------------------------------------------------------------


def test_what_was_written_opens(written: Path) -> None:
    for source in (written, str(written), written.read_bytes()):
        bundle = Bundle.open(source)
        assert (bundle.name, bundle.task, bundle.half) == ("tiny", "image-codec", False)
        assert bundle.coding == MANIFEST["coding"]
        assert bundle.members == ("analysis.onnx", "synthesis.onnx", "table.npy")
        assert bundle.graph("analysis") == MEMBERS["analysis.onnx"]
        np.testing.assert_array_equal(bundle.array("table"), [[0, 1, 2], [3, 4, 5]])
        assert bundle.array("table").dtype == np.uint32
        assert not bundle.array("table").flags.writeable
        assert bundle.summary()["graphs"] == ["analysis", "synthesis"]
    with pytest.raises(ModelError, match=r"other\.onnx is not in it"):
        bundle.graph("other")


def test_equal_contents_give_equal_bytes(written: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.aezm"
    write_bundle(again, dict(reversed(MANIFEST.items())), dict(reversed(MEMBERS.items())))
    assert again.read_bytes() == written.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_bundle_is_plain_onnx_and_numpy(written: Path) -> None:
    with zipfile.ZipFile(written) as archive:
        onnx.checker.check_model(onnx.load_from_string(archive.read("analysis.onnx")))
        np.load(io.BytesIO(archive.read("table.npy")), allow_pickle=False)


def test_the_id_follows_what_decoding_depends_on() -> None:
    manifest = full_manifest(MEMBERS)
    lines = "".join(f"{name}\0{entry['sha256']}\n" for name, entry in sorted(manifest["members"].items()))
    coding = '{"alignment":16,"decoder_members":["synthesis.onnx","table.npy"]}'
    bundle = Bundle.open(bundled(MEMBERS))
    assert bundle.id == hashlib.sha256((lines + coding).encode()).hexdigest()
    assert Bundle.open(bundled(MEMBERS, {**manifest, "figures": {"psnr": 31.0}})).id == bundle.id
    assert Bundle.open(bundled(MEMBERS, {**manifest, "coding": {**manifest["coding"], "halo": 8}})).id != bundle.id
    members = {**MEMBERS, "table.npy": npy(np.arange(7))}
    assert Bundle.open(bundled(members)).id != bundle.id


def test_the_decoding_half_has_the_same_id(written: Path) -> None:
    whole = Bundle.open(written)
    data = whole.decoding_half()
    half = Bundle.open(data, half=True)
    assert (half.half, half.id, half.manifest) == (True, whole.id, whole.manifest)
    assert half.members == ("synthesis.onnx", "table.npy")
    assert half.graph("synthesis") == whole.graph("synthesis")
    assert half.decoding_half() == data
    with pytest.raises(ModelError, match="decoding half"):
        half.graph("analysis")
    with pytest.raises(ModelError, match=r"analysis\.onnx is missing"):
        Bundle.open(data)
    assert not Bundle.open(written, half=True).half


def test_the_decoding_half_needs_its_members() -> None:
    members = {name: data for name, data in MEMBERS.items() if name != "table.npy"}
    with pytest.raises(ModelError, match=r"table\.npy is missing"):
        Bundle.open(bundled(members, full_manifest(MEMBERS)), half=True)


def test_writing_to_nowhere_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"the folder .*absent does not exist"):
        write_bundle(tmp_path / "absent" / "m.aezm", MANIFEST, MEMBERS)


def test_an_unsound_bundle_is_not_written_and_leaves_the_old_one(written: Path) -> None:
    before = written.read_bytes()
    for manifest in (
        {**MANIFEST, "graphs": {}},
        {**MANIFEST, "figures": {"x": object()}},
        {**MANIFEST, "figures": {"x": np.nan}},
    ):
        with pytest.raises(ModelError):
            write_bundle(written, manifest, MEMBERS)
    assert written.read_bytes() == before
    assert list(written.parent.iterdir()) == [written]


# -- hostile zips and manifests ----------------------------------------------------------------------------------------


def test_damaged_bytes_never_crash_or_pass(written: Path) -> None:
    data = written.read_bytes()
    rng = random.Random(1)
    for case in range(400):
        damaged = bytearray(data)
        if case % 2:
            damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        else:
            del damaged[rng.randrange(len(data)) :]
        try:
            bundle = Bundle.open(bytes(damaged))
        except ModelError:
            continue
        assert bundle.members == tuple(MEMBERS)  # the flip hit a time or an attribute of the zip


@pytest.mark.parametrize(
    "data",
    [b"", b"PK", b"no zip at all", zipped({}), zipped({"manifest.json": b"[]"}), zipped({"manifest.json": b"{"})],
)
def test_what_is_no_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError):
        Bundle.open(data)


@pytest.mark.parametrize("spelled", ["1e0", "1.50", "-0", "100E-2", "1.0000000000000001", "1e400"])
def test_numbers_are_spelled_as_the_id_has_them(spelled: str) -> None:
    """Who makes the id from the text of the manifest, and who makes it from its numbers, get one id."""
    manifest = json.dumps(full_manifest(MEMBERS, figures={"psnr": 31.5}))
    assert Bundle.open(zipped({"manifest.json": manifest.encode(), **MEMBERS}))
    with pytest.raises(ModelError, match=r"is spelled otherwise|Infinity"):
        Bundle.open(zipped({"manifest.json": manifest.replace("31.5", spelled).encode(), **MEMBERS}))


def test_no_member_of_an_object_comes_twice() -> None:
    manifest = json.dumps(full_manifest(MEMBERS)).replace('"coding":', '"coding": {}, "coding":')
    with pytest.raises(ModelError, match="two members of one name"):
        Bundle.open(zipped({"manifest.json": manifest.encode(), **MEMBERS}))


def test_deep_or_impossible_json_is_refused() -> None:
    for text in (b"[" * 100_000, b'{"format": NaN}', b"\xff", b'{"a": "' + bytes(1 << 20) + b'"}'):
        with pytest.raises(ModelError, match=r"manifest\.json"):
            Bundle.open(zipped({"manifest.json": text}))


def test_a_compressed_bundle_is_refused() -> None:
    files = {"manifest.json": json.dumps(full_manifest(MEMBERS)).encode(), **MEMBERS}
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with pytest.raises(ModelError, match="compressed"):
            Bundle.open(zipped(files, compression))


def test_an_encrypted_member_is_refused(written: Path) -> None:
    data = bytearray(written.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    with pytest.raises(ModelError, match="encrypted"):
        Bundle.open(bytes(data))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused() -> None:
    buffer = io.BytesIO(bundled(MEMBERS))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("table.npy", b"")
    with pytest.raises(ModelError, match="one name"):
        Bundle.open(buffer.getvalue())


@pytest.mark.parametrize(
    "name", ["evil.py", "../up.npy", "a/b.npy", "/root.npy", "a\\b.npy", ".npy", "x.npy.so", "x.NPY", "é.npy"]
)
def test_strange_member_names_are_refused(name: str) -> None:
    with pytest.raises(ModelError):
        Bundle.open(bundled({**MEMBERS, name: b""}))


def test_an_unlisted_member_is_refused() -> None:
    with pytest.raises(ModelError, match="does not list"):
        Bundle.open(bundled({**MEMBERS, "extra.npy": npy(np.zeros(1))}, full_manifest(MEMBERS)))


def test_a_changed_member_is_refused() -> None:
    table = MEMBERS["table.npy"]
    for changed in (table[:-1], table[:-1] + b"\1"):
        with pytest.raises(ModelError, match=r"table\.npy is damaged"):
            Bundle.open(bundled({**MEMBERS, "table.npy": changed}, full_manifest(MEMBERS)))


def test_absurd_sizes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bundled(MEMBERS)
    (tmp_path / "m.aezm").write_bytes(data)
    many = {f"a{number}.npy": b"" for number in range(65)}
    with pytest.raises(ModelError, match="66 members"):
        Bundle.open(bundled(many))
    monkeypatch.setattr(bundle_module, "MEMBER_MAX", 64)
    with pytest.raises(ModelError, match="more than 64"):
        Bundle.open(data)
    monkeypatch.setattr(bundle_module, "BUNDLE_MAX", 1000)
    for source in (data, tmp_path / "m.aezm"):
        with pytest.raises(ModelError, match="larger than 1000"):
            Bundle.open(source)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format"], 2, "format 2"),
        (["format"], None, "format None"),
        (["name"], 3, "name"),
        (["coding"], None, "coding"),
        (["members"], [], "members"),
        (["members", "table.npy", "sha256"], "00", r"table\.npy"),
        (["members", "table.npy"], 1, r"table\.npy"),
        (["members", "a/b.npy"], {"sha256": "0" * 64, "bytes": 0}, "a/b.npy"),
        (["coding", "decoder_members"], "table.npy", "decoder_members"),
        (["coding", "decoder_members"], [1], "decoder_members"),
        (["coding", "decoder_members"], ["absent.npy"], "decoder_members"),
        (["coding", "decoder_members"], ["table.npy", "table.npy"], "decoder_members"),
        (["graphs", "extra"], {}, "extra"),
        (["graphs", "analysis"], [], "analysis"),
        (["graphs", "analysis", "inputs"], [{"name": "x"}], "analysis"),
        (["graphs", "analysis", "inputs", 0, "name"], "other", "other"),
        (["graphs", "analysis", "outputs"], [], "outputs"),
    ],
)
def test_unsound_manifests_are_refused(path: list[Any], value: Any, message: str) -> None:
    manifest = full_manifest(MEMBERS)
    manifest["graphs"] = {name: copy.deepcopy(graph) for name, graph in manifest["graphs"].items()}
    place = manifest
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ModelError, match=message):
        Bundle.open(bundled(MEMBERS, manifest))


def npy_with_header(text: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text.encode() + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        npy(np.array([{}], object)),
        npy(np.zeros(2, [("a", "<i4")])),
        npy(np.zeros(2, ">i4")),
        npy(np.zeros(2, complex)),
        npy(np.asfortranarray(np.zeros((2, 3)))),
        npy(np.zeros(3))[:-1],
        npy(np.zeros(3)) + b"\0",
        npy_with_header("{'descr': '<i4', 'fortran_order': False, 'shape': (999999999, 999999999), }\n"),
        npy_with_header("{'descr': '<f1', 'fortran_order': False, 'shape': (0,), }\n"),
        npy_with_header("{'descr': '<i4', 'fortran_order': False, 'shape': (" + "(" * 3000 + "), }\n"),
    ],
)
def test_arrays_of_anything_but_plain_numbers_are_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="array table"):
        Bundle.open(bundled({**MEMBERS, "table.npy": data}))


@pytest.mark.parametrize("dtype", ["u1", "<i2", "<u4", "<i8", "<f4", "<f8", "?"])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (1, 2, 3, 4)])
def test_arrays_of_plain_numbers_read_as_numpy_does(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    found = Bundle.open(bundled({**MEMBERS, "table.npy": npy(array)})).array("table")
    np.testing.assert_array_equal(found, array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)


# -- graphs ------------------------------------------------------------------------------------------------------------


def test_ordinary_graphs_pass() -> None:
    assert check_graph(MEMBERS["analysis.onnx"], "g") == GraphInfo(("x",), ("y",))
    constant = helper.make_node("Constant", [], ["c"], value=helper.make_tensor("c", TensorProto.INT64, [1], [3]))
    model = graph_model()
    model.graph.node.append(constant)
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [2]))  # as old versions did
    model.metadata_props.add(key="a", value="b")
    assert check_graph(model.SerializeToString(), "g") == GraphInfo(("x", "w"), ("y",), frozenset({"w"}))


def test_the_allowed_operators_are_standard_and_without_subgraphs() -> None:
    schemas = {schema.name: schema for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    assert set(schemas) >= onnx_check.OPERATORS
    graphs = {onnx.defs.OpSchema.AttrType.GRAPH, onnx.defs.OpSchema.AttrType.GRAPHS}
    for name in onnx_check.OPERATORS:
        assert not any(attribute.type in graphs for attribute in schemas[name].attributes.values())
        assert not name.startswith(("Random", "Sequence", "String", "Optional"))


def foreign_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.evil"


def foreign_opset(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="com.microsoft", version=1)


def newer_operators(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 19


def newer_form(model: onnx.ModelProto) -> None:
    model.ir_version = 11


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Evil"


def random_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "RandomNormalLike"


def control_flow(model: onnx.ModelProto) -> None:
    branch = helper.make_graph([], "b", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=branch, else_branch=branch))


def hidden_subgraph(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("body", helper.make_graph([], "b", [], [])))


def hidden_subgraphs(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("bodies", [helper.make_graph([], "b", [], [])]))


def external_weight(model: onnx.ModelProto) -> None:
    weight = model.graph.initializer[0]
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/passwd")


def external_entry_alone(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")


def external_constant(model: onnx.ModelProto) -> None:
    tensor = helper.make_tensor("c", TensorProto.FLOAT, [1], [1.0])
    tensor.data_location = TensorProto.EXTERNAL
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def sparse_weight(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add().dims.append(4)


def local_function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="")


def training(model: onnx.ModelProto) -> None:
    model.training_info.add()


def huge_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]


def negative_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-1]


def no_graph(model: onnx.ModelProto) -> None:
    model.ClearField("graph")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (foreign_domain, r"com\.evil"),
        (foreign_opset, r"com\.microsoft"),
        (newer_operators, "version 19 of the operators, above 18"),
        (newer_form, "version above 10"),
        (unknown_operator, "Evil"),
        (random_operator, "RandomNormalLike"),
        (control_flow, "field 6|'If'"),
        (hidden_subgraph, "field 6"),
        (hidden_subgraphs, "field 11"),
        (external_weight, "another file"),
        (external_entry_alone, "another file"),
        (external_constant, "another file"),
        (sparse_weight, "field 15"),
        (local_function, "field 25"),
        (training, "field 20"),
        (huge_weight, "elements"),
        (negative_weight, "elements"),
        (no_graph, "0 graphs"),
    ],
)
def test_hostile_graphs_are_refused(spoil: Any, message: str) -> None:
    model = graph_model()
    spoil(model)
    members = {**MEMBERS, "analysis.onnx": model.SerializeToString()}
    with pytest.raises(ModelError, match=f"graph analysis.*({message})"):
        Bundle.open(bundled(members))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x3a",  # field 7 without a length
        b"\x3a\x05ab",  # and with too great a one
        b"\x3a" + b"\xff" * 11,
        b"\x38\x01",  # field 7 as a number
        b"\x3b",  # an obsolete group
        b"\xfa\x7f\x00",  # an unknown field
        MEMBERS["analysis.onnx"] * 2,  # two graphs, which protobuf would merge
    ],
)
def test_bytes_that_are_no_model_are_refused(data: bytes) -> None:
    with pytest.raises(ModelError):
        check_graph(data, "g")


def test_mutated_graphs_never_crash() -> None:
    rng = random.Random(2)
    for _ in range(2000):
        data = bytearray(MEMBERS["analysis.onnx"])
        data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            check_graph(bytes(data), "g")
        except ModelError:
            continue


def test_a_graph_of_countless_fields_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_check, "FIELDS_MAX", 20)
    with pytest.raises(ModelError, match="more than 20 fields"):
        check_graph(MEMBERS["analysis.onnx"], "g")
    monkeypatch.undo()
    monkeypatch.setattr(onnx_check, "NODES_MAX", 1)
    with pytest.raises(ModelError, match="more than 1 nodes"):
        check_graph(MEMBERS["analysis.onnx"], "g")


# -- finding -----------------------------------------------------------------------------------------------------------


def named(name: str) -> dict[str, Any]:
    return {**MANIFEST, "name": name, "coding": {**MANIFEST["coding"], "of": name}}


def test_models_are_found_by_name_stem_and_id(folder: Path) -> None:
    photo = write_bundle(folder / "file-name.aezm", named("photo-visual"), MEMBERS)
    other = write_bundle(folder / "other.aezm", named("drawing"), MEMBERS)
    assert find_bundle().id == photo.id
    for ref in (
        "photo-visual",
        "file-name",
        photo.id,
        photo.id[:8],
        folder / "file-name.aezm",
        str(folder / "file-name.aezm"),
    ):
        assert find_bundle(ref).id == photo.id
    assert find_bundle((folder / "other.aezm").read_bytes()).id == other.id
    assert find_bundle(model_id=bytes.fromhex(other.id)[:8]).id == other.id
    assert find_bundle("photo-visual", bytes.fromhex(photo.id)[:8]).id == photo.id
    assert [(entry.source, entry.name, entry.error) for entry in list_bundles()] == [
        ("user", "photo-visual", ""),
        ("user", "drawing", ""),
    ]


def test_the_users_folder_comes_before_the_package(folder: Path) -> None:
    shipped = library._SHIPPED
    shipped.mkdir()
    inside = write_bundle(shipped / "photo-visual.aezm", named("photo-visual"), MEMBERS)
    assert find_bundle().id == inside.id
    manifest = named("photo-visual")
    manifest["coding"]["of"] = "mine"
    mine = write_bundle(folder / "photo-visual.aezm", manifest, MEMBERS)
    assert find_bundle().id == mine.id
    assert find_bundle(model_id=bytes.fromhex(inside.id)[:8]).id == inside.id


def test_the_embedded_model_comes_before_the_folders_and_after_the_reference(folder: Path) -> None:
    bundle = write_bundle(folder / "tiny.aezm", MANIFEST, MEMBERS)
    half = bundle.decoding_half()
    wanted = bytes.fromhex(bundle.id)[:8]
    assert find_bundle(model_id=wanted, embedded=half).half
    assert not find_bundle("tiny", wanted, half).half
    with pytest.raises(ModelError, match=f"needs model {'00' * 8}, and tiny is model {bundle.id[:16]}"):
        find_bundle(model_id=bytes(8), embedded=half)
    with pytest.raises(ModelError, match="zip"):
        find_bundle(model_id=wanted, embedded=half[:-30])


def test_a_missing_model_is_named_with_the_places(folder: Path) -> None:
    (folder / "broken.aezm").write_bytes(b"PK")
    with pytest.raises(ModelError, match="no model 0123456789abcdef in") as raised:
        find_bundle(model_id=bytes.fromhex("0123456789abcdef"))
    for place in (folder, library._SHIPPED, folder / "broken.aezm"):
        assert str(place) in str(raised.value)
    with pytest.raises(ModelError, match=re.escape(str(folder / "none.aezm"))):
        find_bundle(folder / "none.aezm")
    with pytest.raises(ModelError, match="Is a directory"):
        find_bundle(folder)
    with pytest.raises(InvalidArgument):
        find_bundle("")
    assert list_bundles()[0].error


def test_short_ids_and_wrong_models_are_refused(folder: Path) -> None:
    bundle = write_bundle(folder / "tiny.aezm", MANIFEST, MEMBERS)
    with pytest.raises(ModelError, match="no model"):
        find_bundle(bundle.id[:7])
    with pytest.raises(ModelError, match="needs model"):
        find_bundle("tiny", bytes(8))


def test_a_replaced_file_is_opened_anew(folder: Path) -> None:
    first = write_bundle(folder / "photo-visual.aezm", named("photo-visual"), MEMBERS)
    assert find_bundle() is find_bundle()
    second = write_bundle(
        folder / "photo-visual.aezm", {**named("photo-visual"), "coding": {"decoder_members": []}}, MEMBERS
    )
    assert first.id != second.id
    assert find_bundle().id == second.id


def test_a_damaged_model_is_found_and_refused(folder: Path) -> None:
    write_bundle(folder / "photo-visual.aezm", named("photo-visual"), MEMBERS)
    data = bytearray((folder / "photo-visual.aezm").read_bytes())
    data[data.index(b"NUMPY") + 130] ^= 1
    (folder / "photo-visual.aezm").write_bytes(data)
    with pytest.raises(AezError, match=r"photo-visual\.aezm is not usable"):
        find_bundle()


def test_the_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEZ_MODELS", str(tmp_path))
    assert library.model_folders()[0] == ("user", tmp_path)
    monkeypatch.delenv("AEZ_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert library.model_folders()[0] == ("user", tmp_path / "aez" / "models")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert library.model_folders()[0] == ("user", tmp_path / ".local" / "share" / "aez" / "models")

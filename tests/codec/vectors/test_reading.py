"""Items from files and folders: kinds, names, labels, ranges, one item of many, and what is refused in a sentence."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aez.codec.errors import AezError, InvalidArgument, UnsupportedInput
from aez.codec.vectors.items import items_of_array, range_of
from aez.codec.vectors.reading import Reading, read_items
from tests.kit.idx_files import idx_bytes

PICTURES = np.random.default_rng(0).integers(0, 256, (30, 6, 5)).astype(np.uint8)
VECTORS = np.random.default_rng(1).normal(size=(25, 3)).astype(np.float32)


def folder_of(path: Path, pictures: np.ndarray, classes: int = 0) -> Path:
    for number, pixels in enumerate(pictures):
        place = path / f"class{number % classes}" if classes else path
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:03d}.png")
    return path


def test_an_idx_file_is_pictures_with_numbers(tmp_path: Path) -> None:
    path = tmp_path / "digits"
    path.write_bytes(idx_bytes(PICTURES))
    (tmp_path / "labels").write_bytes(idx_bytes(np.arange(30, dtype=np.uint8) % 10))
    items = read_items(path, Reading(labels=tmp_path / "labels"))
    assert items.kind == "pictures"
    assert items.labels is not None
    assert (items.names[7], items.labels[7], range_of(items)) == ("digits#7", "7", (0.0, 255.0))
    np.testing.assert_array_equal(items.values, PICTURES)


@pytest.mark.parametrize("name", ["digits.csv", "digits.npy", "digits.npz"])
def test_an_idx_file_is_known_by_what_it_holds(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(idx_bytes(PICTURES)))
    np.testing.assert_array_equal(read_items(tmp_path / name).values, PICTURES)


def test_one_item_is_named_by_its_number(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PICTURES)
    one = read_items(f"{tmp_path / 'a.npy'}#7")
    assert one.names == ("a.npy#7",)
    np.testing.assert_array_equal(one.values, PICTURES[7:8])
    with pytest.raises(InvalidArgument, match="has the items #0 to #29, and no #30"):
        read_items(f"{tmp_path / 'a.npy'}#30")


def test_a_file_whose_name_has_a_number_is_itself(tmp_path: Path) -> None:
    Image.fromarray(PICTURES[0]).save(tmp_path / "a#3.png")
    (tmp_path / "a#3").write_bytes(idx_bytes(PICTURES))
    assert len(read_items(tmp_path / "a#3")) == 30
    assert len(read_items(tmp_path / "a#3.png")) == 1


def test_an_archive_gives_its_items_and_its_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=PICTURES, y=np.arange(30))
    items = read_items(tmp_path / "a.npz", Reading(label="y"))
    assert len(items) == 30
    assert items.labels == tuple(map(str, range(30)))
    np.savez(tmp_path / "b.npz", one=PICTURES, two=PICTURES)
    with pytest.raises(InvalidArgument, match="holds one, two; name the items with --array"):
        read_items(tmp_path / "b.npz")
    assert len(read_items(tmp_path / "b.npz", Reading(array="two"))) == 30


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_gives_its_columns_of_numbers_and_the_label(tmp_path: Path, delimiter: str) -> None:
    rows = [delimiter.join(("a", "kind", "b"))] + [delimiter.join((str(n), f"k{n % 2}", str(n / 2))) for n in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    items = read_items(tmp_path / "t.csv", Reading(label="kind"))
    assert (items.kind, items.columns, items.labels) == ("vectors", ("a", "b"), tuple(f"k{n % 2}" for n in range(20)))
    np.testing.assert_array_equal(items.values[:, 1], np.arange(20, dtype=np.float32) / 2)
    assert read_items(tmp_path / "t.csv", Reading(ignore=("kind", "b"))).shape == (1,)


def test_a_table_without_a_heading_keeps_its_first_row(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "t.csv", VECTORS, delimiter=",")
    np.testing.assert_allclose(read_items(tmp_path / "t.csv").values, VECTORS, rtol=1e-6)


def test_a_table_without_a_heading_names_no_columns(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "t.csv", VECTORS, delimiter=",")
    assert read_items(tmp_path / "t.csv").columns == ()
    assert read_items(tmp_path / "t.csv", Reading(ignore=("f1",))).shape == (2,)


def test_a_column_without_a_name_has_one(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(", a \n0,1.5\n1,2.5\n")
    assert read_items(tmp_path / "t.csv").columns == ("column 1", "a")
    assert read_items(tmp_path / "t.csv", Reading(ignore=("column 1",))).columns == ("a",)


def test_sub_folders_are_labels(tmp_path: Path) -> None:
    items = read_items(folder_of(tmp_path / "p", PICTURES, classes=3))
    assert items.labels == tuple(f"class{n}" for n in range(3) for _ in range(10))
    assert items.names[0] == "class0/000.png"
    assert read_items(folder_of(tmp_path / "flat", PICTURES)).labels is None


def test_pictures_of_many_sizes_are_brought_to_one_when_asked(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", PICTURES)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "large.png")
    with pytest.raises(UnsupportedInput, match=r"have 2 sizes \(5x6, 9x9\); bring them to one with --size WxH"):
        read_items(folder)
    items = read_items(folder, Reading(size=(8, 4)))
    assert (items.shape, items.changed) == ((8, 4), "5x6, 9x9 to 4x8")
    coloured = np.zeros((9, 9, 3), np.uint8)
    coloured[..., 0] = 200
    Image.fromarray(coloured).save(folder / "large.png")
    assert read_items(folder / "large.png", Reading(size=(8, 4), colours=1)).changed == "9x9 in colour to 4x8 in grey"
    assert read_items(folder / "large.png").changed == ""


def test_a_picture_that_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", PICTURES)
    (folder / "broken.png").write_bytes(b"no picture")
    items = read_items(folder)
    assert len(items) == 30
    assert [Path(path).name for path, _ in items.skipped] == ["broken.png"]


def test_what_is_not_kept_of_pictures_is_said(tmp_path: Path) -> None:
    deep = PICTURES.astype(np.uint16) * 257
    for number in range(3):
        Image.fromarray(deep[number]).save(tmp_path / f"{number}.png")
    clear = Image.fromarray(PICTURES[0])
    clear.putalpha(Image.fromarray(np.full(PICTURES[0].shape, 99, np.uint8)))
    clear.save(tmp_path / "clear.png")
    clear.putalpha(255)
    clear.save(tmp_path / "solid.png")
    assert read_items(tmp_path).notices == (
        "3 of 5 pictures: 16-bit grey is kept as 8 bits: the upper half of every value",
        "1 of 5 pictures: what is transparent is shown over white",
    )
    assert read_items(tmp_path / "solid.png").notices == ()


def test_lists_of_a_table_are_vectors(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    prices = [Decimal(number) / 4 for number in range(25)]
    table = pa.table({"v": VECTORS.tolist(), "k": ["x"] * 25, "price": prices})
    parquet.write_table(table, tmp_path / "v.parquet")
    items = read_items(tmp_path / "v.parquet", Reading(label="k"))
    np.testing.assert_allclose(items.values[:, :3], VECTORS)
    np.testing.assert_array_equal(items.values[:, 3], np.arange(25) / 4)
    assert items.columns == ("v[0]", "v[1]", "v[2]", "price")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(5), r"has the shape \[5\]; give vectors"),
        (np.zeros((2, 2, 2, 3, 1)), "give vectors"),
        (np.zeros((4, 2, 8, 8)), r"has the shape \[4, 2, 8, 8\], and pictures have 1 colour or 3"),
        (np.zeros((0, 3)), "nothing is in it"),
        (np.array([["a", "b"]]), "holds text, and items are numbers"),
        (np.zeros((2, 2), complex), "holds complex numbers"),
        (np.array([[1, 2], [3, np.nan], [np.inf, 1]]), "2 of 3 items hold NaN or infinity, the first is #1"),
        (np.zeros((1, 600, 4)), "sides have at most 512"),
    ],
)
def test_arrays_that_are_no_items(values: np.ndarray, message: str) -> None:
    with pytest.raises(UnsupportedInput, match=message):
        items_of_array(values, "it")


@pytest.mark.parametrize("colours", [1, 3])
def test_colours_that_come_first_are_put_last(colours: int) -> None:
    first = np.random.default_rng(2).integers(0, 256, (4, colours, 6, 5)).astype(np.uint8)
    items = items_of_array(first)
    assert items.shape == ((6, 5) if colours == 1 else (6, 5, 3))
    np.testing.assert_array_equal(items.values.reshape(4, 6, 5, colours)[2, 1, 4], first[2, :, 1, 4])


def test_ranges_of_pictures_are_found() -> None:
    unit = PICTURES.astype(np.float32) / 255
    assert range_of(items_of_array(unit)) == (0.0, 1.0)
    assert range_of(items_of_array(unit * 255)) == (0.0, 255.0)
    assert range_of(items_of_array(VECTORS)) is None
    for wrong in (unit - 1, unit * 300):
        with pytest.raises(UnsupportedInput, match=r"pictures have values in 0\.\.1 or 0\.\.255"):
            range_of(items_of_array(wrong))


def bad_files(folder: Path) -> dict[str, tuple[str | Path, Reading, str]]:
    np.save(folder / "a.npy", PICTURES)
    (folder / "ten").write_text("\n".join("0123456789"))
    (folder / "text.csv").write_text("a,name\n1,x\n2,y\n")
    (folder / "mixed.csv").write_text("a,b\n1,2\n2,?\n3,4\n")
    (folder / "comma.csv").write_text("a;b\n1,5;2\n2;3\n")
    (folder / "pairs.csv").write_text("file,label\na.png,cat\n")
    (folder / "latin.csv").write_text("gr\u00f6\u00dfe,b\n1,2\n", encoding="latin-1")
    (folder / "gap.csv").write_text("a,b\n1,\n2,3\n")
    (folder / "broken.npz").write_bytes(b"PK no archive")
    np.save(folder / "objects.npy", np.array([{}, {}], dtype=object))
    (folder / "noise.npy").write_bytes(b"\1\2\3 and more")
    (folder / "empty").mkdir()
    (folder / "noise").write_bytes(b"\1\2\3")
    return {
        "absent": (folder / "absent", Reading(), "does not exist"),
        "labels of another length": (
            folder / "a.npy",
            Reading(labels=folder / "ten"),
            "there are 10 labels and 30 items",
        ),
        "no labels": (folder / "a.npy", Reading(labels=folder / "none"), "does not exist; name the file of labels"),
        "a label of no table": (folder / "a.npy", Reading(label="kind"), "is no table; give --labels FILE"),
        "no such column": (folder / "text.csv", Reading(label="kind"), "has no column 'kind'; it has a, name"),
        "text": (
            folder / "text.csv",
            Reading(),
            "column 'name' holds no numbers but string; name it with --label name",
        ),
        "one value is none": (
            folder / "mixed.csv",
            Reading(),
            r"'b' holds numbers and, in 1 of 3 rows, something else, the first '\?' in row 2",
        ),
        "decimal commas": (folder / "comma.csv", Reading(), "'a' holds '1,5'; write decimals with a point"),
        "a table of labels": (folder / "a.npy", Reading(labels=folder / "pairs.csv"), "has several columns"),
        "gaps": (folder / "gap.csv", Reading(), "column 'b' lacks 1 of 2 values"),
        "no archive": (folder / "broken.npz", Reading(), "no sound file of NumPy arrays"),
        "objects": (folder / "objects.npy", Reading(), "it holds Python objects, and items are numbers"),
        "no array": (folder / "noise.npy", Reading(), "no sound file of NumPy arrays: it begins as none"),
        "an empty folder": (folder / "empty", Reading(), "no pictures found"),
        "no picture": (folder / "noise", Reading(), "noise: it is not a picture.*; items are in pictures, IDX"),
        "another encoding": (folder / "latin.csv", Reading(), "latin.csv is not written in UTF-8; save it so"),
    }


@pytest.mark.parametrize("what", [
    "absent", "labels of another length", "no labels", "a label of no table", "no such column", "text", "gaps",
    "one value is none", "decimal commas", "a table of labels", "no archive", "an empty folder", "no picture",
    "another encoding", "objects", "no array",
])  # fmt: skip
def test_files_that_are_no_items(tmp_path: Path, what: str) -> None:
    source, how, message = bad_files(tmp_path)[what]
    with pytest.raises(AezError, match=message) as caught:
        read_items(source, how)
    assert "\n" not in str(caught.value)

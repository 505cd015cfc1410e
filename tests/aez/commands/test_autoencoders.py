"""The commands about autoencoders of items: training, codes, samples, ways, noise, neighbours; and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aez.codec.bundle.bundle import Bundle
from aez.codec.vectors.files import read_vectors
from tests.kit.commands import run
from tests.kit.made_once import MadeOnce
from tests.kit.rings import rings
from tests.kit.small_autoencoders import items_for, small_autoencoders


@pytest.fixture(scope="session")
def models(made_once: MadeOnce) -> dict[str, Path]:
    """A bundle of each family."""
    return small_autoencoders(made_once)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with rings.npy, its labels and vectors.npy, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    np.save("rings.npy", rings(200))
    np.save("labels.npy", np.arange(200) % 4)
    np.save("vectors.npy", items_for("pca").values)
    np.save("shares.npy", rings(20) / np.float32(255))
    Path("heading.csv").write_text("a,b\n")
    return tmp_path


def size_of(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_training_makes_a_bundle_and_says_how_good_it_is(data: Path) -> None:
    done = run("train", "dense", "rings.npy", "-o", "m.aezm", "--latent", 3, "--layers", "20,10", "--epochs", 2,
               "--test", "rings.npy")  # fmt: skip
    assert done.exit_code == 0
    assert "pictures of 12x12 in 3 numbers; of 200 items to test: mse" in done.stderr
    bundle = Bundle.open(data / "m.aezm")
    assert bundle.manifest["provenance"]["steps"] == 2
    assert bundle.manifest["provenance"]["network"] == {
        "family": "dense",
        "options": {"latent": 3, "layers": [20, 10], "linear": False},
    }
    assert run("train", "pca", "rings.npy", "-o", "m.aezm").exit_code == 6
    assert run("train", "dense", "rings.npy", "-o", "n.aezm", "--epochs", 1, "--steps", 3).exit_code == 2


@pytest.mark.usefixtures("data")
def test_columns_that_number_the_rows_are_warned_of() -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([rng.normal(size=60), np.arange(60) + 70_000, rng.permutation(60), np.sort(rng.normal(size=60))], 1)
    np.savetxt("t.csv", rows, "%.6g", ",", header="a,counted,customer_id,sorted", comments="")
    asked = ("train", "pca", "t.csv", "-o", "m.aezm", "--latent", 9)  # too many, which is said behind it at once
    said = run(*asked).stderr
    assert "columns counted, customer_id seem to number the rows; leave out" in said
    assert "--ignore counted,customer_id\n" in said
    (line,) = run(*asked, "--ignore", "counted,customer_id").stderr.splitlines()
    assert "9 components are asked for, and of items of 2 numbers" in line


@pytest.mark.usefixtures("data")
def test_items_beside_what_comes_back(models: dict[str, Path]) -> None:
    done = run("reconstruct", "rings.npy", "-m", models["dense"], "-o", "sheet.png", "--json", "--bits", 4)
    found = json.loads(done.stdout)
    assert done.stderr == "aez: wrote 40 of 200 items, evenly spread, to sheet.png\n"
    assert size_of("sheet.png") == (10 * (12 * 6 + 4) - 4, 8 * (12 * 6 + 4) - 4)
    assert (found["items"], found["bits"], found["dimensions"]) == (200, 4, 5)
    assert found["bytes_an_item"] == pytest.approx(2.5, abs=0.6)
    run("reconstruct", "rings.npy", "-m", models["dense"], "-o", "back.npy")
    back = np.load("back.npy")
    assert back.shape == (200, 12, 12)
    run("reconstruct", "rings.npy#7", "-m", models["dense"], "-o", "one.npy")
    np.testing.assert_allclose(np.load("one.npy")[0], back[7], rtol=1e-3, atol=1e-2)


@pytest.mark.usefixtures("data")
def test_vectors_come_back_as_a_table(models: dict[str, Path]) -> None:
    done = run("reconstruct", "vectors.npy", "-m", models["pca"], "-o", "back.csv", "--json")
    assert done.exit_code == 0
    back = np.loadtxt("back.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(back, np.load("vectors.npy"), atol=0.05)  # three numbers say all of them
    assert json.loads(done.stdout)["mse"] < 1e-3


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_codes_with_names_and_labels(data: Path, models: dict[str, Path], suffix: str) -> None:
    done = run("embed", "rings.npy", "-m", models["conv"], "-o", f"v{suffix}", "--labels", "labels.npy")
    assert done.exit_code == 0
    found = read_vectors(data / f"v{suffix}")
    assert found.vectors.shape == (200, 5)
    assert found.labels is not None
    assert (found.names[7], found.labels[7]) == ("rings.npy#7", "3")
    assert found.about["model"] == "conv"


def test_samples_come_from_a_prior_and_only_from_one(data: Path, models: dict[str, Path]) -> None:
    assert run("sample", "-m", models["variational"], "-o", "s.npy", "--count", 6).exit_code == 0
    drawn = np.load("s.npy")
    assert drawn.shape == (6, 12, 12)
    run("sample", "-m", models["variational"], "-o", "t.npy", "--count", 6, "--seed", 1)
    assert not np.array_equal(drawn, np.load("t.npy"))
    refused = run("sample", "-m", models["dense"], "-o", "u.png")
    assert refused.exit_code == 2
    assert (
        "is of the family dense and has no prior to draw from; train one with `aez train variational`" in refused.stderr
    )
    assert not (data / "u.png").exists()


@pytest.mark.usefixtures("data")
def test_the_way_between_two_items(models: dict[str, Path]) -> None:
    assert run("interpolate", "rings.npy#0", "rings.npy#1", "-m", models["beta"], "-o", "way.npy").exit_code == 0
    assert np.load("way.npy").shape == (8, 12, 12)
    assert run("interpolate", "rings.npy#0", "rings.npy#1", "-m", models["beta"], "-o", "way.gif").exit_code == 0
    many = run("interpolate", "rings.npy", "rings.npy#1", "-m", models["beta"], "-o", "x.png")
    assert (many.exit_code, "holds 200 items; name one, such as rings.npy#0" in many.stderr) == (2, True)


@pytest.mark.usefixtures("data")
def test_noise_is_removed_from_items_and_from_large_pictures(models: dict[str, Path]) -> None:
    done = run("denoise", "rings.npy", "-m", models["denoising"], "-o", "c.npy", "--clean", "rings.npy", "--json")
    found = json.loads(done.stdout)
    assert found["psnr_before"] is None
    assert found["psnr"] > 0
    Image.fromarray(rings(1, side=40)[0]).save("large.png")
    assert run("denoise", "large.png", "-m", models["denoising"], "-o", "clean.png").exit_code == 0
    assert size_of("clean.png")[0] >= 40
    Image.fromarray(rings(1, side=10)[0]).save("small.png")
    small = run("denoise", "small.png", "-m", models["denoising"], "-o", "x.png")
    assert (small.exit_code, "is smaller than the model's 12x12" in small.stderr) == (2, True)
    other = run("denoise", "rings.npy", "-m", models["conv"], "-o", "x.png")
    assert "is of the family conv and did not learn to remove noise" in other.stderr


WAVE = np.sin(np.arange(700) / 4).astype(np.float32)


@pytest.fixture(scope="session")
def of_windows(made_once: MadeOnce) -> Path:
    """A model that removes noise from windows of WAVE."""

    def make(folder: Path) -> None:
        np.save(folder / "windows.npy", np.lib.stride_tricks.sliding_window_view(WAVE[:400], 16))
        made = run("train", "denoising", folder / "windows.npy", "-o", folder / "w.aezm", "--level", 0.5, "--latent", 3,
                   "--steps", 600, "--lr", 0.005, "--device", "cpu")  # fmt: skip
        assert made.exit_code == 0, made.stderr

    return made_once("of_windows", make) / "w.aezm"


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("suffix", [".csv", ".npy"])
def test_noise_is_removed_from_a_series_by_a_model_of_windows(of_windows: Path, suffix: str) -> None:
    wave = WAVE
    noisy = wave[400:] + 0.4 * np.random.default_rng(0).normal(size=300)
    for name, values in (("noisy", noisy), ("clean", wave[400:])):
        if suffix == ".csv":
            Path(f"{name}.csv").write_text("level\n" + "\n".join(map(str, values)) + "\n")
        else:
            np.save(f"{name}.npy", values[:, None].astype(np.float32))
    done = run(
        "denoise", f"noisy{suffix}", "-m", of_windows, "-o", f"out{suffix}", "--clean", f"clean{suffix}", "--json"
    )
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["mse"] < 0.5 * found["mse_before"]
    back = np.loadtxt("out.csv", skiprows=1) if suffix == ".csv" else np.load("out.npy")[:, 0]
    assert back.shape == (300,)
    assert np.square(back - wave[400:]).mean() == pytest.approx(found["mse"], rel=0.01)
    assert suffix != ".csv" or Path("out.csv").read_text().startswith('"level"')


@pytest.mark.usefixtures("data")
def test_the_nearest_items_are_found(models: dict[str, Path]) -> None:
    run("embed", "rings.npy", "-m", models["pca"], "-o", "v.parquet")
    model = models["conv"]
    run("embed", "rings.npy", "-m", model, "-o", "v.npz", "--labels", "labels.npy")
    asked = ("similar", "rings.npy#7", "--index", "v.npz", "-m", model, "-k", 3, "-o", "near.png", "--json")
    done = run(*asked, "--keep-query")
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(done.stdout)["neighbours"]
    assert row["names"][0] == "rings.npy#7"
    assert row["distances"][0] == pytest.approx(0, abs=1e-3)
    assert size_of("near.png")[0] == 4 * (12 * 6 + 4) - 4
    done = run(*asked, "-f")
    (others,) = json.loads(done.stdout)["neighbours"]
    assert others["names"][:2] == row["names"][1:]
    assert "note: the query is in the index and not listed as similar to itself; --keep-query lists it" in done.stderr
    all_of_them = ("similar", "rings.npy", "--index", "v.npz", "-m", model, "-k", 1, "--labels", "labels.npy")
    assert "precision at 1 by label: 1.0000" in run(*all_of_them, "--keep-query").stdout
    done = run(*all_of_them)
    assert "note: 200 of 200 queries are in the index" in done.stderr
    assert float(done.stdout.rpartition(" ")[2]) < 0.9
    Path("elsewhere").mkdir()  # a file of the same name is another one
    np.save("elsewhere/rings.npy", np.load("rings.npy"))
    (other,) = json.loads(run(asked[0], "elsewhere/rings.npy#7", *asked[2:], "-f").stdout)["neighbours"]
    assert other["names"][0] == "rings.npy#7"
    wrong = run("similar", "rings.npy#7", "--index", "v.npz", "-m", models["dense"])
    assert (wrong.exit_code, "holds vectors of the model conv" in wrong.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("reconstruct", "vectors.npy", "-m", "dense", "-o", "x.npy"), 2, "takes pictures of 12x12 numbers, and these"),
        (("reconstruct", "vectors.npy", "-m", "pca", "-o", "x.png"), 2, "vectors are no pictures"),
        (("reconstruct", "rings.npy", "-m", "dense", "-o", "x.png", "-q", "50"), 2, "--quality is not for the model"),
        (("reconstruct", "rings.npy", "rings.npy", "-m", "dense", "-o", "x.png"), 2, "takes one DATA at a time"),
        (("reconstruct", "none.npy", "-m", "dense", "-o", "x.png"), 5, "none.npy does not exist"),
        (("embed", "rings.npy", "-m", "dense", "-o", "x.csv"), 2, "it must end in .npz, .parquet"),
        (("embed", "rings.npy", "-m", "dense", "-o", "x.npz", "--sample"), 2, "model dense gives none"),
        (("embed", "rings.npy", "-m", "dense", "-o", "x.npz", "--labels", "none"), 5, "name the file of labels"),
        (("similar", "rings.npy#0", "--index", "labels.npy", "-m", "dense"), 5, "has the shape [200]; give vectors"),
        (
            ("train", "pca", "vectors.npy", "-o", "x.aezm", "--size", "8x8"),
            2,
            "--size is for pictures, and vectors.npy",
        ),
        (("train", "pca", "vectors.npy", "-o", "x.aezm", "--ignore", "a"), 2, "--ignore is for tables, and"),
        (("train", "pca", "rings.npy", "-o", "x.aezm", "--array", "a"), 2, "--array is for .npz files, and"),
        (("train", "conv", "vectors.npy", "-o", "x.aezm"), 2, "convolutions are for pictures"),
        (("train", "dense", "rings.npy#0", "-o", "x.aezm"), 5, "1 picture is too few"),
        (("train", "dense", "rings.npy", "-o", "x.aezm", "--layers", "a,b"), 2, "are no widths of layers"),
        (("train", "dense", "rings.npy", "-o", "x.aezm", "--test", "vectors.npy"), 2, "those to learn from [12, 12]"),
        (("train", "dense", "rings.npy", "-o", "x.aezm", "--test", "shares.npy"), 2, "pictures to test lie in 0..1,"),
        (("train", "dense", "heading.csv", "-o", "x.aezm"), 5, "has a heading and no rows"),
        (("train", "denoising", "vectors.npy", "-o", "x.aezm", "--noise", "rician"), 2, "is none for these items; use"),
    ],
)
def test_what_is_refused_in_a_sentence(
    data: Path, models: dict[str, Path], arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = run(*(str(models.get(word, word)) if arguments[0] != "train" else word for word in arguments))
    assert done.exit_code == code, done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not [path for path in data.iterdir() if path.name.startswith("x.")]


def test_a_bundle_is_checked_and_listed_as_what_it_is(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("models", "verify", models["pca"])
    assert (done.exit_code, "sound (pca" in done.stdout) == (0, True)
    monkeypatch.setattr("aez.codec.bundle.library.model_folders", lambda: [("user", tmp_path)])
    (tmp_path / "conv.aezm").write_bytes(models["conv"].read_bytes())
    assert "pictures of 12x12 in 5 numbers, family conv" in run("models").stdout
    assert json.loads(run("models", "--json").stdout)["shape"] == [12, 12]


def test_a_damaged_bundle_and_one_that_contradicts_itself(models: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(models["dense"].read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "m.aezm").write_bytes(bytes(data))
    done = run("sample", "-m", tmp_path / "m.aezm", "-o", tmp_path / "s.png")
    assert done.exit_code == 4

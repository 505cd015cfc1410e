"""What models of pictures make of a frame, limits that frames teach, and the pictures of events."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import aez
from aez.codec.bundle.bundle import save_bundle
from aez.codec.bundle.library import find_bundle
from aez.codec.detect.events import Event
from aez.codec.detect.pictures import PictureDetector
from aez.codec.errors import InvalidArgument
from aez.codec.image.distortion import psnr
from aez.codec.image.model import ImageModel
from aez.daemon.alarms.learned_limit import LearnedLimit
from aez.daemon.build import models
from aez.daemon.common.records import Chunk, EventRecord, Samples
from aez.daemon.config.reader import ConfigError, load
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.watched import Watched
from aez.daemon.frames.models import COLUMNS, CodecFrames, DetectorFrames, FrameModel, MeasuredFrame
from aez.daemon.frames.pictures import FramePictures
from aez.daemon.parse.formats import parser
from aez.daemon.parse.results import REASONS
from aez.daemon.tools.check import deep_check
from tests.kit import hand_made_picture_model as gear

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
Array = np.ndarray[Any, np.dtype[Any]]


def detector_frames() -> DetectorFrames:
    return DetectorFrames(PictureDetector(gear.bundle(), "cpu", 1))


@pytest.fixture(scope="module")
def photo() -> ImageModel:
    return ImageModel(find_bundle("photo"), "cpu", 1)


def scene(number: int, noisy: bool = False) -> Array:
    """A soft gradient with a little grain, uint8 [48, 64, 3]; a noisy one has coarse grain in its lower right part."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:48, :64]
    pixels = (40 + 2 * x + y)[:, :, None] + rng.normal(0, 2, (48, 64, 3))
    if noisy:
        pixels[36:, 48:] = rng.integers(0, 256, (12, 16, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def rows_of(model: FrameModel, frames: list[Array]) -> list[MeasuredFrame]:
    return model.measure([model.prepare(one) for one in frames])


def samples(model: FrameModel, frames: list[Array], first: int = 0, stream: str = "cam") -> Samples:
    values = np.stack([one.row for one in rows_of(model, frames)])
    times = START + (first + np.arange(len(frames))) * SECOND
    return Samples([stream], np.zeros(len(frames), np.int32), times.astype(np.int64), COLUMNS, values)


def flat(level: int, spot: tuple[int, int] | None = None) -> Array:
    pixels = np.full((gear.HEIGHT, gear.WIDTH, 3), level, np.uint8)
    if spot is not None:
        pixels[spot] = 255
    return pixels


def test_a_frame_becomes_its_score_and_the_highest_error_of_each_region() -> None:
    model = detector_frames()
    (found,) = rows_of(model, [flat(140, spot=(7, 4))])
    row = dict(zip(COLUMNS, found.row.tolist(), strict=True))
    assert row["frame"] == pytest.approx((255 - 128) / 64)
    assert row["row 4 column 2"] == row["frame"]
    assert {value for name, value in row.items() if name not in ("frame", "row 4 column 2")} == {12 / 64}
    assert found.error_map.shape == (gear.HEIGHT, gear.WIDTH)


def test_frames_are_measured_alike_alone_and_among_others() -> None:
    model = detector_frames()
    frames = [flat(100 + number, spot=(number % 8, number % 12)) for number in range(16)]
    together = rows_of(model, frames)
    for frame, found in zip(frames, together, strict=True):
        np.testing.assert_allclose(rows_of(model, [frame])[0].row, found.row, rtol=1e-6)


def test_blame_goes_to_regions_above_the_threshold_or_to_all() -> None:
    model = detector_frames()
    batch = np.zeros((3, 1, len(COLUMNS)), np.float32)
    batch[0, 0, [0, 3, 7]] = 2, 2, 0.5
    batch[1, 0, [0, 3, 7]] = 1.5, 0.9, 0.5  # abnormal as a whole
    batch[2] = np.nan
    found = model.score_batch(batch)
    np.testing.assert_array_equal(found.score, [2, 1.5, np.nan])
    assert np.flatnonzero(found.channel_score[0]).tolist() == [3]
    assert np.flatnonzero(found.channel_score[1]).tolist() == [3, 7]


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 40)])
def test_the_smallest_frames_have_all_regions(size: tuple[int, int], photo: ImageModel) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for model in (detector_frames(), CodecFrames(photo, psnr=30)):
        (found,) = rows_of(model, [pixels])
        assert found.row.shape == (len(COLUMNS),)
        assert np.isfinite(found.row).all()


def test_a_codecs_score_is_1_at_the_psnr_that_was_set(photo: ImageModel) -> None:
    pixels = scene(1, noisy=True)
    decoded = np.asarray(aez.decode(aez.encode(pixels, quality=30, model="photo", device="cpu"), device="cpu"))
    reached = psnr(pixels, decoded)
    for limit in (reached, reached + 3):
        (found,) = rows_of(CodecFrames(photo, 30, limit), [pixels])
        assert found.row[0] == pytest.approx(10 ** ((limit - reached) / 10), rel=1e-3)
    assert COLUMNS[1 + int(found.row[1:].argmax())] == "row 4 column 4"


def test_a_codec_learns_the_limit_of_each_stream_and_finds_what_exceeds_it(photo: ImageModel) -> None:
    model = CodecFrames(photo)
    watched = Watched("photo", model, learn=20)
    frames = [scene(number, noisy=number in (4, 25)) for number in range(32)]
    whole = samples(model, frames)
    engine = Engine([watched])
    records = engine.process([whole])
    assert [(one.action, one.event["start"]) for one in records] == [("open", 25), ("close", 25)]
    assert records[0].event["channels"][0]["name"] == "row 4 column 4"
    limit = engine.describe()[0]["limit"]

    # Stopped while it learns, and again behind it: the same limit, the same records.
    found, states = [], {}
    for part in (slice(0, 9), slice(9, 24), slice(24, 32)):
        engine = Engine([watched])
        for stream, state in states.items():
            assert engine.restore(stream, state) == ""
        taken = Samples(whole.streams, whole.stream[part], whole.time[part], whole.columns, whole.values[part])
        found += engine.process([taken])
        states |= engine.touched()
    assert found == records
    assert engine.describe()[0]["limit"] == limit


def test_other_settings_of_a_codec_start_a_stream_afresh(photo: ImageModel) -> None:
    assert len({CodecFrames(photo, *given).bundle.id for given in ((50, None), (60, None), (50, 40.0))}) == 3
    assert CodecFrames(photo, 50).bundle.id == CodecFrames(photo, 50).bundle.id


def test_a_stream_of_frames_that_falls_silent_says_so() -> None:
    model = detector_frames()
    now = [START]
    engine = Engine([Watched("gear", model, silent_after=60.0)], clock=lambda: now[0])
    engine.process([samples(model, [flat(128)] * 3)])
    (fell,) = engine.tick(START + 90 * SECOND)
    assert (fell.action, fell.stream, fell.event["start_time"]) == ("silent", "cam", START + 2 * SECOND)
    now[0] = START + 100 * SECOND
    (heard,) = engine.process([samples(model, [flat(128)], first=99)])
    assert (heard.action, heard.id) == ("heard", fell.id)


@pytest.mark.parametrize("form", ["AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"])
def test_whatever_is_done_to_a_picture_it_is_one_row_or_one_malformed_message(form: str) -> None:
    model = detector_frames()
    images = parser("image", {"stream": "{topic[1]}"}, frames=lambda stream: model if stream == "cam" else None)
    buffer = io.BytesIO()
    Image.fromarray(scene(1)[::6, ::6]).save(buffer, form)
    whole = buffer.getvalue()
    rng = np.random.default_rng(0)
    spoilt = [whole, *(whole[:size] for size in rng.integers(0, len(whole), 60).tolist())]
    for _ in range(120):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 3).tolist():
            data[place] = int(rng.integers(256))
        spoilt.append(bytes(data))
    for number, data in enumerate(spoilt):
        chunk = Chunk("camera", data, "image", {}, time.monotonic(), "line/cam", time=START + number)
        (found, malformed) = images.parse(chunk)
        assert sum(map(len, found)) + sum(one.count for one in malformed) == 1
        assert {one.reason for one in malformed} <= {"bad_image", "too_many_pixels"} <= set(REASONS)
        if number == 0:
            assert (found[0].streams, found[0].time.tolist(), found[0].columns) == (["cam"], [START], COLUMNS)
    other = Chunk("camera", whole, "image", {}, time.monotonic(), "line/door")
    assert [one.reason for one in images.parse(other)[1]] == ["no_model"]


def test_frames_without_a_time_get_rising_times_of_arrival() -> None:
    model = detector_frames()
    images = parser("image", frames=lambda stream: model)  # noqa: ARG005
    buffer = io.BytesIO()
    Image.fromarray(scene(1)).save(buffer, "PNG")
    chunk = Chunk("camera", buffer.getvalue(), "image", {}, time.monotonic())
    begun = time.time_ns()
    (found,), _ = images.parse_many([chunk] * 40)
    assert list(found.streams) == ["camera"]
    assert (np.diff(found.time) > 0).all()
    assert abs(int(found.time[0]) - begun) < 60 * SECOND


def test_a_learned_limit_does_not_depend_on_how_scores_come_nor_much_on_outliers() -> None:
    rng = np.random.default_rng(0)
    scores = np.exp(rng.normal(-5, 0.1, 50)).tolist()
    at_once, one_by_one = LearnedLimit(50), LearnedLimit(50)
    at_once.take(scores)
    for score in scores:
        assert one_by_one.room >= 1
        assert one_by_one.value == 1
        one_by_one = LearnedLimit.from_state(json.loads(json.dumps(one_by_one.state())), 50, 1.0)
        one_by_one.take([score])
    assert one_by_one.value == at_once.value
    assert max(scores) < at_once.value < 2 * max(scores)
    spoilt = LearnedLimit(50)
    spoilt.take([*scores[:46], 1.0, 1.0, 1.0, 1.0])
    assert spoilt.value < 1.25 * at_once.value
    still = LearnedLimit(20)
    still.take([0.01] * 20)
    assert still.value == pytest.approx(0.0105)
    assert LearnedLimit.from_state(still.state(), 20, 3.0).value == pytest.approx(0.0315)


@pytest.mark.parametrize("rows", [20, 100])
@pytest.mark.parametrize("spread", [0.03, 0.3])
def test_a_learned_limit_is_seldom_reached_by_what_taught_it(rows: int, spread: float) -> None:
    rng = np.random.default_rng(1)
    normal = np.exp(rng.normal(-5, spread, 100_000))
    shares = []
    for _ in range(200):
        limit = LearnedLimit(rows)
        limit.take(rng.choice(normal, rows).tolist())
        shares.append((normal > limit.value).mean())
    assert np.mean(shares) < 5e-4
    assert np.mean(np.array(shares) > 0.01) < 0.02


def test_a_learned_limit_refuses_what_it_cannot_use() -> None:
    with pytest.raises(InvalidArgument, match="20 frames or more, not 19; raise warm_up"):
        LearnedLimit(19)
    with pytest.raises(InvalidArgument, match="cannot be read"):
        LearnedLimit.from_state({"value": 1.0}, 20, 1.0)


def record(number: int, peak: float) -> EventRecord:
    event = {"id": f"{number:032x}", "peak": peak, "start_time": START + number * SECOND}
    return EventRecord(f"{number:032x}", 0, "open", "cam", "gear", START, event)


def test_pictures_are_bounded_in_number_and_memory(tmp_path: Path) -> None:
    pixels, error = np.zeros((8, 12, 3), np.uint8), np.ones((8, 12), np.float32)
    size = pixels.nbytes + error.nbytes
    pictures = FramePictures(tmp_path / "pictures", 3, held_bytes=2 * size)
    for number in range(6):
        pictures.hold("cam", START + number * SECOND, pixels, error, 2.0)
    for number in range(6):
        (linked,) = pictures.illustrate(
            "cam", np.array([START + number * SECOND]), np.array([2.0], np.float32), [record(number, 2.0)], None
        )
        assert ("picture" in linked.event) == (number >= 4)  # the others are held no more
    for number in range(6, 12):
        pictures.hold("cam", START + number * SECOND, pixels, error, 2.0)
        pictures.illustrate(
            "cam", np.array([START + number * SECOND]), np.array([2.0], np.float32), [record(number, 2.0)], None
        )
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        f"{number:032x}.webp" for number in (9, 10, 11)
    ]


def test_a_worse_frame_replaces_the_picture_of_an_event(tmp_path: Path) -> None:
    dark, bright = np.zeros((8, 12, 3), np.uint8), np.full((8, 12, 3), 255, np.uint8)
    quiet = np.zeros((8, 12), np.float32)
    pictures = FramePictures(tmp_path / "pictures", 3)
    for number, (pixels, score) in enumerate(((dark, 2.0), (bright, 4.0), (dark, 3.0))):
        moment = START + number * SECOND
        pictures.hold("cam", moment, pixels, quiet, score)
        peak = max(score, 4.0 if number else 2.0)
        current = Event("ab" * 16, "cam", 0, 1, 0, START, moment, peak, 0, (), ongoing=True)
        pictures.illustrate("cam", np.array([moment]), np.array([score], np.float32), [], current)
    with Image.open(tmp_path / "pictures" / f"{'ab' * 16}.webp") as image:
        assert np.asarray(image.convert("L")).min() > 200


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "pictures").write_text("a file where the folder should be")
    pictures = FramePictures(tmp_path / "pictures", 3)
    for number in range(2):
        pictures.hold("cam", START + number * SECOND, flat(128), np.ones((8, 12), np.float32), 2.0)
        (same,) = pictures.illustrate(
            "cam", np.array([START + number * SECOND]), np.array([2.0], np.float32), [record(number, 2.0)], None
        )
        assert "picture" not in same.event
    assert [one.levelname for one in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(
    ("model", "settings", "said"),
    [
        (
            "gear.aezm",
            "threshold = 30",
            "threshold is for image codecs, and this is a picture-detector; set limits instead",
        ),
        ("gear.aezm", "quality = 30", "quality is for image codecs"),
        (
            "gear.aezm",
            "period_seconds = 1.0",
            "period_seconds is for telemetry, and this model watches frames; take it out",
        ),
        ("gear.aezm", "columns = { frame = 'a' }", "columns is for telemetry"),
        ("photo", "warm_up = 5", "a limit is learned from 20 frames or more, not 5; raise warm_up"),
    ],
)
def test_settings_that_do_not_fit_a_model_of_pictures_are_named(
    tmp_path: Path, model: str, settings: str, said: str
) -> None:
    save_bundle(gear.bundle(), tmp_path / "gear.aezm")
    text = f'web.enabled = false\nservice.device = "cpu"\n[[models]]\npath = "{model}"\n{settings}\n'
    (tmp_path / "monitor.toml").write_text(text + '[[sources]]\nkind = "frames"\npaths = ["*.png"]\n')
    with pytest.raises(ConfigError) as found:
        deep_check(load(tmp_path / "monitor.toml"))
    (fault,) = found.value.faults
    assert (fault.line, fault.key) == (3, f"model {Path(model).stem}")
    assert said in fault.text


def test_check_tells_models_of_pictures(tmp_path: Path) -> None:
    save_bundle(gear.bundle(), tmp_path / "gear.aezm")
    text = '[web]\nenabled = false\n[[models]]\npath = "gear.aezm"\n[[sources]]\nkind = "frames"\npaths = ["*.png"]\n'
    (tmp_path / "monitor.toml").write_text(text)
    config = load(tmp_path / "monitor.toml")
    model, source, state, letters = deep_check(config)
    assert (model, source) == ("model gear: frames, on cpu", "source frames: 0 files now")
    assert (state, letters) == (
        f"state.path: {tmp_path / 'monitor.db'} can be made",
        f"service.dead_letters: {tmp_path / 'dead-letters.jsonl'} can be written",
    )
    (loaded,) = models.models(config)
    assert loaded.id == gear.bundle().id

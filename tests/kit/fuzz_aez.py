"""Fuzzes the decoder with mutated `.aez` files, reproducibly:

    python -m tests.kit.fuzz_aez --files 100000 --seed 1

Every file must end in an AezError of one line, in the original picture, or, with `partial`, in whole tiles, grey ones
and a list of damage; within a time and an amount of memory. There are two sorts of mutants: damaged ones, whose bytes
were changed as disks and networks do, and forged ones, whose checksums are right around contents that are not.
"""

from __future__ import annotations

import collections
import contextlib
import io
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from aez.codec.bundle.bundle import Bundle
from aez.codec.container.chunks import END, END_MARK, HEADER, SIGNATURE, TRAILER_BYTES
from aez.codec.container.image_header import MODES, ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.container.varint import write_varint
from aez.codec.errors import AezError, CorruptFile, InvalidArgument
from aez.codec.image.api import encode_picture
from aez.codec.image.decoded import Decoded
from aez.codec.image.decoding import decode_picture, describe
from aez.codec.image.region import MISSING_GREY
from tests.kit.tiny_pictures import lively, photo

MAX_PIXELS = 1 << 20
SECONDS_MAX = 30.0
#: Bytes of address space that a file may take beyond what the process has after decoding all originals.
MEMORY_MAX = 1 << 30
FORGED_SHARE = 0.4

Chunks = list[tuple[str, bytes]]
Pixels = NDArray[np.uint8]


class Wrong(Exception):
    """A file that did not end as it must."""


class TookTooLong(BaseException):
    """Not an Exception, so that nothing on the way takes it for a damaged file."""


@dataclass(frozen=True)
class Original:
    """A sound file and what it decodes to, uint8 [height, width, channels]; `bundle` is None where it is embedded."""

    name: str
    data: bytes
    bundle: Bundle | None
    header: ImageHeader
    chunks: Chunks
    pixels: Pixels


@dataclass(frozen=True)
class Mutant:
    """A changed file. `equal` is what its picture must have in common with the original, where there is one."""

    original: Original
    how: str
    data: bytes = field(repr=False)
    equal: Literal["all", "colours", "size"] = "all"


# -- sound files ------------------------------------------------------------------------------------------------------


def make_originals() -> list[Original]:
    rgba = Image.fromarray(np.dstack((photo(70, 90), photo(70, 90, seed=5)[:, :, 0])))
    rgba.info.update(exif=b"Exif\0\0" + bytes(range(200)), icc_profile=bytes(300), xmp=b"<x:xmpmeta/>" * 9)
    return [
        make_original("one tile", photo(17, 33), 40, tile=1024),
        make_original("tiles", photo(66, 130), 1),
        make_original("fine tiles", photo(80, 80), 100),
        make_original("grey", photo(50, 70)[:, :, 0], 30),
        make_original("alpha and metadata", rgba, 10),
        make_original("own model", photo(66, 70), 5, embed_model=True),
        make_exact("exact", photo(66, 80), 0),
        make_exact("nearly exact", photo(66, 80)[:, :, 0], 3),
        make_exact("deep and exact", photo(66, 80).astype(np.uint16) * 250 + 3, 0),
        make_original("both", _page(), 20, tile=128, content="auto"),
    ]


def make_original(
    name: str,
    picture: Pixels | Image.Image,
    quality: float,
    tile: int = 64,
    embed_model: bool = False,
    content: str = "photo",
) -> Original:
    options: dict[str, Any] = {"tile": tile, "embed_model": embed_model, "content": content}
    data = encode_picture(picture, quality, lively(), threads=1, **options).data
    return _original(name, data, None if embed_model else lively())


def make_exact(name: str, picture: Pixels, bound: int) -> Original:
    return _original(name, encode_picture(picture, max_error=bound, tile=64, threads=1).data, None)


def _page() -> Pixels:
    """Squares of two colours around a photograph."""
    pixels = np.full((128, 192, 3), 255, np.uint8)
    pixels[::7, ::5] = 0
    pixels[32:96, 48:144] = photo(64, 96)
    return pixels


def _original(name: str, data: bytes, bundle: Bundle | None) -> Original:
    reader = Reader(io.BytesIO(data))
    for _ in reader.chunks():
        pass
    chunks: Chunks = []
    for info in reader.inventory:
        end = info.offset + info.length - 4
        if info.type != END:
            chunks.append((info.type, data[end - info.payload : end]))
    return Original(name, data, bundle, reader.header, chunks, to_array(decode(data, bundle).image))


def decode(data: bytes, bundle: Bundle | None, partial: bool = False) -> Decoded:
    return decode_picture(data, partial=partial, model=bundle, threads=1, max_pixels=MAX_PIXELS)


def to_array(image: Image.Image) -> Pixels:
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


# -- mutants ----------------------------------------------------------------------------------------------------------


def make_mutant(originals: list[Original], rng: random.Random) -> Mutant:
    original = rng.choice(originals)
    return forged(original, rng) if rng.random() < FORGED_SHARE else damaged(original, originals, rng)


def damaged(original: Original, originals: list[Original], rng: random.Random) -> Mutant:
    data = original.data
    while data == original.data:
        data = change_bytes(data, rng, rng.choice(originals).data, rng.choice((1, 1, 1, 2, 3, 8)))
    return Mutant(original, "damaged", data)


def change_bytes(data: bytes, rng: random.Random, other: bytes, times: int = 1) -> bytes:
    """Some changes of some kinds, at places that are likelier near the start; `other` is a source of bytes."""
    changed = bytearray(data)
    for _ in range(times):
        at = rng.randrange(len(changed) + 1)
        if rng.random() < 0.3:
            at = min(at, rng.randrange(64))
        length = min(rng.choice((1, 1, 2, 4, 16, 64, 500)), len(changed) - at)
        source = rng.randrange(len(other) + 1)
        match rng.randrange(9):
            case 0 | 1 | 2 if length:
                changed[at] ^= 1 << rng.randrange(8)
            case 3:
                changed[at : at + length] = rng.randbytes(length)
            case 4:
                del changed[at : at + length]
            case 5:
                changed[at:at] = rng.randbytes(length)
            case 6:
                changed[at : at + length] = other[source : source + length]
            case 7:
                changed[at : at + length] = bytes([rng.choice((0, 255))]) * length
            case _:
                del changed[at:]
    return bytes(changed)


def forged(original: Original, rng: random.Random) -> Mutant:
    chunks = list(original.chunks)
    at = rng.randrange(len(chunks))
    letter, payload = chunks[at]
    equal: Literal["all", "colours", "size"] = "all"
    match rng.randrange(8):
        case 0:
            how, equal = "forged header", "size"
            chunks[0] = (HEADER, forged_header(original.header, rng).pack())
        case 1:
            how, equal = "forged header bytes", "size"
            chunks[0] = (HEADER, change_bytes(chunks[0][1], rng, original.data))
        case 2:
            how = "forged order"
            chunks[1:] = rng.sample(chunks[1:], len(chunks) - 1)
        case 3:
            how = "chunk twice"
            chunks.insert(rng.randint(1, len(chunks)), chunks[at])
        case 4:
            how = "chunk missing"
            del chunks[at]
        case 5:
            how = "chunk added"
            new = (rng.choice("HximAMTEQqz"), rng.randbytes(rng.choice((0, 1, 30))))
            chunks.insert(rng.randint(0, len(chunks)), new)
        case _:
            how = f"forged {letter}"
            chunks[at] = (letter, change_bytes(payload, rng, original.data, rng.choice((1, 1, 4))))
            equal = "size" if letter == HEADER else "all"
    return Mutant(original, how, file_of(chunks, rng), equal)


def forged_header(header: ImageHeader, rng: random.Random) -> ImageHeader:
    """A header with one or two other fields, small or absurd."""
    for _ in range(rng.choice((1, 1, 2))):
        number = rng.choice((1, 16, 63, 64, 65, 100, 128, 500, 2048, 1 << 15, (1 << 31) - 1, rng.randint(1, 4096)))
        match rng.randrange(6):
            case 0:
                header = replace(header, width=number)
            case 1:
                header = replace(header, height=number)
            case 2:
                header = replace(header, tile=min(max(number // 16, 1), 128) * 16)
            case 3:
                header = replace(header, level=rng.choice((0, header.level ^ 1, 2048, 2049, rng.randrange(1 << 16))))
            case 4:
                header = replace(header, mode=rng.choice(MODES))
            case _:
                header = replace(header, model_id=rng.randbytes(8))
    return header


def file_of(chunks: Chunks, rng: random.Random) -> bytes:
    """A file with right checksums around any chunks; seldom with an index that lists something else."""
    index, body = b"", b""
    for number, (letter, payload) in enumerate(chunks):
        framed = frame(letter, payload)
        body += framed
        if number > 0:
            index += letter.encode() + write_varint(len(framed))
    if rng.random() < 0.05:
        index = change_bytes(index, rng, index)
    end = frame(END, index)
    return SIGNATURE + body + end + (len(end) + TRAILER_BYTES).to_bytes(4, "little") + END_MARK


def frame(letter: str, payload: bytes) -> bytes:
    body = letter.encode() + write_varint(len(payload)) + payload
    return body + zlib.crc32(body).to_bytes(4, "little")


# -- what must hold ---------------------------------------------------------------------------------------------------


def examine(mutant: Mutant) -> str:
    """How the file ended, in a word or two. Raises Wrong; any other exception but TookTooLong is as bad."""
    with contextlib.suppress(AezError):
        describe(mutant.data)
    strict = partial = None
    outcome = "decoded"
    try:
        strict = decode(mutant.data, mutant.original.bundle)
    except AezError as error:
        check_error(error)
        outcome = next(kind.__name__ for kind in type(error).__mro__ if not kind.__name__.startswith("_"))
    else:
        check_strict(mutant, strict)
    try:
        partial = decode(mutant.data, mutant.original.bundle, partial=True)
    except AezError as error:
        check_error(error)
        if strict is not None:
            raise Wrong(f"it decodes, but not with partial: {error}") from error
    else:
        check_partial(mutant, partial, strict)
    return outcome if strict is not None or partial is None else f"{outcome}, in part"


def check_error(error: AezError) -> None:
    if isinstance(error, InvalidArgument) or not str(error) or "\n" in str(error):
        raise Wrong(f"{type(error).__name__} is no error for a damaged file, or not in one line: {error}") from error
    if isinstance(error, CorruptFile) and not error.chunk and not re.search(r"byte \d|ends? |index", str(error)):
        raise Wrong(f"the error names neither a chunk nor a place: {error}") from error


def check_strict(mutant: Mutant, decoded: Decoded) -> None:
    found, expected = to_array(decoded.image), mutant.original.pixels
    if decoded.damage:
        raise Wrong(f"it decodes in spite of {decoded.damage[0]}")
    if mutant.equal == "size":
        header = Reader(io.BytesIO(mutant.data)).header
        if (decoded.image.size, decoded.image.mode) != ((header.width, header.height), header.mode):
            raise Wrong(f"it decodes to {decoded.image.mode} {decoded.image.size}")
        return
    colours = 3 if mutant.equal == "colours" else 4
    if found.shape != expected.shape or not np.array_equal(found[:, :, :colours], expected[:, :, :colours]):
        raise Wrong("it decodes to another picture")


def check_partial(mutant: Mutant, decoded: Decoded, strict: Decoded | None) -> None:
    found, expected = to_array(decoded.image), mutant.original.pixels
    if strict is not None:
        if decoded.damage or not np.array_equal(found, to_array(strict.image)):
            raise Wrong("with partial it decodes otherwise than without")
        return
    if not decoded.damage:
        raise Wrong("only with partial it decodes, and no damage is listed")
    if mutant.equal == "size":
        return
    if found.shape != expected.shape:
        raise Wrong(f"partial gives an array of shape {found.shape}")
    if found.shape[2] == 4 and mutant.equal == "all":
        alpha = found[:, :, 3]
        if not ((alpha == expected[:, :, 3]) | (alpha == 255)).all():
            raise Wrong("partial gives another alpha plane")
    check_tiles(mutant.original, found[:, :, :3], expected[:, :, :3])


def check_tiles(original: Original, found: Pixels, expected: Pixels) -> None:
    """Every tile is grey, or the original's as far as no grey tile's surroundings reach into it."""
    header, halo = original.header, lively().coding["synthesis_halo"]
    exact = np.ones(found.shape[:2], bool)
    boxes = [header.box(number) for number in range(header.tiles)]
    grey = [bool((found[top:bottom, left:right] == MISSING_GREY).all()) for left, top, right, bottom in boxes]
    for (left, top, right, bottom), missing in zip(boxes, grey, strict=True):
        if missing:
            exact[max(top - halo, 0) : bottom + halo, max(left - halo, 0) : right + halo] = False
    if all(grey) or not np.array_equal(found[exact], expected[exact]):
        raise Wrong("partial gives tiles that are neither grey nor the original's")


# -- the run ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    def interrupt(_: int, __: FrameType | None) -> None:
        raise TookTooLong

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def limit_memory(more: int) -> None:
    """Let this process's address space grow by so many bytes at most."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + more, resource.getrlimit(resource.RLIMIT_AS)[1]))


def run(numbers: range, seed: int, originals: list[Original]) -> tuple[collections.Counter[str], list[str]]:
    """(count of files by outcome, a line for each file that was wrong)."""
    outcomes: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    for number in tqdm(numbers, disable=None, leave=False):
        mutant = make_mutant(originals, random.Random(f"{seed} {number}"))
        try:
            with time_limit(SECONDS_MAX):
                outcomes[examine(mutant)] += 1
        except (Exception, TookTooLong) as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            wrong.append(f"file {number} ({mutant.original.name}, {mutant.how}): {type(error).__name__}: {error}")
            click.echo(wrong[-1], err=True)
    return outcomes, wrong


@click.command()
@click.option("--files", default=100_000, show_default=True, help="How many.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same files.")
@click.option("--first", default=0, help="Number of the first file, to repeat one or to share the work.")
def main(files: int, seed: int, first: int) -> None:
    """Decode mutated .aez files, report all that do not end well, and end with code 1 if there are any."""
    with tempfile.TemporaryDirectory() as empty:
        os.environ["AEZ_MODELS"] = empty
        originals = make_originals()
        limit_memory(MEMORY_MAX)
        started = time.perf_counter()
        outcomes, wrong = run(range(first, first + files), seed, originals)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    click.echo(f"{files} files, seed {seed}, {seconds:.0f} s, at most {peak} MiB resident")
    for outcome, count in outcomes.most_common():
        click.echo(f"{count:8}  {outcome}")
    click.echo(f"{len(wrong):8}  wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

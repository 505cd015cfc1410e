"""Pillow plugin: after `import aez.pillow`, `Image.open` reads `.aez` files and `image.save("x.aez")` writes them.

Opening reads the header and the metadata; the pixels are decoded when they are first needed, with a model that may lie
beside the file or above it, and `region(x, y, width, height)` decodes a rectangle alone. `save` takes `quality`
(1..100, default 50) or one of `bpp`, `psnr`, `ssimulacra2`, `max_bytes`, `lossless` and `max_error`, further `content`,
`model`, `tile`, `embed_model`, `strip`, `keep_hidden`, `alpha_quality`, `value_range`, `orientation`, `device` and
`threads`, and `exif`, `icc_profile` and `xmp` in place of what the picture's `info` holds (empty: left out). What is
not kept of a picture is a UserWarning, and so is an argument of other formats; several frames (`save_all`,
`append_images`) are refused. `verify` checks every checksum. Errors are those of Pillow's other plugins: OSError, and
ValueError or TypeError for arguments.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

from PIL import Image, ImageFile

from aez.codec.container.chunks import MODEL, SIGNATURE, TILE
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.errors import AezError, CorruptFile, InvalidArgument
from aez.codec.image.reducing import SCALES
from aez.codec.pixels.depth import holds_integers
from aez.codec.pixels.metadata import restore_info
from aez.codec.remote.address import is_url

FORMAT, SUFFIX, MIME = "AEZ", ".aez", "image/aez"
_METADATA = ("exif", "icc_profile", "xmp")
_SETTINGS = (
    "quality",
    "bpp",
    "psnr",
    "ssimulacra2",
    "max_bytes",
    "tile",
    "threads",
    "alpha_quality",
    "orientation",
    "max_error",
    *_METADATA,
    "lossless",
    "content",
    "model",
    "embed_model",
    "strip",
    "keep_hidden",
    "keep_metadata",
    "value_range",
    "device",
)
#: Of `save`, for every format; `save_all` is Pillow's own.
_GENERAL = ("append_images",)
#: The last byte of the signature is the version, of which `Reader` says more than that it is unknown.
_COMMON = SIGNATURE[:-1]


class AezImageFile(ImageFile.ImageFile):
    """A picture in an `.aez` file."""

    format = FORMAT
    format_description = "aez learned codec"
    #: Arguments of `decode_picture`, besides those of the call.
    _options: Mapping[str, Any] = {}

    def _open(self) -> None:
        try:
            reader = Reader(_stream(self.fp), ImageHeader)
            self._size = self._stored = (reader.header.width, reader.header.height)
            self._scale = 1
            self._mode = _mode(reader.header)
            restore_info(self.info, reader.header, _metadata(reader))
        except AezError as error:
            self._fail("the .aez file cannot be opened", error)

    def _fail(self, what: str, error: AezError) -> NoReturn:
        """Raise what Pillow's callers expect."""
        raise OSError(f"{what}: {error}") from error

    def verify(self) -> None:
        """Check the checksum of every chunk; the pixels are not decoded. Raises OSError."""
        try:
            with self._reading() as stream:
                for _ in Reader(stream, ImageHeader).chunks():
                    pass
        except AezError as error:
            self._fail("the .aez file is damaged", error)
        super().verify()

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Decode at a half, a quarter or an eighth of the size that is at least `size`, as `thumbnail` asks for.

        `mode` is not looked at. None, and nothing happens, once the pixels are there or where no such size is.
        """
        del mode
        if self._im is not None or size is None:
            return None
        width, height = self._stored
        fitting = [scale for scale in SCALES if -(-width // scale) >= size[0] and -(-height // scale) >= size[1]]
        if not fitting or fitting[-1] == 1:
            return None
        self._scale = fitting[-1]
        self._size = -(-width // self._scale), -(-height // self._scale)
        return self.mode, (0, 0, width / self._scale, height / self._scale)

    def load(self) -> Any:
        """Decode the pixels at the first call. Raises OSError.

        With `ImageFile.LOAD_TRUNCATED_IMAGES`, whole tiles of a damaged file are given back and the rest is grey.
        """
        if self._im is None:
            from aez.codec.image.decoding import decode_picture

            try:
                with self._reading() as stream:
                    decoded = decode_picture(stream.read(), **self._arguments(), scale=self._scale)
            except AezError as error:
                self._fail("the .aez file cannot be decoded", error)
            for notice in decoded.notices:
                warnings.warn(notice, UserWarning, stacklevel=2)
            self.im, self.readonly = decoded.image.im, decoded.image.readonly
            if self.fp is not None and self._exclusive_fp and self._close_exclusive_fp_after_loading:
                self.fp.close()
            self.fp = None
        return super().load()

    def region(self, x: int, y: int, width: int, height: int) -> Image.Image:
        """A rectangle of the stored pixels alone, of which only the tiles that it touches are read.

        Once the pixels are there it is a part of them. Raises OSError, ValueError for one outside the picture.
        """
        from aez.codec.image.decoding import decode_region

        if self._im is not None and self._scale == 1:
            return self.crop((x, y, x + width, y + height))
        try:
            with self._reading() as stream:
                decoded = decode_region(stream, (x, y, width, height), **self._arguments())
        except InvalidArgument:
            raise
        except AezError as error:
            self._fail("the .aez file cannot be decoded", error)
        for notice in decoded.notices:
            warnings.warn(notice, UserWarning, stacklevel=2)
        return decoded.image

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Any]:
        """The file at its begin, also after it was closed, where it has a name."""
        path = self._path()
        if self.fp is None and path is not None:
            with Path(path).open("rb") as file:
                yield file
            return
        stream = _stream(self.fp)
        stream.seek(0)
        yield stream

    def _arguments(self) -> dict[str, Any]:
        """How the file is decoded."""
        return {"partial": ImageFile.LOAD_TRUNCATED_IMAGES, "beside": self._path(), **self._options}

    def _path(self) -> str | None:
        """Where the file lies, as far as Pillow knows: its model may be near it."""
        return os.fsdecode(self.filename) or None


def _stream(fp: IO[bytes] | None) -> Any:
    if fp is None:
        raise OSError("the file of this picture is closed")
    return fp


def _mode(header: ImageHeader) -> str:
    """As `Decoded.image` has it."""
    if header.mode != "L" or (header.bits == 8 and header.value_range is None):
        return header.mode
    return "I;16" if holds_integers(header.bits, header.value_range) else "F"


def _metadata(reader: Reader[ImageHeader]) -> dict[str, bytes]:
    """Metadata in front of the tiles; damage in it is left to `load`."""
    found: dict[str, bytes] = {}
    try:
        for chunk in reader.leading((MODEL, TILE)):
            found[chunk.type] = chunk.content
    except CorruptFile:
        pass
    return found


def _save(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:  # noqa: ARG001 - Pillow's signature
    from aez.codec.image.api import encode_picture

    arguments = image.encoderinfo
    _check(arguments)
    settings = {key: arguments[key] for key in _SETTINGS if key in arguments}
    try:
        encoded = encode_picture(image, **settings)
    except InvalidArgument:
        raise  # a ValueError
    except AezError as error:
        raise OSError(f"the picture cannot be written as .aez: {error}") from error
    for notice in encoded.notices:
        warnings.warn(notice, UserWarning, stacklevel=3)
    fp.write(encoded.data)


def _save_all(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """As `_save`, where there is one frame. Raises InvalidArgument for more."""
    frames = getattr(image, "n_frames", 1)
    for more in image.encoderinfo.get("append_images", ()):
        frames += getattr(more, "n_frames", 1)
    if frames > 1:
        raise InvalidArgument(
            f"an .aez file holds one picture, and these are {frames} frames: "
            f"save each alone, or the first without save_all"
        )
    _save(image, fp, filename)


def _check(arguments: dict[str, Any]) -> None:
    """Warn of arguments that mean nothing here."""
    known = {*_SETTINGS, *_GENERAL}
    if unknown := sorted(set(arguments) - known):
        warnings.warn(f"{', '.join(unknown)} mean nothing to .aez files and are ignored", UserWarning, stacklevel=4)


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(_COMMON)


Image.register_open(FORMAT, AezImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_save_all(FORMAT, _save_all)
Image.register_extension(FORMAT, SUFFIX)
Image.register_mime(FORMAT, MIME)


class OpenedPicture(AezImageFile):
    """What `aez.open` gives: its errors are aez's own, and it is decoded with the arguments of `aez.open`."""

    def __init__(self, source: str | os.PathLike[str] | IO[bytes], options: Mapping[str, Any]) -> None:
        self._options = options
        #: What has no path to be opened anew by; it stays open, and whoever opened it closes it.
        self._given: Any = None
        if is_url(source):
            from aez.codec.remote.file import open_url

            self._given = open_url(source)
            super().__init__(self._given)
        elif isinstance(source, str | os.PathLike):
            super().__init__(Path(source))
        else:
            self._given = _seekable(source)
            super().__init__(self._given)
        if self.fp is not None and self._given is None:  # it is opened anew when pixels are asked for
            self.fp.close()
        self.fp = None

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Any]:
        if self._given is None:
            with super()._reading() as file:
                yield file
        else:
            self._given.seek(0)
            yield self._given

    def _fail(self, what: str, error: AezError) -> NoReturn:  # noqa: ARG002 - as the class above says it
        raise error


def _seekable(source: Any) -> Any:
    """The file object. Raises TypeError for what is none, InvalidArgument for one that cannot seek."""
    if not hasattr(source, "read") or not hasattr(source, "seekable"):
        raise TypeError(f"a picture is opened by its path, its URL or a file object, not by {type(source).__name__}")
    if not source.seekable():
        raise InvalidArgument("the file object cannot seek: read it, and decode its bytes")
    source.seek(0)
    return source

"""Pillow plugin: after `import aez.pillow`, `Image.open` reads `.aez` files and `image.save("x.aez")` writes them.

Opening reads the header and the metadata; the pixels are decoded when they are first needed. `save` takes `quality`
(1..100, default 50) or one of `bpp`, `psnr`, `ssimulacra2` and `max_bytes`, further `model`, `tile`, `embed_model`,
`keep_metadata`, `device` and `threads`, and `exif`, `icc_profile` and `xmp` in place of what the picture's `info` holds
(empty: left out). What is not kept of a picture, such as the lower half of 16-bit grey, is a UserWarning, and so is an
argument of other formats; `lossless` is refused. `verify` checks every checksum. Errors are those of Pillow's other
plugins: OSError, and ValueError or TypeError for arguments.
"""

from __future__ import annotations

import warnings
from numbers import Real
from typing import IO, Any

from PIL import Image, ImageFile

from aez.codec.container.chunks import MODEL, SIGNATURE, TILE
from aez.codec.container.image_header import ALPHA, EXIF, ICC, XMP, ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.errors import AezError, CorruptFile, InvalidArgument

FORMAT, SUFFIX, MIME = "AEZ", ".aez", "image/aez"
_INFO_KEYS = {EXIF: "exif", ICC: "icc_profile", XMP: "xmp"}
_NUMBERS = ("quality", "bpp", "psnr", "ssimulacra2", "max_bytes", "tile", "threads")
_SETTINGS = (*_NUMBERS, "model", "embed_model", "keep_metadata", "device")
#: Of `save`, for every format; the frames of `save_all` are counted by a notice.
_GENERAL = ("save_all", "append_images")
#: The last byte of the signature is the version, of which `Reader` says more than that it is unknown.
_COMMON = SIGNATURE[:-1]


class AezImageFile(ImageFile.ImageFile):
    """A picture in an `.aez` file."""

    format = FORMAT
    format_description = "aez learned codec"

    def _open(self) -> None:
        try:
            reader = Reader(_stream(self.fp), ImageHeader)
            self._size = (reader.header.width, reader.header.height)
            self._mode = reader.header.mode
            self.info.update(_metadata(reader))
        except AezError as error:
            raise OSError(f"the .aez file cannot be opened: {error}") from error

    def verify(self) -> None:
        """Check the checksum of every chunk; the pixels are not decoded. Raises OSError."""
        stream = _stream(self.fp)
        stream.seek(0)
        try:
            for _ in Reader(stream, ImageHeader).chunks():
                pass
        except AezError as error:
            raise OSError(f"the .aez file is damaged: {error}") from error
        super().verify()

    def load(self) -> Any:
        """Decode the pixels at the first call. Raises OSError.

        With `ImageFile.LOAD_TRUNCATED_IMAGES`, whole tiles of a damaged file are given back and the rest is grey.
        """
        if self._im is None:
            from aez.codec.image.api import decode_picture

            stream = _stream(self.fp)
            stream.seek(0)
            try:
                decoded = decode_picture(stream.read(), partial=ImageFile.LOAD_TRUNCATED_IMAGES)
            except AezError as error:
                raise OSError(f"the .aez file cannot be decoded: {error}") from error
            self.im, self.readonly = decoded.image.im, decoded.image.readonly
            if self._exclusive_fp and self._close_exclusive_fp_after_loading:
                stream.close()
            self.fp = None
        return super().load()


def _stream(fp: IO[bytes] | None) -> Any:
    if fp is None:
        raise OSError("the file of this picture is closed")
    return fp


def _metadata(reader: Reader[ImageHeader]) -> dict[str, bytes]:
    """Metadata in front of the tiles; damage in it is left to `load`."""
    found: dict[str, bytes] = {}
    try:
        for chunk in reader.chunks():
            if chunk.type in (ALPHA, MODEL, TILE):
                break
            found[_INFO_KEYS[chunk.type]] = chunk.content
    except CorruptFile:
        pass
    return found


def _save(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:  # noqa: ARG001 - Pillow's signature
    from aez.codec.image.api import encode_picture

    arguments = image.encoderinfo
    _check(arguments)
    settings = {key: arguments[key] for key in _SETTINGS if key in arguments}
    try:
        encoded = encode_picture(_with_metadata(image, arguments), **settings)
    except InvalidArgument:
        raise  # a ValueError
    except AezError as error:
        raise OSError(f"the picture cannot be written as .aez: {error}") from error
    for notice in encoded.notices:
        warnings.warn(notice, UserWarning, stacklevel=3)
    fp.write(encoded.data)


def _check(arguments: dict[str, Any]) -> None:
    """Warn of arguments that mean nothing here. Raises ValueError for `lossless`, TypeError for no numbers."""
    if arguments.get("lossless"):
        raise ValueError("an .aez file is not lossless; leave `lossless` out, or take another format")
    for name in _NUMBERS:
        value = arguments.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
            raise TypeError(f"{name} is a number, not {value!r}")
    known = {*_SETTINGS, *_INFO_KEYS.values(), *_GENERAL, "lossless"}
    if unknown := sorted(set(arguments) - known):
        warnings.warn(f"{', '.join(unknown)} mean nothing to .aez files and are ignored", UserWarning, stacklevel=4)


def _with_metadata(image: Image.Image, arguments: dict[str, Any]) -> Image.Image:
    """The image, or a copy whose `info` holds the metadata among the arguments of `save`."""
    given = {key: arguments[key] for key in _INFO_KEYS.values() if key in arguments}
    if not given:
        return image
    changed = image.copy()
    for key, value in given.items():
        changed.info[key] = value.tobytes() if isinstance(value, Image.Exif) else value
    return changed


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(_COMMON)


Image.register_open(FORMAT, AezImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, SUFFIX)
Image.register_mime(FORMAT, MIME)

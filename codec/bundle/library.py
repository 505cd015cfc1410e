"""Where models are looked up: a path, a name or an id, in the user's folder, in the package, and near a file by id."""

from __future__ import annotations

import os
import re
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from aez.codec.bundle.bundle import (
    MANIFEST,
    SUFFIX,
    ZIP_ERRORS,
    Bundle,
    check_entries,
    check_manifest,
    manifest_id,
    parse_manifest,
)
from aez.codec.common.caches import cached
from aez.codec.errors import InvalidArgument, ModelError

#: The model that looks best at equal bytes, and the one with the highest PSNR.
DEFAULT_MODEL, PSNR_MODEL = "photo-visual", "photo"
_ID_PREFIX = re.compile(r"[0-9a-f]{8,64}")
_SHIPPED = Path(__file__).parents[1] / "models"
_BUNDLES_KEPT, _MANIFESTS_KEPT = 4, 64
#: Near a file: so many folders, its own and those above it, and so many bundles in each.
_FOLDERS_SEARCHED, _BUNDLES_SEARCHED = 12, 32


@dataclass(frozen=True)
class ListedBundle:
    """A bundle that lies in one of the places where models are looked up; `error` is empty where it looks sound.

    `half`: it lacks members that only encoding needs.
    """

    path: Path
    source: str
    name: str
    id: str
    task: str
    error: str
    half: bool = False


def model_folders() -> list[tuple[str, Path]]:
    """(source, folder) of the places where models are looked up, in that order."""
    return [("user", _user_folder()), ("package", _SHIPPED)]


def _user_folder() -> Path:
    if own := os.environ.get("AEZ_MODELS"):
        return Path(own)
    return user_data_path("aez", appauthor=False) / "models"


def list_bundles() -> list[ListedBundle]:
    """All bundles of the user's folder and of the package; their manifests are read, their members not checked."""
    return [_peek(path, source) for source, folder in model_folders() for path in sorted(folder.glob(f"*{SUFFIX}"))]


def find_bundle(
    ref: str | os.PathLike[str] | bytes | None = None,
    model_id: bytes | None = None,
    embedded: bytes | None = None,
    beside: str | os.PathLike[str] | None = None,
) -> Bundle:
    """The model to use: `ref` if given, else the embedded one, else that with `model_id`, else `photo-visual`.

    `ref` is a path, a name, the first 8 or more hex digits of an id, or a bundle's bytes; `model_id` the first bytes
    of the id that a file demands; `embedded` a decoding half from a file. Names and ids are looked up in the user's
    folder, then in the package; ids, where `beside` names the file, also among the bundles in its folder and in those
    above it. Decoding halves count wherever no whole bundle is meant, too; what only a whole one can do is refused when
    it is asked for. Raises ModelError that names what was missing and where it was looked for.
    """
    if ref is not None:
        bundle = _open_reference(ref)
    elif embedded is not None:
        bundle = Bundle.open(embedded, half=True)
    elif model_id is not None:
        bundle = _look_up(model_id.hex(), None if beside is None else Path(beside))
    else:
        bundle = _look_up(DEFAULT_MODEL)
    if model_id is not None and not bytes.fromhex(bundle.id).startswith(model_id):
        raise ModelError(f"the file needs model {model_id.hex()}, and {bundle.name} is model {bundle.id[:16]}")
    return bundle


def _open_reference(ref: str | os.PathLike[str] | bytes) -> Bundle:
    if isinstance(ref, bytes):
        return Bundle.open(ref, half=True)
    text = os.fspath(ref)
    if not text:
        raise InvalidArgument("the model's name is empty")
    if isinstance(ref, str) and not (text.endswith(SUFFIX) or os.sep in text):
        return _look_up(text)
    return _open_unchanged(Path(text))


def _look_up(wanted: str, beside: Path | None = None) -> Bundle:
    """The bundle with a name, or with an id that starts so, which may lie near the file `beside`."""
    listings = list_bundles()
    by_id = bool(_ID_PREFIX.fullmatch(wanted))
    found = [
        listing
        for listing in listings
        if not listing.error
        and (wanted in (listing.name, listing.path.stem) or (by_id and listing.id.startswith(wanted)))
    ]
    if found:
        return _open_unchanged(next((listing for listing in found if not listing.half), found[0]).path)
    if by_id and beside is not None and (near := _near(beside, wanted)) is not None:
        return near
    places = " or ".join(str(folder) for _, folder in model_folders())
    if beside is not None:
        places += f", nor beside {beside} and in the folders above it"
    damaged = "".join(f", where {listing.path} is not usable" for listing in listings if listing.error)
    raise ModelError(f"there is no model {wanted} in {places}{damaged}; name its {SUFFIX} file, or put it there")


def _near(file: Path, wanted: str) -> Bundle | None:
    """The bundle, or the decoding half, whose id starts so in the folder of a file or in one above it."""
    folder = Path(os.path.realpath(file)).parent
    for place in [folder, *folder.parents][:_FOLDERS_SEARCHED]:
        try:
            names = sorted(entry.name for entry in os.scandir(place) if entry.name.endswith(SUFFIX) and entry.is_file())
        except OSError:  # one that may be passed through and not looked into
            continue
        for name in names[:_BUNDLES_SEARCHED]:
            if _peek(place / name, "near").id.startswith(wanted):
                return _open_unchanged(place / name)
    return None


def _peek(path: Path, source: str) -> ListedBundle:
    try:
        manifest, half = _manifest_unchanged(path)
    except (ModelError, OSError) as error:
        return ListedBundle(path, source, path.stem, "", "", str(error))
    return ListedBundle(path, source, manifest["name"], manifest_id(manifest), manifest["task"], "", half)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _manifest_unchanged(path: Path) -> tuple[dict[str, Any], bool]:
    """`_read_manifest`, remembered for as long as the file does not change."""
    key = (path, *_stamp(path))
    return cached("aez.codec.bundle.library.manifests", _MANIFESTS_KEPT, key, partial(_read_manifest, path))


def _open_unchanged(path: Path) -> Bundle:
    """`Bundle.open` of a whole bundle or a half, remembered for as long as the file does not change."""
    try:
        stamp = _stamp(path)
    except OSError as error:
        raise ModelError(f"the bundle {path} cannot be read: {error.strerror or error}") from error
    key = (path, *stamp)
    return cached("aez.codec.bundle.library.bundles", _BUNDLES_KEPT, key, partial(Bundle.open, path, half=True))


def _read_manifest(path: Path) -> tuple[dict[str, Any], bool]:
    """The checked manifest alone, without the members, and whether some of those lack. Raises ModelError, OSError."""
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(MANIFEST)
            check_entries([info], path.stat().st_size)
            manifest = parse_manifest(archive.read(info))
            names = set(archive.namelist())
    except ZIP_ERRORS as error:
        raise ModelError(f"it is no sound zip file: {error}") from error
    check_manifest(manifest)
    return manifest, not names.issuperset(manifest["members"])

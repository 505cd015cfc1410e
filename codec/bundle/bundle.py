"""Model bundles, `.aezm`: one zip file, stored, with `manifest.json`, ONNX graphs and NumPy arrays.

Guarantees for a bundle that opens: every member is listed and has the listed hash, nothing else is in the file, its
size is bounded, its graphs use standard operators only (`graph_check`), its arrays are plain numbers. Opening executes
nothing. The id is a hash over everything that decoding depends on, so that equal ids decode equally.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from aez.codec.bundle.graph_check import check_graph
from aez.codec.bundle.npy import parse_npy
from aez.codec.common.files import write_whole
from aez.codec.errors import ModelError

FORMAT = 1
SUFFIX = ".aezm"
MANIFEST = "manifest.json"
BUNDLE_MAX = 64 << 20
MEMBER_MAX = 32 << 20
MEMBERS_MAX = 64
_MANIFEST_MAX = 1 << 20
_MEMBER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.(onnx|npy)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: What zipfile raises on damaged input.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    KeyError,
    OverflowError,
    EOFError,
    OSError,
    struct.error,
)
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)

Number = TypeVar("Number", int, float)

#: The manifest's keys and the type of each.
_MANIFEST_KEYS: dict[str, type] = {
    "format": int,
    "name": str,
    "family": str,
    "task": str,
    "coding": dict,
    "graphs": dict,
    "provenance": dict,
    "figures": dict,
    "members": dict,
}

#: Members that encoding a picture does without.
_DECODES_ONLY = frozenset(
    {"synthesis.onnx", "thumbnail.onnx", "latent_synthesis.onnx", "decoder.onnx", "other_weights.npy"}
)


class Bundle:
    """An opened model bundle, held in memory. Immutable.

    `manifest` is the parsed `manifest.json`; `id` the hex sha256 that names the model; `half` tells whether members
    that only encoding needs are absent.
    """

    def __init__(self, manifest: dict[str, Any], members: dict[str, bytes], *, half: bool = False) -> None:
        self.manifest = manifest
        self._members = members
        self._allow_half = half
        self.verify()
        self.id = manifest_id(manifest)
        self.half = len(members) < len(manifest["members"])

    @classmethod
    def open(cls, source: str | os.PathLike[str] | bytes, *, half: bool = False) -> Bundle:
        """Open and check a bundle from a path or from its bytes.

        With `half`, members that the manifest does not name among `coding.decoder_members` may be absent. Raises
        ModelError.
        """
        origin = "the bundle" if isinstance(source, bytes) else f"the bundle {os.fspath(source)}"
        try:
            data = source if isinstance(source, bytes) else _read_bounded(Path(source))
            manifest, members = _read_zip(data)
            return cls(manifest, members, half=half)
        except OSError as error:
            raise ModelError(f"{origin} cannot be read: {error.strerror or error}") from error
        except ModelError as error:
            raise ModelError(f"{origin} is not usable: {error}") from error

    @property
    def name(self) -> str:
        """The model's name, for people."""
        return str(self.manifest["name"])

    @property
    def task(self) -> str:
        """What the model is for, such as `image-codec`."""
        return str(self.manifest["task"])

    @property
    def coding(self) -> dict[str, Any]:
        """Everything outside the members that decoding depends on."""
        coding: dict[str, Any] = self.manifest["coding"]
        return coding

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the members that are here, sorted."""
        return tuple(sorted(self._members))

    def graph(self, name: str) -> bytes:
        """Serialized ONNX model `name` (without its suffix). Raises ModelError where it is absent."""
        return self._member(f"{name}.onnx")

    def array(self, name: str) -> NDArray[Any]:
        """Array `name` (without its suffix), read-only. Raises ModelError where it is absent."""
        return parse_npy(self._member(f"{name}.npy"), name)

    def verify(self) -> None:
        """Check manifest, sizes, hashes, arrays and graphs. Raises ModelError."""
        check_manifest(self.manifest)
        required = self.manifest["coding"]["decoder_members"] if self._allow_half else self.manifest["members"]
        for name in required:
            if name not in self._members:
                raise ModelError(f"its member {name} is missing")
        for name, data in self._members.items():
            self._verify_member(name, data)

    def _verify_member(self, name: str, data: bytes) -> None:
        listed = self.manifest["members"].get(name)
        if listed is None:
            raise ModelError(f"it holds {name}, which its manifest does not list")
        if len(data) != listed["bytes"] or hashlib.sha256(data).hexdigest() != listed["sha256"]:
            raise ModelError(f"its member {name} is damaged: the hash is not the one in the manifest")
        stem = name.rpartition(".")[0]
        if name.endswith(".npy"):
            parse_npy(data, stem)
            return
        info = check_graph(data, stem)
        for side, named in (("inputs", info.inputs), ("outputs", info.outputs)):
            stated = tuple(tensor["name"] for tensor in self.manifest["graphs"][stem][side])
            # Graphs of old versions list their weights among the inputs.
            actual = tuple(name for name in named if name not in info.defaults or name in stated)
            if stated != actual:
                raise ModelError(f"its graph {stem} has the {side} {actual}, and its manifest states {stated}")

    def to_bytes(self) -> bytes:
        """The bundle as a file's bytes, with the members that are here."""
        return _zip_bytes(self.manifest, self._members)

    def decoding_half(self) -> bytes:
        """Bytes of a bundle with the same manifest and id, holding only what decoding needs."""
        return _zip_bytes(self.manifest, {name: self._members[name] for name in self.coding["decoder_members"]})

    def encoding_half(self) -> bytes:
        """Bytes of a bundle with the same manifest and id, without the graphs that make pictures out of latents.

        Raises ModelError for a model that is no image codec, or of which that half is not here.
        """
        if self.task != "image-codec":
            raise ModelError(f"model {self.name} is made for {self.task}: it has no half that encodes pictures")
        wanted = [name for name in self.manifest["members"] if name not in _DECODES_ONLY]
        return _zip_bytes(self.manifest, {name: self._member(name) for name in wanted})

    def summary(self) -> dict[str, Any]:
        """Name, id, task, family, size in bytes, graphs and figures, as plain JSON values."""
        return {
            "name": self.name,
            "id": self.id,
            "task": self.task,
            "family": self.manifest["family"],
            "bytes": sum(len(data) for data in self._members.values()),
            "half": self.half,
            "graphs": sorted(name.removesuffix(".onnx") for name in self._members if name.endswith(".onnx")),
            "figures": self.manifest["figures"],
        }

    def _member(self, name: str) -> bytes:
        try:
            return self._members[name]
        except KeyError:
            if self.half and name in self.manifest["members"]:
                raise ModelError(
                    f"this is the decoding half of model {self.name} ({self.id[:16]}): it decodes only, and what needs "
                    f"its {name}, such as encoding, takes the whole bundle"
                ) from None
            raise ModelError(f"model {self.name} ({self.id[:16]}): {name} is not in it") from None


def manifest_id(manifest: Mapping[str, Any]) -> str:
    """Hex id of a bundle: sha256 over its members' hashes and `coding`; figures and provenance may change."""
    lines = [f"{name}\0{manifest['members'][name]['sha256']}\n" for name in sorted(manifest["members"])]
    canonical = json.dumps(manifest["coding"], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(("".join(lines) + canonical).encode()).hexdigest()


def write_bundle(path: str | os.PathLike[str], manifest: Mapping[str, Any], members: Mapping[str, bytes]) -> Bundle:
    """Write a bundle beside `path`, check it, and rename it into place.

    `manifest` comes without `members` (and `format`), which are filled in here. Equal arguments give equal bytes.
    Raises ModelError where the bundle would not open, OutputError where it cannot be written.
    """
    bundle = pack_bundle(manifest, members)
    save_bundle(bundle, path)
    return bundle


def save_bundle(bundle: Bundle, path: str | os.PathLike[str]) -> None:
    """Write a bundle beside `path` and rename it into place. Raises OutputError."""
    write_whole(path, bundle.to_bytes(), force=True)


def pack_bundle(manifest: Mapping[str, Any], members: Mapping[str, bytes]) -> Bundle:
    """The bundle that `write_bundle` would write, in memory. Raises ModelError where it would not open."""
    listed = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in members.items()}
    try:
        data = _zip_bytes({**manifest, "format": FORMAT, "members": listed}, members)
    except (TypeError, ValueError) as error:
        raise ModelError(f"the manifest of the bundle is not plain JSON: {error}") from error
    return Bundle.open(data)


def _zip_bytes(manifest: Mapping[str, Any], members: Mapping[str, bytes]) -> bytes:
    text = json.dumps(manifest, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted({**members, MANIFEST: text.encode()}.items()):
            info = zipfile.ZipInfo(name, _ZIP_TIME)
            info.create_system = 3  # the same bytes on every system
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    return buffer.getvalue()


def _read_bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(BUNDLE_MAX + 1)
    if len(data) > BUNDLE_MAX:
        raise ModelError(f"it is larger than {BUNDLE_MAX} bytes")
    return data


def _read_zip(data: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Manifest and members. Raises ModelError."""
    if len(data) > BUNDLE_MAX:
        raise ModelError(f"it is larger than {BUNDLE_MAX} bytes")
    members: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            check_entries(entries, len(data))
            for entry in entries:
                members[entry.filename] = archive.read(entry)
    except ZIP_ERRORS as error:
        raise ModelError(f"it is no sound zip file: {error}") from error
    if MANIFEST not in members:
        raise ModelError(f"it has no {MANIFEST}")
    return parse_manifest(members.pop(MANIFEST)), members


def check_entries(entries: list[zipfile.ZipInfo], total: int) -> None:
    """Refuse what a bundle's archive may not hold, before anything is read. Raises ModelError."""
    names = [entry.filename for entry in entries]
    if len(names) > MEMBERS_MAX:
        raise ModelError(f"it has {len(names)} members, more than {MEMBERS_MAX}")
    if len(set(names)) < len(names):
        raise ModelError("it has two members of one name")
    for entry in entries:
        if entry.filename != MANIFEST and not _MEMBER_NAME.fullmatch(entry.filename):
            raise ModelError(f"it holds {entry.filename!r}, which is neither {MANIFEST} nor NAME.onnx nor NAME.npy")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or entry.file_size != entry.compress_size:
            raise ModelError(f"its member {entry.filename} is compressed or encrypted")
        limit = _MANIFEST_MAX if entry.filename == MANIFEST else MEMBER_MAX
        if entry.file_size > limit:
            raise ModelError(f"its member {entry.filename} has {entry.file_size} bytes, more than {limit}")
    if sum(entry.file_size for entry in entries) > total:
        raise ModelError("its members overlap")


def parse_manifest(data: bytes) -> dict[str, Any]:
    """The manifest's JSON object, spelled in the one way that ids are made of. Raises ModelError."""
    try:
        manifest = json.loads(
            data.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_int=lambda text: _as_spelled(text, int(text)),
            parse_float=lambda text: _as_spelled(text, float(text)),
            object_pairs_hook=_without_repetition,
        )
    except (ValueError, RecursionError) as error:
        raise ModelError(f"its {MANIFEST} is not JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise ModelError(f"its {MANIFEST} is not an object")
    return manifest


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _as_spelled(text: str, number: Number) -> Number:
    """Other decoders take a number's text for the id, so that it must be what `manifest_id` writes."""
    if repr(number) != text:
        raise ValueError(f"the number {text[:40]} is spelled otherwise than {number!r}")
    return number


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has two members of one name")
    return found


def check_manifest(manifest: dict[str, Any]) -> None:
    """Refuse a manifest of another format or without what every bundle needs. Raises ModelError."""
    version = manifest.get("format")
    if version != FORMAT:
        raise ModelError(f"it has format {version!r}, and this aez reads format {FORMAT}")
    for key, kind in _MANIFEST_KEYS.items():
        if not isinstance(manifest.get(key), kind):
            raise ModelError(f"its manifest has no {key!r} of type {kind.__name__}")
    members: dict[str, Any] = manifest["members"]
    for name, entry in members.items():
        if not _MEMBER_NAME.fullmatch(name) or not _is_member_entry(entry):
            raise ModelError(f"its manifest lists {name!r} without a proper name, sha256 and count of bytes")
    decoder_members = manifest["coding"].get("decoder_members")
    if not isinstance(decoder_members, list) or not all(isinstance(name, str) for name in decoder_members):
        raise ModelError("its manifest has no list coding.decoder_members")
    if not set(decoder_members) <= set(members) or len(set(decoder_members)) < len(decoder_members):
        raise ModelError("coding.decoder_members in its manifest names members that are not listed, or one twice")
    graphs = {name.removesuffix(".onnx") for name in members if name.endswith(".onnx")}
    if set(manifest["graphs"]) != graphs:
        raise ModelError(f"its manifest describes the graphs {sorted(manifest['graphs'])}, not {sorted(graphs)}")
    for name, graph in manifest["graphs"].items():
        if not isinstance(graph, dict) or not all(_is_tensor_list(graph.get(side)) for side in ("inputs", "outputs")):
            raise ModelError(f"its manifest does not describe inputs and outputs of the graph {name}")


def _is_member_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("sha256"), str)
        and _SHA256.fullmatch(entry["sha256"]) is not None
        and isinstance(entry.get("bytes"), int)
    )


def _is_tensor_list(tensors: Any) -> bool:
    """Whether this is a list of {name, shape, dtype, ...}; unit and range say more to people."""
    return isinstance(tensors, list) and all(
        isinstance(tensor, dict)
        and isinstance(tensor.get("name"), str)
        and isinstance(tensor.get("shape"), list)
        and isinstance(tensor.get("dtype"), str)
        for tensor in tensors
    )

"""What a collection has come to: a folder in OUT that a run reads, and from which it goes on after any end.

Every step leaves a whole file or none, and is known to be done by what it left: the state (names of the sample,
settings, figures), the model, the results. Nothing is done that a former run did.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aez.codec.common.files import write_whole
from aez.codec.errors import InvalidArgument, OutputError, VersionError

if TYPE_CHECKING:
    from aez.codec.bundle.bundle import Bundle

#: The folder in OUT.
FOLDER = ".aez-collection"
FORMAT = 1
#: The shipped models, from which training starts and which are taken where it does not win.
SHIPPED = {"mse": "photo", "visual": "photo-visual"}
#: Settings of the sample and the training, which hold from the first run on; their usual values.
DEFAULTS: dict[str, Any] = {"minutes": 30.0, "sample": 1000, "keep_out": 16, "seed": 0, "loss": "mse"}
_STATE, _LOCK, _STRANGE = "state.json", "lock", re.compile(r"[^A-Za-z0-9._-]+")


@dataclass
class Collection:
    """A collection of pictures in `folder` and what became of them in `out`. All paths are absolute.

    `name`: what its model is called; `training`, `kept_out`: pictures of the sample, by their place below `folder`;
    `target`: the argument of `encode_picture` that the figures `measured` and `projected` are of, for the choice
    `take`; `taken`: id of the model that encodes, once encoding began.
    """

    folder: Path
    out: Path
    name: str
    settings: dict[str, Any]
    training: list[str] = field(default_factory=list)
    kept_out: list[str] = field(default_factory=list)
    target: dict[str, float] = field(default_factory=dict)
    take: str = "auto"
    measured: dict[str, Any] | None = None
    projected: dict[str, Any] | None = None
    taken: str | None = None

    @property
    def work(self) -> Path:
        """The folder of what is needed on the way."""
        return self.out / FOLDER

    @property
    def base(self) -> str:
        """Name of the shipped model that training starts from."""
        return SHIPPED[str(self.settings["loss"])]

    @property
    def model(self) -> Path:
        """Where the trained model lies: with the results once it has been taken."""
        taken = self.out / f"{self.name}.aezm"
        return taken if taken.exists() else self.work / taken.name

    def chosen(self) -> Bundle:
        """The model that encodes. Raises ModelError where it is gone or another."""
        from aez.codec.bundle.library import find_bundle

        if self.model.exists() and (bundle := find_bundle(self.model)).id == self.taken:
            return bundle
        return find_bundle(self.taken)

    def save(self) -> None:
        """Write the state, whole. Raises OutputError."""
        values = {key: value for key, value in vars(self).items() if key != "out"} | {"folder": str(self.folder)}
        text = json.dumps({"format": FORMAT, **values}, indent=1, ensure_ascii=False) + "\n"
        write_whole(self.work / _STATE, text.encode("utf-8", "surrogateescape"), force=True)

    def drop(self, *names: str) -> None:
        """Remove folders of `work` that are no longer needed."""
        for name in names:
            shutil.rmtree(self.work / name, ignore_errors=True)


def model_name(folder: Path) -> str:
    """What a folder's model is called: as the folder, or otherwise where a shipped model is called so."""
    plain = _STRANGE.sub("-", folder.name).strip("-.") or "collection"
    return f"{plain}-collection" if plain.startswith(("photo", "kl-f8")) else plain


def open_collection(folder: Path, out: Path, given: Mapping[str, Any]) -> Collection:
    """The collection that a former run began in `out`, or a new one; `given` are settings, None where not asked for.

    Raises InvalidArgument for places inside each other and for settings that contradict the former run's, OutputError
    for an `out` that holds something else or another collection.
    """
    folder, out = Path(os.path.realpath(folder)), Path(os.path.realpath(out))
    if out.is_relative_to(folder) or folder.is_relative_to(out):
        raise InvalidArgument(f"{out} and {folder} lie in each other; give a folder for the results elsewhere")
    state = out / FOLDER / _STATE
    if not state.exists():
        _check_new(out)
        wanted = {name: value for name, value in given.items() if value is not None}
        return Collection(folder, out, model_name(folder), DEFAULTS | wanted)
    found = _read(state, out)
    for name, value in given.items():
        if value is not None and value != found.settings[name]:
            option = "--" + name.replace("_", "-")
            raise InvalidArgument(
                f"{out} was begun with {option} {found.settings[name]:{'' if name == 'loss' else 'g'}}; "
                f"leave {option} out, or give a new folder"
            )
    if found.folder != folder:
        if not _same_pictures(found, folder):
            raise OutputError(f"{out} holds the collection of {found.folder}; give a new folder for {folder}")
        found.folder = folder
    return found


def _check_new(out: Path) -> None:
    try:
        held = [path.name for path in out.iterdir()] if out.exists() else []
    except OSError as error:
        raise OutputError(f"{out} is no folder for results: {error.strerror or error}") from error
    if held and held != [FOLDER]:
        raise OutputError(f"{out} holds other files and no collection of aez; give a new folder")


def _read(state: Path, out: Path) -> Collection:
    try:
        values = json.loads(state.read_bytes().decode("utf-8", "surrogateescape"))
        if values.pop("format") != FORMAT:
            raise VersionError(f"{out} is a collection of another version of aez; take that one, or give a new folder")
        return Collection(**{**values, "folder": Path(values["folder"]), "out": out})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidArgument(f"{state} is damaged ({error}); restore it, or give a new folder") from error


def _same_pictures(found: Collection, folder: Path) -> bool:
    """Whether a folder under another name holds what was drawn from the former one, which is gone."""
    drawn = [*found.training, *found.kept_out]
    return not found.folder.exists() and bool(drawn) and all((folder / place).is_file() for place in drawn)


@contextlib.contextmanager
def held(out: Path) -> Iterator[None]:
    """Keep a second process out of a collection, and make its folder. Raises OutputError."""
    work = out / FOLDER
    try:
        work.mkdir(parents=True, exist_ok=True)
        file = (work / _LOCK).open("a")
    except OSError as error:
        raise OutputError(f"{out} cannot be written to: {error.strerror or error}") from error
    with file:
        with contextlib.suppress(ImportError):  # no such locks on this system
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(f"another aez works on {out}; wait for it, or stop it") from None
            except OSError:  # a file system without locks
                pass
        yield

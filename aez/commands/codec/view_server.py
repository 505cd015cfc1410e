"""What `aez view` serves: the page, the files that were named, and halves of the models here, by id."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from aez.codec.bundle.library import DEFAULT_MODEL, find_bundle, list_bundles
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.errors import ModelError, UnsupportedInput
from aez.commands.page_server import JSON, PageServer, Served

_MODEL = re.compile(r"/models/([0-9a-f]{16})(\.encoder)?\.aezm")
_FILE = re.compile(r"/files/([0-9]{1,6})")


def check_picture(path: Path) -> None:
    """Raises UnsupportedInput where it cannot be read, CorruptFile or VersionError where it begins as no picture."""
    try:
        with path.open("rb") as stream:
            Reader(stream, ImageHeader)
    except OSError as error:
        raise UnsupportedInput(f"{path} cannot be read: {error.strerror or error}") from error


class ViewServer(PageServer):
    """Raises InvalidArgument for a port that cannot be had."""

    def __init__(self, paths: Sequence[Path], port: int = 0) -> None:
        self.paths = tuple(paths)
        names = Served(json.dumps([path.name for path in self.paths]).encode(), JSON)
        super().__init__("/viewer/index.html?served", ("viewer", "dist"), port, {"/files.json": names})

    def find(self, path: str) -> Served | None:
        """Also the files and the models. Raises ModelError."""
        if path == "/models/encoders.json":
            return Served(json.dumps(self.encoders()).encode(), JSON)
        if (found := _FILE.fullmatch(path)) and int(found[1]) < len(self.paths):
            return Served(self.paths[int(found[1])])
        if found := _MODEL.fullmatch(path):
            return Served(self.model(found[1], encodes=found[2] is not None))
        return super().find(path)

    def model(self, model_id: str, encodes: bool = False) -> bytes:
        """A half of a model that is here, in a folder of models or near one of the files: what decodes, or encodes.

        Raises ModelError.
        """
        places: list[Path | None] = list({path.parent: path for path in self.paths}.values()) or [None]
        for place in places:
            try:
                bundle = find_bundle(model_id=bytes.fromhex(model_id), beside=place)
            except ModelError as error:
                missing = error
            else:
                return bundle.encoding_half() if encodes else bundle.decoding_half()
        raise missing

    def encoders(self) -> list[dict[str, str]]:
        """Name and id of each whole model of pictures in the folders of models, that of `aez encode` first."""
        found = {
            listed.id[:16]: listed.name
            for listed in list_bundles()
            if not listed.error and not listed.half and listed.task == "image-codec"
        }
        ordered = sorted(found.items(), key=lambda item: (item[1] != DEFAULT_MODEL, item[1]))
        return [{"id": model_id, "name": name} for model_id, name in ordered]

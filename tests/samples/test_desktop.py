"""What desktops need to know `.aez` files, against real files and the real command."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

import aez
from aez.codec.container.chunks import SIGNATURE
from aez.pillow import MIME, SUFFIX
from tests.kit.commands import run
from tests.kit.places import SAMPLES

DESKTOP = SAMPLES / "desktop"
_SPACE = "{http://www.freedesktop.org/standards/shared-mime-info}"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a picture.aez"
    path.write_bytes(aez.encode(Image.new("RGB", (300, 200), "teal"), lossless=True))
    return path


def test_the_media_type_is_that_of_the_plugin_and_knows_files_by_name_and_content() -> None:
    (kind,) = ET.parse(DESKTOP / "aez.xml").getroot()
    assert kind.attrib["type"] == MIME
    glob, match = kind.find(f"{_SPACE}glob"), kind.find(f"{_SPACE}magic/{_SPACE}match")
    assert glob is not None
    assert match is not None
    assert glob.attrib["pattern"] == f"*{SUFFIX}"
    assert match.attrib["value"].encode().decode("unicode_escape").encode("latin-1") == SIGNATURE[:-1]


def test_the_thumbnailer_writes_a_small_png(picture: Path, tmp_path: Path) -> None:
    entry = configparser.ConfigParser(interpolation=None)
    entry.read(DESKTOP / "aez.thumbnailer")
    words = entry["Thumbnailer Entry"]["Exec"].split()
    assert words[0] == entry["Thumbnailer Entry"]["TryExec"] == "aez"
    assert entry["Thumbnailer Entry"]["MimeType"] == f"{MIME};"
    out = tmp_path / "thumbnail"  # without a suffix
    replaced = [{"%i": str(picture), "%o": str(out), "%s": "128"}.get(word, word) for word in words[1:]]
    done = run(*replaced)
    assert done.exit_code == 0, done.stderr
    with Image.open(out) as image:
        assert (image.format, image.size) == ("PNG", (128, 85))


def test_file_tells_the_format_and_its_version(picture: Path) -> None:
    program = shutil.which("file")
    assert program is not None, "install Debian's package file"
    told = subprocess.run([program, "-b", "-m", DESKTOP / "magic", picture], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == f"aez picture, format version {SIGNATURE[-1]}"

"""The rooms of the decoder in JavaScript and its kernels: how large they may grow, and what may know what."""

import gzip
import re
from collections import Counter
from pathlib import Path

from tests.house.test_sizes import FILE, ROOM
from tests.kit.places import ROOT

PACKAGE = ROOT / "codec" / "js"
SOURCES = sorted(
    path
    for folder in ("src", "kernels", "tests", "scripts", "bench")
    for path in (PACKAGE / folder).rglob("*")
    if path.suffix in (".ts", ".c", ".h", ".mjs")
)
#: Which room may import which; everybody may import errors.ts.
ARROWS = {
    "container": set(),
    "network": set(),
    "bundle": {"container", "network"},
    "entropy": {"bundle", "container", "network"},
    # `import()` brings what lies in rest/ and exact/; their types are known before.
    "image": {"bundle", "container", "entropy", "network", "rest"},
    "exact": {"container", "index.js", "network"},
    "rest": {"container", "exact", "image", "index.js", "network"},
    "page": {"index.js", "worker"},
    "element": {"index.js", "page"},
    "polyfill": {"index.js", "page"},
    "worker": {"container", "index.js"},
    "encode": {"image", "index.js", "network"},
    "interpret": {"network"},
    "series": {"bundle", "container", "interpret", "network"},
    "latent": {"bundle", "container", "interpret"},
    "onnxruntime": {"bundle", "image", "index.js", "network"},
    "viewer": {"encode", "index.js", "page"},
}


def test_files_and_rooms_can_be_seen_at_once() -> None:
    assert len(SOURCES) > 40
    assert not {str(path): lines for path in SOURCES if (lines := path.read_text().count("\n")) > FILE}
    rooms = Counter(path.parent for path in SOURCES)
    assert not {str(room): count for room, count in rooms.items() if count > ROOM}


def test_every_file_says_what_it_is() -> None:
    said = {path: path.read_text().removeprefix("#!/usr/bin/env node\n") for path in SOURCES}
    assert not [str(path) for path, text in said.items() if not text.startswith("// ")]


def test_rooms_import_what_they_may() -> None:
    wrong = []
    for path in SOURCES:
        room = path.parent.name
        if path.suffix != ".ts" or room not in ARROWS:
            continue
        for target in re.findall(r'from "(\.[^"]+)"', path.read_text()):
            into = (path.parent / target).resolve().relative_to((PACKAGE / "src").resolve().parent)
            named = into.parts[1] if into.parts[0] == "src" else into.parts[0]
            if named not in {room, "errors.js", "build", *ARROWS[room]}:
                wrong.append(f"{path.relative_to(PACKAGE)}: {target}")
    assert not wrong


def test_the_locked_packages_name_no_host() -> None:
    lock = (PACKAGE / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    package = (PACKAGE / "package.json").read_text()
    versions = re.findall(r'"(?:@?[\w/-]+)": "([\^~]?[\d.]+)"', package)
    assert versions
    assert not [version for version in versions if version[0] in "^~"]


def test_the_main_entry_is_small() -> None:
    """What it does not need comes by `import()`.

    `scripts/build.mjs` holds it to 25,000 bytes with Node's zlib, of which another one may make a little more.
    """
    main = (PACKAGE / "dist" / "aez.js").read_bytes()
    assert len(gzip.compress(main, 9)) < 25250
    assert b'import("./rest.js")' in main


def test_scripts_run_where_they_lie() -> None:
    assert (PACKAGE / "scripts" / "kernels.sh").stat().st_mode & 0o111
    assert Path(PACKAGE / "dist" / "aez.js").read_bytes()

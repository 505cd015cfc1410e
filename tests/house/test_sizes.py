"""How large rooms, files and functions may grow before they are parted."""

import ast
from collections import Counter

from tests.house.test_imports import is_face, modules
from tests.kit.places import ROOT

#: Files of a room, lines of a file, lines of a function.
ROOM, FILE, FUNCTION = 14, 499, 59
#: Share of the files in codec/ whose name is more than one word: what a prefix says, a folder says better.
WORDS = 0.25

FILES = {str(path.relative_to(ROOT)): path.read_text() for name, path in modules().items()}


def test_a_room_can_be_seen_at_once() -> None:
    rooms = Counter(str(path.parent.relative_to(ROOT)) for name, path in modules().items() if not is_face(name))
    assert not {room: count for room, count in rooms.items() if count > ROOM}


def test_rooms_stand_two_floors_deep_at_most() -> None:
    assert not [path for path in FILES if path.count("/") > 3]


def test_files_can_be_read_at_once() -> None:
    assert not {path: lines for path, text in FILES.items() if (lines := text.count("\n")) > FILE}


def test_functions_can_be_read_at_once() -> None:
    assert not {
        f"{path}: {node.name}": length
        for path, text in FILES.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION
    }


def test_names_in_the_codec_are_mostly_one_word() -> None:
    names = [
        path.rpartition("/")[2] for path in FILES if path.startswith("codec/") and not path.endswith("__init__.py")
    ]
    assert sum("_" in name for name in names) < WORDS * len(names)


def test_every_module_says_what_it_is() -> None:
    assert not [path for path, text in FILES.items() if not ast.get_docstring(ast.parse(text))]

"""Where keys stand in a TOML text: the line of every key, which `tomllib` does not tell.

The text must be valid TOML; whether it is, `tomllib` says.
"""

from __future__ import annotations

import json
import tomllib

#: A place in the parsed document: keys of tables, and indices into arrays of tables.
Path = tuple[str | int, ...]

_BARE_END = " \t=.]\r\n"


def key_lines(text: str) -> dict[Path, int]:
    """The line, from 1, of every table header and key; those within inline tables and arrays are included."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text, self.at = text.replace("\r\n", "\n"), 0
        self.found: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip_space(lines=True):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self.found

    def _line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def _skip_space(self, *, lines: bool) -> bool:
        """Go to the next character that means something; False at the end of the text."""
        while self.at < len(self.text):
            one = self.text[self.at]
            if one == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif one in " \t" or (lines and one == "\n"):
                self.at += 1
            else:
                return True
        return False

    def _header(self) -> Path:
        line, array = self._line(), self.text.startswith("[[", self.at)
        self.at += 2 if array else 1
        keys = self._keys()
        self.at += 2 if array else 1
        place: Path = ()
        for depth, key in enumerate(keys):
            place += (key,)
            last = depth == len(keys) - 1
            if last and array:
                self.counts[place] = self.counts.get(place, -1) + 1
                self.found.setdefault(place, line)
            if place in self.counts:
                place += (self.counts[place],)
        self.found[place] = line
        return place

    def _pair(self, table: Path) -> None:
        line, place = self._line(), table
        for key in self._keys():
            place += (key,)
            self.found.setdefault(place, line)
        self.at += 1  # the equals sign
        self._value(place)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip_space(lines=False)
            keys.append(self._key())
            self._skip_space(lines=False)
            if not self.text.startswith(".", self.at):
                return keys
            self.at += 1

    def _key(self) -> str:
        start = self.at
        if self.text[start] in "\"'":
            self._string()
            quoted = self.text[start : self.at]
            return str(tomllib.loads(f"k = {quoted}")["k"])
        while self.at < len(self.text) and self.text[self.at] not in _BARE_END:
            self.at += 1
        return self.text[start : self.at]

    def _value(self, place: Path) -> None:
        self._skip_space(lines=True)
        one = self.text[self.at : self.at + 1]
        if one in ('"', "'"):
            self._string()
        elif one == "[":
            self._array(place)
        elif one == "{":
            self._table(place)
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}#\n":
                self.at += 1

    def _string(self) -> None:
        quote = self.text[self.at]
        mark = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(mark)
        while not self.text.startswith(mark, self.at):
            if self.at >= len(self.text):
                return
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        self.at += len(mark)
        while len(mark) == 3 and self.text.startswith(quote, self.at):  # quotes just before the closing ones
            self.at += 1

    def _array(self, place: Path) -> None:
        self.at += 1
        index = 0
        while self._skip_space(lines=True) and self.text[self.at] != "]":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.found[(*place, index)] = self._line()
            self._value((*place, index))
            index += 1
        self.at += 1

    def _table(self, place: Path) -> None:
        self.at += 1
        while self._skip_space(lines=True) and self.text[self.at] != "}":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._pair(place)
        self.at += 1


def written(place: Path) -> str:
    """A place as people write it: `sources[1].port`."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        name = part if part and part.replace("_", "").replace("-", "").isalnum() else json.dumps(part)
        text += f".{name}" if text else name
    return text

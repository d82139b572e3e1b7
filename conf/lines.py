"""On which line of a TOML file each key stands.

`tomllib` reads the values but forgets where they were. This scanner goes over a text
that `tomllib` has accepted and notes the line of every key; it checks nothing itself.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left

KeyPath = tuple[str | int, ...]
"""Names of tables and keys from the top; an int is an index in an array."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACES = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\]|\\.)*"')
_LITERAL = re.compile(r"'[^']*'")
_LONG_BASIC = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''.*?'{3,5}", re.DOTALL)
_PLAIN_VALUE = re.compile(r"[^,\]}#\n]*")


def scan(text: str) -> dict[KeyPath, int]:
    """The line, from 1, of every key, table and array element.

    Args:
        text: a TOML document that `tomllib.loads` accepts.

    Returns:
        The first line on which each path appears. A table that is only implied by a
        dotted key or header has the line of that one.
    """
    return _Scanner(text).run()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._newlines = [i for i, character in enumerate(text) if character == "\n"]
        self._lines: dict[KeyPath, int] = {}
        self._tables: dict[KeyPath, int] = {}
        """How many elements each array of tables has so far."""

    def run(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._skip(_BLANK) < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _header(self) -> KeyPath:
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        line, key = self._key()
        self._at += 2 if is_array else 1
        path: KeyPath = ()
        for position, name in enumerate(key):
            path = (*path, name)
            self._note(path, line)
            if is_array and position == len(key) - 1:
                self._tables[path] = self._tables.get(path, 0) + 1
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
                self._note(path, line)
        return path

    def _pair(self, table: KeyPath) -> None:
        line, key = self._key()
        for end in range(1, len(key) + 1):
            self._note(table + key[:end], line)
        self._at += 1  # the equals sign
        self._value(table + key)

    def _key(self) -> tuple[int, KeyPath]:
        """A dotted key; leaves the position behind it and the blanks that follow."""
        self._skip(_SPACES)
        line = bisect_left(self._newlines, self._at) + 1
        names: list[str] = []
        while True:
            start = self._at
            if self._text[start] in "\"'":
                self._skip(_BASIC if self._text[start] == '"' else _LITERAL)
                quoted = self._text[start : self._at]
                names.append(tomllib.loads(f"key = {quoted}")["key"])
            else:
                self._skip(_BARE_KEY)
                names.append(self._text[start : self._at])
            self._skip(_SPACES)
            if not self._text.startswith(".", self._at):
                return line, tuple(names)
            self._at += 1
            self._skip(_SPACES)

    def _value(self, path: KeyPath) -> None:
        self._skip(_SPACES)
        for opening, pattern in (
            ('"""', _LONG_BASIC),
            ("'''", _LONG_LITERAL),
            ('"', _BASIC),
            ("'", _LITERAL),
        ):
            if self._text.startswith(opening, self._at):
                self._skip(pattern)
                return
        if self._text.startswith("[", self._at):
            self._array(path)
        elif self._text.startswith("{", self._at):
            self._inline_table(path)
        else:
            self._skip(_PLAIN_VALUE)

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while self._text[self._skip(_BLANK)] != "]":
            if self._text[self._at] == ",":
                self._at += 1
                index += 1
                continue
            element = (*path, index)
            self._note(element, bisect_left(self._newlines, self._at) + 1)
            self._value(element)
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        while self._text[self._skip(_BLANK)] != "}":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._pair(path)
        self._at += 1

    def _note(self, path: KeyPath, line: int) -> None:
        self._lines.setdefault(path, line)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return self._at

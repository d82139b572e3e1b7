import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from storagebus.conf.lines import KeyPath, scan

DOCUMENT = '''\
# a comment = "no key"
title = "has # no comment" # but this is one

[server]   # a table
host.name = "a"
"quoted key" = 1
'literal.key' = """
not = "a key"
[nor.a.table]
""""
list = [
  1, # one
  { inner = 2, deep.er = [3, 4] },
  "]",
]

[server.inner]
text = \'\'\'
x = 1
\'\'\'
date = 1979-05-27 07:32:00
empty = {}

[[fruit]]
name = "a"
[[fruit.kind]]
name = "b"
[[fruit]]
name = "c"
"é\\u0041" = 1
'''


def test_every_key_has_its_line() -> None:
    tomllib.loads(DOCUMENT)
    assert scan(DOCUMENT) == {
        ("title",): 2,
        ("server",): 4,
        ("server", "host"): 5,
        ("server", "host", "name"): 5,
        ("server", "quoted key"): 6,
        ("server", "literal.key"): 7,
        ("server", "list"): 11,
        ("server", "list", 0): 12,
        ("server", "list", 1): 13,
        ("server", "list", 1, "inner"): 13,
        ("server", "list", 1, "deep"): 13,
        ("server", "list", 1, "deep", "er"): 13,
        ("server", "list", 1, "deep", "er", 0): 13,
        ("server", "list", 1, "deep", "er", 1): 13,
        ("server", "list", 2): 14,
        ("server", "inner"): 17,
        ("server", "inner", "text"): 18,
        ("server", "inner", "date"): 21,
        ("server", "inner", "empty"): 22,
        ("fruit",): 24,
        ("fruit", 0): 24,
        ("fruit", 0, "name"): 25,
        ("fruit", 0, "kind"): 26,
        ("fruit", 0, "kind", 0): 26,
        ("fruit", 0, "kind", 0, "name"): 27,
        ("fruit", 1): 28,
        ("fruit", 1, "name"): 29,
        ("fruit", 1, "éA"): 30,
    }


def test_no_final_newline_and_nothing_at_all() -> None:
    assert scan("a = 1") == {("a",): 1}
    assert scan("") == {}
    assert scan("\n\n# only a comment") == {}


KEYS = st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True)
TEXTS = st.text("ab\"'\\#[]{}=,.\n é", max_size=12)
VALUES = st.recursive(
    st.one_of(st.integers(-99, 99), st.booleans(), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=6,
)


def basic(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def long_basic(text: str) -> str:
    """The text between three quotes, with its newlines as they are."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"""\n{escaped}"""'


class Writer:
    """Writes TOML and notes where each key went."""

    def __init__(self, choose: Any) -> None:
        self.text = ""
        self.lines: dict[KeyPath, int] = {}
        self._choose = choose

    @property
    def line(self) -> int:
        return self.text.count("\n") + 1

    def value(self, path: KeyPath, value: Any) -> None:
        if isinstance(value, dict):
            self.text += "{ "
            for number, (key, inner) in enumerate(value.items()):
                self.text += ", " if number else ""
                self.pair((*path, key), inner)
            self.text += " }"
        elif isinstance(value, list):
            self.text += "["
            for index, inner in enumerate(value):
                self.text += self._choose(["", "\n", " # ] = [\n\n"])
                self.lines[(*path, index)] = self.line
                self.value((*path, index), inner)
                self.text += ","
            self.text += "]"
        elif isinstance(value, str):
            self.text += self._choose([basic, long_basic])(value)
        else:
            self.text += str(value).lower()

    def pair(self, path: KeyPath, value: Any) -> None:
        self.lines[path] = self.line
        key = str(path[-1])
        self.text += self._choose([key, f'"{key}"', f"'{key}'"])
        self.text += self._choose(["=", " = ", "\t=\t"])
        self.value(path, value)


@given(
    st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=4), max_size=4),
    st.data(),
)
def test_any_document(tables: dict[str, dict[str, Any]], data: st.DataObject) -> None:
    writer = Writer(lambda options: data.draw(st.sampled_from(options)))
    for name, table in tables.items():
        writer.text += data.draw(st.sampled_from(["", "\n", "# [x]\n"]))
        writer.lines[(name,)] = writer.line
        writer.text += f"[{name}]\n"
        for key, value in table.items():
            writer.pair((name, key), value)
            writer.text += data.draw(st.sampled_from(["\n", " # k = 1\n", "\n\n"]))
    assert tomllib.loads(writer.text) == tables
    assert scan(writer.text) == writer.lines

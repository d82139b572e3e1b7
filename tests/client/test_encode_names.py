import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.client.encode_names import decode_name, encode_name
from storagebus.drivers.errors import InvalidPathError
from storagebus.drivers.paths import is_component

# Any bytes, and bytes that are close to what the escape itself is made of.
NAMES = st.one_of(
    st.binary(max_size=40), st.text("_x05f2e. é", max_size=12).map(str.encode)
)


@given(NAMES)
def test_every_name_comes_back(name: bytes) -> None:
    assert decode_name(encode_name(name)) == name


@given(NAMES)
def test_every_encoding_is_a_component(name: bytes) -> None:
    assert is_component(encode_name(name))


@given(NAMES, NAMES)
def test_two_names_never_share_an_encoding(one: bytes, other: bytes) -> None:
    assert (encode_name(one) == encode_name(other)) == (one == other)


@given(st.from_regex(r"[A-Za-wyz0-9._-]{1,20}", fullmatch=True))
def test_names_inside_the_grammar_stay_as_they_are(name: str) -> None:
    if name not in (".", ".."):
        assert encode_name(name) == name


@given(st.text("_x05f2eaA.", max_size=14))
def test_what_decodes_is_the_encoding_of_what_it_decodes_to(component: str) -> None:
    try:
        name = decode_name(component)
    except InvalidPathError:
        return
    assert encode_name(name) == component


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("my file.txt", "my_x20_file.txt"),
        ("Zoë", "Zo_xc3ab_"),
        ("_x20_", "_x5f_x20_"),
        ("a_xylophone", "a_x5f_xylophone"),
        ("plain_name-1.txt", "plain_name-1.txt"),
        (".", "_x2e_"),
        ("..", "_x2e2e_"),
        (b"\xff\n", "_xff0a_"),
        ("", "_x_"),
    ],
)
def test_examples(name: str | bytes, encoded: str) -> None:
    assert encode_name(name) == encoded
    assert decode_name(encoded) == os.fsencode(name)


@pytest.mark.parametrize(
    "component",
    [
        "_x41_",  # "A" needs no escape
        "_x5F_x20_",  # upper case
        "a_xzz_",  # no hexadecimal digits
        "_x2_",  # half a byte
        "_xc3__xab_",  # one run in two escapes
        "_x",  # a "_" before an "x" without escape
        "é",
    ],
)
def test_what_no_name_encodes_to_is_refused(component: str) -> None:
    with pytest.raises(InvalidPathError, match="not an encoded name"):
        decode_name(component)

import os
from pathlib import Path

import pytest

from storagebus.conf.secrets import (
    REDACTED,
    SECRET_BYTES_MAX,
    Reference,
    as_reference,
    shown,
)


def test_a_variable() -> None:
    reference = Reference("env", "KEY")
    assert reference.resolve({"KEY": "a b\n"}, Path()) == "a b\n"
    with pytest.raises(ValueError, match="variable KEY is not set"):
        reference.resolve({}, Path())


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"two\nlines\n", "two\nlines"),
        (b"blank at the end \n", "blank at the end "),
        (b"", ""),
    ],
)
def test_a_file_without_its_last_newline(
    tmp_path: Path, content: bytes, value: str
) -> None:
    (tmp_path / "key").write_bytes(content)
    assert Reference("file", "key").resolve({}, tmp_path) == value
    assert Reference("file", str(tmp_path / "key")).resolve({}, Path("/")) == value


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * (SECRET_BYTES_MAX + 1))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, message in (
        ("missing", "cannot read .*missing"),
        (".", "cannot read"),
        ("long", "longer than"),
        ("binary", "not text"),
    ):
        with pytest.raises(ValueError, match=message):
            Reference("file", name).resolve({}, tmp_path)


def test_what_is_a_reference() -> None:
    assert as_reference({"env": "KEY"}) == Reference("env", "KEY")
    assert as_reference({"file": "/f"}) == Reference("file", "/f")
    for plain in ("text", 3, None, [{"env": "KEY"}], {}, {"other": "x"}):
        assert as_reference(plain) is None


@pytest.mark.parametrize(
    "value",
    [{"env": 3}, {"env": ""}, {"env": "A", "file": "B"}, {"env": "A", "default": ""}],
)
def test_what_only_looks_like_one(value: object) -> None:
    with pytest.raises(ValueError, match="a reference has one key"):
        as_reference(value)


def test_only_what_is_public_is_shown() -> None:
    secret = os.urandom(8).hex()
    parameters = {
        "rootdirectory": "/data",
        "secretkey": secret,
        "endpoint": f"https://user:{secret}@host/",
        "number": 42,
        "accesskey": secret,
    }
    found = shown(
        parameters,
        {"accesskey": Reference("env", "KEY")},
        {"rootdirectory", "endpoint", "number"},
    )
    assert found == {
        "accesskey": {"env": "KEY"},
        "endpoint": REDACTED,
        "number": 42,
        "rootdirectory": "/data",
        "secretkey": REDACTED,
    }
    assert secret not in str(found)

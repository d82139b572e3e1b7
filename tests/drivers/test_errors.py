"""The errors: one class a code, and reports that survive any peer."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.drivers import errors
from storagebus.drivers.errors import CODES, Executed, StorageError, error_from_fields

CLASSES = [
    cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, StorageError)
]
PUBLIC = {
    "StorageError",
    "PathNotFoundError",
    "InvalidPathError",
    "InvalidOffsetError",
    "UnsupportedMethodError",
    "InvalidStorageDriverError",
    "InvalidParameterError",
    "IncompatibleVersionError",
    "UploadSupersededError",
    "PreconditionError",
    "QuotaExceededError",
    "ThrottledError",
    "AccessDeniedError",
    "DeadlineExceededError",
    "UnavailableError",
    "DataLossError",
}
FIELDS = (
    "detail",
    "temporary",
    "executed",
    "path",
    "offset",
    "driver",
    "retry_after_s",
    "durable",
)

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
HOSTILE = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.binary())


def test_every_class_has_a_code_of_its_own_and_every_code_a_class() -> None:
    assert {cls.code: cls for cls in CLASSES} == CODES
    assert len(CODES) == len(CLASSES)
    for cls in CLASSES:
        assert "code" in vars(cls), f"{cls.__name__} inherits its code"
        assert "summary" in vars(cls), f"{cls.__name__} inherits its summary"


def test_the_public_names_are_there() -> None:
    assert {cls.__name__ for cls in CLASSES} >= PUBLIC


def test_the_tree_that_opens_the_module_is_the_tree_of_the_classes() -> None:
    drawn = {}
    above: list[tuple[int, str]] = []
    lines = (Path(errors.__file__).read_text().split('"""')[1]).splitlines()
    for line in lines:
        found = re.match(r"([ │├└─]*)(\w+Error) +(\d+)  \S", line)
        if found:
            depth = len(found[1]) // 4
            above = [pair for pair in above if pair[0] < depth]
            drawn[found[2]] = (int(found[3]), above[-1][1] if above else "Exception")
            above.append((depth, found[2]))
    assert drawn == {
        cls.__name__: (cls.code, cls.__bases__[0].__name__) for cls in CLASSES
    }


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_comes_back_from_its_code_and_fields(cls: type[StorageError]) -> None:
    error = cls(
        "what happened",
        path="/a/b",
        offset=7,
        driver="acme",
        temporary=not cls.default_temporary,
        executed=Executed.YES,
        retry_after_s=1.5,
        durable=99,
    )
    for back in (
        error_from_fields(error.code, error.to_fields()),
        pickle.loads(pickle.dumps(error)),
    ):
        assert type(back) is cls
        assert back.to_fields() == error.to_fields()
        assert str(back) == str(error)


@pytest.mark.parametrize("cls", CLASSES)
def test_without_data_the_class_says_all(cls: type[StorageError]) -> None:
    error = cls()
    assert str(error) == cls.summary
    assert (error.temporary, error.executed) == (
        cls.default_temporary,
        cls.default_executed,
    )
    assert error.to_fields().keys() == {"detail", "temporary", "executed"}


def test_the_text_names_driver_path_and_offset() -> None:
    error = errors.InvalidOffsetError("negative", path="/a", offset=-1, driver="acme")
    assert str(error) == "acme: invalid offset: negative: /a (offset -1)"


@pytest.mark.parametrize("path", ["", " a", "/a\n[error] forged", "/a\x1b[2J"])
def test_an_odd_path_is_quoted_in_the_text(path: str) -> None:
    text = str(errors.InvalidPathError(path=path))
    assert repr(path) in text
    assert text.isprintable()


def test_an_unknown_code_is_a_plain_storage_error() -> None:
    error = error_from_fields(9_999, {"detail": "from the future", "news": [1]})
    assert type(error) is StorageError
    assert error.detail == "from the future"


@given(
    st.integers(),
    st.dictionaries(
        st.sampled_from(
            [
                "detail",
                "temporary",
                "executed",
                "path",
                "offset",
                "driver",
                "retry_after_s",
                "durable",
            ]
        )
        | st.text(),
        HOSTILE,
    ),
)
def test_no_report_of_a_peer_raises(code: int, fields: dict[str, object]) -> None:
    error = error_from_fields(code, fields)
    assert len(error.detail) <= errors.DETAIL_CHARACTERS_MAX
    assert isinstance(error.temporary, bool)
    assert isinstance(error.executed, Executed)
    assert error.offset is None or type(error.offset) is int
    assert error.durable is None or type(error.durable) is int
    str(error), repr(error)
    again = error_from_fields(error.code, error.to_fields())
    assert repr(again.to_fields()) == repr(error.to_fields())


def test_an_error_may_be_given_another_one_and_a_path_of_pathlib() -> None:
    error = errors.AccessDeniedError(KeyError("k"), path=Path("/a/b"))  # type: ignore[arg-type]
    assert str(error) == "access denied: 'k': /a/b"
    assert error.path == "/a/b"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.path) == (str(error), "/a/b")

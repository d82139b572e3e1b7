"""Keys and paths, deletes in batches, errors that leave typed."""

from __future__ import annotations

import pytest
from memorystore import MemoryStore

from storagebus.drivers.errors import (
    AccessDeniedError,
    InvalidPathError,
    StorageError,
    UnavailableError,
    UnsupportedMethodError,
)
from storagebus.drivers.objectstore.store import KEY_BYTES_MAX, attempt

NAMES = [f"d/{number}" for number in range(7)]
KEYS = [f"root/{name}" for name in NAMES]


def test_a_path_is_the_root_and_itself() -> None:
    store = MemoryStore([])
    assert store.key("/a/b") == "root/a/b"
    assert store.path("root/a/b") == "/a/b"
    assert store.directory_key("/") == "root/"
    assert store.directory_key("/a") == "root/a/"
    longest = "/" + "x" * (KEY_BYTES_MAX - len("root/"))
    assert len(store.key(longest)) == KEY_BYTES_MAX
    with pytest.raises(InvalidPathError):
        store.key(longest + "x")


def test_deletes_go_in_batches() -> None:
    store = MemoryStore(NAMES)
    store.delete_keys(KEYS, "/d")
    assert store.stored == []
    # The last one is no batch.
    assert store.batches == [KEYS[0:3], KEYS[3:6], KEYS[6:]]


def test_the_first_error_of_a_key_is_raised_after_all_were_tried() -> None:
    store = MemoryStore(NAMES)
    first, second = AccessDeniedError("1"), AccessDeniedError("2")
    store.refused = {KEYS[1]: first, KEYS[4]: second}
    with pytest.raises(AccessDeniedError) as caught:
        store.delete_keys(KEYS, "/d")
    assert caught.value is first
    assert store.stored == [KEYS[1], KEYS[4]]


@pytest.mark.parametrize("refusal", [StorageError(), UnsupportedMethodError()])
def test_without_batches_each_goes_alone(refusal: StorageError) -> None:
    store = MemoryStore(NAMES)
    store.takes_batches = refusal
    store.refused = {KEYS[1]: AccessDeniedError()}
    with pytest.raises(AccessDeniedError):
        store.delete_keys(KEYS, "/d")
    assert store.stored == [KEYS[1]]
    assert store.batches == [[key] for key in KEYS]


def test_a_server_that_cannot_be_reached_is_not_asked_key_by_key() -> None:
    store = MemoryStore(NAMES)
    store.takes_batches = UnavailableError()
    with pytest.raises(UnavailableError):
        store.delete_keys(KEYS, "/d")
    assert store.stored == KEYS and store.batches == []


def test_errors_leave_typed_and_without_their_cause() -> None:
    store = MemoryStore([])
    with pytest.raises(StorageError) as caught, store.errors("/a"):
        raise KeyError("secret")
    assert caught.value.path == "/a"
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    typed = UnavailableError()
    with pytest.raises(UnavailableError) as again, store.errors("/b"):
        raise typed
    assert again.value is typed and typed.path == "/b"


def test_an_attempt_may_fail() -> None:
    attempt(lambda: 1 / 0)

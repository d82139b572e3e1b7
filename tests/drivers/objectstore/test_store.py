"""Keys and paths, deletes in batches, errors that leave typed."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any
from unittest.mock import Mock

import pytest
from memorystore import MemoryStore

from storagebus.drivers.errors import (
    AccessDeniedError,
    CancelledError,
    Executed,
    InvalidPathError,
    StorageError,
    UnavailableError,
    UnsupportedMethodError,
)
from storagebus.drivers.objectstore import store as store_module
from storagebus.drivers.objectstore.store import KEY_BYTES_MAX, attempt
from storagebus.drivers.standing import Lease, Standing, standing_on

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


def test_deletes_one_by_one_end_where_nobody_may_rely_on_them() -> None:
    """And with that, not with an error for each of the other keys."""
    standing = Standing(Lease(inf))

    class CutOff(MemoryStore):
        def delete(self, key: str, path: str | None) -> None:
            super().delete(key, path)
            if len(self.batches) == 3:
                standing.revoke(CancelledError("given up"))

    store = CutOff(NAMES)
    store.takes_batches = UnsupportedMethodError("no batches")
    with standing_on(standing), pytest.raises(CancelledError) as caught:
        store.delete_keys(KEYS, "/d")
    assert caught.value.executed is Executed.MAYBE
    assert store.stored == KEYS[3:]


@pytest.mark.parametrize(
    ("key_s", "expected"), [(0.0, 1_000), (0.006, 250), (0.02, 100), (0.5, 10)]
)
def test_a_server_that_deletes_slowly_gets_fewer_keys_a_request(
    key_s: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request may last so long that its answer is not waited for."""
    now = 0.0

    class SlowStore(MemoryStore):
        batch_keys_max = 1_000

        def delete_batch(self, keys: Any, path: str | None) -> Iterator[StorageError]:
            nonlocal now
            now += key_s * len(keys)
            self.batches.append(list(keys))
            yield from ()

    monkeypatch.setattr(store_module, "time", Mock(monotonic=lambda: now))
    slow = SlowStore([])
    assert slow.delete_keys((f"root/{number}" for number in range(5_003)), "/") == 5_003
    sizes = [len(batch) for batch in slow.batches]
    assert sum(sizes) == 5_003
    assert sizes[0] == 250 and sizes[-2] == expected


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

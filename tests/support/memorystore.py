"""A store in memory, as simple as one can be: what the shared parts are tested with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from storagebus.drivers.errors import StorageError
from storagebus.drivers.objectstore.meanings import with_path
from storagebus.drivers.objectstore.store import Found, Store

WHEN = datetime(2026, 11, 25, 12, tzinfo=UTC)


class MemoryStore(Store):
    """Keys with nothing in them, and a record of the requests.

    Args:
        keys: what is stored.
        lists_from: whether a listing can begin at a key.
    """

    batch_keys_max = 3
    lists_from = True

    def __init__(self, keys: Sequence[str], *, lists_from: bool = True) -> None:
        super().__init__("root")
        self.stored = sorted(f"root/{key}" for key in keys)
        self.lists_from = lists_from  # type: ignore[misc]
        self.listed: list[str] = []
        self.begun: list[str] = []
        self.batches: list[list[str]] = []
        self.refused: dict[str, StorageError] = {}
        self.takes_batches: StorageError | None = None

    def typed(self, error: Exception, path: str | None) -> StorageError:
        if isinstance(error, StorageError):
            return with_path(error, path)
        return StorageError(type(error).__name__, path=path)

    def head(self, key: str, path: str | None) -> Found | None:
        return Found(1, WHEN, "e") if key in self.stored else None

    def entries(
        self,
        prefix: str,
        path: str | None,
        *,
        start_after: str = "",
        delimiter: str = "",
        metadata: bool = False,
        keys_max: int | None = None,
    ) -> Iterator[tuple[str, Found | None]]:
        self.begun.append(start_after)
        rolled = ""
        for key in list(self.stored):
            if not key.startswith(prefix):
                continue
            if self.lists_from and key <= start_after:
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                directory = prefix + rest.partition(delimiter)[0] + delimiter
                if directory != rolled:
                    yield directory, None
                rolled = directory
                continue
            self.listed.append(key)
            yield key, Found(1, WHEN, f"of {key}")

    def delete(self, key: str, path: str | None) -> None:
        self.batches.append([key])
        if key in self.refused:
            raise self.refused[key]
        self.stored.remove(key)

    def delete_batch(
        self, keys: Sequence[str], path: str | None
    ) -> Iterator[StorageError]:
        if self.takes_batches is not None:
            raise self.takes_batches
        self.batches.append(list(keys))
        for key in keys:
            if key in self.refused:
                yield self.refused[key]
            else:
                self.stored.remove(key)

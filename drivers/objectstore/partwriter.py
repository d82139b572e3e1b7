"""What every store's writer does: gather parts, remember a failure, end once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..contract import Writer
from ..errors import StorageError
from .part_budget import PartBudget
from .part_buffer import PartBuffer
from .sender import Sender
from .store import Store, attempt


class PartWriter(Writer):
    """An upload whose bytes are gathered into parts.

    A store's own writer sends them, and knows how an upload is kept and made visible.

    Args:
        store: where to.
        path: the object to be.
        upload_id: the upload.
        generation: how often it has been claimed.
        budget: memory for parts, shared by all streams.
        stored_bytes: what is stored already.
    """

    def __init__(
        self,
        store: Store,
        path: str,
        upload_id: str,
        generation: int,
        budget: PartBudget,
        stored_bytes: int,
    ) -> None:
        self.upload_id = upload_id
        self.generation = generation
        self._store = store
        self._path = path
        self._budget = budget
        self._failure: StorageError | None = None
        self._ended = False
        self._sender: Sender[Any] | None = None
        self._size = self._sent_bytes = stored_bytes
        self._buffer = self._new_buffer()

    @property
    def size(self) -> int:
        return self._size

    def write(self, data: bytes | bytearray | memoryview) -> int:
        self._check()
        with self._remembered():
            self._add(data)
        return len(data)

    def close(self) -> None:
        if self._ended:
            return
        if self._failure is not None:
            # What was accepted is not all stored, so this is no upload to append to;
            # who knows its id and size can continue it.
            self._end()
            return
        try:
            with self._remembered():
                self._store_kept()
        finally:
            self._end()

    @abstractmethod
    def _part_bytes(self, offset: int) -> int:
        """How large the part at an offset is to be."""

    @abstractmethod
    def _send(self) -> None:
        """Send what is gathered as a part; see `_taken`."""

    @abstractmethod
    def _store_kept(self) -> None:
        """Store all that was accepted, as the path's kept upload."""

    def _add(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        while len(view):
            if not self._buffer.room:
                self._send()
            piece = view[: self._buffer.room]
            self._buffer.append(piece)
            self._size += len(piece)
            view = view[len(piece) :]

    def _taken(self) -> PartBuffer:
        """What is gathered, for the sender; a new part begins behind it."""
        full = self._buffer
        self._sent_bytes += len(full)
        self._buffer = self._new_buffer()
        return full

    def _new_buffer(self) -> PartBuffer:
        return PartBuffer(self._budget, self._part_bytes(self._sent_bytes))

    def _make_visible(
        self, publish: Callable[[], object], reopen: Callable[[], object]
    ) -> None:
        """Take the visible step; should it fail, more may be written or it be tried
        again.

        Args:
            publish: takes the step.
            reopen: says in the store that the upload is open again.
        """
        try:
            publish()
        except StorageError as error:
            if self._is_visible():
                return  # only the reply was lost
            attempt(reopen)
            raise error from None

    def _is_visible(self) -> bool:
        """Whether the object at the path is this upload's."""
        try:
            found = self._store.find(self._path)
        except StorageError:
            return False
        return (
            found is not None
            and found.upload_id == self.upload_id
            and found.size == self._size
        )

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def _remembered(self) -> Iterator[None]:
        """An error inside is the writer's failure: only its end can follow."""
        try:
            yield
        except StorageError as error:
            error.durable = self.durable
            self._failure = error
            raise

    def _end(self) -> None:
        """Give memory and threads back."""
        self._ended = True
        if self._sender is not None:
            self._sender.stop()
        self._buffer.close()

"""Sending the parts of one upload: several at once, counted in their order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Generic, TypeVar

from ..errors import DeadlineExceededError
from ..progress import step
from .clients import Clients
from .part_buffer import PartBuffer

PART_SECONDS_MAX = 900.0

Part = TypeVar("Part")


class Sender(Generic[Part]):
    """Sends parts, on threads of their own.

    Args:
        clients: whose threads send.
        store: stores a part under its number and says what is stored; does not close
            the buffer.
        at_once_max: parts under way at once.
        path: the object to be, for errors.
    """

    def __init__(
        self,
        clients: Clients,
        store: Callable[[int, PartBuffer], Part],
        at_once_max: int,
        path: str,
    ) -> None:
        self._clients = clients
        self._store = store
        self._at_once_max = at_once_max
        self._path = path
        self._sent: deque[tuple[Future[Part], PartBuffer]] = deque()
        self._stored: list[Part] = []
        self._lock = threading.Lock()

    @property
    def stored(self) -> list[Part]:
        """The parts that are stored, up to the first that is not yet."""
        self._collect()
        return self._stored

    def forget_stored(self) -> None:
        """Count the parts stored from now on; those so far are in a record."""
        self._stored = []

    def send(self, number: int, buffer: PartBuffer) -> None:
        """Send a part; waits while as many as allowed are under way.

        Args:
            number: one more than the last one's.
            buffer: the bytes; belongs to the sender from now on.

        Raises:
            StorageError: of an earlier part.
        """
        try:
            self._wait_for_a_place()
            future = self._clients.submit(self._work, number, buffer)
        except BaseException:
            buffer.close()
            raise
        with self._lock:
            self._sent.append((future, buffer))

    def drain(self) -> None:
        """Wait for all parts.

        Raises:
            StorageError: of the first part that failed.
        """
        while self._sent:
            future, _ = self._sent[0]
            try:
                future.result(PART_SECONDS_MAX)
            except FutureTimeoutError:
                raise self._too_long() from None
            step()
            self._collect()

    def stop(self) -> None:
        """Give up the parts that are not under way, and wait for the others."""
        for future, buffer in self._sent:
            if future.cancel():
                buffer.close()
        for future, _ in self._sent:
            if not future.cancelled():
                try:
                    future.exception(PART_SECONDS_MAX)
                except FutureTimeoutError:
                    continue
        self._sent.clear()

    def _work(self, number: int, buffer: PartBuffer) -> Part:
        try:
            return self._store(number, buffer)
        finally:
            buffer.close()

    def _collect(self) -> None:
        """Take note of the parts that are stored, as far as there is no gap."""
        with self._lock:
            while self._sent:
                future, _ = self._sent[0]
                if not future.done() or future.cancelled() or future.exception():
                    return
                self._stored.append(future.result())
                self._sent.popleft()

    def _wait_for_a_place(self) -> None:
        """Wait until fewer parts than allowed are under way.

        Raises:
            StorageError: of the first part that failed.
        """
        while True:
            self._collect()
            running = {future for future, _ in self._sent if not future.done()}
            for future, _ in self._sent:
                if future.done():
                    future.result()
            if len(running) < self._at_once_max:
                return
            done, _ = wait(running, PART_SECONDS_MAX, return_when=FIRST_COMPLETED)
            if not done:
                raise self._too_long()

    def _too_long(self) -> DeadlineExceededError:
        return DeadlineExceededError(
            f"a part took longer than {PART_SECONDS_MAX:g} s", path=self._path
        )

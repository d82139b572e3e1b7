"""One stream, one end: what is sent in each stream, as it is sent."""

from __future__ import annotations

from collections.abc import Hashable

from storagebus.broker.wire import TERMINAL, Message

from .violation import require


class OneEnd:
    """The streams of one sender that it has ended."""

    def __init__(self) -> None:
        self._ended: set[tuple[Hashable, int, int]] = set()

    def sent(self, session: Hashable, message: Message) -> None:
        """A message goes out."""
        if not message.stream:
            return
        key = (session, message.epoch, message.stream)
        require(
            key not in self._ended,
            f"{message.type.name} after the end of stream {message.stream}",
        )
        if message.type in TERMINAL:
            self._ended.add(key)

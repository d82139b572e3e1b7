"""The last steps of a run, kept cheaply, and written out only when it has failed."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from storagebus.broker.messages import Operation
from storagebus.broker.wire import Message, Type

if TYPE_CHECKING:
    from .network import Wire

LINES_MAX = 120


class Transcript:
    """What has happened lately.

    Args:
        now: tells the time in the world.

    Attributes:
        whole: all lines, where they are wanted; None keeps the last ones only.
        digest: of everything so far, where it is wanted; None for nowhere.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._last: deque[tuple[object, ...]] = deque(maxlen=LINES_MAX)
        self.digest: int | None = None

    def keep_all(self) -> None:
        """Keep every line."""
        self._last = deque(self._last)

    def note(self, who: str, what: str) -> None:
        """Something happened to a process."""
        self._add((self._now(), who, what))

    def sent(
        self, wire: Wire, direction: int, message: Message, again: bool = False
    ) -> None:
        """A message was taken by the network."""
        mark = "=>" if again else "->"
        self._add((self._now(), wire, direction, mark, message))

    def came(self, wire: Wire, direction: int, message: Message) -> None:
        """A message has arrived."""
        self._add((self._now(), wire, direction, ">|", message))

    def lines(self) -> list[str]:
        """The last steps, readable."""
        return [_line(item) for item in self._last]

    def _add(self, item: tuple[object, ...]) -> None:
        self._last.append(item)
        if self.digest is not None:
            self.digest = zlib.crc32(_line(item).encode(), self.digest)


def _line(item: tuple[object, ...]) -> str:
    moment = f"{item[0]:10.4f}"
    if len(item) == 3:
        return f"{moment}  {item[1]:4} {item[2]}"
    _, wire, direction, mark, message = item
    ends = [wire.peer.name, wire.broker.name]  # type: ignore[attr-defined]
    if direction:
        ends.reverse()
    return f"{moment}  {ends[0]:4} {mark} {ends[1]:4} {_words(message)}"  # type: ignore[arg-type]


def _words(message: Message) -> str:
    words = [message.type.name]
    if message.stream:
        words.append(str(message.stream))
    if message.type is Type.OPEN:
        words.append(Operation(message.code).name.lower())
        words += [f"{k}={v}" for k, v in message.map().items() if k != "service"]
        words.append(f"budget={message.budget_ms}")
    elif message.type is Type.ERROR:
        said = message.map()
        words.append(f"{said.get('detail')!r} executed={said.get('executed')}")
    elif message.type in (Type.RESULT, Type.ACCEPT, Type.CREDIT, Type.GOAWAY):
        keys = ("identity", "size", "durable", "upload_id", "detail", "state")
        said = message.map() if message.fields else {}
        words += [f"{key}={said[key]}" for key in keys if key in said]
    if message.payload:
        words.append(f"[{message.offset}+{len(message.payload)}]")
    elif message.offset:
        words.append(f"@{message.offset}")
    if message.limit:
        words.append(f"limit={message.limit}")
    if message.flags:
        words.append("WANT")
    words.append(f"e{message.epoch}")
    return " ".join(words)

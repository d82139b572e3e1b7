"""Lanes as a client takes them: what to ask for, and how to fetch it.

PROTOCOL.md section 9.1 is the specification. Whatever goes wrong here means no more
than that the bytes go through the broker, as they always can.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import stat
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, TypeVar

from ..broker.bell import Bell
from ..broker.lanes import (
    WORD,
    Descriptor,
    abstract_name,
    host_mark,
    is_own_user,
)
from ..broker.memorylane import MemoryLane
from ..broker.messages import (
    LANE_CALLS,
    LANE_FILE,
    LANE_KINDS,
    LANE_MEMORY,
    Accepted,
    Result,
)
from ..broker.segment import Segment, map_segment
from ..drivers.errors import InvalidParameterError, ProtocolError
from .calllanes import CALLS_FIRST
from .filelane import FileLane

VARIABLE = "STORAGEBUS_LANE"
"""What kinds of lanes a process takes: auto, off, or one kind."""
MODES = {
    "auto": LANE_KINDS,
    "off": (),
    LANE_FILE: (LANE_FILE,),
    LANE_MEMORY: (LANE_MEMORY,),
    LANE_CALLS: (),
}
AFTER_BYTES = 2_097_152
"""Bytes of a stream that go through the broker before a segment is fetched: its pages
have to be made, which costs as much as some mebibytes that go the other way."""

FETCH_S_MAX = 1.0
"""How long a client waits at a side socket: a worker that is well answers in
milliseconds, and there is another way."""
FETCH_PART = 0.25
"""The same as a part of the time that an operation has left."""
NO_FILE_S = 60.0
"""How long no file is asked for after one could not be had."""

_T = TypeVar("_T")
_KIND = socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC

log = logging.getLogger("storagebus.client")


class Lanes:
    """What a client takes.

    Args:
        kinds: of streams: "file", "memory", both or none.
        after_bytes: bytes that go another way before memory is fetched.
        calls: whether small calls may go straight to a worker.
        calls_first: calls that go through the broker before a lane is asked for.

    Attributes:
        kinds, after_bytes, calls_first: see above.
        host: the mark of this host; "" when no lane is taken.
        calls: see above; never where lanes are not possible.
    """

    def __init__(
        self,
        kinds: tuple[str, ...],
        after_bytes: int = AFTER_BYTES,
        *,
        calls: bool = False,
        calls_first: int = CALLS_FIRST,
    ) -> None:
        self.kinds = kinds
        self.after_bytes = after_bytes
        self.host = host_mark() if kinds or calls else ""
        self.calls = calls and self.host != ""
        self.calls_first = calls_first
        self._no_file_until = -inf

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Lanes:
        """As the operator wants it. A kind that is asked for by name is taken by
        every stream, however short.

        Raises:
            InvalidParameterError: the variable has another value than those of `MODES`.
        """
        mode = environ.get(VARIABLE, "") or "auto"
        if mode not in MODES:
            known = ", ".join(MODES)
            raise InvalidParameterError(f"{VARIABLE} is {mode!r}; it may be: {known}")
        kinds = MODES[mode]
        if mode == "auto":
            return cls(kinds, calls=True)
        return cls(kinds, 0, calls=mode == LANE_CALLS, calls_first=0)

    def no_file(self, now: float) -> None:
        """A file that was offered could not be had: ask for none for a while."""
        self._no_file_until = now + NO_FILE_S

    def kinds_at(self, now: float) -> tuple[str, ...]:
        """The kinds that streams take at this time."""
        if now >= self._no_file_until:
            return self.kinds
        return tuple(kind for kind in self.kinds if kind != LANE_FILE)

    def asking(self, now: float, window: int = 0) -> dict[str, Any]:
        """What an OPEN says of it.

        Args:
            now: the time, in seconds.
            window: bytes of a read that may arrive ahead.
        """
        kinds = self.kinds_at(now)
        if not self.host or not kinds:
            return {}
        return {"lane": self.host, "lane_kinds": kinds, "lane_window": window}


def file_lane(file: Descriptor, offer: Accepted | Result, path: str) -> FileLane:
    """The file that a worker has handed over, examined.

    Args:
        file: its descriptor.
        offer: what the worker said of it.
        path: the object, for errors.

    Raises:
        ProtocolError: it is not as the worker said.
    """
    end = offer.lane_start + offer.lane_bytes
    status = os.fstat(file.fileno())
    mode = fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_ACCMODE
    if not stat.S_ISREG(status.st_mode) or mode != os.O_RDONLY:
        raise ProtocolError("a lane's file is no file for reading only")
    if status.st_size < end:
        raise ProtocolError(f"a lane's file has {status.st_size} of {end} bytes")
    return FileLane(file, offer.lane_start, end, path)


def fetch_file(offer: Accepted, path: str, left_s: float = inf) -> FileLane | None:
    """Take up the offer of a file; None when that does not work. May wait a while.

    Args:
        offer: what the worker said.
        path: the object, for errors.
        left_s: seconds that the operation has left.
    """

    def examine(file: Descriptor) -> FileLane:
        return file_lane(file, offer, path)

    found = _fetch(offer, examine, left_s)
    if found is None:
        return None
    file, side = found
    side.close()
    return file


def fetch_memory(
    offer: Accepted, *, writable: bool, left_s: float = inf
) -> MemoryLane | None:
    """Take up the offer of a segment; None when that does not work. May wait a while.

    Args:
        offer: what the worker said.
        writable: whether this side fills it.
        left_s: seconds that the operation has left.
    """

    def examine(memory: Descriptor) -> Segment:
        with_descriptor = memory.fileno()
        segment = map_segment(with_descriptor, offer.lane_bytes, writable=writable)
        memory.close()
        return segment

    found = _fetch(offer, examine, left_s)
    if found is None:
        return None
    segment, side = found
    return MemoryLane(segment, Bell(side))


def _fetch(
    offer: Accepted, examine: Callable[[Descriptor], _T], left_s: float
) -> tuple[_T, socket.socket] | None:
    """What is offered, and the connection by which it came."""
    side: socket.socket | None = None
    try:
        side = socket.socket(socket.AF_UNIX, _KIND)
        side.settimeout(min(FETCH_S_MAX, left_s * FETCH_PART))
        return _take(side, offer, examine), side
    except BaseException as error:
        if side is not None:
            side.close()
        if not isinstance(error, (OSError, ProtocolError)):
            raise
        log.debug("no lane of kind %s: %s", offer.lane, error)
        return None


def _take(
    side: socket.socket, offer: Accepted, examine: Callable[[Descriptor], _T]
) -> _T:
    name = abstract_name(offer.lane_address)
    if name is None:
        raise ProtocolError(f"{offer.lane_address!r} is no address of a lane")
    side.connect(name)
    if not is_own_user(side):
        raise ProtocolError("another user is at the lane's address")
    side.send(offer.lane_token, socket.MSG_NOSIGNAL)
    word, fds, flags, _ = socket.recv_fds(
        side, len(WORD) + 1, 1, socket.MSG_CMSG_CLOEXEC
    )
    files = [Descriptor(fd) for fd in fds]
    if word != WORD or len(files) != 1 or flags & socket.MSG_CTRUNC:
        raise ProtocolError("no descriptor for the lane's token")
    lane = examine(files[0])
    side.send(WORD, socket.MSG_NOSIGNAL)
    return lane

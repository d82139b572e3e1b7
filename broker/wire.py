"""Messages to frames and back: the header, its limits, and nothing else.

Pure and role-neutral; PROTOCOL.md section 3 is the specification. What the maps mean
is the business of `messages`: here they stay packed, so that a broker can forward a
message without unpacking what it does not need.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from enum import IntEnum, IntFlag
from functools import partial
from typing import Any, NamedTuple

import msgpack

from ..drivers.errors import ProtocolError

MAGIC = b"SB"
VERSION = 1
HEADER = struct.Struct(">2sBBHHIIIIQQQQ")
HEADER_BYTES = HEADER.size
_STARTED = struct.Struct(">4sHHIIIIQQQQ")
"""The same with its first three fields as one: see `_STARTS`."""
MAP_BYTES_MAX = 16_384
HEAD_BYTES_MAX = HEADER_BYTES + 2 * MAP_BYTES_MAX + 456
CHUNK_BYTES_MAX = 1_048_576
LANE_BYTES_MAX = 16_777_216
"""Bytes of a lane's segment, and so of a DATA whose bytes lie there."""
MESSAGE_BYTES_MAX = CHUNK_BYTES_MAX
"""For ZMQ_MAXMSGSIZE, which bounds a frame: a payload is the largest there is."""
FRAMES_MAX = 2
"""Frames of a message, routing ids apart: its head and its payload."""
NUMBER_MAX = (1 << 53) - 1
"""Offsets, limits, ids and integers in maps: what a JavaScript number holds."""
BUDGET_MS_DEFAULT = 30_000
BUDGET_MS_MAX = (1 << 32) - 1
MAP_DEPTH_MAX = 4
MAP_ITEMS_MAX = 1_024
"""Items of one map or array within a map: msgpack makes room for as many as a few
bytes declare, and each level of nesting may declare them anew."""
PAGE_ITEMS_MAX = 16_384
"""Items of one array elsewhere: a page of a listing has not even as many bytes."""


class Type(IntEnum):
    """Message types (PROTOCOL.md section 4)."""

    HELLO = 1
    WELCOME = 2
    GOAWAY = 3
    PING = 4
    PONG = 5
    UPDATE = 6
    DRAIN = 7
    DRAINED = 8
    OPEN = 16
    ACCEPT = 17
    DATA = 18
    CREDIT = 19
    COMMIT = 20
    DETACH = 21
    CANCEL = 22
    PROGRESS = 23
    RESULT = 24
    ERROR = 25


class Flag(IntFlag):
    """Header flags."""

    NONE = 0
    WANT = 2
    LANE = 4


TERMINAL = frozenset({Type.RESULT, Type.ERROR})
WANT = int(Flag.WANT)
"""The flag as a plain number, for who looks at it in every DATA."""
_FLAGS = WANT
_LANE = int(Flag.LANE)
_WITH_PAYLOAD = frozenset({Type.OPEN, Type.DATA, Type.RESULT})
_STARTS: dict[bytes, tuple[Type, bool, bool]] = {
    MAGIC + bytes((VERSION, kind)): (kind, kind < Type.OPEN, kind in _WITH_PAYLOAD)
    for kind in Type
}
"""By the first bytes of a head, which are magic, version and type: the type, whether it
is the session's own, whether it takes a payload."""

Payload = bytes | memoryview


class Message(NamedTuple):
    """One message, its maps still packed.

    A named tuple and no dataclass: one is made for every message on every hop, and
    a frozen dataclass costs four times as much to make.

    Attributes:
        type: message type.
        stream: stream id; 0 in session messages.
        code: operation, error code or reason.
        flags: WANT.
        offset: see PROTOCOL.md section 3.
        limit: absolute offset below which the other side may send.
        budget_ms: time left for the call in milliseconds; 0 is the default.
        epoch: the session.
        fields: the peer's packed map, or b"".
        vouched: the broker's packed map (OPEN to a worker), or b"".
        payload: raw bytes; b"" without.
        lane: bytes of a DATA that lie in the stream's lane instead of a payload.
    """

    type: Type
    stream: int = 0
    code: int = 0
    flags: int = 0
    offset: int = 0
    limit: int = 0
    budget_ms: int = 0
    epoch: int = 0
    fields: bytes = b""
    vouched: bytes = b""
    payload: Payload = b""
    lane: int = 0

    @property
    def size(self) -> int:
        """Bytes of the stream that it moves on, here or in the lane."""
        return self.lane or len(self.payload)

    def map(self) -> dict[str, Any]:
        """The peer's map, unpacked.

        Raises:
            ProtocolError: it is no map as PROTOCOL.md section 3 has it.
        """
        return unpack_map(self.fields)

    def readdressed(self, stream: int, epoch: int) -> Message:
        """The same message in another stream and session.

        Every message that passes a broker comes here, and `_replace` takes three times
        as long.
        """
        kind, _, code, flags, offset, limit, budget_ms, _, *rest = self
        return _message(
            (kind, stream, code, flags, offset, limit, budget_ms, epoch, *rest)
        )

    def in_session(self, epoch: int) -> Message:
        """The same message in another session."""
        return self.readdressed(self.stream, epoch)

    def forwarded(self, limit: int, budget_ms: int, vouched: bytes) -> Message:
        """An OPEN as a worker gets it, but for its address."""
        kind, stream, code, flags, offset, _, _, epoch, fields, _, payload, _ = self
        head = (kind, stream, code, flags, offset, limit, budget_ms, epoch)
        return _message((*head, fields, vouched, payload, 0))


_message: Callable[[tuple[Any, ...]], Message] = partial(tuple.__new__, Message)
"""A message from all of its attributes: what a named tuple's own constructor does, at a
third of its time."""


def encode(message: Message) -> list[Payload]:
    """The frames of a message: its head, and its payload if it has one."""
    (
        kind,
        stream,
        code,
        flags,
        offset,
        limit,
        budget_ms,
        epoch,
        fields,
        vouched,
        payload,
        lane,
    ) = message
    length = len(payload)
    head = HEADER.pack(
        MAGIC,
        VERSION,
        kind,
        flags | _LANE if lane else flags,
        code,
        len(fields),
        length or lane,
        budget_ms,
        0,
        stream,
        offset,
        limit,
        epoch,
    )
    if fields or vouched:
        head = b"".join((head, fields, vouched))
    return [head, payload] if length else [head]


def decode(frames: Sequence[Payload], *, from_broker: bool) -> Message:
    """The message in some frames.

    Args:
        frames: the head and, if there is one, the payload, without a routing id.
        from_broker: whether the sender is a broker, who alone may add a map.

    Raises:
        ProtocolError: says which rule is broken; never anything else, whatever the
            frames hold.
    """
    count = len(frames)
    if not 1 <= count <= FRAMES_MAX:
        raise ProtocolError(f"a message has 1 or {FRAMES_MAX} frames, not {count}")
    head = bytes(frames[0])
    size = len(head)
    if not HEADER_BYTES <= size <= HEAD_BYTES_MAX:
        raise ProtocolError(
            f"a head has {HEADER_BYTES} to {HEAD_BYTES_MAX} bytes, not {size}"
        )
    (
        start,
        flags,
        code,
        map_length,
        length,
        budget_ms,
        _spare,
        stream,
        offset,
        limit,
        epoch,
    ) = _STARTED.unpack_from(head)
    known = _STARTS.get(start)
    if known is None:
        raise _stranger(start)
    kind, of_session, takes_payload = known
    if of_session is not (stream == 0):
        raise ProtocolError(f"{kind.name} with stream id {stream}")
    if stream | offset | limit | epoch > NUMBER_MAX:
        raise ProtocolError(f"{kind.name}: a number of 2^53 or more")
    map_end = HEADER_BYTES + map_length
    if map_length > MAP_BYTES_MAX or map_end > size:
        raise ProtocolError(f"{kind.name}: map_length {map_length} does not fit")
    vouched = b""
    if map_end < size:
        vouched = head[map_end:]
        if not from_broker or kind is not Type.OPEN:
            raise ProtocolError(f"{kind.name}: bytes behind the map")
    payload: Payload = b""
    lane = 0
    if flags & _LANE and kind is Type.DATA:
        lane = length
        _check_lane(lane, offset, count)
    elif length or count > 1:
        payload = frames[1] if count > 1 else b""
        _check_payload(kind, takes_payload, length, payload, offset)
    return _message(
        (
            kind,
            stream,
            code,
            flags & _FLAGS,
            offset,
            limit,
            budget_ms,
            epoch,
            head[HEADER_BYTES:map_end],
            vouched,
            payload,
            lane,
        )
    )


def _stranger(start: bytes) -> ProtocolError:
    """What is wrong with the first bytes of a head."""
    magic, version, kind = start[:2], start[2], start[3]
    if magic != MAGIC:
        return ProtocolError("the head does not start with SB")
    if version != VERSION:
        return ProtocolError(f"header version {version}; this side speaks {VERSION}")
    return ProtocolError(f"unknown message type {kind}")


def _check_lane(count: int, offset: int, frames: int) -> None:
    if not 0 < count <= LANE_BYTES_MAX:
        raise ProtocolError(f"DATA with {count} bytes in a lane")
    if frames != 1:
        raise ProtocolError("DATA with bytes in a lane and a payload")
    if offset + count > NUMBER_MAX:
        raise ProtocolError("DATA: its end is 2^53 or more")


def _check_payload(
    kind: Type, takes_payload: bool, length: int, payload: Payload, offset: int
) -> None:
    if len(payload) != length or not length:
        raise ProtocolError(
            f"{kind.name}: payload_length {length}, but {len(payload)} bytes"
        )
    if length > CHUNK_BYTES_MAX:
        raise ProtocolError(f"{kind.name}: payload above {CHUNK_BYTES_MAX} bytes")
    if not takes_payload:
        raise ProtocolError(f"{kind.name} takes no payload")
    if offset + length > NUMBER_MAX:
        raise ProtocolError(f"{kind.name}: its end is 2^53 or more")


def pack_map(fields: dict[str, Any]) -> bytes:
    """Pack a map.

    Raises:
        ProtocolError: it is above the limit, or holds what a map may not.
    """
    pack = _pack_flat if _check_map(fields, MAP_DEPTH_MAX) else msgpack.packb
    try:
        packed: bytes = pack(fields)
    except (TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"this map cannot be packed: {error}") from error
    if len(packed) > MAP_BYTES_MAX:
        raise ProtocolError(f"a map of {len(packed)} bytes; limit {MAP_BYTES_MAX}")
    return packed


def pack_own(fields: dict[str, str | int]) -> bytes:
    """As `pack_map`, for a few values of the bus's own that need no check."""
    return _pack_flat(fields)


def unpack_map(packed: bytes) -> dict[str, Any]:
    """Unpack a map; b"" is the empty one.

    Raises:
        ProtocolError: it is not one map of the allowed types.
    """
    if not packed:
        return {}
    value = unpack_unchecked(packed)
    _check_map(value, MAP_DEPTH_MAX)
    return value


def unpack_unchecked(packed: bytes) -> dict[Any, Any]:
    """As `unpack_map`, for who checks each item that it takes, and all that it does
    not take with `check_item`: the two together are one look at each."""
    if not packed:
        return {}
    value = unpack(packed, MAP_ITEMS_MAX)
    if not isinstance(value, dict):
        raise ProtocolError(f"a map was due, not {type(value).__name__}")
    return value


def check_item(key: Any, value: Any) -> None:
    """Check one item of a map.

    Raises:
        ProtocolError: no map may have it.
    """
    _check_map({key: value}, MAP_DEPTH_MAX)


def unpack(packed: Payload, items_max: int = PAGE_ITEMS_MAX) -> Any:
    """Unpack one msgpack value of at most a chunk's size.

    Args:
        packed: the value.
        items_max: items that one array or map in it may have.

    Raises:
        ProtocolError: it is malformed.
    """
    try:
        return msgpack.unpackb(
            packed,
            raw=False,
            strict_map_key=True,
            max_array_len=items_max,
            max_map_len=items_max,
            ext_hook=_no_extensions,
            timestamp=0,
        )
    except ProtocolError:
        raise
    except Exception as error:
        # Beside the ValueError that it documents, msgpack raises UnicodeDecodeError,
        # StackError and TypeError for malformed input; all mean the same to us.
        raise ProtocolError(f"malformed msgpack: {type(error).__name__}") from error


def _no_extensions(code: int, data: bytes) -> Any:
    raise ProtocolError(f"msgpack extension type {code} is not allowed")


_SCALARS = frozenset({str, bytes, bool, float, type(None)})
_pack_flat: Callable[[Any], bytes] = msgpack.Packer(autoreset=True).pack
"""One packer for all threads, since a new one takes as long as the packing. It gets
maps of scalars only, for which it runs no Python code that a thread could come between.
"""


def _check_map(value: dict[Any, Any], depth: int) -> bool:
    """Check a map; says whether it is flat, with nothing but scalars in it."""
    if depth == 0:
        raise ProtocolError(f"a map nested more than {MAP_DEPTH_MAX} deep")
    flat = True
    for key, item in value.items():
        if type(key) is not str:
            raise ProtocolError("a map key that is no string")
        kind = type(item)
        if kind in _SCALARS or (kind is int and -NUMBER_MAX <= item <= NUMBER_MAX):
            continue  # nearly all are such
        flat = False
        _check_value(item, depth - 1)
    return flat


def _check_value(value: Any, depth: int) -> None:
    if isinstance(value, dict):
        _check_map(value, depth)
    elif isinstance(value, (list, tuple)):
        if depth == 0:
            raise ProtocolError(f"an array nested more than {MAP_DEPTH_MAX} deep")
        for item in value:
            if type(item) not in _SCALARS:
                _check_value(item, depth - 1)
    elif isinstance(value, int) and abs(value) > NUMBER_MAX:
        raise ProtocolError("an integer of 2^53 or more")
    elif not isinstance(value, (str, bytes, int, float, type(None))):
        raise ProtocolError(f"a value of type {type(value).__name__}")

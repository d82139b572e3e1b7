"""What the maps in messages say: one frozen dataclass for each, and its checks.

Pure and role-neutral; PROTOCOL.md sections 5 and 6 are the specification. A dataclass
is also the table of its map: field names are the keys, `item` gives type and bound,
and a field with a default is optional and is left out of the map while it has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from enum import IntEnum
from typing import Any, TypeVar

from ..drivers.contract import FileInfo
from ..drivers.errors import (
    BusyError,
    CancelledError,
    DeadlineExceededError,
    Executed,
    ProtocolError,
    StorageError,
    UnavailableError,
    error_from_fields,
)
from . import moments
from .wire import (
    NUMBER_MAX,
    Message,
    Type,
    check_item,
    pack_map,
    pack_own,
    unpack_unchecked,
)

PROTOCOL_MIN = 1
PROTOCOL_MAX = 1
INLINE_BYTES_MAX = 65_536
"""Largest content of a `put`; longer ones are uploads."""
PAGE_BYTES_MAX = 16_384
"""Largest page of a list or walk, unless a single entry is longer."""
BUS_SERVICE = "$bus"
TEXT_CHARACTERS_MAX = 8_192
NAME_CHARACTERS_MAX = 128
BOOT_BYTES = 16
TOKEN_BYTES = 16
"""Of the word that a lane's descriptor is given for."""
LANE_FEATURE = "lane"
"""Its name in HELLO and WELCOME."""
LANE_FILE = "file"
LANE_MEMORY = "memory"
LANE_KINDS = (LANE_FILE, LANE_MEMORY)
LANE_CALLS = "calls"
"""A lane of no stream: small calls go by it."""
ITEMS_MAX = 64

_T = TypeVar("_T")


class Operation(IntEnum):
    """Operations of an OPEN (PROTOCOL.md section 6)."""

    DESCRIBE = 1
    STAT = 2
    LIST = 3
    WALK = 4
    READ = 5
    PUT = 6
    WRITE = 7
    MOVE = 8
    DELETE = 9
    REDIRECT_URL = 10
    UPLOAD_STATUS = 11
    STATUS = 64
    DRAIN = 65
    OBITUARY = 66


UNFENCED = frozenset({Operation.PUT, Operation.MOVE, Operation.DELETE})
"""Operations that change something at once, and have no claim to fence them off."""
UNTOLD = 1
"""Code of a DETACH whose client has not got ACCEPT, and so does not know the upload."""
DOWNLOADS = frozenset({Operation.LIST, Operation.WALK, Operation.READ})
UPLOADS = frozenset({Operation.WRITE})
STREAMS = DOWNLOADS | UPLOADS
"""Operations that hold one of a worker's `streams`; the others hold a `slot`."""


DIRECT = frozenset(
    {
        Operation.STAT,
        Operation.LIST,
        Operation.READ,
        Operation.PUT,
        Operation.REDIRECT_URL,
        Operation.UPLOAD_STATUS,
    }
)
"""Operations that may go by a call lane: those that are quick where anything is, and
may be done twice. A move or delete may take long, and must not run again."""


OWN_FAULTS = frozenset({StorageError.code, UnavailableError.code})
"""Errors that speak against a worker, and not against what it was asked."""
NOT_BEGUN = frozenset(
    error.code
    for error in (BusyError, CancelledError, DeadlineExceededError, UnavailableError)
)
"""Errors with which a worker may answer what its driver was never given."""


class Reason(IntEnum):
    """Why a GOAWAY was sent (PROTOCOL.md section 5.1)."""

    UNKNOWN_PEER = 1
    VERSION = 2
    REFUSED = 3
    PROTOCOL = 4
    SHUTDOWN = 5


Check = Callable[[Any], bool]


def _text(most: int) -> Check:
    return lambda value: isinstance(value, str) and len(value) <= most


def _number(low: int, high: int) -> Check:
    return lambda value: type(value) is int and low <= value <= high


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _binary(length: int) -> Check:
    return lambda value: isinstance(value, bytes) and len(value) == length


def _bytes(value: Any) -> bool:
    return isinstance(value, bytes)


def _map(value: Any) -> bool:
    check_item("", value)
    return isinstance(value, dict)


def _texts(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) <= ITEMS_MAX
        and all(isinstance(item, str) for item in value)
    )


def _range(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(type(item) is int and 0 < item < 256 for item in value)
        and value[0] <= value[1]
    )


_TEXT = _text(TEXT_CHARACTERS_MAX)
_NAME = _text(NAME_CHARACTERS_MAX)
_COUNT = _number(0, NUMBER_MAX)


def item(check: Check, default: Any = MISSING) -> Any:
    """A field of a map: its check, and its default if it is optional."""
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True)
class Hello:
    """A peer's greeting."""

    role: str = item(lambda value: value in ("client", "worker"))
    protocol: tuple[int, int] = item(_range)
    boot: bytes = item(_binary(BOOT_BYTES))
    name: str = item(_NAME, "")
    pid: int = item(_COUNT, 0)
    features: tuple[str, ...] = item(_texts, ())
    service: str = item(_NAME, "")
    driver: str = item(_NAME, "")
    api_version: str = item(_text(16), "")
    capabilities: dict[str, Any] | None = item(_map, None)
    instance: str = item(_NAME, "")
    slots: int = item(_number(0, 100_000), 0)
    streams: int = item(_number(0, 100_000), 0)
    cookie: str = item(_NAME, "")


@dataclass(frozen=True)
class Welcome:
    """The broker's answer; the epoch is in the header."""

    broker: str = item(_NAME)
    protocol: int = item(_number(1, 255))
    chunk_max: int = item(_number(1, 1 << 30))
    heartbeat_ms: int = item(_number(1, 3_600_000))
    streams_max: int = item(_number(1, 1_000_000))
    features: tuple[str, ...] = item(_texts, ())
    brokers: tuple[str, ...] = item(_texts, ())


@dataclass(frozen=True)
class Farewell:
    """Map of a GOAWAY; the reason is in the header."""

    detail: str = item(_TEXT, "")


@dataclass(frozen=True)
class Load:
    """Map of a worker's PONG."""

    calls: int = item(_COUNT, 0)
    streams: int = item(_COUNT, 0)
    oldest_ms: int = item(_COUNT, 0)
    lag_ms: int = item(_COUNT, 0)
    direct: int = item(_COUNT, 0)


@dataclass(frozen=True)
class Update:
    """A worker's new absolute numbers."""

    slots: int = item(_number(0, 100_000))
    streams: int = item(_number(0, 100_000))


@dataclass(frozen=True)
class Open:
    """Arguments of an operation; the operation is the header's code."""

    service: str = item(_NAME)
    path: str = item(_TEXT, "")
    destination: str = item(_TEXT, "")
    start: int = item(_COUNT, 0)
    length: int | None = item(_COUNT, None)
    if_match: str | None = item(_TEXT, None)
    start_after: str | None = item(_TEXT, None)
    append: bool = item(_flag, False)
    upload_id: str | None = item(_TEXT, None)
    method: str = item(_text(16), "GET")
    expires: int = item(_COUNT, 1200)
    worker: str = item(_NAME, "")
    cookie: str = item(_NAME, "")
    crashed: bool = item(_flag, False)
    lane: str = item(_NAME, "")
    lane_kinds: tuple[str, ...] = item(_texts, LANE_KINDS)
    lane_window: int = item(_COUNT, 0)


@dataclass(frozen=True)
class Vouched:
    """What the broker says of an OPEN; no client can write this map."""

    client: str = item(_NAME, "")
    user: str = item(_NAME, "")
    attempt: int = item(_COUNT, 1)
    queued_us: int = item(_COUNT, 0)


@dataclass(frozen=True)
class Accepted:
    """Map of an ACCEPT: of a download its identity, of an upload all of it."""

    identity: str | None = item(_TEXT, None)
    size: int = item(_COUNT, 0)
    durable: int = item(_COUNT, 0)
    upload_id: str = item(_TEXT, "")
    generation: int = item(_COUNT, 1)
    lane: str = item(_NAME, "")
    lane_address: str = item(_NAME, "")
    lane_token: bytes = item(_binary(TOKEN_BYTES), b"")
    lane_bytes: int = item(_COUNT, 0)
    lane_start: int = item(_COUNT, 0)


@dataclass(frozen=True)
class Progress:
    """Map of a CREDIT for an upload, and of PROGRESS."""

    durable: int | None = item(_COUNT, None)
    done: int | None = item(_COUNT, None)


@dataclass(frozen=True)
class Result:
    """Map of a RESULT, whatever the operation."""

    identity: str | None = item(_TEXT, None)
    size: int = item(_COUNT, 0)
    durable: int = item(_COUNT, 0)
    path: str = item(_TEXT, "")
    mtime_us: int | None = item(_number(-NUMBER_MAX, NUMBER_MAX), None)
    is_dir: bool = item(_flag, False)
    url: str | None = item(_TEXT, None)
    state: str = item(_text(16), "")
    driver: str = item(_NAME, "")
    api_version: str = item(_text(16), "")
    capabilities: dict[str, Any] | None = item(_map, None)
    status: bytes = item(_bytes, b"")
    lane: str = item(_NAME, "")
    lane_address: str = item(_NAME, "")
    lane_token: bytes = item(_binary(TOKEN_BYTES), b"")
    lane_bytes: int = item(_COUNT, 0)
    lane_start: int = item(_COUNT, 0)
    queued_us: int = item(_COUNT, 0)
    driver_us: int = item(_COUNT, 0)

    def info(self) -> FileInfo:
        """The answer to a stat."""
        time = None if self.mtime_us is None else moments.from_us(self.mtime_us)
        return FileInfo(self.path, self.size, time, self.is_dir, self.identity)

    @classmethod
    def of_info(cls, info: FileInfo, queued_us: int, driver_us: int) -> Result:
        """The answer to a stat, from what the driver said."""
        return cls(
            identity=info.identity,
            size=info.size,
            path=info.path,
            mtime_us=None if info.mod_time is None else moments.to_us(info.mod_time),
            is_dir=info.is_dir,
            queued_us=queued_us,
            driver_us=driver_us,
        )


_CHECKS: dict[type, dict[str, tuple[Check, Any]]] = {
    cls: {f.name: (f.metadata["check"], f.default) for f in fields(cls)}
    for cls in (
        Hello,
        Welcome,
        Farewell,
        Load,
        Update,
        Open,
        Vouched,
        Accepted,
        Progress,
        Result,
    )
}
_REQUIRED: dict[type, tuple[str, ...]] = {
    cls: tuple(name for name, (_, default) in table.items() if default is MISSING)
    for cls, table in _CHECKS.items()
}


def pack(content: Any) -> bytes:
    """The map of one of the dataclasses above; defaults are left out.

    Raises:
        ProtocolError: it is above the limit of a map.
    """
    checks = _CHECKS[type(content)]
    given = {
        name: value
        for name, value in vars(content).items()
        if value is not (default := checks[name][1]) and value != default
    }
    return pack_map(given) if given else b""


def make(cls: type[_T], **given: Any) -> _T:
    """As `cls(**given)`, for what is made for every call.

    What is not given is the class's own default, so that the given values are all
    there is to an object, and to pack: a tenth of the constructor's time.
    """
    made = object.__new__(cls)
    vars(made).update(given)
    return made


def pack_vouched(client: str, user: str, attempt: int, queued_us: int) -> bytes:
    """As `pack(Vouched(...))`, for every OPEN that passes a broker: a third of it."""
    given: dict[str, Any] = {"client": client}
    if user:
        given["user"] = user
    if attempt != 1:
        given["attempt"] = attempt
    if queued_us:
        given["queued_us"] = queued_us
    return pack_own(given)


def parse(cls: type[_T], packed: bytes) -> _T:
    """Read a map as one of the dataclasses above; unknown keys are ignored.

    Raises:
        ProtocolError: a key is missing or its value is not allowed; says which.
    """
    made = object.__new__(cls)
    values = vars(made)
    checks = _CHECKS[cls]
    for name, value in unpack_unchecked(packed).items():
        rule = checks.get(name)
        if rule is None:
            check_item(name, value)
        elif value is not None or rule[1] is not None:
            if not rule[0](value):
                what = f"{cls.__name__}: {name!r} has a value that is not due"
                raise ProtocolError(what)
            values[name] = tuple(value) if type(value) is list else value
    for name in _REQUIRED[cls]:
        if name not in values:
            raise ProtocolError(f"{cls.__name__}: {name!r} is missing")
    return made


def error_message(error: StorageError, stream: int, epoch: int = 0) -> Message:
    """The ERROR message that ends a stream."""
    try:
        packed = pack_map(error.to_fields())
    except (ProtocolError, AttributeError):
        # A path too long for a map, a text that is no UTF-8, or what a driver has set
        # that is of no use: say what fits.
        known = isinstance(error.executed, Executed)
        executed = error.executed if known else Executed.MAYBE
        detail = str(error.detail)[:200].encode(errors="backslashreplace").decode()
        given = {"temporary": bool(error.temporary), "executed": executed.value}
        packed = pack_map({**given, "detail": detail})
    return Message(Type.ERROR, stream, error.code, epoch=epoch, fields=packed)


def error_of(message: Message) -> StorageError:
    """The error in an ERROR message."""
    return error_from_fields(message.code, message.map())

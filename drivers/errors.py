"""Every error a storage driver, a worker, the broker or a client can raise.

StorageError                      1  anything without a class of its own
├── PathNotFoundError            10  nothing is stored there
├── InvalidPathError             11  outside the path grammar
├── InvalidOffsetError           12  a negative offset or length
├── InvalidParameterError        13  a parameter is unknown, missing or wrong
├── InvalidStorageDriverError    14  no driver of that name could be found
├── UnsupportedMethodError       15  the driver cannot do that
├── PathConflictError            16  an object is in the way of a directory, or back
├── PreconditionError            17  the object is not the one the caller named
├── UploadSupersededError        18  another writer has taken this upload over
├── UploadNotFoundError          19  no upload of that id is kept
├── InvalidStateError            20  a writer or reader used after its end
├── AccessDeniedError            30  the store or a rule refuses the caller
├── QuotaExceededError           40  a quota of the store is used up
│   └── StorageFullError         41  the disk or store has no room
├── ThrottledError               42  the store asks to slow down
│   └── BusyError                43  the bus has no room for the call now
├── UnavailableError             50  the store or service cannot be reached
│   ├── UnknownServiceError      51  the broker has no such service
│   └── WorkerLostError          52  the worker ended while it had the call
├── PoisonRequestError           53  the call has ended worker after worker
├── DeadlineExceededError        60  the call's time ran out
├── CancelledError               61  the caller gave the call up
├── DataLossError                70  bytes are missing, damaged or of another object
├── TooLargeError                71  above a limit of the store or the protocol
├── IncompatibleVersionError     80  the two sides speak different versions
└── ProtocolError                81  a peer broke the wire protocol

The number is the error's code on the wire (PROTOCOL.md section 7): it is stable,
and CODES maps it back to the class. An unknown code decodes to StorageError, so
that a newer peer can add classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, ClassVar

DETAIL_CHARACTERS_MAX = 2_000


class Executed(Enum):
    """Whether the failed operation ran: the one fact that makes a retry safe."""

    NO = "no"
    MAYBE = "maybe"
    YES = "yes"


class StorageError(Exception):
    """A storage operation failed.

    Args:
        detail: what happened, in words; without it the class says it.
        path: the object or directory concerned.
        offset: the byte offset concerned.
        driver: name of the driver that raised it; the checked wrapper fills it in.
        temporary: whether the same call may succeed later; None takes the class's.
        executed: whether the operation ran; None takes the class's.
        retry_after_s: seconds to wait before a retry, where the store said so.
        durable: for a broken upload, how many bytes are kept (see Writer.durable).
    """

    code: ClassVar[int] = 1
    summary: ClassVar[str] = "storage error"
    default_temporary: ClassVar[bool] = False
    default_executed: ClassVar[Executed] = Executed.MAYBE

    def __init__(
        self,
        detail: str = "",
        *,
        path: str | None = None,
        offset: int | None = None,
        driver: str | None = None,
        temporary: bool | None = None,
        executed: Executed | None = None,
        retry_after_s: float | None = None,
        durable: int | None = None,
    ) -> None:
        super().__init__(detail)
        # Often it is another error that is given, and a path of pathlib's.
        self.detail = str(detail)[:DETAIL_CHARACTERS_MAX]
        self.path = None if path is None else str(path)
        self.offset = offset
        self.driver = driver
        self.temporary = self.default_temporary if temporary is None else temporary
        self.executed = self.default_executed if executed is None else executed
        self.retry_after_s = retry_after_s
        self.durable = durable

    def __str__(self) -> str:
        text = self.summary if not self.detail else f"{self.summary}: {self.detail}"
        if self.path is not None:
            text += f": {self.path!r}" if _is_odd(self.path) else f": {self.path}"
        if self.offset is not None:
            text += f" (offset {self.offset})"
        return f"{self.driver}: {text}" if self.driver else text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r}, executed={self.executed.value})"

    def __reduce__(self) -> tuple[Any, ...]:
        return error_from_fields, (self.code, self.to_fields())

    def to_fields(self) -> dict[str, Any]:
        """The error's data as a map of plain values, as it travels on the wire."""
        fields: dict[str, Any] = {
            "detail": self.detail,
            "temporary": self.temporary,
            "executed": self.executed.value,
        }
        for name in ("path", "offset", "driver", "retry_after_s", "durable"):
            value = getattr(self, name)
            if value is not None:
                fields[name] = value
        return fields


class PathNotFoundError(StorageError):
    """Nothing is stored under that path."""

    code = 10
    summary = "path not found"
    default_executed = Executed.NO


class InvalidPathError(StorageError):
    """The path is outside the grammar (see drivers/paths.py)."""

    code = 11
    summary = "invalid path"
    default_executed = Executed.NO


class InvalidOffsetError(StorageError):
    """A negative offset or length."""

    code = 12
    summary = "invalid offset"
    default_executed = Executed.NO


class InvalidParameterError(StorageError):
    """A parameter or argument is unknown, missing or has a wrong value."""

    code = 13
    summary = "invalid parameter"
    default_executed = Executed.NO


class InvalidStorageDriverError(StorageError):
    """No driver of that name; the detail lists where it was looked for."""

    code = 14
    summary = "no such storage driver"
    default_executed = Executed.NO


class UnsupportedMethodError(StorageError):
    """The driver lacks this operation or optional capability."""

    code = 15
    summary = "unsupported method"
    default_executed = Executed.NO


class PathConflictError(StorageError):
    """An object stands where a directory would be needed, or a directory where an
    object would be, in a store that cannot hold both."""

    code = 16
    summary = "path conflict"
    default_executed = Executed.NO


class PreconditionError(StorageError):
    """The object's identity is not the one that the caller asked for."""

    code = 17
    summary = "precondition failed"
    default_executed = Executed.NO


class UploadSupersededError(StorageError):
    """Another writer claimed this upload, so this one may not go on."""

    code = 18
    summary = "upload superseded by another writer"
    default_executed = Executed.NO


class UploadNotFoundError(StorageError):
    """No kept upload has that id: it was committed, cancelled, reaped or never was."""

    code = 19
    summary = "upload not found"
    default_executed = Executed.NO


class InvalidStateError(StorageError):
    """A writer, reader or client was used after it had ended."""

    code = 20
    summary = "invalid state"
    default_executed = Executed.NO


class AccessDeniedError(StorageError):
    """The store, the file system or a rule of the bus refuses the caller."""

    code = 30
    summary = "access denied"
    default_executed = Executed.NO


class QuotaExceededError(StorageError):
    """A quota of the store is used up."""

    code = 40
    summary = "quota exceeded"


class StorageFullError(QuotaExceededError):
    """The disk or store has no room left."""

    code = 41
    summary = "storage full"


class ThrottledError(StorageError):
    """The store asks its callers to slow down."""

    code = 42
    summary = "throttled"
    default_temporary = True
    default_executed = Executed.NO


class BusyError(ThrottledError):
    """The bus has no room for the call now: a queue or the cap of streams is full."""

    code = 43
    summary = "busy"


class UnavailableError(StorageError):
    """The store, the broker or the service cannot be reached."""

    code = 50
    summary = "unavailable"
    default_temporary = True


class UnknownServiceError(UnavailableError):
    """The broker neither has nor expects a worker for that service."""

    code = 51
    summary = "unknown service"
    default_temporary = False
    default_executed = Executed.NO


class WorkerLostError(UnavailableError):
    """The worker ended, or its connection was cut, while it had the call."""

    code = 52
    summary = "worker lost"


class PoisonRequestError(StorageError):
    """The same call has ended worker after worker, so no other one gets it."""

    code = 53
    summary = "poison request"


class DeadlineExceededError(StorageError):
    """The call's time ran out."""

    code = 60
    summary = "deadline exceeded"
    default_temporary = True


class CancelledError(StorageError):
    """The caller gave the call up."""

    code = 61
    summary = "cancelled"


class DataLossError(StorageError):
    """Bytes are missing or damaged, or belong to another object."""

    code = 70
    summary = "data loss"


class TooLargeError(StorageError):
    """Above a limit of the store or of the protocol."""

    code = 71
    summary = "too large"
    default_executed = Executed.NO


class IncompatibleVersionError(StorageError):
    """The two sides speak different versions; the detail names both."""

    code = 80
    summary = "incompatible version"
    default_executed = Executed.NO


class ProtocolError(StorageError):
    """A peer sent something that PROTOCOL.md does not allow."""

    code = 81
    summary = "protocol error"


def _all_classes(root: type[StorageError]) -> list[type[StorageError]]:
    found = [root]
    for child in root.__subclasses__():
        found += _all_classes(child)
    return found


CODES: dict[int, type[StorageError]] = {
    cls.code: cls for cls in _all_classes(StorageError) if cls.__module__ == __name__
}


def error_from_fields(code: int, fields: Mapping[str, Any]) -> StorageError:
    """Rebuild an error from its wire code and fields.

    Fields of a wrong type are dropped rather than trusted, and unknown ones are
    ignored: an error report from a faulty peer must never raise another error.
    """

    def field(name: str, kind: type | tuple[type, ...]) -> Any:
        value = fields.get(name)
        if isinstance(value, bool) and kind is not bool:
            return None  # which counts as a number in Python
        return value if isinstance(value, kind) else None

    executed = field("executed", str)
    return CODES.get(code, StorageError)(
        field("detail", str) or "",
        path=field("path", str),
        offset=field("offset", int),
        driver=field("driver", str),
        temporary=field("temporary", bool),
        executed=Executed(executed) if executed in _EXECUTED else None,
        retry_after_s=field("retry_after_s", (int, float)),
        durable=field("durable", int),
    )


_EXECUTED = {member.value for member in Executed}


def _is_odd(path: str) -> bool:
    """Whether a path must be quoted to be read safely in a message."""
    return not path or not path.isprintable() or path != path.strip()

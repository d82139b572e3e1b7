"""Exit codes of the command line, by class of error.

Scripts rely on them; they never change their meaning.
"""

from __future__ import annotations

from ..drivers import errors
from ..drivers.errors import StorageError

DONE = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
INVALID = 4
DENIED = 5
NO_ROOM = 6
UNAVAILABLE = 7
DEADLINE = 8
MISMATCH = 9
INTERRUPTED = 130
"""As a shell reports a process that SIGINT has ended."""
BROKEN_PIPE = 141
"""As a shell reports a process that SIGPIPE has ended."""

BY_CLASS: dict[type[StorageError], int] = {
    errors.StorageError: FAILED,
    errors.PathNotFoundError: NOT_FOUND,
    errors.InvalidPathError: INVALID,
    errors.InvalidOffsetError: INVALID,
    errors.InvalidParameterError: INVALID,
    errors.InvalidStorageDriverError: INVALID,
    errors.UnsupportedMethodError: FAILED,
    errors.PathConflictError: FAILED,
    errors.PreconditionError: MISMATCH,
    errors.UploadSupersededError: FAILED,
    errors.UploadNotFoundError: NOT_FOUND,
    errors.InvalidStateError: FAILED,
    errors.AccessDeniedError: DENIED,
    errors.QuotaExceededError: NO_ROOM,
    errors.StorageFullError: NO_ROOM,
    errors.ThrottledError: NO_ROOM,
    errors.BusyError: NO_ROOM,
    errors.UnavailableError: UNAVAILABLE,
    errors.UnknownServiceError: UNAVAILABLE,
    errors.WorkerLostError: UNAVAILABLE,
    errors.PoisonRequestError: FAILED,
    errors.DeadlineExceededError: DEADLINE,
    errors.CancelledError: FAILED,
    errors.DataLossError: MISMATCH,
    errors.TooLargeError: FAILED,
    errors.IncompatibleVersionError: FAILED,
    errors.ProtocolError: FAILED,
}


def exit_code(error: StorageError) -> int:
    """The exit code for an error; a class that is not listed has its base's."""
    for cls in type(error).__mro__:
        if cls in BY_CLASS:
            return BY_CLASS[cls]
    return FAILED

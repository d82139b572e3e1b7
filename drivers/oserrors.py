"""What an operating system's error means for a storage operation."""

from __future__ import annotations

import errno

from .errors import (
    AccessDeniedError,
    DeadlineExceededError,
    InvalidPathError,
    PathConflictError,
    PathNotFoundError,
    QuotaExceededError,
    StorageError,
    StorageFullError,
    TooLargeError,
    UnavailableError,
    UnsupportedMethodError,
)

BY_ERRNO: dict[int, type[StorageError]] = {
    errno.ENOENT: PathNotFoundError,
    errno.ENOTDIR: PathConflictError,
    errno.ELOOP: PathConflictError,
    errno.EISDIR: PathConflictError,
    errno.ENOTEMPTY: PathConflictError,
    errno.ENAMETOOLONG: InvalidPathError,
    errno.ENOSPC: StorageFullError,
    errno.EDQUOT: QuotaExceededError,
    errno.EFBIG: TooLargeError,
    errno.EACCES: AccessDeniedError,
    errno.EPERM: AccessDeniedError,
    errno.EROFS: AccessDeniedError,
    errno.ETIMEDOUT: DeadlineExceededError,
    errno.EMFILE: UnavailableError,
    errno.ENFILE: UnavailableError,
    errno.ENOMEM: UnavailableError,
    errno.ECONNREFUSED: UnavailableError,
    errno.ECONNRESET: UnavailableError,
    errno.EPIPE: UnavailableError,
    errno.EBUSY: UnavailableError,
    errno.ESTALE: UnavailableError,
    errno.EOPNOTSUPP: UnsupportedMethodError,
    errno.EIO: StorageError,
}


def from_os_error(error: OSError, path: str | None = None) -> StorageError:
    """The typed error for an `OSError`, without the file names of the worker's disk.

    Args:
        error: what the system said.
        path: the object or directory that the operation was about.
    """
    cls = BY_ERRNO.get(error.errno or 0, StorageError)
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return cls(f"{error.strerror or error} ({name})", path=path)


class OSErrors:
    """A `with` block out of which an `OSError` comes as a typed error.

    Args:
        path: the object or directory that the block is about.
    """

    __slots__ = ("_path",)

    def __init__(self, path: str | None) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError):
            raise from_os_error(error, self._path) from error

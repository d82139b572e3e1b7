"""The right to an ipc address: a lock beside the socket, and both gone at the end.

ZeroMQ removes whatever lies at the path to make its socket there. A second bind would
so succeed in silence and steal the address.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import NoReturn

from ..drivers.errors import (
    AccessDeniedError,
    InvalidParameterError,
    QuotaExceededError,
    StorageError,
    StorageFullError,
    UnavailableError,
)

SCHEME = "ipc://"
TRIES_MAX = 10
"""How often a lock may turn out to be one that its last owner was just removing."""
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_BY_ERRNO: dict[int, type[StorageError]] = {
    errno.EACCES: AccessDeniedError,
    errno.EPERM: AccessDeniedError,
    errno.EROFS: AccessDeniedError,
    errno.ENOSPC: StorageFullError,
    errno.EDQUOT: QuotaExceededError,
    errno.ENOENT: InvalidParameterError,
    errno.ENOTDIR: InvalidParameterError,
    errno.EEXIST: InvalidParameterError,
    errno.EISDIR: InvalidParameterError,
    errno.ELOOP: InvalidParameterError,
    errno.ENAMETOOLONG: InvalidParameterError,
}
"""What keeps an address from being used; anything else is unavailable."""


class IpcClaim:
    """An ipc address of this process.

    Args:
        address: "ipc:///path"; directories on the way are made for their owner alone.

    Raises:
        UnavailableError: another broker has it.
        InvalidParameterError: no socket can be at such a path.
        StorageError: the system refuses; typed by the reason.
    """

    def __init__(self, address: str) -> None:
        self._path = Path(address.removeprefix(SCHEME))
        self._lock_path = Path(f"{self._path}.lock")
        try:
            if self._path.exists() and not self._path.is_socket():
                raise InvalidParameterError(
                    f"cannot listen at {address}: there is something that is no socket"
                )
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for _ in range(TRIES_MAX):
                self._lock = os.open(self._lock_path, _FLAGS, 0o600)
                self._take(address)
                if self._is_current():
                    return
                os.close(self._lock)
        except OSError as error:
            _refuse(address, error)
        raise UnavailableError(f"others come and go at {address}; try again")

    def release(self) -> None:
        """Remove the socket and the lock, and give the address back."""
        for path in (self._path, self._lock_path):
            try:
                path.unlink()
            except OSError:
                pass  # somebody has tidied up, or the directory is not ours any more
        os.close(self._lock)

    def _take(self, address: str) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise UnavailableError(
                f"another broker listens at {address} (it holds {self._lock_path}); "
                "stop it, or choose another address"
            ) from error

    def _is_current(self) -> bool:
        """Whether what is locked is still the file that everybody finds there."""
        try:
            there = self._lock_path.stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(self._lock), there)


def _refuse(address: str, error: OSError) -> NoReturn:
    cls = _BY_ERRNO.get(error.errno or 0, UnavailableError)
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    raise cls(f"cannot listen at {address}: {error.strerror} ({name})") from error

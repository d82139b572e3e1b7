"""What an answer of a store means for an operation, as rows of a driver's tables."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import Executed, StorageError

RETRY_AFTER_SECONDS_MAX = 3_600.0


class Meaning(NamedTuple):
    """The typed error for one of a store's codes.

    Attributes:
        cls: class of the error.
        advice: what to do about it, for the message.
        temporary: None takes the class's.
        executed: None takes the class's.
    """

    cls: type[StorageError]
    advice: str = ""
    temporary: bool | None = None
    executed: Executed | None = None

    def error(
        self, detail: str, path: str | None, retry_after: str | None = None
    ) -> StorageError:
        """The error.

        Args:
            detail: what the store said, without a secret.
            path: the object or directory concerned.
            retry_after: the header of that name, if there was one.
        """
        return self.cls(
            f"{self.advice} ({detail})" if self.advice else detail,
            path=path,
            temporary=self.temporary,
            executed=self.executed,
            retry_after_s=_seconds(retry_after),
        )


def with_path(error: StorageError, path: str | None) -> StorageError:
    """A typed error, which learns its path if it has none."""
    if error.path is None:
        error.path = path
    return error


def _seconds(retry_after: str | None) -> float | None:
    try:
        return min(RETRY_AFTER_SECONDS_MAX, max(0.0, float(retry_after or "")))
    except ValueError:
        return None

"""Refusals that the drivers word alike."""

from __future__ import annotations

from .errors import (
    Executed,
    InvalidStateError,
    PathConflictError,
    PreconditionError,
    UnavailableError,
    UploadNotFoundError,
    UploadSupersededError,
)

PRUNE_RACES_MAX = 100
"""How often a directory may be pruned by others between its making and its use."""


def occupied(path: str) -> PathConflictError:
    """An object cannot be stored where a directory is."""
    return PathConflictError("a directory is at this path", path=path)


def blocked(path: str) -> PathConflictError:
    """An object cannot be stored below another object."""
    return PathConflictError("an object is where a directory is needed", path=path)


def superseded(path: str) -> UploadSupersededError:
    """A writer's upload is no longer its own."""
    return UploadSupersededError(
        "it was claimed, replaced, deleted or reaped meanwhile", path=path
    )


def no_upload(path: str, upload_id: str) -> UploadNotFoundError:
    """There is no upload to continue."""
    return UploadNotFoundError(f"no upload {upload_id} is open", path=path)


def changed(path: str) -> PreconditionError:
    """The object is not the one that `if_match` names."""
    return PreconditionError("the object has changed", path=path)


def closed() -> InvalidStateError:
    """The driver is closed."""
    return InvalidStateError("the driver is closed")


def ended(path: str) -> InvalidStateError:
    """The writer has been committed, cancelled or closed."""
    return InvalidStateError("the writer has ended", path=path)


def reader_closed(path: str) -> InvalidStateError:
    """The reader has been closed."""
    return InvalidStateError("the reader is closed", path=path)


def pruned(path: str | None) -> UnavailableError:
    """A directory vanished again and again before it could be used."""
    return UnavailableError(
        f"a directory was pruned {PRUNE_RACES_MAX} times before it could be used",
        path=path,
        executed=Executed.NO,
    )

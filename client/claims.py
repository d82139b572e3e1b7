"""What others may have done with an upload while its worker was lost.

An upload has one writer, the one that has claimed it last. Who goes on with it on
another worker claims it once more, and must not take it from somebody who has claimed
it meanwhile: what that one has written would become part of what is committed here. And
a commit whose answer was lost may be found done, and be another's.

Everything that waits is a coroutine, see `waiting`.
"""

from __future__ import annotations

from ..drivers.contract import UploadState
from ..drivers.errors import PathNotFoundError, StorageError, UploadSupersededError
from .operations import Operations
from .retry import Attempts


def check_claim(path: str, generation: int, most: int) -> None:
    """See that nobody else has claimed an upload since it was claimed last here.

    A claim without an answer may have been done, so that a higher generation is one's
    own; or not, and it is another's. Where the upload holds no more than what was known
    to be durable, that does no harm. Where it holds more, it is given up.

    Args:
        path: the object to be.
        generation: that of the claim.
        most: the highest that it has if nobody else has claimed the upload.

    Raises:
        UploadSupersededError: somebody has, or may have.
    """
    if generation > most:
        what = f"it was claimed {generation - most} times by others meanwhile"
        raise UploadSupersededError(what, path=path)


async def is_committed(
    operations: Operations,
    path: str,
    upload_id: str,
    size: int,
    error: StorageError,
    attempts: Attempts,
) -> bool:
    """Whether an upload was committed.

    Args:
        operations: the service.
        path, upload_id: the upload.
        size: bytes that were to be committed.
        error: what the commit has met.
        attempts: those of the commit.

    Raises:
        UploadSupersededError: it was, by another who had claimed it: what was committed
            has another size.
        StorageError: `error`, as nobody knows; or what the question has met.
    """
    ends = attempts.ends
    status = await operations.upload_status(path, upload_id, ends=ends)
    if status.state is UploadState.UNKNOWN:
        raise error
    if status.state is not UploadState.COMMITTED:
        return False
    if status.identity is None:
        return True
    try:
        found = await operations.stat(path, ends=ends)
    except PathNotFoundError:
        return True  # it is gone again
    except StorageError:
        raise error from None
    if found.identity == status.identity and found.size != size:
        what = f"{found.size} bytes of it were committed by another writer"
        raise UploadSupersededError(what, path=path)
    return True

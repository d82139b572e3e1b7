"""Storing a content that is too large for one message: an upload from its start to its
commit, in one call. Everything that waits is a coroutine, see `waiting`."""

from __future__ import annotations

from ..broker.wire import Payload
from ..drivers.errors import StorageError
from .operations import Operations
from .retry import Safety
from .uploads import DROP_S_MAX, Upload


async def put_whole(operations: Operations, path: str, content: Payload) -> None:
    """Store a content that is too large for one message, atomically.

    Raises:
        StorageError: nothing was stored, or with `executed` "maybe", that is unknown.
    """
    attempts = operations.attempts(Safety.REPEATABLE)
    reached = -1
    while True:
        upload = Upload(operations, path, brief=True, whole=attempts, reached=reached)
        try:
            await upload.open()
            await upload.write(content, lasting=True)
            await upload.commit()
            return
        except StorageError as error:
            failure = error
            try:
                await upload.cancel(DROP_S_MAX)
            except StorageError:
                pass  # an upload that is left over changes nothing
        finally:
            upload.abandon()
        reached = max(0, upload.reached)
        operations.extend(attempts, upload.moved_at)
        await operations.pause(attempts, failure)

"""Moves and deletes whose answer was lost: whether they have run can often be seen.

A move or delete must not run twice, and whoever loses the answer does not know whether
it ran once. Under the bus's premise, one writer a path, the store tells:

| lost     | the source, or what was to go      | what follows                    |
|----------|------------------------------------|---------------------------------|
| a move   | is still there                     | it is repeated                  |
|          | is gone; the destination has its   | it is done                      |
|          | size                               |                                 |
|          | is gone, and was not moved there   | the error, `executed` "maybe"   |
| a delete | is still there, in part at least   | it is repeated                  |
|          | is gone                            | it is done                      |

Should a worker that was taken for lost carry its call out late, it finds the source
gone. Everything that waits is a coroutine, see `waiting`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..broker.messages import Open, Operation
from ..drivers.contract import FileInfo
from ..drivers.errors import Executed, PathNotFoundError, StorageError
from .operations import Operations
from .retry import Attempts, Safety, can_help


async def move(operations: Operations, source: str, destination: str) -> None:
    """Move an object; again, where it is certain that it was not moved.

    Raises:
        StorageError: it was not, or with `executed` "maybe", that is not known.
    """
    attempts = operations.attempts(Safety.ONCE)
    # What is there before says later whether the destination is it.
    try:
        before = await operations.stat(source, ends=attempts.ends)
    except StorageError as error:
        error.executed = Executed.NO
        raise

    async def is_done() -> bool | None:
        if await _look(operations, source, attempts) is not None:
            return False
        found = await _look(operations, destination, attempts)
        moved = found is not None and not found.is_dir and found.size == before.size
        return True if moved else None

    arguments = Open(operations.service, source, destination=destination)
    await _once(operations, Operation.MOVE, arguments, attempts, is_done)


async def delete(operations: Operations, path: str) -> None:
    """Delete an object or directory; again, while there is something left.

    Raises:
        StorageError: it was not, or with `executed` "maybe", that is not known.
    """
    attempts = operations.attempts(Safety.ONCE)

    async def is_done() -> bool | None:
        return await _look(operations, path, attempts) is None

    arguments = Open(operations.service, path)
    await _once(operations, Operation.DELETE, arguments, attempts, is_done)


async def _once(
    operations: Operations,
    operation: Operation,
    arguments: Open,
    attempts: Attempts,
    is_done: Callable[[], Awaitable[bool | None]],
) -> None:
    """Perform a call until it is certain that it has run.

    Args:
        operations: the service.
        operation: which.
        arguments: its map.
        attempts: of all its attempts.
        is_done: says from the store whether it has run; None when that cannot be told.
    """
    while True:
        try:
            await operations.call(operation, arguments, attempts=attempts)
            return
        except StorageError as error:
            failure = error
        # An attempt that was taken for lost may have left nothing to do for this one.
        is_open = failure.executed is not Executed.NO and can_help(failure)
        overtaken = attempts.may_have_run and isinstance(failure, PathNotFoundError)
        if not (is_open or overtaken):
            raise failure
        try:
            done = await is_done()
        except StorageError:
            raise failure from None  # nobody can say it in time
        if done:
            return
        if done is None or overtaken:
            raise failure
        failure.executed = Executed.NO
        await operations.pause(attempts, failure)


async def _look(
    operations: Operations, path: str, attempts: Attempts
) -> FileInfo | None:
    try:
        return await operations.stat(path, ends=attempts.ends)
    except PathNotFoundError:
        return None

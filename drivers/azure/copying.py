"""Copies that the service makes itself, and how each shows whole or not at all.

1. Up to 256 MiB: one synchronous copy.
2. Larger: blocks that the service fills from the source, in parallel, and a block list.
   Both are one visible step, on condition that the source is still the same.
3. Where the service cannot read the source by its URL (network rules can forbid it
   that): an asynchronous copy, polled to a deadline. Within an account it is done at
   once as a rule; while one is pending the destination is empty, so one that does not
   end is aborted, and what it left is removed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import (
    AccessDeniedError,
    DataLossError,
    DeadlineExceededError,
    PreconditionError,
    StorageError,
    UnsupportedMethodError,
)
from ..objectstore.spans import Span, copy_spans, spans
from ..objectstore.store import Found, attempt, quoted, unquoted
from ..standing import standing_on
from .blocks import BLOCKS_MAX, Block, block_id, stage_block
from .container import Container
from .parameters import COPY_BYTES_MAX
from .sas import blob_url
from .staging import new_owner

COPY_RACES_MAX = 5
SOURCE_SECONDS = 3_600
"""How long the service may read a source by its URL."""
READ_SECONDS = 120.0
"""For the reply to a request whose bytes the service copies first."""
POLL_SECONDS_MIN = 0.05
POLL_SECONDS_MAX = 2.0


def copy_blob(
    container: Container,
    source: str,
    found: Found,
    destination: str,
    path: str,
    metadata: dict[str, str] | None = None,
) -> str:
    """Copy a blob; the destination changes whole or not at all.

    Args:
        container: where both are.
        source: name of the source.
        found: what is known of the source; it must not have changed.
        destination: name of the destination.
        path: the object concerned, for errors.
        metadata: of the destination.

    Returns:
        The ETag of the destination.

    Raises:
        PathNotFoundError: there is no source any more.
        PreconditionError: the source has changed.
        DeadlineExceededError: the copy was pending for too long, and was aborted.
    """
    # Without any metadata the service would take over those of the source.
    metadata = metadata or {"storagebus": "moved"}
    limit = min(container.options.copythresholdsize, COPY_BYTES_MAX)
    copy = _copy_at_once if found.size <= limit else _copy_in_blocks

    def publish() -> str:
        try:
            return copy(container, source, found, destination, path, metadata)
        except (UnsupportedMethodError, AccessDeniedError):
            return _copy_and_poll(container, source, found, destination, path, metadata)

    etag: str = container.replacing(publish, destination, path)
    return etag


def copy_blocks(
    container: Container,
    source: str,
    found: Found,
    destination: str,
    path: str,
    owner: str,
) -> list[Block]:
    """Stage the content of a blob as blocks of another.

    Args:
        owner: in the names of the blocks.

    The others are those of `copy_blob`. Where the service cannot read the source, the
    bytes pass through this process, one block at a time for each thread.

    Raises:
        PreconditionError: the source has changed.
    """
    sourced = _sourced(container, source)

    def fill(span: Span) -> Block:
        name = block_id(owner, span.number)
        container.call(
            "stage_block_from_url",
            destination,
            path,
            name,
            sourced(),
            source_offset=span.first,
            source_length=span.size,
            # The SDK has no argument for the condition.
            headers={"x-ms-source-if-match": quoted(found.etag)},
            read_timeout=READ_SECONDS,
        )
        return Block(name, span.size)

    def relay(span: Span) -> Block:
        name = block_id(owner, span.number)
        stream = container.call(
            "download_blob", source, path, offset=span.first, length=span.size,
            if_match=found.etag,
        )  # fmt: skip
        with container.errors(path):
            content = stream.readall()
        stage_block(container, destination, path, name, content, span.size)
        return Block(name, span.size)

    options = container.options
    at_once_max = min(options.copymaxconcurrency, options.maxthreads)
    wanted = _spans(found.size, options.copychunksize)
    try:
        return copy_spans(container.clients, fill, wanted, at_once_max, path)
    except (UnsupportedMethodError, AccessDeniedError):
        # What passes through this process takes memory: half of what streams may.
        least = next(_spans(found.size, options.chunksize)).size
        at_once_max = min(at_once_max, max(1, options.memorybudget // (2 * least)))
        wanted = _spans(found.size, options.chunksize)
        return copy_spans(container.clients, relay, wanted, at_once_max, path)


def _copy_at_once(
    container: Container,
    source: str,
    found: Found,
    destination: str,
    path: str,
    metadata: dict[str, str],
) -> str:
    reply = container.call(
        "start_copy_from_url",
        destination,
        path,
        _sourced(container, source)(),
        metadata=metadata,
        requires_sync=True,
        read_timeout=READ_SECONDS,
        **_unchanged(found),
    )
    return unquoted(reply["etag"])


def _copy_in_blocks(
    container: Container,
    source: str,
    found: Found,
    destination: str,
    path: str,
    metadata: dict[str, str],
) -> str:
    from azure.storage.blob import BlobBlock

    from .container import content_settings

    for tries_left in reversed(range(COPY_RACES_MAX)):
        blocks = copy_blocks(container, source, found, destination, path, new_owner())
        try:
            reply = container.call(
                "commit_block_list",
                destination,
                path,
                [BlobBlock(block.id) for block in blocks],
                metadata=metadata,
                content_settings=content_settings(),
            )
            return unquoted(reply["etag"])
        except PreconditionError:
            # A commit of another writer to this path drops blocks that no list names.
            if not tries_left:
                raise
    raise AssertionError("unreachable")


def _copy_and_poll(
    container: Container,
    source: str,
    found: Found,
    destination: str,
    path: str,
    metadata: dict[str, str],
) -> str:
    options = container.options
    url = blob_url(options.serviceurl, options.container, source)
    if options.credentials.type == "sas":
        url += f"?{options.sastoken}"
    reply = container.call(
        "start_copy_from_url",
        destination,
        path,
        url,
        metadata=metadata,
        **_unchanged(found),
    )
    copy_id, status = reply["copy_id"], reply["copy_status"]
    end = time.monotonic() + options.copytimeout
    pause = POLL_SECONDS_MIN
    while status == "pending":
        if time.monotonic() >= end:
            _abort(container, destination, path, copy_id)
            raise DeadlineExceededError(
                f"the copy was pending for {options.copytimeout} s and was aborted",
                path=path,
            )
        time.sleep(pause)
        pause = min(POLL_SECONDS_MAX, 2 * pause)
        copied = container.call("get_blob_properties", destination, path).copy
        if copied.id != copy_id:
            raise PreconditionError("another write ended the copy", path=path)
        status = copied.status
    if status != "success":
        _abort(container, destination, path, copy_id)
        raise StorageError(f"the copy ended as {status}", path=path)
    now = container.head(destination, path)
    if now is None or now.size != found.size:
        raise DataLossError("the copy is not as large as its source", path=path)
    return now.etag


def _abort(container: Container, key: str, path: str, copy_id: str) -> None:
    """End a copy, and remove the empty blob that it leaves."""
    attempt(lambda: container.call("abort_copy", key, path, copy_id))
    left = container.call("get_blob_properties", key, path)
    if left.copy.id == copy_id and left.copy.status != "success":
        with standing_on(None):  # nothing but what it has left itself
            container.delete(key, path, unquoted(left.etag))


def _spans(size: int, span_bytes: int) -> Iterator[Span]:
    """The blocks of a copy. Half of all blocks stay free for an append."""
    least = -(-size // (BLOCKS_MAX // 2))
    return spans(size, max(span_bytes, least))


def _sourced(container: Container, source: str) -> Callable[[], str]:
    """Makes the URL at which the service reads a source."""
    return lambda: container.signer.url(source, SOURCE_SECONDS)


def _unchanged(found: Found) -> dict[str, Any]:
    """The condition that a source is still the one that was found."""
    from azure.core import MatchConditions

    return {
        "source_etag": quoted(found.etag),
        "source_match_condition": MatchConditions.IfNotModified,
    }

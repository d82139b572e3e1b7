"""Opening uploads: new ones, the kept one of a path, one by its id; and ending them.

A path's link, the object ROOT~uploads/PATH/~kept, holds the id of its kept upload. A
link to an upload that has ended means nothing, and is removed when somebody meets it.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import replace

from ..contract import UploadState, UploadStatus
from ..errors import (
    PathNotFoundError,
    PreconditionError,
    UnsupportedMethodError,
    UploadNotFoundError,
)
from ..objectstore.part_budget import PartBudget
from ..objectstore.store import Found, attempt, quoted
from .bucket import Bucket
from .chain import Chain, Fences, new_nonce
from .copying import copy_parts, whole_parts
from .parameters import PART_BYTES_MIN
from .parts import abort_multipart, begin_multipart, stored_parts
from .ranges import PIECE_BYTES, RangeStream, Source
from .record import PARTS_MAX, Record, Stage
from .writer import Claimed, S3Writer

UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
LINK = "~kept"


class Uploads:
    """The uploads to a bucket.

    Args:
        bucket: the bucket.
        budget: memory for parts, shared by all streams.
    """

    def __init__(self, bucket: Bucket, budget: PartBudget) -> None:
        self._bucket = bucket
        self._budget = budget
        self._fences = Fences(bucket)

    def open(self, path: str, append: bool, upload_id: str | None) -> S3Writer:
        """A writer, as `StorageDriver.writer` has it."""
        if upload_id is not None:
            return self._writer(self._claim_by_id(path, upload_id))
        if not append:
            return self._writer(self._begin(path))
        claimed = self._claim_kept(path)
        return self._writer(claimed) if claimed else self._continue_object(path)

    def status(self, path: str, upload_id: str) -> UploadStatus:
        """What became of an upload."""
        if not UPLOAD_ID.fullmatch(upload_id):
            return UploadStatus(UploadState.UNKNOWN)
        last = self.chain(path, upload_id).latest()
        # In this order: a commit makes the object visible before the records go.
        if last is None or last[1].stage is Stage.COMMITTING:
            found = self._bucket.find(path)
            if found is not None and found.upload_id == upload_id:
                return UploadStatus(UploadState.COMMITTED, identity=found.etag)
        if last is None or last[1].stage is Stage.DROPPED:
            return UploadStatus(UploadState.UNKNOWN)
        record = self._with_stored_parts(path, last[1])
        return UploadStatus(UploadState.OPEN, durable=record.durable)

    def drop_below(self, path: str) -> bool:
        """Drop the uploads kept for a path and below it; whether there were any."""
        found = False
        prefix = f"{self._bucket.uploads}{path[1:]}/"
        links = [
            key for key in self._bucket.keys(prefix, path) if key.endswith("/" + LINK)
        ]
        for key in links:
            owner = "/" + key[len(self._bucket.uploads) : -len(LINK) - 1]
            linked = self._linked(owner)
            if linked is not None:
                found |= self.drop(self.chain(owner, linked[0]))
            attempt(lambda key=key: self._bucket.delete(key, path))  # type: ignore[misc]
        return found

    def drop(self, chain: Chain) -> bool:
        """End an upload and remove what is stored of it; whether there was one."""
        try:
            number, record = chain.claim(Stage.DROPPED)
        except UploadNotFoundError:
            return False
        if record.multipart:
            try:
                abort_multipart(self._bucket, chain.path, record.multipart)
            except UploadNotFoundError:
                pass  # somebody began to drop it, and did not end
        chain.erase(number)
        return record.stage is not Stage.DROPPED

    def remove_dead_link(self, path: str) -> None:
        """Remove a path's link to its kept upload when that one has ended."""
        linked = self._linked(path)
        if linked is not None and self.chain(path, linked[0]).latest() is None:
            self._remove_link(path, linked[1])

    def chain(self, path: str, upload_id: str) -> Chain:
        """The records of an upload."""
        return Chain(self._bucket, self._fences, path, upload_id)

    def _begin(self, path: str, record: Record | None = None) -> Claimed:
        chain = self.chain(path, secrets.token_hex(16))
        record = record or Record(Stage.OPEN, new_nonce())
        return Claimed(chain, chain.begin(record), record)

    def _claim_by_id(self, path: str, upload_id: str) -> Claimed:
        if not UPLOAD_ID.fullmatch(upload_id):
            raise UploadNotFoundError(path=path)
        found = self._bucket.find(path)
        chain = self.chain(path, upload_id)
        if found is not None and found.upload_id == upload_id:
            # Committed by a writer that died before it removed the records.
            last = chain.latest()
            if last is not None:
                attempt(lambda: chain.erase(last[0]))
            raise UploadNotFoundError("it is committed", path=path)
        return self._claim(chain)

    def _claim_kept(self, path: str) -> Claimed | None:
        linked = self._linked(path)
        if linked is None:
            return None
        upload_id, etag = linked
        try:
            return self._claim(self.chain(path, upload_id))
        except UploadNotFoundError:
            self._remove_link(path, etag)
            return None

    def _claim(self, chain: Chain) -> Claimed:
        number, former = chain.claim()
        record = replace(former, stage=Stage.OPEN, generation=former.generation + 1)
        if former.stage is not Stage.KEPT:
            record = self._with_stored_parts(chain.path, record)
        tail = b""
        if record.tail_size:
            held = chain.read(record.tail_at)
            tail = held[1] if held is not None else b""
            if len(tail) != record.tail_size:
                raise UploadNotFoundError("its end is gone", path=chain.path)
        return Claimed(chain, number, record, tail)

    def _with_stored_parts(self, path: str, record: Record) -> Record:
        """Add the parts that a writer had stored when it vanished.

        The server's list of an upload's parts counts only as far as it continues the
        record without a gap, by numbers that the record had reserved.
        """
        if record.stage is Stage.KEPT or not record.multipart:
            return record
        try:
            stored = stored_parts(self._bucket, path, record.multipart)
        except UploadNotFoundError:
            return record
        by_number = {part.number: part for part in stored}
        parts = list(record.parts)
        number = parts[-1].number + 1 if parts else 1
        first = number
        while number <= record.reserved and number in by_number:
            if by_number[number].size < PART_BYTES_MIN:
                break  # the last one of a commit that did not happen
            parts.append(by_number[number])
            number += 1
        if number == first:
            return record
        # The tail was the beginning of the first part that followed.
        return replace(record, parts=tuple(parts), tail_at=0, tail_size=0)

    def _writer(self, claimed: Claimed) -> S3Writer:
        return S3Writer(self._bucket, claimed, self._budget, self._keep, self._unlink)

    def _continue_object(self, path: str) -> S3Writer:
        """A new upload that starts from the committed object, if there is one."""
        found = self._bucket.find(path)
        if found is None:
            return self._writer(self._begin(path))
        if found.size < PART_BYTES_MIN:
            tail = self._read(path, found, 0)
            return self._writer(replace(self._begin(path), tail=tail))
        try:
            return self._writer(self._copy_on_server(path, found))
        except UnsupportedMethodError:
            return self._copy_through(path, found)

    def _copy_on_server(self, path: str, found: Found) -> Claimed:
        bucket = self._bucket
        chain = self.chain(path, secrets.token_hex(16))
        multipart = begin_multipart(bucket, path, chain.upload_id)
        # Recorded before the copy, so that the reaper finds what a crash leaves.
        record = Record(
            Stage.OPEN, new_nonce(), multipart=multipart, reserved=PARTS_MAX // 2
        )
        try:
            number = chain.begin(record)
            size = whole_parts(bucket, found.size)
            parts = copy_parts(bucket, path, found, path, multipart, size)
            tail = self._read(path, found, size) if size < found.size else b""
        except BaseException:
            attempt(lambda: abort_multipart(bucket, path, multipart))
            attempt(lambda: chain.erase(1))
            raise
        copied = replace(record, parts=tuple(parts), reserved=len(parts))
        return Claimed(chain, number, copied, tail)

    def _copy_through(self, path: str, found: Found) -> S3Writer:
        """Copy an object by reading it, for a server that copies no parts."""
        upload = self._writer(self._begin(path))
        stream = RangeStream(Source(self._bucket, path, found.etag), 0, found.size)
        try:
            while data := stream.read(PIECE_BYTES):
                upload.write(data)
        except BaseException:
            attempt(upload.cancel)
            raise
        finally:
            stream.close()
        return upload

    def _read(self, path: str, found: Found, offset: int) -> bytes:
        """The end of the committed object, which must still be the one found."""
        if not found.size:
            return b""
        bucket = self._bucket
        reply = bucket.call(
            "get_object",
            path,
            Key=bucket.key(path),
            IfMatch=quoted(found.etag),
            Range=f"bytes={offset}-",
        )
        with bucket.errors(path), reply["Body"] as body:
            content: bytes = body.read()
        if len(content) != found.size - offset:
            raise PreconditionError("it changed while it was copied", path=path)
        return content

    def _keep(self, chain: Chain) -> None:
        """Make an upload the kept one of its path; the former kept one is dropped."""
        former = self._linked(chain.path)
        if former is not None and former[0] == chain.upload_id:
            return
        key = self._link_key(chain.path)
        self._bucket.put(key, chain.upload_id.encode(), chain.path)
        if former is not None:
            attempt(lambda: self.drop(self.chain(chain.path, former[0])))

    def _unlink(self, chain: Chain) -> None:
        """Remove a path's link, if it is to this upload."""
        linked = self._linked(chain.path)
        if linked is not None and linked[0] == chain.upload_id:
            self._remove_link(chain.path, linked[1])

    def _linked(self, path: str) -> tuple[str, str] | None:
        """The upload that a path's link names, and the link's own ETag."""
        try:
            reply = self._bucket.call("get_object", path, Key=self._link_key(path))
        except PathNotFoundError:
            return None
        with self._bucket.errors(path), reply["Body"] as body:
            upload_id = body.read().decode(errors="replace")
        return (upload_id, reply["ETag"]) if UPLOAD_ID.fullmatch(upload_id) else None

    def _remove_link(self, path: str, etag: str) -> None:
        """Remove a link unless it has changed (where the server heeds that)."""
        key = self._link_key(path)
        attempt(lambda: self._bucket.call("delete_object", path, Key=key, IfMatch=etag))

    def _link_key(self, path: str) -> str:
        return f"{self._bucket.uploads}{path[1:]}/{LINK}"

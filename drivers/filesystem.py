"""Objects as plain files below one directory, as the registry's own driver has them.

ROOT/a/b is the object /a/b, so a tree that a registry wrote can be served, and the
other way round. Besides the objects there is ROOT/~uploads (see `staging`). What the
path grammar does not allow, links, pipes and empty directories do not exist for the
callers of this driver.
"""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import ClassVar

from .commits import Commits
from .contract import (
    Capabilities,
    FileInfo,
    StorageDriver,
    UploadState,
    UploadStatus,
    Walk,
)
from .durable import copy, replace, write_at
from .errors import (
    InvalidParameterError,
    InvalidPathError,
    PathConflictError,
    PathNotFoundError,
    StorageError,
)
from .filelist import FileWalk, Listing, directory_info
from .filereader import FileReader, identity_of, info_of, read_whole
from .filewriter import FileWriter
from .oserrors import OSErrors, from_os_error
from .parameters import Parameter, parse_parameters, text, whole
from .paths import ROOT, join, parent
from .permits import Permits
from .reaper import Reaper
from .refusals import blocked, changed, occupied
from .staging import STAGING, Staged, Uploads
from .standing import check_standing
from .tree import ABSENT, Tree, is_directory, is_object, sync_directory

THREADS_MIN = 25
FILE_PATH_BYTES_MAX = 4_000
"""Longest path that can be stored: the staging names need the rest of PATH_MAX."""


def _threads(value: object) -> int:
    return max(THREADS_MIN, whole(-(1 << 31), (1 << 31) - 1)(value))


def _directory(value: object) -> str:
    name = text(value)
    if not name or "\0" in name:
        raise ValueError("must be the name of a directory")
    return name


PARAMETERS = (
    Parameter(
        "rootdirectory",
        _directory,
        "/var/lib/registry",
        public=True,
        help="directory of all objects; made when it is missing",
    ),
    Parameter(
        "maxthreads",
        _threads,
        100,
        public=True,
        help=f"disk calls at once; fewer than {THREADS_MIN} become {THREADS_MIN}",
    ),
)


class FilesystemDriver(StorageDriver):
    """A store in a directory of a local or network file system.

    Args:
        rootdirectory: directory of all objects; made on demand.
        maxthreads: disk calls at once, at least 25.
        unknown: anything else is refused.

    Raises:
        InvalidParameterError: a parameter is wrong, or the directory is a file.
        AccessDeniedError: the directory may not be made or opened.
    """

    name = "filesystem"
    capabilities = Capabilities(
        identity=True, resume=True, path_bytes_max=FILE_PATH_BYTES_MAX
    )
    public_parameters: ClassVar[frozenset[str]] = frozenset(
        parameter.name for parameter in PARAMETERS if parameter.public
    )

    def __init__(
        self,
        rootdirectory: str = "/var/lib/registry",
        maxthreads: int | str = 100,
        **unknown: object,
    ) -> None:
        given = {"rootdirectory": rootdirectory, "maxthreads": maxthreads, **unknown}
        values = parse_parameters(self.name, PARAMETERS, given)
        self._tree = _open_root(values["rootdirectory"])
        self._permits = Permits(values["maxthreads"])
        self._uploads = Uploads(self._tree, Commits(self._tree))
        self._reaper = Reaper(self._uploads)
        self._listing = Listing(self._tree, self._permits)

    def get_content(self, path: str) -> bytes:
        with self._permits, OSErrors(path):
            source, status = self._open(path)
            try:
                return read_whole(source, status.st_size, path)
            finally:
                os.close(source)

    def put_content(self, path: str, content: bytes | bytearray | memoryview) -> None:
        _check_length(path)
        with self._permits, OSErrors(path):
            staged = join(STAGING, f"~{secrets.token_hex(16)}.put")
            target = self._uploads.create(staged)
            try:
                write_at(target, content, 0)
                now_ns = time.time_ns()
                os.utime(target, ns=(now_ns, now_ns))
                os.fsync(target)
                replace(self._tree, staged, path)
            except BaseException:
                self._tree.unlink(staged)
                raise
            finally:
                os.close(target)
            self._reaper.upload_made()

    def reader(
        self,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        if_match: str | None = None,
    ) -> FileReader:
        with self._permits, OSErrors(path):
            source, status = self._open(path)
            if if_match is not None and if_match != identity_of(status):
                os.close(source)
                raise changed(path)
            return FileReader(source, path, status, offset, length, self._permits)

    def writer(
        self, path: str, append: bool = False, *, upload_id: str | None = None
    ) -> FileWriter:
        _check_length(path)
        with self._permits, OSErrors(path):
            claimed = None
            if upload_id is not None:
                claimed = self._uploads.claim(path, upload_id)
            elif append:
                claimed = self._uploads.claim_kept(path)
            staged, target = claimed or self._begin(path, append)
            size = os.fstat(target).st_size
            return FileWriter(self._uploads, staged, target, size, self._permits)

    def stat(self, path: str) -> FileInfo:
        with self._permits, OSErrors(path):
            status = self._tree.status(path)
            if is_object(status):
                return info_of(path, status)
            if path == ROOT or (is_directory(status) and self._tree.has_object(path)):
                return directory_info(path)
        raise PathNotFoundError(path=path)

    def list(self, path: str) -> list[str]:
        with self._permits, OSErrors(path):
            return self._listing.paths(path)

    def move(self, source: str, destination: str) -> None:
        _check_length(destination)
        with self._permits, OSErrors(destination):
            status = self._tree.status(source)
            if not is_object(status):
                raise PathNotFoundError(path=source)
            try:
                replace(self._tree, source, destination)
            except FileNotFoundError:
                raise PathNotFoundError("it vanished", path=source) from None
            if status.st_nlink > 1 and self._tree.is_same(source, status):
                # Two names of one file, which a rename leaves as they are.
                self._tree.unlink(source)
            self._sync_directory(parent(source))
            self._tree.prune(parent(source))

    def delete(self, path: str) -> None:
        with self._permits, OSErrors(path):
            check_standing()
            found = self._uploads.drop_below(path)
            status = self._tree.status(path)
            if is_object(status):
                found |= self._tree.unlink(path)
            elif is_directory(status) and self._tree.has_object(path):
                self._tree.remove_all(path)
                found = True
            if found:
                self._tree.prune(parent(path))
                return
        raise PathNotFoundError(path=path)

    def walk(self, path: str, start_after: str | None = None) -> Walk:
        return FileWalk(self, self._listing, path, start_after)

    def upload_status(self, path: str, upload_id: str) -> UploadStatus:
        with self._permits, OSErrors(path):
            size = self._uploads.size(path, upload_id)
            if size is not None:
                return UploadStatus(UploadState.OPEN, durable=size)
            # Only now: a commit makes its mark before the staged file goes.
            identity = self._uploads.commits.recall(path, upload_id)
            if identity is not None:
                return UploadStatus(UploadState.COMMITTED, identity=identity)
        return UploadStatus(UploadState.UNKNOWN)

    def close(self) -> None:
        self._tree.close()

    def _open(self, path: str) -> tuple[int, os.stat_result]:
        try:
            source = self._tree.open_file(path, os.O_RDONLY)
        except OSError as error:
            if error.errno in ABSENT:
                raise PathNotFoundError(path=path) from None
            raise
        status = os.fstat(source)
        if not is_object(status):
            os.close(source)
            raise PathNotFoundError(path=path)
        return source, status

    def _check_free(self, path: str) -> None:
        """Refuse an upload that could not be committed, before its bytes come."""
        if is_directory(self._tree.status(path)) and self._tree.has_object(path):
            raise occupied(path)
        try:
            os.close(self._tree.directory(parent(path)))
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno in ABSENT:
                raise blocked(path) from None
            raise

    def _begin(self, path: str, append: bool) -> tuple[Staged, int]:
        """A new upload; with `append` it holds a copy of what is committed."""
        self._check_free(path)
        self._reaper.upload_made()
        staged, target = self._uploads.open(path)
        try:
            if append:
                self._copy_object(path, target)
        except BaseException:
            os.close(target)
            self._uploads.drop(staged)
            raise
        return staged, target

    def _copy_object(self, path: str, target: int) -> None:
        try:
            source, status = self._open(path)
        except PathNotFoundError:
            return
        try:
            copy(source, target, status.st_size)
        finally:
            os.close(source)

    def _sync_directory(self, path: str) -> None:
        try:
            directory = self._tree.directory(path)
        except OSError as error:
            if error.errno in ABSENT:
                return  # pruned by another call just now
            raise
        try:
            sync_directory(directory)
        finally:
            os.close(directory)


def _check_length(path: str) -> None:
    if len(path) > FILE_PATH_BYTES_MAX:
        raise InvalidPathError(
            f"longer than the {FILE_PATH_BYTES_MAX} bytes that files can have",
            path=path,
        )


def _open_root(rootdirectory: str) -> Tree:
    try:
        Path(rootdirectory).mkdir(parents=True, exist_ok=True)
        return Tree(rootdirectory)
    except OSError as error:
        mapped = from_os_error(error)
        if isinstance(error, FileExistsError | NotADirectoryError):
            why: StorageError = InvalidParameterError(
                f"rootdirectory {rootdirectory!r} is, or lies below, something that "
                "is no directory"
            )
        elif isinstance(mapped, InvalidPathError | PathConflictError):
            why = InvalidParameterError(
                f"rootdirectory {rootdirectory!r}: {mapped.detail}"
            )
        else:
            why = type(mapped)(
                f"rootdirectory {rootdirectory!r} cannot be made or opened: "
                f"{mapped.detail}"
            )
        raise why from error

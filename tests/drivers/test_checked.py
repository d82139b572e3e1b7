"""The wrapper: checked arguments, one life of a writer, typed and named errors."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from typing import Any

import pytest

from storagebus.drivers import (
    Capabilities,
    FileInfo,
    Reader,
    StorageDriver,
    UploadStatus,
    Walk,
    Writer,
)
from storagebus.drivers.arguments import EXPIRES_SECONDS_MAX
from storagebus.drivers.checked import Checked, CheckedReader
from storagebus.drivers.errors import (
    DataLossError,
    InvalidOffsetError,
    InvalidParameterError,
    InvalidPathError,
    InvalidStateError,
    PathNotFoundError,
    StorageError,
    StorageFullError,
    UnavailableError,
    UnsupportedMethodError,
)


class Dribble(Reader):
    """A reader that gives three bytes at a time at most."""

    identity = "id-1"

    def __init__(self, data: bytes) -> None:
        self._left = data

    def read(self, size: int | None = -1, /) -> bytes:
        count = min(3, len(self._left) if size is None or size < 0 else size)
        data, self._left = self._left[:count], self._left[count:]
        return data

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Recorder(Writer):
    """Notes what reaches it; fails where it is told to."""

    upload_id = "up-1"
    generation = 4

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.data = b""
        self.failing: set[str] = set()
        self.takes = 1 << 20

    @property
    def size(self) -> int:
        return len(self.data)

    def _note(self, what: str) -> None:
        self.calls.append(what)
        if what in self.failing:
            raise OSError(errno.ENOSPC, "No space left on device", "/srv/secret")

    def write(self, data: bytes | bytearray | memoryview) -> int:
        self._note("write")
        self.data += bytes(data[: self.takes])
        return min(len(data), self.takes)

    def commit(self) -> None:
        self._note("commit")

    def cancel(self) -> None:
        self._note("cancel")

    def close(self) -> None:
        self._note("close")


class Probe(StorageDriver):
    """A driver that raises what it is told to, or hands out the streams above."""

    name = "probe"

    def __init__(self, error: BaseException | None = None, **can: bool) -> None:
        self.capabilities = Capabilities(**can)
        self.error = error
        self.upload = Recorder()
        self.calls: list[tuple[Any, ...]] = []

    def _call(self, *call: Any) -> None:
        self.calls.append(call)
        if self.error is not None:
            raise self.error

    def reader(self, path: str, *rest: Any, **more: Any) -> Reader:
        self._call("reader", path, *rest)
        return Dribble(b"0123456789")

    def writer(self, path: str, *rest: Any, **more: Any) -> Writer:
        self._call("writer", path, *rest)
        return self.upload

    def stat(self, path: str) -> FileInfo:
        self._call("stat", path)
        return FileInfo(path, 0, None, path == "/dir")

    def list(self, path: str) -> list[str]:
        self._call("list", path)
        return []

    def move(self, source: str, destination: str) -> None:
        self._call("move", source, destination)

    def delete(self, path: str) -> None:
        self._call("delete", path)

    def redirect_url(self, path: str, method: str = "GET", expires: int = 1) -> str:
        self._call("redirect_url", path, method, expires)
        return "https://example.com" + path

    def walk(self, path: str, start_after: str | None = None) -> Walk:
        self._call("walk", path, start_after)
        return super().walk(path, start_after)

    def upload_status(self, path: str, upload_id: str) -> UploadStatus:
        self._call("upload_status", path, upload_id)
        return super().upload_status(path, upload_id)

    def close(self) -> None:
        self._call("close")


OPERATIONS: dict[str, Callable[[StorageDriver, Any], object]] = {
    "get_content": lambda driver, path: driver.get_content(path),
    "put_content": lambda driver, path: driver.put_content(path, b""),
    "reader": lambda driver, path: driver.reader(path),
    "writer": lambda driver, path: driver.writer(path),
    "stat": lambda driver, path: driver.stat(path),
    "list": lambda driver, path: driver.list(path),
    "move": lambda driver, path: driver.move(path, "/z"),
    "delete": lambda driver, path: driver.delete(path),
    "redirect_url": lambda driver, path: driver.redirect_url(path),
    "walk": lambda driver, path: driver.walk(path),
    "upload_status": lambda driver, path: driver.upload_status(path, "id"),
}
BAD_PATHS = ("", "a", "/a/", "//a", "/..", "/a b", None, b"/a", 7)


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_bad_path_reaches_the_driver(name: str) -> None:
    driver = Probe()
    for path in BAD_PATHS:
        with pytest.raises(InvalidPathError) as caught:
            OPERATIONS[name](Checked(driver), path)
        assert caught.value.driver == "probe"
    assert driver.calls == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_error_of_the_system_leaves_typed_and_named(name: str) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/srv/secret")
    with pytest.raises(StorageFullError) as caught:
        OPERATIONS[name](Checked(Probe(error)), "/a")
    assert (caught.value.driver, caught.value.path) == ("probe", "/a")
    assert "/srv" not in str(caught.value)


@pytest.mark.parametrize("name", OPERATIONS)
def test_any_other_error_leaves_as_a_storage_error(name: str) -> None:
    with pytest.raises(StorageError, match="KeyError: 'oops'") as caught:
        OPERATIONS[name](Checked(Probe(KeyError("oops"))), "/a")
    assert caught.value.driver == "probe"


def test_a_typed_error_keeps_a_driver_that_it_names() -> None:
    for label, expected in ((None, "probe"), ("s3 behind it", "s3 behind it")):
        error = PathNotFoundError(path="/a", driver=label)
        with pytest.raises(PathNotFoundError) as caught:
            Checked(Probe(error)).stat("/a")
        assert caught.value is error
        assert caught.value.driver == expected


def test_an_interrupt_is_no_storage_error() -> None:
    with pytest.raises(KeyboardInterrupt):
        Checked(Probe(KeyboardInterrupt())).stat("/a")


@pytest.mark.parametrize("bad", [-1, True, 1.0, "1", None])
def test_offsets_and_lengths_are_checked(bad: Any) -> None:
    driver = Probe()
    with pytest.raises(InvalidOffsetError) as caught:
        Checked(driver).reader("/a", bad)
    assert caught.value.path == "/a"
    if bad is not None:
        with pytest.raises(InvalidOffsetError):
            Checked(driver).reader("/a", 0, bad)
    assert driver.calls == []


def test_a_negative_offset_is_told_before_a_bad_path() -> None:
    with pytest.raises(InvalidOffsetError) as caught:
        Checked(Probe()).reader("bad", -1)
    assert caught.value.offset == -1


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda d: d.reader("/a", if_match="x"), UnsupportedMethodError),
        (lambda d: d.reader("/a", if_match=7), InvalidParameterError),
        (lambda d: d.writer("/a", upload_id="x"), UnsupportedMethodError),
        (lambda d: d.writer("/a", upload_id=""), InvalidParameterError),
        (lambda d: d.writer("/a", upload_id="x" * 257), InvalidParameterError),
        (lambda d: d.writer("/a", upload_id="ü"), InvalidParameterError),
        (lambda d: d.writer("/a", 1), InvalidParameterError),
        (lambda d: d.put_content("/a", "text"), InvalidParameterError),
        (lambda d: d.redirect_url("/a", "GET", 0), InvalidParameterError),
        (lambda d: d.redirect_url("/a", "GET", True), InvalidParameterError),
        (
            lambda d: d.redirect_url("/a", "GET", EXPIRES_SECONDS_MAX + 1),
            InvalidParameterError,
        ),
        (lambda d: d.walk("/", "a"), InvalidPathError),
        (lambda d: d.walk("/", 7), InvalidPathError),
        (lambda d: d.walk("/", "/" + "a" * 5000), InvalidPathError),
        (lambda d: d.upload_status("/a", 7), InvalidParameterError),
    ],
)
def test_other_arguments_are_checked(
    call: Callable[[StorageDriver], object], error: type[StorageError]
) -> None:
    driver = Probe()
    with pytest.raises(error):
        call(Checked(driver))
    assert driver.calls == []


def test_a_url_is_asked_for_with_get_and_head_only() -> None:
    driver = Checked(Probe())
    assert driver.redirect_url("/a", "GET") == "https://example.com/a"
    assert driver.redirect_url("/a", "HEAD") == "https://example.com/a"
    assert driver.redirect_url("/a", "PUT") is None


def test_a_move_onto_itself_only_looks_for_the_source() -> None:
    driver = Probe()
    Checked(driver).move("/a", "/a")
    assert driver.calls == [("stat", "/a")]
    with pytest.raises(PathNotFoundError):
        Checked(driver).move("/dir", "/dir")


def test_start_after_a_directory_stands_for_its_walk_key() -> None:
    driver = Probe()
    for given, passed in (("/dir", "/dir/"), ("/a", "/a"), ("/x/", "/x/")):
        Checked(driver).walk("/", given)
        assert driver.calls[-2:][0] == ("walk", "/", passed)


VIEW = memoryview(bytes(range(6)))


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (b"bytes", b"bytes"),
        (bytearray(b"array"), b"array"),
        (VIEW[1:4], bytes([1, 2, 3])),
        (VIEW[::2], bytes([0, 2, 4])),
        (VIEW[::-1], bytes([5, 4, 3, 2, 1, 0])),
        (VIEW.cast("B", [2, 3]), bytes(range(6))),
        (memoryview(bytes(4)).cast("I"), bytes(4)),
    ],
)
def test_every_kind_of_buffer_counts_in_bytes(given: Any, stored: bytes) -> None:
    driver = Probe()
    upload = Checked(driver).writer("/a")
    assert upload.write(given) == len(stored)
    assert driver.upload.data == stored


def test_reads_are_full_until_the_end() -> None:
    with Checked(Probe()).reader("/a") as stream:
        assert stream.identity == "id-1"
        assert stream.read(7) == b"0123456"
        assert stream.read(7) == b"789"
        assert stream.read(7) == b""
    assert Checked(Probe()).reader("/a").read() == b"0123456789"
    assert Checked(Probe()).reader("/a").read1() == b"0123456789"
    buffer = bytearray(8)
    stream = Checked(Probe()).reader("/a")
    assert (stream.readinto(buffer), bytes(buffer)) == (8, b"01234567")
    assert (stream.readinto(buffer), bytes(buffer[:2])) == (2, b"89")
    assert stream.readinto(buffer) == 0


class Breaks(Dribble):
    """Fails once, when four bytes are left of ten."""

    def __init__(self) -> None:
        super().__init__(b"0123456789")
        self.fails = True

    def read(self, size: int | None = -1, /) -> bytes:
        if len(self._left) == 4 and self.fails:
            self.fails = False
            raise UnavailableError("the store does not answer")
        return super().read(size)


@pytest.mark.parametrize(
    "read",
    [
        lambda stream: stream.read(7),
        lambda stream: stream.read(),
        lambda stream: stream.readinto(bytearray(7)),
    ],
)
def test_a_read_that_fails_with_some_bytes_leaves_no_silent_gap(
    read: Callable[[Reader], Any],
) -> None:
    with CheckedReader(Breaks(), "/a", "probe") as stream:
        with pytest.raises(UnavailableError):
            read(stream)
        for again in (lambda: stream.read(1), lambda: stream.readinto(bytearray(1))):
            with pytest.raises(InvalidStateError, match="open the object again"):
                again()


def test_a_read_that_fails_with_nothing_may_be_repeated() -> None:
    with CheckedReader(Breaks(), "/a", "probe") as stream:
        assert stream.read(6) == b"012345"
        with pytest.raises(UnavailableError):
            stream.read(3)
        assert stream.read(4) == b"6789"


def test_a_reader_is_closed_once() -> None:
    stream = Checked(Probe()).reader("/a")
    stream.close()
    stream.close()
    assert stream.closed
    for use in (stream.read, lambda: stream.readinto(bytearray(1))):
        with pytest.raises(InvalidStateError):
            use()


END_THEN_USE = [
    (end, use) for end in ("commit", "cancel", "close") for use in ("write", "commit",
    "cancel")
]  # fmt: skip


def use_of(upload: Writer, name: str) -> None:
    if name == "write":
        upload.write(b"late")
    else:
        getattr(upload, name)()


@pytest.mark.parametrize(("end", "use"), END_THEN_USE)
def test_after_its_end_a_writer_is_of_no_use(end: str, use: str) -> None:
    driver = Probe()
    upload = Checked(driver).writer("/a")
    use_of(upload, end)
    with pytest.raises(InvalidStateError) as caught:
        use_of(upload, use)
    assert (caught.value.path, caught.value.driver) == ("/a", "probe")
    upload.close()
    upload.close()
    assert driver.upload.calls == [end]


def test_a_failed_commit_leaves_the_writer_open() -> None:
    driver = Probe()
    driver.upload.failing.add("commit")
    upload = Checked(driver).writer("/a")
    with pytest.raises(StorageFullError):
        upload.commit()
    upload.cancel()
    assert driver.upload.calls == ["commit", "cancel"]


@pytest.mark.parametrize(
    ("leave", "calls"),
    [
        (lambda upload: None, ["close"]),
        (lambda upload: upload.commit(), ["commit"]),
        (lambda upload: upload.close(), ["close"]),
        (lambda upload: 1 / 0, ["cancel"]),
        (lambda upload: (upload.commit(), 1 / 0), ["commit"]),
    ],
)
def test_how_a_block_ends(leave: Callable[[Writer], Any], calls: list[str]) -> None:
    driver = Probe()
    try:
        with Checked(driver).writer("/a") as upload:
            leave(upload)
    except ZeroDivisionError:
        pass
    assert driver.upload.calls == calls


def test_a_writer_tells_what_the_driver_s_tells() -> None:
    upload = Checked(Probe()).writer("/a")
    assert (upload.upload_id, upload.generation) == ("up-1", 4)
    upload.write(b"12345")
    assert (upload.size, upload.durable) == (5, 0)


class Answers(Reader):
    """A reader that answers with whatever it was given, in place of bytes."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def read(self, size: int | None = -1, /) -> Any:
        return self.answer

    def readinto(self, buffer: Any, /) -> Any:
        return self.answer


@pytest.mark.parametrize("answer", ["text", None, b"12345", 7, bytearray(5)])
def test_a_reader_that_gives_no_bytes_or_too_many_is_found_out(answer: Any) -> None:
    stream = CheckedReader(Answers(answer), "/a", "acme")
    with pytest.raises(StorageError, match="where 4 bytes at most") as caught:
        stream.read(4)
    assert (caught.value.path, caught.value.driver) == ("/a", "acme")
    with pytest.raises(InvalidStateError):
        stream.read(4)


def test_a_reader_that_fills_more_than_there_is_is_found_out() -> None:
    stream = CheckedReader(Answers(5), "/a", "acme")
    with pytest.raises(StorageError, match="gave 5 bytes where 4 bytes at most"):
        stream.readinto(bytearray(4))
    with pytest.raises(InvalidStateError):
        stream.readinto(bytearray(4))


def test_bytes_in_another_guise_are_taken() -> None:
    assert CheckedReader(Answers(bytearray(b"ab")), "/a", "acme").read(2) == b"ab"
    assert CheckedReader(Answers(memoryview(b"ab")), "/a", "acme").read(2) == b"ab"


def test_a_short_write_is_no_silent_gap() -> None:
    driver = Probe()
    upload = Checked(driver).writer("/a")
    driver.upload.takes = 3
    with pytest.raises(DataLossError, match="took 3 of 5 bytes"):
        upload.write(b"12345")


def test_lines_and_reads_of_all_kinds_may_follow_one_another() -> None:
    data = b"".join(b"%d\n" % (7**number) for number in range(3_000))
    stream = CheckedReader(io.BytesIO(data), "/a", "acme")  # type: ignore[arg-type]
    lines = data.splitlines(keepends=True)
    assert stream.readline() == lines[0]
    assert stream.peek().startswith(lines[1])
    assert stream.read(len(lines[1])) == lines[1]
    buffer = bytearray(len(lines[2]) + 20_000)
    assert stream.readinto(buffer) == len(buffer)
    got = b"".join(lines[:2]) + buffer + stream.readline(5)
    assert got + b"".join(stream) == data
    assert (stream.peek(), stream.readline(), stream.read()) == (b"", b"", b"")
    with pytest.raises(InvalidParameterError):
        stream.readinto(b"a constant")


def test_a_line_is_not_read_byte_by_byte() -> None:
    reads = 0

    class Counted(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal reads
            reads += 1
            return super().read(size)

    stream = CheckedReader(Counted(bytes(80_000)), "/a", "acme")  # type: ignore[arg-type]
    assert len(stream.readline()) == 80_000
    assert reads < 20

"""Streams of an object's bytes."""

from __future__ import annotations

import io
import shutil

from ..errors import DataLossError, InvalidOffsetError, PathNotFoundError
from . import expect
from .case import Case
from .data import compare_stream
from .requirement import KIB, MIB, Topic

topic = Topic("reader")


@topic.requirement()
def offsets(case: Case) -> None:
    """A reader starts at its offset: at each of three chunks, at the last byte."""
    path = case.path("object")
    data = case.put(path, 96)
    for offset in (0, 1, 31, 32, 64, 95):
        with case.reader(path, offset) as stream:
            expect.content(stream.read(), data[offset:], f"reader from {offset}")


@topic.requirement()
def past_the_end(case: Case) -> None:
    """An offset at the end or past it gives an empty stream."""
    path = case.path("object")
    case.put(path, 96)
    for offset in (96, 97, 4096, 1 << 40):
        with case.reader(path, offset) as stream:
            expect.content(stream.read(), b"", f"reader from {offset}")
            expect.content(stream.read(10), b"", f"second read from {offset}")
    case.driver.put_content(case.path("empty"), b"")
    with case.reader(case.path("empty")) as stream:
        expect.content(stream.read(1), b"", "reader of an empty object")


@topic.requirement()
def negative_offset(case: Case) -> None:
    """A negative offset is an InvalidOffsetError with path and offset."""
    path = case.path("object")
    case.put(path)
    for offset in (-1, -(1 << 40)):
        expect.raises(
            InvalidOffsetError,
            case.driver.reader,
            path,
            offset,
            path=path,
            offset=offset,
        )


@topic.requirement()
def negative_length(case: Case) -> None:
    """A negative length is an InvalidOffsetError."""
    path = case.path("object")
    case.put(path)
    expect.raises(InvalidOffsetError, case.driver.reader, path, 0, -1, path=path)


@topic.requirement()
def offset_must_be_whole(case: Case) -> None:
    """An offset or length that is no whole number is an InvalidOffsetError."""
    path = case.path("object")
    case.put(path)
    for given in ("1", 1.5, True):
        expect.raises(InvalidOffsetError, case.driver.reader, path, given)
        expect.raises(InvalidOffsetError, case.driver.reader, path, 0, given)


@topic.requirement()
def lengths(case: Case) -> None:
    """A length bounds the stream: none, some, all, and more than there is."""
    path = case.path("object")
    data = case.put(path, 96)
    for offset, length in (
        (0, 0),
        (0, 1),
        (10, 32),
        (64, 32),
        (64, 33),
        (95, 9),
        (96, 1),
    ):
        with case.reader(path, offset, length) as stream:
            what = f"reader from {offset}, length {length}"
            expect.content(stream.read(), data[offset : offset + length], what)
            expect.content(stream.read(1), b"", f"{what}, at its end")


@topic.requirement()
def random_ranges(case: Case) -> None:
    """Sixty random ranges of an object give just its bytes there."""
    path = case.path("object")
    data = case.put(path, 300 * KIB)
    for _ in range(60):
        offset = case.random.randrange(len(data) + 100)
        length = case.random.choice((1, 100, 4 * KIB, 65 * KIB, 400 * KIB))
        with case.reader(path, offset, length) as stream:
            what = f"reader from {offset}, length {length}"
            expect.content(
                stream.read(), data[offset : offset + length], what, offset=offset
            )


@topic.requirement()
def reads_are_full(case: Case) -> None:
    """read(n) gives n bytes until the end, whatever n is."""
    path = case.path("object")
    content = case.content(MIB)
    case.driver.put_content(path, bytes(content))
    for piece in (4093, 64 * KIB, 100_003, 900_000, 2 * MIB):
        with case.reader(path) as stream:
            what = f"reads of {piece} bytes of {path}"
            compare_stream(stream, content, what, piece=piece)


@topic.requirement()
def reads_everything(case: Case) -> None:
    """read(), read(-1) and read(None) give all that is left; read(0) gives nothing."""
    path = case.path("object")
    data = case.put(path, 200 * KIB)
    for arguments in ((), (-1,), (None,)):
        with case.reader(path) as stream:
            expect.content(stream.read(0), b"", "read(0)")
            expect.content(stream.read(1000), data[:1000], "read(1000)")
            got = stream.read(*arguments)
            expect.content(got, data[1000:], f"read{arguments}", offset=1000)


@topic.requirement()
def reads_into_buffers(case: Case) -> None:
    """readinto fills the buffer until the end, and says how much it filled."""
    path = case.path("object")
    data = case.put(path, 150 * KIB)
    got = bytearray()
    buffer = bytearray(64 * KIB)
    with case.reader(path) as stream:
        while count := stream.readinto(buffer):
            got += buffer[:count]
            full = count == len(buffer) or len(got) == len(data)
            expect.that(full, f"readinto gave {count} bytes before the end")
    expect.content(bytes(got), data, "readinto")


@topic.requirement()
def is_a_binary_file(case: Case) -> None:
    """A reader works wherever Python takes a readable binary file object."""
    path = case.path("object")
    data = case.put(path, 100 * KIB)
    stream = case.reader(path)
    expect.equal((stream.readable(), stream.closed), (True, False), "readable, closed")
    copy = io.BytesIO()
    shutil.copyfileobj(stream, copy)
    expect.content(copy.getvalue(), data, "copyfileobj")
    # Few bytes only: Python looks for the end of a line byte by byte.
    with case.reader(path, length=4 * KIB) as stream:
        expect.content(b"".join(stream), data[: 4 * KIB], "iteration over lines")
    expect.that(stream.closed, "closed is False after the with block")


@topic.requirement()
def missing(case: Case) -> None:
    """Opening what does not exist is a PathNotFoundError, at any offset."""
    path = case.path("missing")
    for offset in (0, 64):
        expect.raises(PathNotFoundError, case.driver.reader, path, offset, path=path)


@topic.requirement()
def directory_is_no_object(case: Case) -> None:
    """Opening a directory is a PathNotFoundError."""
    case.put(case.path("directory", "object"))
    path = case.path("directory")
    expect.raises(PathNotFoundError, case.driver.reader, path, path=path)


@topic.requirement(streams=3)
def readers_are_independent(case: Case) -> None:
    """Readers of one object, read in turns, each keep their own place."""
    path = case.path("object")
    data = case.put(path, 90 * KIB)
    places = [0, 7, 40 * KIB]
    streams = [case.reader(path, place) for place in places]
    for _ in range(30):
        at = case.random.randrange(3)
        size = case.random.randrange(1, 2000)
        wanted = data[places[at] : places[at] + size]
        got = streams[at].read(size)
        expect.content(got, wanted, f"reader {at + 1}", offset=places[at])
        places[at] += size


def _rest_is_old_or_typed(case: Case, how: str) -> None:
    """Open, read a part, change the path: the rest is the old, or DataLossError."""
    path = case.path(how)
    data = case.put(path, 2 * MIB)
    stream = case.reader(path)
    expect.content(stream.read(1000), data[:1000], "start of the stream")
    if how == "deleted":
        case.driver.delete(path)
    elif how == "put":
        case.put(path, 2 * MIB)
    elif how == "shortened":
        case.put(path, 10)
    else:
        case.commit(path, case.data(2 * MIB))
    try:
        rest = stream.read()
    except DataLossError as error:
        expect.well_formed(error, f"read of an object that was {how}")
        return
    expect.content(rest, data[1000:], f"rest of what was {how}", offset=1000)


@topic.requirement(object_bytes=2 * MIB)
def overwritten_object_stays_whole(case: Case) -> None:
    """A reader of an object that is overwritten gives the old bytes or DataLossError,
    never a mixture."""
    for how in ("put", "shortened", "committed"):
        _rest_is_old_or_typed(case, how)


@topic.requirement(object_bytes=2 * MIB)
def deleted_object_stays_whole(case: Case) -> None:
    """A reader of an object that is deleted gives its bytes or DataLossError."""
    _rest_is_old_or_typed(case, "deleted")

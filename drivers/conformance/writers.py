"""Uploads from their opening to their commit."""

from __future__ import annotations

from ..errors import InvalidParameterError, PathNotFoundError
from . import expect
from .case import Case
from .content import SAMPLES
from .data import compare_stream
from .requirement import GIB, KIB, MIB, Check, Requirement, Tier, Topic

topic = Topic("writer")


def _round_trip(sample: bytes | int) -> Check:
    def check(case: Case) -> None:
        data = case.data(sample) if isinstance(sample, int) else sample
        path = case.path("object")
        upload = case.writer(path)
        expect.equal(upload.write(data), len(data), "result of write")
        upload.commit()
        upload.close()
        case.holds(path, data)
        with case.reader(path) as stream:
            expect.content(stream.read(), data, f"stream of {path}")

    return check


for _slug, (_words, _sample) in SAMPLES.items():
    topic.add(
        Requirement(
            f"writer.{_slug}",
            f"What is written to a stream comes back unchanged: {_words}.",
            _round_trip(_sample),
        )
    )


@topic.requirement()
def uncommitted_is_invisible(case: Case) -> None:
    """Nothing of an upload is visible before its commit, kept or not."""
    path = case.path("directory", "object")
    upload = case.writer(path)
    case.absent(path)
    upload.write(case.data(MIB))
    case.absent(path)
    case.absent(case.path("directory"))
    upload.close()
    case.absent(path)
    case.absent(case.path("directory"))


@topic.requirement()
def old_content_stays_until_the_commit(case: Case) -> None:
    """A writer over an object leaves the old content readable until it commits."""
    path = case.path("object")
    old, new = case.put(path, 1000), case.data(700)
    upload = case.writer(path)
    case.holds(path, old, "after the writer was opened")
    upload.write(new)
    case.holds(path, old, "after the write")
    upload.commit()
    case.holds(path, new, "after the commit")
    upload.close()
    case.holds(path, new, "after the close")


@topic.requirement()
def old_content_survives_a_close(case: Case) -> None:
    """Closing a writer without a commit leaves the old content as it was."""
    path = case.path("object")
    old = case.put(path, 1000)
    case.keep(path, case.data(700))
    case.holds(path, old)


@topic.requirement()
def cancel_leaves_the_old_content(case: Case) -> None:
    """Cancelling a writer leaves the old content as it was."""
    path = case.path("object")
    old = case.put(path, 1000)
    upload = case.writer(path)
    upload.write(case.data(2000))
    upload.cancel()
    case.holds(path, old)


@topic.requirement()
def cancel_leaves_nothing(case: Case) -> None:
    """A cancelled upload leaves neither an object nor a directory."""
    path = case.path("directory", "object")
    upload = case.writer(path)
    upload.write(case.data(MIB))
    upload.cancel()
    case.absent(path)
    case.absent(case.path("directory"))


@topic.requirement()
def commit_replaces_all(case: Case) -> None:
    """A committed upload replaces a longer object whole."""
    path = case.path("object")
    case.put(path, MIB)
    data = case.data(100)
    case.commit(path, data)
    case.holds(path, data)


@topic.requirement()
def commit_of_nothing(case: Case) -> None:
    """A commit without a write makes an empty object, over an old one too."""
    path = case.path("object")
    for _ in range(2):
        upload = case.writer(path)
        upload.commit()
        upload.close()
        case.holds(path, b"")
        case.put(path, 100)


@topic.requirement()
def size_counts_every_byte(case: Case) -> None:
    """size is the number of bytes accepted, after each write and after the end."""
    upload = case.writer(case.path("object"))
    expect.equal(upload.size, 0, "size of a new writer")
    total = 0
    for size in (1, 0, 31, 5000, 64 * KIB + 1):
        expect.equal(upload.write(case.data(size)), size, "result of write")
        total += size
        expect.equal(upload.size, total, f"size after a write of {size} bytes")
    upload.commit()
    upload.close()
    expect.equal(upload.size, total, "size after commit and close")


@topic.requirement()
def durable_is_part_of_size(case: Case) -> None:
    """durable is between 0 and size, and never falls."""
    upload = case.writer(case.path("object"))
    before = 0
    for _ in range(5):
        upload.write(case.data(10 * KIB))
        durable = upload.durable
        within = before <= durable <= upload.size
        expect.that(within, f"durable is {durable}, not {before} to {upload.size}")
        before = durable


@topic.requirement()
def many_small_writes(case: Case) -> None:
    """Two thousand writes of 0 to 50 bytes make one object in their order."""
    path = case.path("object")
    pieces = [case.data(case.random.randint(0, 50)) for _ in range(2000)]
    upload = case.writer(path)
    for piece in pieces:
        upload.write(piece)
    expect.equal(upload.size, sum(map(len, pieces)), "size")
    upload.commit()
    upload.close()
    case.holds(path, b"".join(pieces))


@topic.requirement()
def takes_any_buffer(case: Case) -> None:
    """A bytearray and slices of a memoryview can be written like bytes."""
    path = case.path("object")
    data = case.data(300)
    upload = case.writer(path)
    upload.write(bytearray(data[:100]))
    upload.write(memoryview(data)[100:200])
    upload.write(memoryview(bytearray(b"x" + data[200:]))[1:])
    upload.commit()
    upload.close()
    case.holds(path, data)


@topic.requirement()
def takes_a_copy(case: Case) -> None:
    """A buffer may be used again after write returned."""
    path = case.path("object")
    data = case.data(64 * KIB)
    buffer = bytearray(8 * KIB)
    upload = case.writer(path)
    for start in range(0, len(data), len(buffer)):
        buffer[:] = data[start : start + len(buffer)]
        upload.write(buffer)
    buffer[:] = bytes(len(buffer))
    upload.commit()
    upload.close()
    case.holds(path, data)


@topic.requirement()
def refuses_text(case: Case) -> None:
    """A write of anything but bytes is an InvalidParameterError and adds nothing."""
    path = case.path("object")
    data = case.data()
    upload = case.writer(path)
    upload.write(data)
    for given in ("text", None, 7):
        expect.raises(InvalidParameterError, upload.write, given)
    upload.commit()
    upload.close()
    case.holds(path, data)


@topic.requirement()
def with_block_closes(case: Case) -> None:
    """A with block that ends without a commit keeps the upload invisible."""
    path = case.path("object")
    data = case.data()
    with case.driver.writer(path) as upload:
        upload.write(data)
    case.absent(path)
    with case.driver.writer(path, append=True) as upload:
        upload.commit()
    case.holds(path, data)


@topic.requirement()
def with_block_cancels_on_an_exception(case: Case) -> None:
    """A with block that is left by an exception drops the upload."""
    path = case.path("object")

    class Interruption(Exception):
        pass

    try:
        with case.driver.writer(path) as upload:
            upload.write(case.data())
            raise Interruption
    except Interruption:
        pass
    case.absent(path)
    upload = case.writer(path, append=True)
    expect.equal(upload.size, 0, "size of a writer that appends after the cancel")


@topic.requirement()
def path_may_be_written_again(case: Case) -> None:
    """After commit, cancel and close alike, a new writer starts from nothing."""
    path = case.path("object")
    case.commit(path, case.data(500))
    case.writer(path).cancel()
    case.keep(path, case.data(100))
    upload = case.writer(path)
    expect.equal(upload.size, 0, "size of a new writer")
    data = case.data(50)
    upload.write(data)
    upload.commit()
    upload.close()
    case.holds(path, data)


@topic.requirement()
def missing_stream(case: Case) -> None:
    """A path that was only opened for writing and cancelled is PathNotFoundError."""
    path = case.path("object")
    case.writer(path).cancel()
    expect.raises(PathNotFoundError, case.driver.reader, path, path=path)


def _large_stream(case: Case, size: int, piece: int) -> None:
    path = case.path("object")
    content = case.content(size)
    upload = case.writer(path)
    for data in content.pieces(piece):
        upload.write(data)
    expect.equal(upload.size, size, "size")
    upload.commit()
    upload.close()
    expect.equal(case.driver.stat(path).size, size, f"size in stat of {path}")
    with case.reader(path) as stream:
        compare_stream(stream, content, f"stream of {path}", piece=piece)


@topic.requirement(object_bytes=16 * MIB)
def large_stream(case: Case) -> None:
    """16 MiB written and read in pieces of an odd size come back unchanged."""
    _large_stream(case, 16 * MIB, 700_001)


@topic.requirement(tier=Tier.LONG, object_bytes=5 * GIB)
def five_gibibyte_stream(case: Case) -> None:
    """5 GiB written and read in pieces of 1 MiB come back unchanged."""
    _large_stream(case, 5 * GIB, MIB)

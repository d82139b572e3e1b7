"""Many callers at once."""

from __future__ import annotations

from functools import partial

from ..contract import StorageDriver
from ..errors import PathNotFoundError
from . import expect
from .case import Case
from .data import compare_stream
from .requirement import KIB, MIB, Tier, Topic

topic = Topic("concurrent")

THREADS = 8


def _reads(case: Case, size: int, readers: int) -> None:
    path = case.path("object")
    content = case.content(size)
    upload = case.writer(path)
    for data in content.pieces(MIB):
        upload.write(data)
    upload.commit()
    upload.close()

    def read(offset: int) -> None:
        with case.driver.reader(path, offset) as stream:
            what = f"reader from {offset} of {path}"
            compare_stream(stream, content, what, offset=offset, piece=200_003)

    offsets = [case.random.randrange(size) for _ in range(readers)]
    case.together([partial(read, offset) for offset in offsets])


@topic.requirement(object_bytes=4 * MIB, streams=10)
def readers(case: Case) -> None:
    """Ten readers of one object of 4 MiB, from random offsets at once, all agree."""
    _reads(case, 4 * MIB, 10)


@topic.requirement(tier=Tier.LONG, object_bytes=128 * MIB, streams=10)
def readers_of_128_mebibytes(case: Case) -> None:
    """Ten readers of one object of 128 MiB, from random offsets at once, all agree."""
    _reads(case, 128 * MIB, 10)


def _streams(case: Case, count: int, size: int) -> None:
    contents = [case.content(size + at) for at in range(count)]

    def write_and_read(at: int) -> None:
        path = case.path(f"object-{at}")
        with case.driver.writer(path) as upload:
            for data in contents[at].pieces(300_007):
                upload.write(data)
            upload.commit()
        with case.driver.reader(path) as stream:
            what = f"stream of {path}"
            compare_stream(stream, contents[at], what, piece=256 * KIB)

    case.together([partial(write_and_read, at) for at in range(count)])


@topic.requirement(object_bytes=MIB + 8, streams=8)
def streams(case: Case) -> None:
    """Eight uploads of 1 MiB at once, each read back, do not mix."""
    _streams(case, 8, MIB)


@topic.requirement(tier=Tier.LONG, object_bytes=32 * MIB + 32, streams=32)
def streams_of_32_mebibytes(case: Case) -> None:
    """Thirty-two uploads of 32 MiB at once, each read back, do not mix."""
    _streams(case, 32, 32 * MIB)


@topic.requirement(streams=12)
def interleaved_writers(case: Case) -> None:
    """Twelve writers that one thread writes to in turns do not mix."""
    contents = {case.path(f"object-{at}"): b"" for at in range(12)}
    uploads = {path: case.writer(path) for path in contents}
    for _ in range(8):
        for path in case.random.sample(sorted(contents), len(contents)):
            piece = case.data(case.random.randrange(1, 3000))
            uploads[path].write(piece)
            contents[path] += piece
    for path, data in contents.items():
        uploads[path].commit()
        uploads[path].close()
        case.holds(path, data)


@topic.requirement()
def puts_to_one_path(case: Case) -> None:
    """Puts to one path at once leave one whole content, and readers see whole ones."""
    path = case.path("object")
    contents = [case.data(20 * KIB + at) for at in range(THREADS * 4)]
    case.driver.put_content(path, contents[0])
    valid = set(contents)

    def put(start: int) -> None:
        for data in contents[start::THREADS]:
            case.driver.put_content(path, data)

    def read() -> None:
        for _ in range(12):
            _one_of(case.driver, path, valid)

    case.together([partial(put, at) for at in range(THREADS)] + [read, read])
    _one_of(case.driver, path, valid)


def _one_of(driver: StorageDriver, path: str, valid: set[bytes]) -> None:
    got = driver.get_content(path)
    whole = got in valid
    expect.that(whole, f"{path} holds {len(got)} bytes that nobody put as a whole")


@topic.requirement(streams=THREADS)
def commits_to_one_path(case: Case) -> None:
    """Uploads to one path that commit at once leave one whole content."""
    path = case.path("object")
    contents = [case.data(50 * KIB + at) for at in range(THREADS)]

    def upload(data: bytes) -> None:
        with case.driver.writer(path) as writer:
            for start in range(0, len(data), 10_007):
                writer.write(data[start : start + 10_007])
            writer.commit()

    case.together([partial(upload, data) for data in contents])
    _one_of(case.driver, path, set(contents))


@topic.requirement()
def coming_and_going_directory(case: Case) -> None:
    """Puts and deletes in one directory, which comes and goes with them, all work."""

    def come_and_go(at: int) -> None:
        path = case.path("a", "b", f"object-{at}")
        for number in range(15):
            data = b"%d of %d" % (number, at)
            case.driver.put_content(path, data)
            expect.content(case.driver.get_content(path), data, path)
            case.driver.delete(path)

    case.together([partial(come_and_go, at) for at in range(THREADS)])
    case.absent(case.path("a"))


@topic.requirement()
def listing_while_changing(case: Case) -> None:
    """Lists and walks during changes show all that stays, in order, without errors."""
    stays = [case.path("d", f"{at:02}-stays") for at in range(10)]
    for path in stays:
        case.put(path)

    names = [(number, at) for number in range(12) for at in range(4)]
    comes = {case.path("d", f"{number:02}-{at}") for number, at in names}
    known = {*stays, *comes, *(path + "-moved" for path in comes)}

    def change(at: int) -> None:
        for number in range(12):
            path = case.path("d", f"{number:02}-{at}")
            case.driver.put_content(path + "/object", b"x")
            case.driver.move(path + "/object", path + "-moved")
            case.driver.delete(path + "-moved")

    def look() -> None:
        for _ in range(8):
            listed = case.driver.list(case.path("d"))
            expect.equal(listed, sorted(set(listed)), "order of the list")
            walked = [info.path for info in case.driver.walk(case.path("d"))]
            direct = [path for path in walked if not path.endswith("/object")]
            for what, paths in (("list", listed), ("walk", direct)):
                kept = [path for path in paths if path.endswith("stays")]
                expect.equal(kept, stays, f"{what} of what stays")
                strangers = sorted(set(paths) - known)
                expect.equal(strangers, [], f"names in the {what} that nobody stored")

    case.together([partial(change, at) for at in range(4)] + [look, look])
    expect.equal(case.driver.list(case.path("d")), stays, "list at the end")


@topic.requirement()
def everything_at_once(case: Case) -> None:
    """Threads that each work in a directory of their own never see one another."""

    def work(at: int) -> None:
        mine = case.path(f"thread-{at}")
        source, destination = f"{mine}/source", f"{mine}/sub/destination"
        for number in range(6):
            data = b"%d in round %d " % (at, number) * 50
            case.driver.put_content(source, data)
            case.driver.move(source, destination)
            got = case.driver.get_content(destination)
            expect.content(got, data, destination)
            with case.driver.writer(destination, append=True) as upload:
                upload.write(b"more")
                upload.commit()
            size = case.driver.stat(destination).size
            expect.equal(size, len(data) + 4, f"size of {destination}")
            expect.equal(case.driver.list(mine), [f"{mine}/sub"], f"list of {mine}")
            case.driver.delete(mine)
            expect.raises(PathNotFoundError, case.driver.stat, mine, path=mine)

    case.together([partial(work, at) for at in range(THREADS)])

"""`writer(append=True)`: kept uploads are continued, committed objects copied."""

from __future__ import annotations

from ..errors import PathNotFoundError
from . import expect
from .case import TOP_PREFIX, Case
from .data import compare_stream
from .requirement import KIB, MIB, Tier, Topic

topic = Topic("append")


def _in_three_sessions(case: Case, chunk: int, piece: int) -> None:
    """Two sessions that close, a third that commits; size is right in each."""
    path = case.path("object")
    content = case.content(3 * chunk)
    for session in range(3):
        upload = case.writer(path, append=session > 0)
        at = session * chunk
        expect.equal(upload.size, at, f"size at the start of session {session + 1}")
        while at < (session + 1) * chunk:
            data = content.read(at, min(piece, (session + 1) * chunk - at))
            upload.write(data)
            at += len(data)
        expect.equal(upload.size, at, f"size at the end of session {session + 1}")
        if session == 2:
            upload.commit()
        upload.close()
        expect.equal(upload.size, at, f"size after session {session + 1}")
    with case.reader(path) as stream:
        compare_stream(stream, content, f"stream of {path}", piece=piece)


@topic.requirement()
def small_chunks(case: Case) -> None:
    """Chunks of 32 bytes of three sessions make one object; size counts them all."""
    _in_three_sessions(case, 32, 32)


@topic.requirement(object_bytes=3 * MIB)
def large_chunks(case: Case) -> None:
    """Chunks of 1 MiB and one byte of three sessions make one object."""
    _in_three_sessions(case, MIB + 1, 100_003)


@topic.requirement(tier=Tier.LONG, object_bytes=30 * MIB)
def ten_mebibyte_chunks(case: Case) -> None:
    """Chunks of 10 MiB of three sessions make one object."""
    _in_three_sessions(case, 10 * MIB, MIB)


@topic.requirement()
def to_nothing(case: Case) -> None:
    """Appending to a path where nothing is starts an empty upload."""
    path = case.path("object")
    upload = case.writer(path, append=True)
    expect.equal(upload.size, 0, "size")
    data = case.data()
    upload.write(data)
    case.absent(path)
    upload.commit()
    upload.close()
    case.holds(path, data)


@topic.requirement()
def to_a_committed_object(case: Case) -> None:
    """Appending to an object starts from a copy; the old stays until the commit."""
    path = case.path("object")
    old, more = case.put(path, 70 * KIB), case.data(33)
    upload = case.writer(path, append=True)
    expect.equal(upload.size, len(old), "size at the start")
    upload.write(more)
    expect.equal(upload.size, len(old) + len(more), "size after the write")
    case.holds(path, old, "before the commit")
    upload.commit()
    upload.close()
    case.holds(path, old + more, "after the commit")


@topic.requirement()
def to_a_committed_object_cancelled(case: Case) -> None:
    """Cancelling an append leaves the committed object as it was."""
    path = case.path("object")
    old = case.put(path, 1000)
    upload = case.writer(path, append=True)
    upload.write(case.data())
    upload.cancel()
    case.holds(path, old)
    case.keep(path, case.data(5), append=True)
    case.holds(path, old)


@topic.requirement()
def to_an_empty_stream(case: Case) -> None:
    """An object committed empty by a writer can be appended to."""
    path = case.path("object")
    case.commit(path, b"")
    case.holds(path, b"")
    data = case.data()
    case.commit(path, data, append=True)
    case.holds(path, data)


@topic.requirement()
def to_an_empty_object(case: Case) -> None:
    """An object put empty can be appended to."""
    path = case.path("object")
    case.driver.put_content(path, b"")
    data = case.data()
    case.commit(path, data, append=True)
    case.holds(path, data)


@topic.requirement()
def without_a_write(case: Case) -> None:
    """A session without a write keeps, and then commits, what earlier ones wrote."""
    path = case.path("object")
    data = case.data(1000)
    case.keep(path, data)
    case.writer(path, append=True).close()
    upload = case.writer(path, append=True)
    expect.equal(upload.size, len(data), "size")
    upload.commit()
    upload.close()
    case.holds(path, data)


@topic.requirement()
def kept_over_an_object(case: Case) -> None:
    """A kept upload is continued even where an object lies at the path."""
    path = case.path("object")
    old = case.put(path, 100)
    first, second = case.data(64), case.data(64)
    case.keep(path, first)
    upload = case.writer(path, append=True)
    expect.equal(upload.size, len(first), "size of the continued upload")
    upload.write(second)
    case.holds(path, old, "before the commit")
    upload.commit()
    upload.close()
    case.holds(path, first + second, "after the commit")


@topic.requirement()
def commit_ends_the_upload(case: Case) -> None:
    """After the commit of a kept upload, appending starts from the object."""
    path = case.path("object")
    case.keep(path, case.data(64))
    case.writer(path, append=True).commit()
    whole = case.data(200)
    case.driver.put_content(path, whole)
    upload = case.writer(path, append=True)
    expect.equal(upload.size, len(whole), "size")
    upload.commit()
    case.holds(path, whole)


@topic.requirement()
def cancel_drops_the_kept_upload(case: Case) -> None:
    """Cancelling a continued upload drops all of it."""
    path = case.path("object")
    case.keep(path, case.data(64))
    case.writer(path, append=True).cancel()
    upload = case.writer(path, append=True)
    expect.equal(upload.size, 0, "size after the cancel")


@topic.requirement()
def later_close_replaces_the_kept_upload(case: Case) -> None:
    """A path keeps one upload: the one that was closed last."""
    path = case.path("object")
    case.keep(path, case.data(64))
    data = case.data(40)
    case.keep(path, data)
    upload = case.writer(path, append=True)
    expect.equal(upload.size, len(data), "size of the continued upload")
    upload.commit()
    upload.close()
    case.holds(path, data)


@topic.requirement()
def uploads_are_invisible(case: Case) -> None:
    """An upload, kept or at work, shows in no list or walk and makes no directory."""
    stored = case.path("stored")
    case.put(stored)
    before = set(case.driver.list("/"))
    for name in ("kept", "stored"):
        case.keep(case.path(name), case.data())
    case.keep(case.path("directory", "kept"), case.data())
    case.writer(case.path("at-work")).write(case.data())
    expect.equal(case.driver.list(case.top), [stored], f"list of {case.top}")
    walked = [info.path for info in case.driver.walk(case.top)]
    expect.equal(walked, [stored], f"walk of {case.top}")
    during = set(case.driver.list("/"))
    case.driver.delete(case.top)
    # Others may use the store too: only what goes away with our uploads was ours.
    ours = during - before - set(case.driver.list("/")) - {case.top}
    names = sorted(path for path in ours if not path.startswith(TOP_PREFIX))
    expect.equal(names, [], "names that list('/') had only during the uploads")


@topic.requirement()
def paths_stay_apart(case: Case) -> None:
    """Uploads kept under names alike are continued each from its own bytes."""
    names = ("a", "a-", "a.b", "aa", "A", "b/a", "b/a-a")
    kept = {case.path(name): case.data(10 + at) for at, name in enumerate(names)}
    for path, data in kept.items():
        case.keep(path, data)
    for path in case.random.sample(sorted(kept), len(kept)):
        upload = case.writer(path, append=True)
        expect.equal(upload.size, len(kept[path]), f"size of the upload of {path}")
        upload.write(b"+")
        upload.commit()
        upload.close()
    for path, data in kept.items():
        case.holds(path, data + b"+")


@topic.requirement()
def delete_drops_the_kept_upload(case: Case) -> None:
    """delete of a path with nothing but a kept upload drops the upload."""
    path = case.path("object")
    case.keep(path, case.data())
    case.driver.delete(path)
    expect.equal(case.writer(path, append=True).size, 0, "size after the delete")
    expect.raises(PathNotFoundError, case.driver.delete, case.path("none"))


@topic.requirement()
def delete_drops_object_and_upload(case: Case) -> None:
    """delete of an object drops the upload that is kept for its path."""
    path = case.path("object")
    case.put(path)
    case.keep(path, case.data(64))
    case.driver.delete(path)
    case.absent(path)
    expect.equal(case.writer(path, append=True).size, 0, "size after the delete")


@topic.requirement()
def delete_of_a_directory_drops_kept_uploads(case: Case) -> None:
    """delete of a directory drops the kept uploads below it, and no others."""
    below = case.path("directory", "deep", "object")
    beside = [case.path("directory-"), case.path("directory.d", "object")]
    for path in (below, *beside):
        case.keep(path, case.data(48))
    case.driver.delete(case.path("directory"))
    expect.equal(case.writer(below, append=True).size, 0, f"size for {below}")
    for path in beside:
        expect.equal(case.writer(path, append=True).size, 48, f"size for {path}")


@topic.requirement(needs=("shared",))
def from_another_instance(case: Case) -> None:
    """Another instance of the driver continues a kept upload, and commits it."""
    path = case.path("object")
    other = case.second()
    first, second, third = (case.data(64 + at) for at in range(3))
    case.keep(path, first)
    with case.track(other.writer(path, append=True)) as upload:
        expect.equal(upload.size, len(first), "size in the other instance")
        upload.write(second)
    upload = case.writer(path, append=True)
    expect.equal(upload.size, len(first + second), "size back in the first instance")
    upload.write(third)
    upload.commit()
    upload.close()
    case.holds(path, first + second + third)
    got = other.get_content(path)
    expect.content(got, first + second + third, f"{path} in the other instance")

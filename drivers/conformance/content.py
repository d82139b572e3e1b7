"""Whole objects: `put_content` and `get_content`."""

from __future__ import annotations

from ..errors import InvalidParameterError, PathNotFoundError
from . import expect
from .case import Case
from .requirement import KIB, MIB, Check, Requirement, Topic

topic = Topic("content")

SAMPLES: dict[str, tuple[str, bytes | int]] = {
    "one-byte": ("one byte", b"a"),
    "two-bytes": ("two bytes outside ASCII", b"\xc3\x9f"),
    "invalid-utf-8": ("bytes that are no UTF-8", b"\x80\x80\x80\x80"),
    "every-byte-value": ("every value of a byte", bytes(range(256))),
    "line-ends": ("line ends of every kind", b"\r\n\n\r\x1a\x00\r\n"),
    "nothing": ("empty content", b""),
    "32-bytes": ("32 random bytes", 32),
    "one-mebibyte": ("1 MiB of random bytes", MIB),
}
"""Contents to store: a slug, its words, and the bytes or how many random ones."""


def _round_trip(sample: bytes | int) -> Check:
    def check(case: Case) -> None:
        data = case.data(sample) if isinstance(sample, int) else sample
        path = case.path("object")
        case.driver.put_content(path, data)
        case.holds(path, data)

    return check


for _slug, (_words, _sample) in SAMPLES.items():
    topic.add(
        Requirement(
            f"content.{_slug}",
            f"Content put as a whole comes back unchanged: {_words}.",
            _round_trip(_sample),
        )
    )


@topic.requirement()
def shorter_replaces_longer(case: Case) -> None:
    """Content put over a longer object replaces all of it."""
    path = case.path("object")
    case.put(path, MIB)
    case.holds(path, case.put(path, KIB))


@topic.requirement()
def overwrite_is_never_stale(case: Case) -> None:
    """After each of many puts of one size, the newest content is read."""
    path = case.path("object")
    for round_ in range(20):
        case.holds(path, case.put(path, 2048), f"after put {round_ + 1}")


@topic.requirement()
def nothing_replaces_something(case: Case) -> None:
    """Empty content put over an object leaves an empty object."""
    path = case.path("object")
    case.put(path)
    case.driver.put_content(path, b"")
    case.holds(path, b"")


@topic.requirement()
def objects_stay_apart(case: Case) -> None:
    """A hundred objects, some with names alike, each keep their own content."""
    stored = {
        case.path(directory, f"{name}{number}"): case.random.randrange(1, 300)
        for directory in ("a", "a-b", "b")
        for name in ("x", "x-", "x.")
        for number in range(11)
    }
    contents = {path: case.put(path, size) for path, size in stored.items()}
    for path in case.random.sample(sorted(contents), len(contents)):
        case.holds(path, contents[path])


@topic.requirement()
def directories_are_implied(case: Case) -> None:
    """An object may be put below directories that do not exist yet."""
    path = case.path("a", "b", "c", "d", "object")
    case.holds(path, case.put(path))


@topic.requirement()
def takes_any_buffer(case: Case) -> None:
    """A bytearray and a slice of a memoryview are content like bytes."""
    data = case.data(100)
    buffers: dict[str, bytearray | memoryview] = {
        "bytearray": bytearray(data),
        "memoryview": memoryview(b"xx" + data + b"yy")[2:-2],
    }
    for kind, given in buffers.items():
        case.driver.put_content(case.path(kind), given)
        case.holds(case.path(kind), data)


@topic.requirement()
def is_a_copy(case: Case) -> None:
    """A buffer may be changed after the put without changing the object."""
    path = case.path("object")
    data = case.data(4 * KIB)
    buffer = bytearray(data)
    case.driver.put_content(path, buffer)
    buffer[:] = bytes(len(buffer))
    case.holds(path, data)


@topic.requirement()
def refuses_text(case: Case) -> None:
    """Content that is not bytes is an InvalidParameterError and stores nothing."""
    path = case.path("object")
    wrong: tuple[object, ...] = ("text", None, 7, [1, 2])
    for given in wrong:
        expect.raises(InvalidParameterError, case.driver.put_content, path, given)
    case.absent(path)


@topic.requirement()
def missing_object(case: Case) -> None:
    """Reading an object that does not exist is a PathNotFoundError."""
    path = case.path("missing")
    expect.raises(PathNotFoundError, case.driver.get_content, path, path=path)


@topic.requirement()
def directory_is_no_object(case: Case) -> None:
    """Reading a directory as an object is a PathNotFoundError."""
    case.put(case.path("directory", "object"))
    path = case.path("directory")
    expect.raises(PathNotFoundError, case.driver.get_content, path, path=path)

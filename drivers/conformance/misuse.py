"""Writers that are used after their end."""

from __future__ import annotations

from collections.abc import Callable

from ..contract import Writer
from ..errors import InvalidStateError
from . import expect
from .case import Case
from .requirement import Check, Requirement, Topic

topic = Topic("misuse")

ENDS: dict[str, Callable[[Writer], None]] = {
    "commit": lambda upload: upload.commit(),
    "cancel": lambda upload: upload.cancel(),
    "close": lambda upload: upload.close(),
}
"""What ends a writer; afterwards write, commit and cancel are errors."""


def _write(upload: Writer) -> None:
    upload.write(b"too late")


USES: dict[str, Callable[[Writer], None]] = {
    "write": _write,
    "commit": lambda upload: upload.commit(),
    "cancel": lambda upload: upload.cancel(),
}


def _refused(end: str, use: str) -> Check:
    def check(case: Case) -> None:
        path = case.path("object")
        data = case.put(path, 100)
        upload = case.writer(path)
        if end == "commit":
            data = case.data(60)
        upload.write(data)
        ENDS[end](upload)

        def late() -> None:
            USES[use](upload)

        late.__name__ = f"{use} after {end}"
        expect.raises(InvalidStateError, late)
        upload.close()
        expect.raises(InvalidStateError, late)
        case.holds(path, data, f"after {use} after {end}")

    return check


for _end in ENDS:
    for _use in USES:
        topic.add(
            Requirement(
                f"misuse.{_use}-after-{_end}",
                f"{_use} after {_end} is an InvalidStateError and changes nothing.",
                _refused(_end, _use),
            )
        )


def _close_again(end: str) -> Check:
    def check(case: Case) -> None:
        path = case.path("object")
        upload = case.writer(path)
        data = case.data()
        upload.write(data)
        ENDS[end](upload)
        for _ in range(3):
            upload.close()
        if end == "commit":
            case.holds(path, data)
        else:
            case.absent(path)
        kept = data if end != "cancel" else b""
        again = case.writer(path, append=True)
        expect.equal(again.size, len(kept), "size of a writer that appends")

    return check


for _end in ENDS:
    topic.add(
        Requirement(
            f"misuse.close-after-{_end}",
            f"close after {_end} is harmless, however often.",
            _close_again(_end),
        )
    )


@topic.requirement()
def reader_closed_twice(case: Case) -> None:
    """Closing a reader twice is harmless; a read afterwards is InvalidStateError."""
    path = case.path("object")
    case.put(path)
    stream = case.reader(path)
    stream.read(3)
    stream.close()
    stream.close()
    expect.that(stream.closed, "closed is False after close")
    expect.raises(InvalidStateError, stream.read, 1)


@topic.requirement()
def walk_closed_twice(case: Case) -> None:
    """A walk may be closed early and twice; it then ends."""
    for name in ("a", "b", "c"):
        case.put(case.path(name))
    walk = case.driver.walk(case.top)
    expect.equal(next(walk).path, case.path("a"), "first entry of the walk")
    walk.close()
    walk.close()
    expect.equal(next(walk, None), None, "entry after the close")

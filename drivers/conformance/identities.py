"""Identities: how a reader knows that an object is still the same."""

from __future__ import annotations

from ..errors import PathNotFoundError, PreconditionError, UnsupportedMethodError
from . import expect
from .case import Case
from .requirement import Topic

topic = Topic("identity")

IDENTITY = ("identity",)


def _identity(case: Case, path: str) -> str:
    identity = case.driver.stat(path).identity
    if not isinstance(identity, str) or not identity:
        raise expect.Failure(f"identity of {path}: expected a string, got {identity!r}")
    return identity


@topic.requirement(needs=IDENTITY)
def changes_with_every_put(case: Case) -> None:
    """Twenty puts of one size in quick succession give twenty identities."""
    path = case.path("object")
    seen = []
    for _ in range(20):
        case.put(path, 64)
        seen.append(_identity(case, path))
    expect.equal(len(set(seen)), len(seen), "number of different identities")


@topic.requirement(needs=IDENTITY)
def changes_with_every_commit(case: Case) -> None:
    """A commit, a commit of an append and a move onto it each change the identity."""
    path = case.path("object")
    case.put(path, 64)
    seen = [_identity(case, path)]
    case.commit(path, case.data(64))
    seen.append(_identity(case, path))
    case.commit(path, case.data(8), append=True)
    seen.append(_identity(case, path))
    case.put(case.path("other"), 72)
    case.driver.move(case.path("other"), path)
    seen.append(_identity(case, path))
    expect.equal(len(set(seen)), len(seen), "number of different identities")


@topic.requirement(needs=IDENTITY)
def stays_while_the_object_stays(case: Case) -> None:
    """stat, reader and walk agree on the identity while nothing is committed."""
    path = case.path("object")
    case.put(path)
    identity = _identity(case, path)
    case.keep(path, case.data())
    case.put(case.path("neighbour"))
    expect.equal(_identity(case, path), identity, "identity in a later stat")
    with case.reader(path) as stream:
        expect.equal(stream.identity, identity, "identity of the reader")
    walked = {info.path: info.identity for info in case.driver.walk(case.top)}
    expect.equal(walked.get(path), identity, "identity in the walk")


@topic.requirement(needs=IDENTITY)
def directories_have_none(case: Case) -> None:
    """The identity of a directory is None."""
    case.put(case.path("object"))
    expect.equal(case.driver.stat(case.top).identity, None, "identity of a directory")


@topic.requirement(needs=IDENTITY)
def if_match_reads(case: Case) -> None:
    """reader(if_match=) of the current identity reads the object."""
    path = case.path("object")
    data = case.put(path, 100)
    with case.reader(path, 10, if_match=_identity(case, path)) as stream:
        expect.content(stream.read(), data[10:], "reader with if_match", offset=10)


@topic.requirement(needs=IDENTITY)
def if_match_refuses(case: Case) -> None:
    """reader(if_match=) of another identity is a PreconditionError."""
    path = case.path("object")
    case.put(path, 100)
    old = _identity(case, path)
    case.put(path, 100)
    for identity in (old, "no-such-identity", '"quoted"'):
        expect.raises(
            PreconditionError, case.driver.reader, path, if_match=identity, path=path
        )


@topic.requirement(needs=IDENTITY)
def if_match_of_nothing(case: Case) -> None:
    """reader(if_match=) of a missing object is a PathNotFoundError."""
    path = case.path("object")
    case.put(path)
    identity = _identity(case, path)
    case.driver.delete(path)
    expect.raises(
        PathNotFoundError, case.driver.reader, path, if_match=identity, path=path
    )


@topic.requirement(without=IDENTITY)
def if_match_is_typed_without_the_capability(case: Case) -> None:
    """Without the capability identity, if_match is an UnsupportedMethodError."""
    path = case.path("object")
    case.put(path)
    expect.equal(case.driver.stat(path).identity, None, "identity")
    expect.raises(UnsupportedMethodError, case.driver.reader, path, if_match="x")

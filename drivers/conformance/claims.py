"""Who may go on with an upload: the newest claimant, and nobody else."""

from __future__ import annotations

from functools import partial

from ..contract import Writer
from ..errors import (
    InvalidStateError,
    StorageError,
    UploadSupersededError,
)
from . import expect
from .case import Case
from .requirement import KIB, Topic

topic = Topic("claim")

CLAIMANTS = 6


def _two_claimants(case: Case, path: str, kept: bytes) -> tuple[Writer, Writer]:
    case.keep(path, kept)
    former = case.writer(path, append=True)
    return former, case.writer(path, append=True)


def expect_superseded(former: Writer) -> None:
    """Fail unless the former claimant's next write, or its commit at the latest, is
    refused. (A write that crosses a network may be refused only after it returned.)"""

    def write_and_commit() -> None:
        former.write(b"of the former claimant")
        former.commit()

    write_and_commit.__name__ = "write and commit of the former claimant"
    expect.raises(UploadSupersededError, write_and_commit)


@topic.requirement()
def former_may_not_write(case: Case) -> None:
    """The former claimant's write, or its commit, is an UploadSupersededError."""
    path = case.path("object")
    kept = case.data(64)
    former, latter = _two_claimants(case, path, kept)
    expect_superseded(former)
    latter.commit()
    latter.close()
    case.holds(path, kept)


@topic.requirement()
def former_may_not_commit(case: Case) -> None:
    """The former claimant's commit is an UploadSupersededError and shows nothing."""
    path = case.path("object")
    former, latter = _two_claimants(case, path, case.data(64))
    expect.raises(UploadSupersededError, former.commit)
    case.absent(path)
    latter.commit()
    latter.close()


@topic.requirement()
def former_leaves_the_latter_alone(case: Case) -> None:
    """Neither cancel nor close of the former claimant touches the latter's upload."""
    for end in ("cancel", "close"):
        path = case.path(end)
        kept, more = case.data(64), case.data(64)
        former, latter = _two_claimants(case, path, kept)
        try:
            getattr(former, end)()
        except UploadSupersededError:
            former.close()
        latter.write(more)
        latter.commit()
        latter.close()
        case.holds(path, kept + more, f"after {end} of the former claimant")


@topic.requirement()
def latter_has_all_that_was_kept(case: Case) -> None:
    """A claim starts from every kept byte, though an earlier claimant vanished."""
    path = case.path("object")
    kept, more = case.data(40 * KIB), case.data(64)
    _, latter = _two_claimants(case, path, kept)
    expect.equal(latter.size, len(kept), "size at the claim")
    latter.write(more)
    latter.commit()
    latter.close()
    case.holds(path, kept + more)


@topic.requirement()
def after_the_commit(case: Case) -> None:
    """The former claimant cannot undo a commit of the latter."""
    path = case.path("object")
    kept, more = case.data(64), case.data(32)
    former, latter = _two_claimants(case, path, kept)
    latter.write(more)
    latter.commit()
    latter.close()
    expect_superseded(former)
    former.close()
    case.holds(path, kept + more)


@topic.requirement(needs=("shared",))
def across_instances(case: Case) -> None:
    """A claim in another instance of the driver supersedes the claimant in this."""
    path = case.path("object")
    kept, more = case.data(64), case.data(64)
    case.keep(path, kept)
    former = case.writer(path, append=True)
    latter = case.track(case.second().writer(path, append=True))
    expect_superseded(former)
    latter.write(more)
    latter.commit()
    latter.close()
    case.holds(path, kept + more)


@topic.requirement(streams=CLAIMANTS)
def one_of_many_commits(case: Case) -> None:
    """Of several claimants at once, exactly one commits, and its bytes are whole."""
    path = case.path("object")
    kept = case.data(64)
    case.keep(path, kept)
    uploads = [case.writer(path, append=True) for _ in range(CLAIMANTS)]
    endings = [case.data(32) for _ in uploads]

    def finish(upload: Writer, ending: bytes) -> bool:
        try:
            upload.write(ending)
            upload.commit()
        except UploadSupersededError:
            return False
        return True

    won = case.together(
        [
            partial(finish, upload, ending)
            for upload, ending in zip(uploads, endings, strict=True)
        ]
    )
    expect.equal(won.count(True), 1, "number of claimants that committed")
    case.holds(path, kept + endings[won.index(True)])


@topic.requirement()
def fresh_writers_do_not_collide(case: Case) -> None:
    """Two new writers of one path do not fence each other: the last commit stands."""
    path = case.path("object")
    uploads = [case.writer(path), case.writer(path)]
    contents = [case.data(100), case.data(90)]
    for upload, data in zip(uploads, contents, strict=True):
        upload.write(data)
    for at in (1, 0):
        uploads[at].commit()
        uploads[at].close()
        case.holds(path, contents[at], f"after commit of writer {at + 1}")


@topic.requirement()
def state_after_superseded(case: Case) -> None:
    """After UploadSupersededError, every further use but close is an error."""
    path = case.path("object")
    former, latter = _two_claimants(case, path, case.data(64))
    expect_superseded(former)
    for use in (lambda: former.write(b"x"), former.commit):
        expect.raises((UploadSupersededError, InvalidStateError), use)
    try:
        former.close()
    except StorageError as error:
        expect.that(
            isinstance(error, UploadSupersededError),
            f"close of the former claimant: {expect.shown(error)}",
        )
    latter.cancel()

"""Uploads in the making: names, claims, keeping and dropping."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from storagebus.drivers import locked, staging
from storagebus.drivers.errors import Executed, UnavailableError, UploadNotFoundError
from storagebus.drivers.locked import Locked
from storagebus.drivers.staging import STAGING, Staged, Uploads
from storagebus.drivers.tree import Tree

pytestmark = pytest.mark.usefixtures("descriptors")

Everything = Callable[[], set[str]]


def made(uploads: Uploads, path: str, data: bytes = b"") -> Staged:
    """A new upload with some bytes, whose writer is gone."""
    staged, target = uploads.open(path)
    os.write(target, data)
    os.close(target)
    return staged


def kept(uploads: Uploads, path: str, data: bytes = b"") -> Staged:
    """An upload that was closed."""
    staged = made(uploads, path, data)
    uploads.keep(staged)
    return staged


def content(uploads: Uploads, staged: Staged) -> bytes:
    source = uploads.tree.open_file(staged.file, os.O_RDONLY)
    try:
        return os.read(source, 1000)
    finally:
        os.close(source)


def at_once(calls: Sequence[Callable[[], object]]) -> None:
    """Run calls on a thread each, and let none of their errors go unseen."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        start.wait(10)
        call()

    with ThreadPoolExecutor(len(calls)) as pool:
        for done in [pool.submit(run, call) for call in calls]:
            done.result(20)


def test_a_new_upload_needs_no_directory_of_its_own(
    uploads: Uploads, everything: Everything
) -> None:
    staged = made(uploads, "/a/b/c", b"12345")
    assert everything() == {staged.file[1:]}
    assert uploads.size("/a/b/c", staged.upload_id) == 5
    assert uploads.size("/a/b", staged.upload_id) is None


def test_a_kept_upload_is_found_by_its_path(
    uploads: Uploads, everything: Everything
) -> None:
    staged = kept(uploads, "/a/b", b"bytes")
    assert everything() == {
        staged.file[1:],
        "~uploads/a",
        "~uploads/a/b",
        "~uploads/a/b/~kept",
    }
    assert uploads.claim_kept("/a") is None
    claimed = uploads.claim_kept("/a/b")
    assert claimed is not None
    assert os.read(claimed[1], 10) == b"bytes"
    os.close(claimed[1])


def test_a_claim_raises_the_generation_and_fences_the_former(uploads: Uploads) -> None:
    for staged in (made(uploads, "/a", b"open"), kept(uploads, "/b", b"kept")):
        before = staged
        for generation in (2, 3, 4):
            claimed, target = uploads.claim(staged.path, staged.upload_id)
            assert claimed == replace(staged, generation=generation)
            assert os.pread(target, 10, 0) == content(uploads, claimed)
            assert uploads.owns(claimed, target)
            assert not uploads.owns(before, target)
            before = claimed
            os.close(target)


def test_a_claim_of_what_is_not_there(uploads: Uploads) -> None:
    staged = made(uploads, "/a")
    for path, upload_id in (("/a", "0" * 32), ("/b", staged.upload_id), ("/a", "../x")):
        with pytest.raises(UploadNotFoundError) as caught:
            uploads.claim(path, upload_id)
        assert caught.value.path == path


def test_the_upload_that_was_kept_last_counts(uploads: Uploads) -> None:
    first, last = kept(uploads, "/a", b"first"), kept(uploads, "/a", b"last")
    assert uploads.size("/a", first.upload_id) is None
    claimed = uploads.claim_kept("/a")
    assert claimed is not None
    assert claimed[0].upload_id == last.upload_id
    os.close(claimed[1])


@pytest.mark.parametrize("left", ["link", "file"])
def test_what_a_crash_left_of_a_kept_upload_is_none(
    uploads: Uploads, root: Path, left: str
) -> None:
    staged = kept(uploads, "/a")
    if left == "link":
        (root / staged.file[1:]).unlink()
        assert uploads.drop_below("/a") is False
    else:
        (root / "~uploads/a/~kept").unlink()
    assert uploads.claim_kept("/a") is None
    assert kept(uploads, "/a").upload_id != staged.upload_id


def test_of_many_claimants_at_once_each_gets_a_generation(uploads: Uploads) -> None:
    staged = kept(uploads, "/a", b"bytes")
    claims: list[tuple[Staged, int]] = []

    def claim() -> None:
        claimed = uploads.claim_kept("/a")
        assert claimed is not None
        claims.append(claimed)

    at_once([claim] * 8)
    assert sorted(claimed.generation for claimed, _ in claims) == list(range(2, 10))
    owners = [claimed for claimed, target in claims if uploads.owns(claimed, target)]
    assert [owner.generation for owner in owners] == [9]
    assert owners[0].upload_id == staged.upload_id
    for _, target in claims:
        os.close(target)


def test_of_many_that_close_at_once_one_is_kept_and_none_left_over(
    uploads: Uploads, everything: Everything
) -> None:
    for _ in range(10):
        opened = [made(uploads, "/a") for _ in range(8)]
        at_once([lambda staged=staged: uploads.keep(staged) for staged in opened])
        left = [s for s in opened if uploads.size("/a", s.upload_id) is not None]
        assert len(left) == 1
        claimed = uploads.claim_kept("/a")
        assert claimed is not None
        assert claimed[0].upload_id == left[0].upload_id
        os.close(claimed[1])
        uploads.drop(claimed[0])
        assert everything() == set()


def test_an_end_does_not_take_the_place_of_one_that_is_kept_meanwhile(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the link and its removal, another upload gets the place."""
    ending, other = kept(uploads, "/a"), made(uploads, "/a")
    take = staging.take_link

    def just_before(tree: Tree, path: str) -> str | None:
        monkeypatch.setattr(staging, "take_link", take)
        uploads.keep(other)
        return take(tree, path)

    monkeypatch.setattr(staging, "take_link", just_before)
    uploads.ended(ending)
    claimed = uploads.claim_kept("/a")
    assert claimed is not None
    assert claimed[0].upload_id == other.upload_id
    os.close(claimed[1])


def test_dropping_below_takes_kept_uploads_only(
    uploads: Uploads, everything: Everything
) -> None:
    for path in ("/a", "/a/b/c", "/a/d"):
        kept(uploads, path)
    beside = kept(uploads, "/ab")
    opened = made(uploads, "/a/b/c")
    assert uploads.drop_below("/a")
    assert not uploads.drop_below("/a")
    assert not uploads.drop_below("/none")
    assert everything() == {
        "~uploads/ab",
        "~uploads/ab/~kept",
        beside.file[1:],
        opened.file[1:],
    }


def test_dropping_takes_back_the_mark_of_a_commit_that_failed(uploads: Uploads) -> None:
    staged = kept(uploads, "/a")
    uploads.commits.remember("/a", staged.upload_id, "1-2-3")
    assert uploads.drop(staged)
    assert not uploads.drop(staged)
    assert uploads.commits.recall("/a", staged.upload_id) is None


def test_a_claim_takes_back_the_mark_too(uploads: Uploads) -> None:
    staged = made(uploads, "/a")
    uploads.commits.remember("/a", staged.upload_id, "1-2-3")
    _, target = uploads.claim("/a", staged.upload_id)
    os.close(target)
    assert uploads.commits.recall("/a", staged.upload_id) is None


def test_a_lock_is_waited_for_within_a_bound(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locked, "LOCK_SECONDS_MAX", 0.05)
    staged, writing = uploads.open("/a")
    refused = pytest.raises(UnavailableError, match="another writer")
    with Locked(writing, "/a"), refused as caught:
        uploads.claim("/a", staged.upload_id)
    assert (caught.value.temporary, caught.value.executed) == (True, Executed.NO)
    claimed, target = uploads.claim("/a", staged.upload_id)
    assert claimed.generation == 2
    os.close(target)
    os.close(writing)


def test_a_lock_that_is_let_go_is_taken(uploads: Uploads) -> None:
    staged, writing = uploads.open("/a")
    fcntl.flock(writing, fcntl.LOCK_EX)
    free = threading.Timer(0.03, lambda: fcntl.flock(writing, fcntl.LOCK_UN))
    free.start()
    claimed, target = uploads.claim("/a", staged.upload_id)
    free.join()
    assert claimed.generation == 2
    os.close(target)
    os.close(writing)


def test_directories_pruned_meanwhile_are_made_again(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree_type = type(uploads.tree)
    make = tree_type.make_directory
    lost = [4]

    def prune_after(self: object, path: str, *, durable: bool) -> int:
        made_now = make(uploads.tree, path, durable=durable)
        if lost[0]:
            lost[0] -= 1
            uploads.tree.prune(path)
        return made_now

    monkeypatch.setattr(tree_type, "make_directory", prune_after)
    staged = kept(uploads, "/a/b", b"bytes")
    assert lost == [0]
    assert content(uploads, staged) == b"bytes"
    lost[0] = 10_000
    with pytest.raises(UnavailableError, match="pruned"):
        uploads.create(f"{STAGING}/x/y")

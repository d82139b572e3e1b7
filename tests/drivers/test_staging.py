"""Uploads in the making: names, claims, keeping and dropping."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.drivers import staging
from storagebus.drivers.errors import (
    Executed,
    UnavailableError,
    UploadNotFoundError,
    UploadSupersededError,
)
from storagebus.drivers.staging import STAGING, Locked, Staged, Uploads

pytestmark = pytest.mark.usefixtures("descriptors")

IDS = st.text("0123456789abcdef", min_size=32, max_size=32)


def made(uploads: Uploads, path: str, data: bytes = b"") -> Staged:
    """A new upload with some bytes, whose writer is gone."""
    staged, target = uploads.open(path)
    os.write(target, data)
    os.close(target)
    return staged


def kept(uploads: Uploads, path: str, data: bytes = b"") -> Staged:
    """An upload that was closed."""
    staged, target = uploads.open(path)
    os.write(target, data)
    uploads.keep(staged, target)
    os.close(target)
    found = uploads.find(path, staged.upload_id)
    assert found is not None
    assert found.kept
    return found


def content(uploads: Uploads, staged: Staged) -> bytes:
    source = uploads.tree.open_file(staged.file, os.O_RDONLY)
    try:
        return os.read(source, 1000)
    finally:
        os.close(source)


@given(IDS, st.integers(1, 999_999_999), st.booleans())
def test_a_name_says_all_there_is_to_know(
    upload_id: str, generation: int, is_kept: bool
) -> None:
    staged = Staged("/a/b", upload_id, generation, is_kept)
    assert Staged.parse("/a/b", staged.name) == staged
    if not is_kept:
        assert Staged.parse("/a/c", staged.name) is None
    assert staged.name.startswith("~")


@pytest.mark.parametrize(
    "name",
    ["", "~", "data", "~" + "0" * 32 + ".put", "~" + "0" * 32 + ".0.kept",
     "~" + "0" * 31 + ".1.kept", "~" + "G" * 32 + ".1.kept",
     "~" + "0" * 32 + ".1.kept.", "~" + "0" * 32 + ".1.open", "~committed"],
)  # fmt: skip
def test_other_names_are_no_uploads(name: str) -> None:
    assert Staged.parse("/a", name) is None


def test_a_new_upload_needs_no_directory_of_its_own(
    uploads: Uploads, root: Path
) -> None:
    staged = made(uploads, "/a/b/c")
    assert [path.name for path in (root / "~uploads").iterdir()] == [staged.name]
    assert uploads.find("/a/b/c", staged.upload_id) == staged
    assert uploads.find("/a/b", staged.upload_id) is None


def test_a_kept_upload_lies_where_its_object_would(
    uploads: Uploads, root: Path
) -> None:
    staged = kept(uploads, "/a/b/c", b"bytes")
    assert (root / "~uploads/a/b/c" / staged.name).read_bytes() == b"bytes"
    assert uploads.claim_kept("/a/b") is None


def test_a_claim_raises_the_generation_and_fences_the_former(uploads: Uploads) -> None:
    for staged in (made(uploads, "/a", b"open"), kept(uploads, "/b", b"kept")):
        claimed, target = uploads.claim(staged.path, staged.upload_id)
        assert (claimed.generation, claimed.kept) == (2, staged.kept)
        assert os.pread(target, 10, 0) == content(uploads, claimed)
        assert uploads.owns(claimed, target)
        assert not uploads.owns(staged, target)
        os.close(target)


def test_a_claim_of_what_is_not_there(uploads: Uploads) -> None:
    staged = made(uploads, "/a")
    for path, upload_id in (("/a", "0" * 32), ("/b", staged.upload_id), ("/a", "../x")):
        with pytest.raises(UploadNotFoundError) as caught:
            uploads.claim(path, upload_id)
        assert caught.value.path == path


def test_the_upload_that_was_kept_last_counts(uploads: Uploads) -> None:
    first, last = kept(uploads, "/a", b"first"), kept(uploads, "/a", b"last")
    assert uploads.find("/a", first.upload_id) is None
    claimed = uploads.claim_kept("/a")
    assert claimed is not None
    assert claimed[0].upload_id == last.upload_id
    os.close(claimed[1])


def test_a_clock_that_was_set_back_does_not_bring_an_older_upload_back(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(uploads, "/a", b"first")
    monkeypatch.setattr(staging.time, "time_ns", lambda: 10**18)
    last = kept(uploads, "/a", b"last")
    claimed = uploads.claim_kept("/a")
    assert claimed is not None
    assert claimed[0].upload_id == last.upload_id
    os.close(claimed[1])


def test_a_crash_while_one_is_kept_leaves_the_later_one_in_charge(
    uploads: Uploads, root: Path
) -> None:
    first = kept(uploads, "/a", b"first")
    staged, target = uploads.open("/a")
    os.write(target, b"last")
    # The state between the rename and the drop of the other.
    (root / staged.file[1:]).rename(root / replace(staged, kept=True).file[1:])
    os.close(target)
    claimed = uploads.claim_kept("/a")
    assert claimed is not None
    assert content(uploads, claimed[0]) == b"last"
    os.close(claimed[1])
    assert uploads.find("/a", first.upload_id) is None


def test_of_many_claimants_at_once_each_gets_a_generation(uploads: Uploads) -> None:
    staged = kept(uploads, "/a", b"bytes")
    claims: list[tuple[Staged, int]] = []
    start = threading.Barrier(8)

    def claim() -> None:
        start.wait(10)
        claimed = uploads.claim_kept("/a")
        assert claimed is not None
        claims.append(claimed)

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(claimed.generation for claimed, _ in claims) == list(range(2, 10))
    owners = [claimed for claimed, target in claims if uploads.owns(claimed, target)]
    assert [owner.generation for owner in owners] == [9]
    assert owners[0].upload_id == staged.upload_id
    for _, target in claims:
        os.close(target)


def test_of_many_that_close_at_once_one_is_kept(uploads: Uploads) -> None:
    opened = [uploads.open("/a") for _ in range(8)]
    start = threading.Barrier(8)

    def keep(staged: Staged, target: int) -> None:
        start.wait(10)
        try:
            uploads.keep(staged, target)
        except UploadSupersededError:
            raise AssertionError("a new upload was dropped") from None

    threads = [threading.Thread(target=keep, args=pair) for pair in opened]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    claimed = uploads.claim_kept("/a")
    assert claimed is not None
    for _, target in (*opened, claimed):
        os.close(target)
    left = [s for s, _ in opened if uploads.find("/a", s.upload_id) is not None]
    assert [staged.upload_id for staged in left] == [claimed[0].upload_id]


def test_dropping_below_takes_kept_uploads_only(
    uploads: Uploads, everything: Callable[[], set[str]]
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
    monkeypatch.setattr(staging, "LOCK_SECONDS_MAX", 0.05)
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

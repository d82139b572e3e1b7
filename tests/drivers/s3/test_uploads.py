"""Uploads on a real server: parts, records, claims, and what is left of them."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from s3_bucket import keys, multiparts

from storagebus.drivers import UploadState
from storagebus.drivers.errors import (
    UploadNotFoundError,
    UploadSupersededError,
)
from storagebus.drivers.s3.chain import Fence, new_nonce
from storagebus.drivers.s3.record import encode

from .conftest import MIB, Make, inner

PART = {"chunksize": 5 * MIB}
RANDOM = Random(11)


def data(size: int) -> bytes:
    return RANDOM.randbytes(size)


def wait_for_durable(upload: Any, size: int) -> None:
    """Parts are sent in the background."""
    end = time.monotonic() + 20
    while upload.durable < size and time.monotonic() < end:
        time.sleep(0.01)
    assert upload.durable == size


def root_of(driver: Any) -> str:
    return inner(driver)._bucket.root


def test_parts_make_one_object(make: Make, client: Any) -> None:
    driver = make(**PART)
    content = data(23 * MIB + 7)
    with driver.writer("/a/b") as upload:
        for at in range(0, len(content), 900_001):
            upload.write(content[at : at + 900_001])
        upload.commit()
    found = client.head_object(Bucket="tests", Key=root_of(driver) + "a/b")
    assert found["ETag"].strip('"').endswith("-5")
    assert found["ContentType"] == "application/octet-stream"
    assert driver.get_content("/a/b") == content
    assert keys(client, root_of(driver)) == [root_of(driver) + "a/b"]


def test_a_small_upload_is_one_put(make: Make, client: Any) -> None:
    driver = make()
    with driver.writer("/a") as upload:
        upload.write(data(4 * MIB))
        upload.commit()
    found = client.head_object(Bucket="tests", Key=root_of(driver) + "a")
    assert "-" not in found["ETag"]


def test_sessions_of_every_kind_continue_one_upload(make: Make, client: Any) -> None:
    """Tails below a part's least size, parts, nothing at all; each by another driver,
    as another process would."""
    sizes = [100, 5 * MIB, 3 * MIB, 3 * MIB, 0, 11 * MIB + 5, 1, 6 * MIB]
    content = data(sum(sizes))
    at = 0
    for size in sizes:
        driver = make(**PART)
        with driver.writer("/x", append=True) as upload:
            assert upload.size == at
            upload.write(content[at : at + size])
            at += size
        assert upload.durable == upload.size == at
        status = driver.upload_status("/x", upload.upload_id)
        assert (status.state, status.durable) == (UploadState.OPEN, at)
    with driver.writer("/x", append=True) as upload:
        upload.commit()
    assert driver.get_content("/x") == content
    assert driver.upload_status("/x", upload.upload_id).state is UploadState.COMMITTED
    assert keys(client, root_of(driver)) == [root_of(driver) + "x"]


def test_a_vanished_writer_is_continued_from_its_stored_parts(make: Make) -> None:
    driver = make(**PART, multipartuploadmaxconcurrency=1)
    content = data(18 * MIB)
    vanished = driver.writer("/x")
    vanished.write(content[: 17 * MIB])
    wait_for_durable(vanished, 15 * MIB)
    other = make(**PART)
    status = other.upload_status("/x", vanished.upload_id)
    assert (status.state, status.durable) == (UploadState.OPEN, 15 * MIB)
    with other.writer("/x", upload_id=vanished.upload_id) as upload:
        assert upload.size == 15 * MIB and upload.generation == 2
        upload.write(content[15 * MIB :])
        upload.commit()
    with pytest.raises(UploadSupersededError):
        vanished.commit()
    vanished.close()
    assert other.get_content("/x") == content


def test_parts_of_a_former_owner_disturb_nobody(make: Make) -> None:
    """Both go on at once, on one multipart upload of the server's."""
    driver = make(**PART, multipartuploadmaxconcurrency=1)
    content, foreign = data(26 * MIB), data(11 * MIB)
    former = driver.writer("/x")
    former.write(content[: 6 * MIB])
    wait_for_durable(former, 5 * MIB)
    latter = make(**PART).writer("/x", upload_id=former.upload_id)
    assert latter.size == 5 * MIB
    former.write(foreign)
    latter.write(content[5 * MIB :])
    with pytest.raises(UploadSupersededError):
        former.commit()
    former.close()
    latter.commit()
    latter.close()
    assert driver.get_content("/x") == content


def test_a_former_owner_is_stopped_when_its_numbers_are_used_up(make: Make) -> None:
    driver = make(**PART, multipartuploadmaxconcurrency=2)
    former = driver.writer("/x")
    former.write(data(6 * MIB))
    latter = make(**PART).writer("/x", upload_id=former.upload_id)
    piece = data(5 * MIB)
    with pytest.raises(UploadSupersededError):
        for _ in range(20):
            former.write(piece)
    former.close()
    latter.cancel()


def test_claims_at_once_leave_one_owner(make: Make) -> None:
    kept = make()
    with kept.writer("/x") as upload:
        upload.write(b"kept ")
    drivers = [make() for _ in range(6)]
    won: list[int] = []

    def claim(at: int) -> None:
        # Who comes after a commit appends to the object, and others may do the same:
        # even keeping what was not written can find another owner.
        with (
            suppress(UploadSupersededError),
            drivers[at].writer("/x", append=True) as mine,
        ):
            if mine.size == 5:
                mine.write(b"by %d" % at)
                mine.commit()
                won.append(at)

    threads = [threading.Thread(target=claim, args=(at,)) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    content = kept.get_content("/x")
    assert content == b"kept by %d" % won[-1]


def test_two_that_come_too_late_do_not_vouch_for_each_other(make: Make) -> None:
    """The first one's new record has the number of the second one's former one."""
    driver = make()
    with driver.writer("/a") as upload:
        upload.write(b"x" * 64)
    uploads = inner(driver)._uploads
    first, second, last = (uploads.open("/a", True, None) for _ in range(3))
    second.write(b"second")
    last.write(b"the last")
    last.commit()  # and their records are gone
    assert first._number + 1 == second._number
    step = replace(first._record, nonce=new_nonce())
    assert first._chain._create(second._number, encode(step), step.nonce)
    with pytest.raises(UploadSupersededError):
        second.commit()
    assert driver.get_content("/a") == b"x" * 64 + b"the last"


def test_a_server_without_conditions_fences_too(make: Make) -> None:
    """The weaker way: ask first, and look afterwards whose record it is."""
    former, latter = make(), make()
    for driver in (former, latter):
        inner(driver)._uploads._fences._fence = Fence.LACKING
    first = former.writer("/x")
    first.write(b"first")
    second = latter.writer("/x", upload_id=first.upload_id)
    second.write(b"second")
    second.commit()
    with pytest.raises(UploadSupersededError):
        first.commit()
    first.close()
    second.close()
    assert former.get_content("/x") == b"second"


def test_a_failed_commit_can_be_tried_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storagebus.drivers.errors import ThrottledError, UnavailableError
    from storagebus.drivers.s3 import writer as module

    driver = make(**PART)
    content = data(13 * MIB)
    complete = module.complete_multipart

    def fail(*_: Any) -> None:
        raise ThrottledError

    upload = driver.writer("/x")
    upload.write(content[: 12 * MIB])
    monkeypatch.setattr(module, "complete_multipart", fail)
    with pytest.raises(ThrottledError):
        upload.commit()
    upload.write(content[12 * MIB :])
    monkeypatch.setattr(module, "complete_multipart", complete)

    def lose_the_reply(*given: Any) -> None:
        complete(*given)
        raise UnavailableError

    monkeypatch.setattr(module, "complete_multipart", lose_the_reply)
    upload.commit()
    upload.close()
    assert driver.get_content("/x") == content


def test_cancel_leaves_nothing_on_the_server(make: Make, client: Any) -> None:
    driver = make(**PART)
    for size in (10, 12 * MIB):
        upload = driver.writer("/x")
        upload.write(data(size))
        upload.cancel()
    assert keys(client, root_of(driver)) == []
    assert multiparts(client, root_of(driver)) == []


def test_append_copies_on_the_server(make: Make, client: Any) -> None:
    driver = make(**PART, multipartcopychunksize=5 * MIB)
    content = data(12 * MIB)
    driver.put_content("/x", content)
    for more in (b"", data(100), data(6 * MIB)):
        with driver.writer("/x", append=True) as upload:
            assert upload.size == len(content)
            upload.write(more)
            upload.commit()
        content += more
        assert driver.get_content("/x") == content
    driver.writer("/x", append=True).cancel()
    assert keys(client, root_of(driver)) == [root_of(driver) + "x"]
    assert multiparts(client, root_of(driver)) == []


def test_the_reaper_drops_what_is_old(make: Make, client: Any) -> None:
    driver = make(**PART)
    kept, abandoned = driver.writer("/d/kept"), driver.writer("/d/abandoned")
    for upload in (kept, abandoned):
        upload.write(data(11 * MIB))
    kept.close()
    # Somebody ended an upload and died before the link was gone.
    link = root_of(driver) + "~uploads/d/dead/~kept"
    client.put_object(Bucket="tests", Key=link, Body=b"0" * 32)
    reaper = inner(driver)._reaper
    now = datetime.now(UTC)
    assert reaper.work(now + timedelta(days=6)) == 0
    assert driver.upload_status("/d/kept", kept.upload_id).state is UploadState.OPEN
    assert reaper.work(now + timedelta(days=8)) == 2
    assert driver.upload_status("/d/kept", kept.upload_id).state is UploadState.UNKNOWN
    reaper.work(now + timedelta(days=8))
    assert keys(client, root_of(driver)) == []
    assert multiparts(client, root_of(driver)) == []
    with pytest.raises(UploadSupersededError):
        abandoned.commit()
    abandoned.close()


def test_uploads_of_other_roots_are_none(make: Make) -> None:
    driver, elsewhere = make(), make(rootdirectory="of/somewhere/else")
    upload = driver.writer("/x")
    with pytest.raises(UploadNotFoundError):
        elsewhere.writer("/x", upload_id=upload.upload_id)
    upload.cancel()


def test_many_writers_share_a_small_budget(make: Make) -> None:
    """One thread feeds all of them in turns: none may wait for another's part."""
    driver = make(**PART, memorybudget=6 * MIB)
    contents = {f"/w{at}": data(6 * MIB) for at in range(4)}
    uploads = {path: driver.writer(path) for path in contents}
    for start in range(0, 6 * MIB, MIB):
        for path, upload in uploads.items():
            upload.write(contents[path][start : start + MIB])
    for path, upload in uploads.items():
        upload.commit()
        upload.close()
        assert driver.get_content(path) == contents[path]
    budget = inner(driver)._budget
    assert 0 < budget.peak_bytes <= 6 * MIB
    assert budget.reserved_bytes == 0

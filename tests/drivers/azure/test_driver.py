"""What the conformance suite cannot see: credentials, URLs, names, kinds of copies."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.storage.blob import ContainerClient
from azure_container import CONTAINER, keys, parameters_of
from servers.azurite import ACCOUNT, KEY, Azurite

from storagebus.drivers import StorageDriver, create, errors
from storagebus.drivers.azure import copying
from storagebus.drivers.azure.staging import Stage, Staging
from storagebus.drivers.progress import Steps, counted

from .conftest import MIB, Make, inner


def data(count: int, seed: object = 0) -> bytes:
    return random.Random(str(seed)).randbytes(count)


def connection_string(azurite: Azurite) -> str:
    return (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
        f"BlobEndpoint={azurite.service_url}"
    )


def test_a_connection_string_alone_is_used(
    azurite: Azurite, client: ContainerClient
) -> None:
    given = {"container": CONTAINER, "connectionstring": connection_string(azurite)}
    with create("azure", given) as driver:
        driver.put_content("/by-connection", b"string")
        assert client.get_blob_client("by-connection").download_blob().readall()
        driver.delete("/by-connection")


def test_names_are_those_of_the_registrys_driver(
    make: Make, client: ContainerClient
) -> None:
    make(rootdirectory="/a/base/").put_content("/docker/x", b"1")
    assert keys(client, "a/base") == ["a/base/docker/x"]
    make(rootdirectory="/a/base/").delete("/docker")


def test_redirects_read_and_expire(make: Make) -> None:
    driver, content = make(), data(1000)
    driver.put_content("/a-b/c.d", content)
    url = driver.redirect_url("/a-b/c.d", expires=60)
    assert url is not None
    assert KEY not in url
    with urllib.request.urlopen(url, timeout=10) as reply:
        assert reply.read() == content
    head = urllib.request.Request(url, method="HEAD")
    with urllib.request.urlopen(head, timeout=10) as reply:
        assert reply.headers["Content-Length"] == "1000"
    put = urllib.request.Request(url, data=b"x", method="PUT")
    put.add_header("x-ms-blob-type", "BlockBlob")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(put, timeout=10)
    caught.value.close()
    assert caught.value.code == 403


def test_a_wrong_key_is_denied_and_not_shown(make: Make) -> None:
    wrong = "d3Jvbmcgc2VjcmV0"
    driver = make(accountkey=wrong)
    for call in (lambda: driver.stat("/a"), lambda: driver.put_content("/a", b"x")):
        with pytest.raises(errors.AccessDeniedError) as caught:
            call()
        assert wrong not in str(caught.value)


def test_a_missing_container_is_unavailable(make: Make) -> None:
    driver = make(container="missing")
    for call in (
        lambda: driver.stat("/a"),
        lambda: driver.list("/"),
        lambda: driver.put_content("/a", b"x"),
        lambda: driver.writer("/a"),
    ):
        with pytest.raises(errors.UnavailableError, match="container") as caught:
            call()
        assert not caught.value.temporary


def test_nobody_there_is_unavailable_within_the_retries(make: Make) -> None:
    driver = make(serviceurl=f"http://127.0.0.1:9/{ACCOUNT}", max_retries=2)
    started = datetime.now(UTC)
    with pytest.raises(errors.UnavailableError):
        driver.get_content("/a")
    assert (datetime.now(UTC) - started).total_seconds() < 20


def test_an_append_blob_of_the_registry_is_read_copied_and_replaced(
    make: Make, client: ContainerClient, request: pytest.FixtureRequest
) -> None:
    driver = make()
    root = inner(driver)._container.root
    for name in ("read", "replaced"):
        blob = client.get_blob_client(f"{root}{name}")
        blob.create_append_blob()
        blob.append_block(data(5000, name))
    assert driver.get_content("/read") == data(5000, "read")
    driver.move("/read", "/moved")
    assert driver.get_content("/moved") == data(5000, "read")
    driver.put_content("/replaced", b"new")
    assert driver.get_content("/replaced") == b"new"
    blob = client.get_blob_client(f"{root}appended")
    blob.create_append_blob()
    blob.append_block(b"old ")
    with driver.writer("/appended", append=True) as upload:
        upload.write(b"and new")
        upload.commit()
    assert driver.get_content("/appended") == b"old and new"


def test_large_objects_are_copied_in_blocks(
    make: Make, client: ContainerClient
) -> None:
    driver = make(copythresholdsize=MIB, copychunksize=MIB, chunksize=MIB)
    content = data(5 * MIB + 77)
    with driver.writer("/large") as upload:
        upload.write(content)
        upload.commit()
    driver.move("/large", "/moved")
    assert driver.get_content("/moved") == content
    blob = client.get_blob_client(inner(driver)._container.key("/moved"))
    assert len(blob.get_block_list("committed")[0]) == 6


def test_a_source_that_the_service_cannot_read_is_copied_otherwise(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make(chunksize=MIB, copychunksize=2 * MIB, memorybudget=4 * MIB)
    container = inner(driver)._container
    real, under_way, sizes = container.call, [0], []

    def counting(operation: str, *args: Any, **given: Any) -> Any:
        if operation != "download_blob" or "length" not in given:
            return real(operation, *args, **given)
        under_way[0] += 1
        sizes.append(under_way[0] * given["length"])
        try:
            return real(operation, *args, **given)
        finally:
            under_way[0] -= 1

    def refuse(*args: object, **given: object) -> Any:
        raise errors.UnsupportedMethodError("the service cannot read the source")

    monkeypatch.setattr(inner(driver)._container.signer, "url", refuse)
    content = data(3 * MIB + 5)
    with driver.writer("/a") as upload:
        upload.write(content)
        upload.commit()
    monkeypatch.setattr(container, "call", counting)
    with driver.writer("/a", append=True) as upload:
        assert upload.size == len(content)
        upload.write(b"more")
        upload.commit()
    # The bytes passed through this process: in half of the memory that there is.
    assert len(sizes) == 4 and max(sizes) <= 2 * MIB
    monkeypatch.setattr(container, "call", real)
    assert driver.get_content("/a") == content + b"more"


class Copied:
    def __init__(self, status: str) -> None:
        self.id = "copy-1"
        self.status = status


class Pending:
    """The replies of a service whose copies take their time, which Azurite's do not.

    Everything but the copy itself goes to the real server.
    """

    def __init__(self, driver: StorageDriver, ends: list[str]) -> None:
        self._container = inner(driver)._container
        self._real = self._container.call
        self._ends = ends
        self.aborted: list[str] = []

    def call(self, operation: str, key: str, path: Any, *args: Any, **more: Any) -> Any:
        if operation == "start_copy_from_url":
            if more.get("requires_sync"):
                raise errors.UnsupportedMethodError("the service cannot read it")
            self._real("upload_blob", key, path, b"", overwrite=True)
            return {"copy_id": "copy-1", "copy_status": "pending"}
        if operation == "abort_copy":
            self.aborted.append(args[0])
            return None
        reply = self._real(operation, key, path, *args, **more)
        if operation == "get_blob_properties" and key.endswith("destination"):
            reply.copy = Copied(self._ends[0])
            if len(self._ends) > 1:
                self._ends.pop(0)
        return reply


@pytest.mark.parametrize(
    ("ends", "kind"),
    [(["pending"], errors.DeadlineExceededError), (["failed"], errors.StorageError)],
)
def test_a_copy_that_does_not_end_is_aborted_and_leaves_nothing(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    ends: list[str],
    kind: type[Exception],
) -> None:
    driver = make(copytimeout=1)
    content = data(100)
    driver.put_content("/source", content)
    pending = Pending(driver, ends)
    monkeypatch.setattr(inner(driver)._container, "call", pending.call)
    with pytest.raises(kind):
        driver.move("/source", "/destination")
    monkeypatch.undo()
    assert pending.aborted == ["copy-1"]
    assert driver.get_content("/source") == content
    with pytest.raises(errors.PathNotFoundError):
        driver.stat("/destination")


def test_a_copy_of_another_size_is_no_reason_to_delete_the_source(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make()
    driver.put_content("/source", b"content")
    pending = Pending(driver, ["pending", "pending", "success"])
    monkeypatch.setattr(inner(driver)._container, "call", pending.call)
    monkeypatch.setattr(copying, "POLL_SECONDS_MIN", 0.01)
    with pytest.raises(errors.DataLossError):
        driver.move("/source", "/destination")
    monkeypatch.undo()
    assert driver.get_content("/source") == b"content"


def test_a_thousand_and_five_objects_are_deleted(make: Make) -> None:
    driver = make()
    for number in range(1005):
        driver.put_content(f"/d/{number}", b"x")
    driver.delete("/d")
    assert driver.list("/") == []


def test_long_moves_copies_and_deletes_show_that_they_move(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step prolongs the caller's wait; without any it ends at the deadline."""

    def steps_of(call: Callable[[], object]) -> int:
        steps = Steps()
        with counted(steps):
            call()
        return steps.done

    driver = make(copythresholdsize=MIB, copychunksize=MIB, chunksize=MIB)
    upload = driver.writer("/large")
    upload.write(data(5 * MIB))
    assert steps_of(upload.commit) >= 5
    upload.close()
    assert steps_of(lambda: driver.move("/large", "/moved")) >= 5
    for number in range(300):
        driver.put_content(f"/d/{number}", b"x")
    assert steps_of(lambda: driver.delete("/d")) >= 4
    pending = Pending(driver, ["pending"] * 9 + ["success"])
    monkeypatch.setattr(inner(driver)._container, "call", pending.call)
    monkeypatch.setattr(copying, "POLL_SECONDS_MIN", 0.01)
    monkeypatch.setattr(copying, "POLL_SECONDS_MAX", 0.01)
    driver.put_content("/source", b"")
    assert steps_of(lambda: driver.move("/source", "/destination")) >= 10


def test_uploads_that_are_old_are_dropped(make: Make, client: ContainerClient) -> None:
    driver = make(chunksize=MIB)
    with driver.writer("/kept") as upload:
        upload.write(b"x")
    reaper = inner(driver)._reaper
    now = datetime.now(UTC)
    assert reaper.work(now) == 0
    assert reaper.work(now + timedelta(days=8)) == 1
    assert keys(client, inner(driver)._container.uploads) == []


def test_a_writer_that_vanished_in_its_commit_leaves_an_upload_to_claim(
    make: Make,
) -> None:
    driver = make(chunksize=MIB)
    content = data(2 * MIB + 9)
    upload = driver.writer("/a")
    upload.write(content)
    staging = Staging(inner(driver)._container, "/a", upload.upload_id)
    writer = upload._upload  # type: ignore[attr-defined]
    staging.advance(writer._step, writer._all_blocks(), Stage.COMMITTING)
    with make().writer("/a", upload_id=upload.upload_id) as claimed:
        assert claimed.size == len(content)
        claimed.commit()
    assert driver.get_content("/a") == content
    with pytest.raises(errors.UploadSupersededError):
        upload.commit()


def test_a_step_whose_reply_was_lost_is_found_to_be_ones_own(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make()
    container = inner(driver)._container
    staging = Staging(container, "/a", "0" * 32)
    real = container.call

    def twice(operation: str, *args: Any, **given: Any) -> Any:
        reply = real(operation, *args, **given)
        if operation in ("commit_block_list", "set_blob_metadata"):
            return real(operation, *args, **given)
        return reply

    monkeypatch.setattr(container, "call", twice)
    step = staging.begin()
    assert staging.touch(step).generation == 1
    with pytest.raises(errors.UploadSupersededError):
        staging.touch(step)


def test_no_sdk_is_loaded_until_a_call_needs_it(azurite: Azurite) -> None:
    script = """
import json, os, sys
from storagebus.drivers import create
driver = create("azure", json.loads(os.environ["GIVEN"]))
assert not any(name.split(".")[0] == "azure" for name in sys.modules), "at creation"
driver.list("/")
assert "azure.storage.blob" in sys.modules
if (child := os.fork()) == 0:
    driver.put_content("/from-the-child", b"x")
    driver.delete("/from-the-child")
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
driver.close()
"""
    given = json.dumps(parameters_of(azurite.service_url, rootdirectory="fork"))
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "GIVEN": given},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr

"""The driver on a real server: reads, listings, deletes, moves, redirects."""

from __future__ import annotations

import logging
from random import Random
from typing import Any
from urllib.request import urlopen

import pytest
from s3_bucket import keys, multiparts, parameters_of

from storagebus.drivers import conformance
from storagebus.drivers.errors import (
    AccessDeniedError,
    InvalidPathError,
    PathNotFoundError,
    PreconditionError,
    StorageError,
    UnavailableError,
)
from storagebus.drivers.paths import walk_key
from storagebus.drivers.progress import Steps, counted

from .conftest import MIB, Make, inner

RANDOM = Random(12)


def data(size: int) -> bytes:
    return RANDOM.randbytes(size)


def test_a_large_object_is_read_by_ranges_at_once(make: Make) -> None:
    driver = make(readchunksize=1 * MIB)
    content = data(9 * MIB + 11)
    driver.put_content("/x", content)
    with driver.reader("/x") as stream:
        assert stream.read(10) == content[:10]
        assert inner(driver)._budget.peak_bytes == 0, "fetched ahead for a look"
        assert stream.read() == content[10:]
    assert inner(driver)._budget.peak_bytes >= 3 * MIB
    for offset, length in ((0, 3 * MIB), (MIB - 1, 2), (5 * MIB + 3, None)):
        with driver.reader("/x", offset, length) as stream:
            end = len(content) if length is None else offset + length
            assert stream.read() == content[offset:end]
    with driver.reader("/x") as stream:
        stream.read(2 * MIB)
    driver.close()
    assert inner(driver)._budget.reserved_bytes == 0


def test_without_budget_a_large_object_is_streamed(make: Make) -> None:
    driver = make(readchunksize=1 * MIB, memorybudget=0)
    content = data(5 * MIB)
    driver.put_content("/x", content)
    with driver.reader("/x") as stream:
        assert stream.read() == content
    assert inner(driver)._budget.peak_bytes == 0


def test_identity_is_the_etag(make: Make, client: Any) -> None:
    driver = make()
    driver.put_content("/x", b"one")
    root = inner(driver)._bucket.root
    found = client.head_object(Bucket="tests", Key=root + "x")
    assert driver.stat("/x").identity == found["ETag"].strip('"')


def test_what_others_stored_is_read_and_listed(make: Make, client: Any) -> None:
    driver = make()
    root = inner(driver)._bucket.root
    for key in ("docker/registry/v2/x", "docker/no grammar", "docker/~t/x", "a b/c"):
        client.put_object(Bucket="tests", Key=root + key, Body=key.encode())
    assert driver.get_content("/docker/registry/v2/x") == b"docker/registry/v2/x"
    assert driver.list("/") == ["/docker"]
    walked = [info.path for info in driver.walk("/")]
    assert walked == [
        "/docker", "/docker/registry", "/docker/registry/v2", "/docker/registry/v2/x",
    ]  # fmt: skip


TREE = ("/a-b", "/a.d/x", "/a/b", "/a/b/c", "/a/b-/x", "/a/z", "/a0", "/b/c/d/e")


@pytest.mark.parametrize("order", ["tree", "auto"])
def test_walk_in_order_of_bytes(make: Make, order: str) -> None:
    driver = make(listorder=order)
    for path in TREE:
        driver.put_content(path, b"x")
    wanted = set(TREE)
    for path in TREE:
        names = path.split("/")
        wanted |= {"/".join(names[:depth]) + "/" for depth in range(2, len(names))}
    got = [walk_key(info.path, info.is_dir) for info in driver.walk("/")]
    assert got == sorted(wanted)
    assert inner(driver)._order.in_bytes() is False


def test_a_thousand_and_five_objects_are_deleted(make: Make, client: Any) -> None:
    driver = make()
    root = inner(driver)._bucket.root
    for number in range(1_005):
        client.put_object(Bucket="tests", Key=f"{root}d/{number:04}", Body=b"")
    driver.put_content("/d-", b"stays")
    assert len(driver.list("/d")) == 1_005
    driver.delete("/d")
    assert keys(client, root) == [root + "d-"]


def test_deletes_one_by_one_where_a_server_takes_no_batches(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make()
    for number in range(5):
        driver.put_content(f"/d/{number}", b"x")
    bucket = inner(driver)._bucket
    call = bucket.call

    def refuse(operation: str, path: str | None, **arguments: Any) -> Any:
        if operation == "delete_objects":
            raise StorageError("InvalidRequest")
        return call(operation, path, **arguments)

    monkeypatch.setattr(bucket, "call", refuse)
    driver.delete("/d")
    with pytest.raises(PathNotFoundError):
        driver.stat("/d")


@pytest.mark.parametrize("size", [12 * MIB, 10 * MIB])
def test_a_large_move_is_copied_in_parts(make: Make, client: Any, size: int) -> None:
    driver = make(multipartcopythresholdsize=0, multipartcopychunksize=5 * MIB)
    content = data(size)
    driver.put_content("/from", content)
    driver.move("/from", "/to")
    root = inner(driver)._bucket.root
    assert keys(client, root) == [root + "to"]
    assert driver.get_content("/to") == content


def test_long_moves_and_deletes_show_that_they_move(make: Make) -> None:
    """Each step prolongs the caller's wait; without any it ends at the deadline."""
    driver = make(multipartcopythresholdsize=0, multipartcopychunksize=5 * MIB)
    driver.put_content("/from", data(21 * MIB))
    steps = Steps()
    with counted(steps):
        driver.move("/from", "/to")
        assert steps.done >= 5
        before = steps.done
        driver.delete("/to")
        assert steps.done >= before + 3


def test_why_a_head_was_refused_is_found_out(make: Make) -> None:
    """The answer to a HEAD has a status and nothing else."""
    for given in ({"secretkey": "wrong"}, {"accesskey": "nobody"}):
        with pytest.raises(AccessDeniedError) as caught:
            make(**given).stat("/x")
        assert "SignatureDoesNotMatch" in str(caught.value) or (
            "InvalidAccessKeyId" in str(caught.value)
        )


def test_a_move_that_fails_leaves_all_as_it_was(make: Make, client: Any) -> None:
    driver = make(multipartcopythresholdsize=0, multipartcopychunksize=5 * MIB)
    content = data(11 * MIB)
    driver.put_content("/from", content)
    driver.put_content("/to", b"old")
    bucket = inner(driver)._bucket
    call, root = bucket.call, bucket.root

    def change_the_source(operation: str, path: str | None, **arguments: Any) -> Any:
        reply = call(operation, path, **arguments)
        if operation == "create_multipart_upload":
            call("put_object", path, Key=root + "from", Body=b"new")
        return reply

    bucket.call = change_the_source  # type: ignore[method-assign]
    with pytest.raises(StorageError) as caught:
        driver.move("/from", "/to")
    assert caught.value.path == "/from"
    assert driver.get_content("/from") == b"new"
    assert driver.get_content("/to") == b"old"
    assert multiparts(client, root) == []


def test_redirects_have_the_endpoint_asked_for(make: Make) -> None:
    driver = make(presignlifetime=60)
    driver.put_content("/x", b"redirected")
    url = driver.redirect_url("/x", expires=3_600)
    assert url is not None and "X-Amz-Expires=60" in url
    with urlopen(url, timeout=10) as response:
        assert response.read() == b"redirected"
    elsewhere = make(redirectendpoint="https://cdn.example.org").redirect_url("/x")
    assert elsewhere is not None
    assert elsewhere.startswith("https://cdn.example.org/tests/of/")
    key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    encrypted = make(ssecustomerkey=key)
    assert encrypted.redirect_url("/x") is None
    assert not encrypted.capabilities.redirects


def test_a_key_of_the_customer_encrypts(make: Make, client: Any) -> None:
    key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    driver = make(ssecustomerkey=key, chunksize=5 * MIB, multipartcopythresholdsize=0)
    content = data(11 * MIB)
    with driver.writer("/x") as upload:
        upload.write(content)
        upload.commit()
    driver.move("/x", "/y")
    # SeaweedFS copies no encrypted parts: whole, or through the driver, it goes on.
    with driver.writer("/y", append=True) as upload:
        upload.write(b"more")
        upload.commit()
    assert driver.get_content("/y") == content + b"more"
    with pytest.raises(StorageError):
        make().get_content("/y")


def test_paths_longer_than_keys(make: Make) -> None:
    driver = make()
    longest = driver.capabilities.path_bytes_max
    assert longest is not None
    for path in ("/" + "p" * longest, "/" + "p" * 1_100):
        with pytest.raises(InvalidPathError):
            driver.put_content(path, b"")
        with pytest.raises((InvalidPathError, PathNotFoundError)):
            driver.get_content(path)


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"secretkey": "wr0ng-s3cret"}, AccessDeniedError),
        ({"accesskey": "n0such-key", "secretkey": "wr0ng-s3cret"}, AccessDeniedError),
        ({"regionendpoint": "http://127.0.0.1:9", "maxattempts": 1}, UnavailableError),
    ],
)
def test_what_is_wrong_is_typed(make: Make, more: Any, kind: Any) -> None:
    driver = make(**more)
    for call in (
        lambda: driver.get_content("/x"),
        lambda: driver.stat("/x"),
        lambda: driver.put_content("/x", b"1"),
        lambda: driver.writer("/x"),
        lambda: driver.list("/"),
        lambda: driver.walk("/a"),
        lambda: driver.delete("/x"),
        lambda: driver.move("/x", "/y"),
    ):
        with pytest.raises(kind) as caught:
            call()
        text = str(caught.value) + repr(caught.value.__cause__)
        assert "wr0ng" not in text and "n0such" not in text


def test_a_missing_bucket_is_no_missing_path(make: Make) -> None:
    """Only reads: SeaweedFS makes a bucket at the first write."""
    driver = make(bucket="no-such-bucket")
    for call in (
        lambda: driver.get_content("/x"),
        lambda: driver.reader("/x"),
        lambda: driver.stat("/x"),
        lambda: driver.list("/"),
        lambda: driver.delete("/x"),
        lambda: driver.move("/x", "/y"),
    ):
        with pytest.raises(UnavailableError, match="bucket does not exist") as caught:
            call()
        assert not caught.value.temporary


def test_if_match_that_no_etag_can_be(make: Make) -> None:
    driver = make()
    driver.put_content("/x", b"1")
    for identity in ('a"b', "a b", "*", "x" * 200):
        with pytest.raises(PreconditionError):
            driver.reader("/x", if_match=identity)


def test_log_has_the_requests_and_no_secret(make: Make, caplog: Any) -> None:
    with caplog.at_level(logging.DEBUG, "storagebus.drivers.s3"):
        driver = make(loglevel="debug")
        driver.put_content("/x", b"1")
        with pytest.raises(PathNotFoundError):
            driver.get_content("/none")
    text = caplog.text
    assert "PutObject: status 200" in text and "GetObject: status 404" in text
    assert "testsecret123" not in text and "Signature" not in text


@pytest.mark.slow
def test_the_executable_serves_the_driver(seaweedfs: Any, client: Any) -> None:
    """`registry-storage-s3`, the managed child of a registry node."""
    given = parameters_of(seaweedfs, rootdirectory="of/child")
    report = conformance.child("s3", given, only=["driver", "upload", "claim"])
    assert report.ok, str(report)


def test_many_connections_leave_none_behind(make: Make) -> None:
    """Readers that are closed half-way give their connections back."""
    driver = make(maxthreads=1)
    driver.put_content("/x", data(2 * MIB))
    for _ in range(60):
        with driver.reader("/x") as stream:
            stream.read(10)
    assert driver.get_content("/x")

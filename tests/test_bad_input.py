"""What users and peers get wrong, through a whole bus: each a typed error within its
deadline, and the next good call works."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from running_bus import running_bus

from storagebus.client import Client
from storagebus.drivers import create
from storagebus.drivers.errors import (
    AccessDeniedError,
    DeadlineExceededError,
    InvalidOffsetError,
    InvalidParameterError,
    InvalidPathError,
    InvalidStorageDriverError,
    PathConflictError,
    PathNotFoundError,
    StorageError,
    StorageFullError,
    UnavailableError,
    UnknownServiceError,
)

DEADLINE_S = 5.0
MIB = 1 << 20


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("objects")


@pytest.fixture(scope="module")
def endpoint(root: Path) -> Iterator[str]:
    with running_bus("filesystem", {"rootdirectory": str(root)}) as found:
        yield found


@pytest.fixture
def client(endpoint: str) -> Iterator[Client]:
    with Client(endpoint, deadline=DEADLINE_S) as made:
        yield made
        content = os.urandom(100)
        made.put_content("/next/good", content)  # whatever happened before
        assert made.get_content("/next/good") == content


def expect(kind: type[StorageError], call: Callable[[], object]) -> StorageError:
    """The call fails with this kind of error, and within the deadline."""
    start = time.monotonic()
    with pytest.raises(kind) as caught:
        call()
    assert time.monotonic() - start < DEADLINE_S + 1
    return caught.value


@pytest.mark.parametrize("path", ["", "/", "a", "//a", "/a/", "/a/../b", "/a b", "/ä"])
def test_a_path_outside_the_grammar(client: Client, path: str) -> None:
    for call in (client.get_content, client.delete, client.reader, client.writer):
        error = expect(InvalidPathError, lambda call=call: call(path))  # type: ignore[misc]
        assert error.path == path


def test_a_negative_offset(client: Client) -> None:
    client.put_content("/a/object", b"x")
    assert (
        expect(InvalidOffsetError, lambda: client.reader("/a/object", -1)).offset == -1
    )
    expect(InvalidOffsetError, lambda: client.reader("/a/object", 0, -1))


def test_a_wrong_parameter(tmp_path: Path) -> None:
    for parameters, name in (
        ({"rootdirectory": str(tmp_path), "colour": "red"}, "colour"),
        ({"rootdirectory": str(tmp_path), "maxthreads": "many"}, "maxthreads"),
    ):
        error = expect(
            InvalidParameterError,
            lambda parameters=parameters: create("filesystem", parameters),  # type: ignore[misc]
        )
        assert name in str(error)


def test_an_unknown_service(client: Client, endpoint: str) -> None:
    with Client(endpoint, "attic", deadline=DEADLINE_S) as lost:
        error = expect(UnknownServiceError, lambda: lost.stat("/"))
    assert "attic" in str(error)
    assert "default" in str(error), "it says what there is"


def test_an_unknown_driver() -> None:
    error = expect(InvalidStorageDriverError, lambda: create("no-such-driver", {}))
    assert "registry-storage-no-such-driver" in str(error)


def test_an_object_where_a_directory_is_expected(client: Client) -> None:
    client.put_content("/file", b"x")
    expect(PathNotFoundError, lambda: client.list("/file"))
    expect(PathConflictError, lambda: client.put_content("/file/below", b"x"))
    client.put_content("/directory/below", b"x")
    expect(PathNotFoundError, lambda: client.get_content("/directory"))
    expect(PathConflictError, lambda: client.put_content("/directory", b"x"))


def test_a_broker_that_is_not_there(tmp_path: Path) -> None:
    with Client(f"ipc://{tmp_path}/nobody", deadline=0.5) as client:
        error = expect(UnavailableError, lambda: client.stat("/"))
    assert "nobody" in str(error)
    assert error.executed.value == "no"


def test_a_deadline_that_passes(tmp_path: Path) -> None:
    with (
        running_bus("inmemory", {}, workers=1) as endpoint,
        Client(endpoint, deadline=DEADLINE_S) as client,
    ):
        client.put_content("/a", b"1")
        pid = client.bus_status()["services"]["default"]["workers"][0]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            with Client(endpoint, deadline=0.5) as hurried:
                error = expect(StorageError, lambda: hurried.put_content("/b", b"2"))
            assert isinstance(error, (DeadlineExceededError, UnavailableError))
        finally:
            os.kill(pid, signal.SIGCONT)
        assert client.get_content("/a") == b"1"


def test_no_permission(client: Client, root: Path) -> None:
    if os.geteuid() == 0:
        # Nothing is forbidden to root but what the file system itself refuses.
        folder = root / "locked"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "ro", "none", str(folder)]
        assert subprocess.run(mount).returncode == 0, "root should be able to mount"
        try:
            expect(AccessDeniedError, lambda: client.put_content("/locked/a", b"x"))
        finally:
            subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()
    else:
        folder = root / "locked"
        folder.mkdir()
        (folder / "b").touch()  # an empty one is removed when a put fails
        folder.chmod(0o500)
        try:
            expect(AccessDeniedError, lambda: client.put_content("/locked/a", b"x"))
        finally:
            folder.chmod(0o700)
            shutil.rmtree(folder)


def test_a_full_disk(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount the small file system that this needs")
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)]
    assert subprocess.run(mount).returncode == 0, "root should be able to mount"
    try:
        with (
            running_bus("filesystem", {"rootdirectory": str(folder)}) as endpoint,
            Client(endpoint, deadline=DEADLINE_S) as client,
        ):
            client.put_content("/kept", b"old")

            def fill() -> None:
                with client.writer("/kept") as upload:
                    for _ in range(16):
                        upload.write(os.urandom(MIB))
                    upload.commit()

            expect(StorageFullError, fill)
            assert client.get_content("/kept") == b"old"
            assert [info.path for info in client.walk("/")] == ["/kept"]
            content = os.urandom(MIB)
            client.put_content("/room", content)
            assert client.get_content("/room") == content
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_garbage_from_any_peer(client: Client, endpoint: str) -> None:
    context = zmq.Context()
    try:
        stranger = context.socket(zmq.DEALER)
        stranger.setsockopt(zmq.LINGER, 0)
        stranger.connect(endpoint)
        for frames in (
            [b""],
            [os.urandom(56)],
            [b"SB" + bytes(54)],
            [b"SB\x01\x01" + os.urandom(52)],
            [os.urandom(40_000)],
            [b"x"] * 20,
        ):
            stranger.send_multipart(frames)
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(endpoint.removeprefix("ipc://"))
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + os.urandom(1000))
        for number in range(20):
            client.put_content("/a/meanwhile", bytes([number]) * 1000)
            assert client.get_content("/a/meanwhile") == bytes([number]) * 1000
        assert client.bus_status()["broker"]["counters"]["protocol_errors"] >= 1
        raw.close()
    finally:
        context.destroy(linger=0)

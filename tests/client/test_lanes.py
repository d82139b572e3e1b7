"""client/lanes.py: what to ask for, and what a client takes from a stranger."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storagebus.broker import lanes as protocol
from storagebus.broker.lanes import abstract_name, host_mark, new_address
from storagebus.broker.messages import Accepted
from storagebus.broker.segment import make_segment
from storagebus.client import lanes
from storagebus.client.lanes import AFTER_BYTES, Lanes, fetch_file, fetch_memory
from storagebus.drivers.errors import InvalidParameterError

SIZE = 1 << 16
TOKEN = bytes(range(16))


@pytest.mark.parametrize(
    ("value", "kinds", "after"),
    [
        (None, ("file", "memory"), AFTER_BYTES),
        ("", ("file", "memory"), AFTER_BYTES),
        ("auto", ("file", "memory"), AFTER_BYTES),
        ("file", ("file",), 0),
        ("memory", ("memory",), 0),
        ("off", (), 0),
    ],
)
def test_what_the_operator_wants(
    value: str | None, kinds: tuple[str, ...], after: int
) -> None:
    made = Lanes.of({} if value is None else {"STORAGEBUS_LANE": value})
    assert (made.kinds, made.after_bytes) == (kinds, after)
    asked = made.asking(100.0, 5)
    if kinds:
        assert asked == {"lane": host_mark(), "lane_kinds": kinds, "lane_window": 5}
    else:
        assert asked == {}
    made.no_file(100.0)
    asked = made.asking(159.0)
    assert "file" not in asked.get("lane_kinds", ())
    assert bool(asked) == ("memory" in kinds)
    assert made.asking(161.0).get("lane_kinds", ()) == kinds


def test_a_word_that_means_nothing() -> None:
    with pytest.raises(InvalidParameterError, match="auto, off, file, memory"):
        Lanes.of({"STORAGEBUS_LANE": "fast"})


class Stranger:
    """Somebody at a side socket who does as a test says."""

    def __init__(self) -> None:
        self.address = new_address()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(abstract_name(self.address) or b"")
        self.listener.listen()
        self.heard: list[bytes] = []
        self._thread: threading.Thread | None = None

    def answer(self, act: Callable[[socket.socket], None]) -> None:
        """Take the token of one visitor, act, and listen for the word."""

        def serve() -> None:
            connection, _ = self.listener.accept()
            with connection:
                connection.settimeout(5)
                self.heard.append(connection.recv(100))
                act(connection)
                try:
                    self.heard.append(connection.recv(100))
                except OSError:
                    self.heard.append(b"")

        self._thread = threading.Thread(target=serve)
        self._thread.start()

    def give(self, *fds: int, word: bytes = b"L") -> None:
        self.answer(
            lambda connection: socket.send_fds(connection, [word], [*fds]) and None
        )

    def offer(self, kind: str, size: int = SIZE, start: int = 0) -> Accepted:
        return Accepted(
            lane=kind,
            lane_address=self.address,
            lane_token=TOKEN,
            lane_bytes=size,
            lane_start=start,
        )

    def close(self) -> None:
        if self._thread is not None:
            self._thread.join()
        self.listener.close()


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    before = {*Path("/proc/self/fd").iterdir()}
    made = Stranger()
    yield made
    made.close()
    assert len({*Path("/proc/self/fd").iterdir()}) == len(before), (
        "descriptors are left"
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "object"
    made.write_bytes(os.urandom(SIZE))
    return made


def test_memory(stranger: Stranger) -> None:
    segment, fd = make_segment(SIZE, writable=False)
    stranger.give(fd)
    got = fetch_memory(stranger.offer("memory"), writable=False)
    assert got is not None
    segment.view[:3] = b"abc"
    assert got.segment.view[:3] == b"abc"
    stranger.close()
    assert stranger.heard == [TOKEN, b"L"]
    got.close()
    segment.close()
    os.close(fd)


def test_a_file(stranger: Stranger, file: Path) -> None:
    fd = os.open(file, os.O_RDONLY)
    stranger.give(fd)
    got = fetch_file(stranger.offer("file", SIZE - 5, 5), "/a")
    assert got is not None
    assert got.read(1 << 20) == file.read_bytes()[5:]
    got.close()
    os.close(fd)
    stranger.close()
    assert stranger.heard == [TOKEN, b"L"]


def refused(stranger: Stranger, kind: str, **more: int) -> None:
    """Nothing is taken, and the other side hears that."""
    if kind == "file":
        assert fetch_file(stranger.offer("file", **more), "/a") is None
    else:
        assert fetch_memory(stranger.offer("memory", **more), writable=True) is None
    stranger.close()
    assert stranger.heard[1:] in ([], [b""])


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_no_descriptor(stranger: Stranger, kind: str) -> None:
    stranger.answer(lambda connection: connection.send(b"L") and None)
    refused(stranger, kind)


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_hang_up(stranger: Stranger, kind: str) -> None:
    stranger.answer(lambda connection: connection.shutdown(socket.SHUT_RDWR))
    refused(stranger, kind)


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_silence_is_not_waited_for(
    stranger: Stranger, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "FETCH_S_MAX", 0.1)
    stranger.answer(lambda connection: None)
    refused(stranger, kind)


def test_more_descriptors_than_one(stranger: Stranger, file: Path) -> None:
    fds = [os.open(file, os.O_RDONLY) for _ in range(20)]
    stranger.give(*fds)
    refused(stranger, "file")
    for fd in fds:
        os.close(fd)


def test_another_word(stranger: Stranger, file: Path) -> None:
    fd = os.open(file, os.O_RDONLY)
    stranger.give(fd, word=b"LL")
    refused(stranger, "file")
    os.close(fd)


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_pipe_a_device_or_a_directory(
    stranger: Stranger, kind: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    reading, writing = os.pipe()
    found = [
        reading,
        writing,
        os.open(tmp_path / "fifo", os.O_RDWR),
        os.open("/dev/zero", os.O_RDONLY),
        os.open(tmp_path, os.O_RDONLY),
    ]
    for fd in found:
        other = Stranger()
        other.give(fd)
        refused(other, kind)
        os.close(fd)


def test_a_file_that_can_be_written(stranger: Stranger, file: Path) -> None:
    fd = os.open(file, os.O_RDWR)
    stranger.give(fd)
    refused(stranger, "file")
    os.close(fd)


@pytest.mark.parametrize("more", [{"size": SIZE + 1}, {"start": 1}, {"start": 1 << 50}])
def test_a_file_that_is_too_short(
    stranger: Stranger, file: Path, more: dict[str, int]
) -> None:
    fd = os.open(file, os.O_RDONLY)
    stranger.give(fd)
    refused(stranger, "file", **more)
    os.close(fd)


def test_memory_without_seals(stranger: Stranger) -> None:
    fd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, SIZE)
    os.posix_fallocate(fd, 0, SIZE)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    stranger.give(fd)
    refused(stranger, "memory")
    os.close(fd)


def test_memory_of_another_size(stranger: Stranger) -> None:
    segment, fd = make_segment(SIZE, writable=True)
    stranger.give(fd)
    refused(stranger, "memory", size=2 * SIZE)
    segment.close()
    os.close(fd)


def test_another_user(stranger: Stranger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is not even shown."""
    monkeypatch.setattr(lanes, "is_own_user", lambda side: False)
    stranger.answer(lambda connection: None)
    assert fetch_memory(stranger.offer("memory"), writable=True) is None
    stranger.close()
    assert stranger.heard[0] == b""


@pytest.mark.parametrize("address", ["/run/docker.sock", "@x", "", "tcp://1.2.3.4:5"])
def test_an_address_that_is_none_is_not_connected_to(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("connected"))
    offer = Accepted(lane="file", lane_address=address, lane_token=TOKEN, lane_bytes=9)
    assert fetch_file(offer, "/a") is None


def test_nobody_there() -> None:
    offer = Accepted(
        lane="file", lane_address=new_address(), lane_token=TOKEN, lane_bytes=9
    )
    assert fetch_file(offer, "/a") is None
    assert protocol.STEP_S_MAX <= 2

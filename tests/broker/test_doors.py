"""broker/doors.py: binding, locking, and what raw sockets throw at a door."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from bus import until

from storagebus.broker.dealer import Dealer
from storagebus.broker.doors import FRAMES_MAX, DoorSocket
from storagebus.broker.sessions import Door, Peer
from storagebus.broker.wire import Message, Type
from storagebus.drivers.errors import (
    InvalidParameterError,
    ProtocolError,
    UnavailableError,
)

Context = zmq.Context[zmq.Socket[bytes]]


def has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def door(context: Context, folder: Path) -> Iterator[DoorSocket]:
    made = DoorSocket(context, Door.CLIENTS, (f"ipc://{folder}/door",))
    yield made
    made.close()


def received(
    door: DoorSocket, count: int
) -> list[tuple[Peer, Message | ProtocolError]]:
    seen: list[tuple[Peer, Message | ProtocolError]] = []

    def enough() -> bool:
        seen.extend(door.receive(50))
        return len(seen) >= count

    until(enough, f"{count} messages")
    return seen


def test_free_ports_are_told(context: Context) -> None:
    given = ["tcp://127.0.0.1:0", "tcp://127.0.0.1:*", "tcp://*:0"]
    if has_ipv6_loopback():
        given.append("tcp://[::1]:0")
    door = DoorSocket(context, Door.CLIENTS, tuple(given))
    ports = [int(address.rpartition(":")[2]) for address in door.addresses]
    assert len(set(ports)) == len(given)
    assert all(ports)
    for address in (door.addresses[0], *door.addresses[3:]):
        dealer = Dealer(context, address)
        until(lambda d=dealer: d.send(Message(Type.PING)), "connected")  # type: ignore
        ((_, message),) = received(door, 1)
        assert message == Message(Type.PING)
        dealer.close()
    door.close()


def test_two_brokers_cannot_have_one_address(context: Context, folder: Path) -> None:
    address = f"ipc://{folder}/door"
    first = DoorSocket(context, Door.CLIENTS, (address,))
    before = descriptors()
    for _ in range(5):
        with pytest.raises(UnavailableError, match="another broker listens at") as e:
            DoorSocket(context, Door.CLIENTS, (f"ipc://{folder}/other", address))
        assert f"{folder}/door.lock" in str(e.value)
    until(lambda: descriptors() <= before, "refusals leave nothing open")
    dealer = Dealer(context, address)
    until(lambda: dealer.send(Message(Type.PING)), "the first is still reached")
    received(first, 1)
    dealer.close()
    first.close()
    # What was locked in a failed attempt, and by the first, is free again.
    DoorSocket(context, Door.CLIENTS, (f"ipc://{folder}/other", address)).close()


def test_a_port_in_use(context: Context) -> None:
    door = DoorSocket(context, Door.CLIENTS, ("tcp://127.0.0.1:0",))
    with pytest.raises(UnavailableError, match="is another broker there"):
        DoorSocket(context, Door.WORKERS, door.addresses)
    door.close()


def test_addresses_that_cannot_be_bound(context: Context, folder: Path) -> None:
    with pytest.raises(
        InvalidParameterError, match=r"cannot listen at tcp://192\.0\.2\.1"
    ):
        DoorSocket(context, Door.CLIENTS, ("tcp://192.0.2.1:7400",))
    folder.joinpath("file").write_text("in the way")
    with pytest.raises(InvalidParameterError, match=r"Not a directory|File exists"):
        DoorSocket(context, Door.CLIENTS, (f"ipc://{folder}/file/door",))


def test_a_clean_end_leaves_nothing_in_the_folder(
    context: Context, folder: Path
) -> None:
    before = {*folder.iterdir()}
    door = DoorSocket(context, Door.CLIENTS, (f"ipc://{folder}/a", f"ipc://{folder}/b"))
    assert {path.name for path in {*folder.iterdir()} - before} == {
        "a", "b", "a.lock", "b.lock"
    }  # fmt: skip
    door.close()
    assert {*folder.iterdir()} == before


def test_a_file_at_the_address_is_left_alone(context: Context, folder: Path) -> None:
    """libzmq would remove it."""
    folder.joinpath("data").write_text("precious")
    with pytest.raises(InvalidParameterError, match="no socket"):
        DoorSocket(context, Door.CLIENTS, (f"ipc://{folder}/data",))
    assert folder.joinpath("data").read_text() == "precious"


def test_a_socket_left_behind_is_taken_over(context: Context, folder: Path) -> None:
    """As after kill -9: the file is there, the lock is not."""
    path = folder / "door"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert path.is_socket()
    door = DoorSocket(context, Door.CLIENTS, (f"ipc://{path}",))
    dealer = Dealer(context, f"ipc://{path}")
    until(lambda: dealer.send(Message(Type.PING)), "connected")
    received(door, 1)
    dealer.close()
    door.close()


def test_the_folder_is_made_and_private(context: Context, folder: Path) -> None:
    door = DoorSocket(context, Door.CLIENTS, (f"ipc://{folder}/deep/er/door",))
    assert (folder / "deep" / "er").stat().st_mode & 0o777 == 0o700
    assert (folder / "deep" / "er" / "door.lock").stat().st_mode & 0o777 == 0o600
    door.close()


def test_what_arrives_is_a_message_or_an_error(
    context: Context, door: DoorSocket
) -> None:
    raw = context.socket(zmq.DEALER)
    raw.setsockopt(zmq.LINGER, 0)
    raw.connect(door.addresses[0])
    noise: list[list[bytes]] = [
        [b""],
        [b"x" * 56],
        [b"x"] * (FRAMES_MAX + 1),
        [b"x"] * 1000,
        [os.urandom(300), os.urandom(300)],
    ]
    for frames in noise:
        raw.send_multipart(frames)
    seen = received(door, len(noise))
    assert all(isinstance(message, ProtocolError) for _, message in seen)
    assert "1000 frames" in str(seen[3][1])
    assert len({peer for peer, _ in seen}) == 1
    raw.close(0)


def test_sending_says_whether_it_was_taken(context: Context, door: DoorSocket) -> None:
    assert not door.send(b"nobody", Message(Type.PING))
    dealer = Dealer(context, door.addresses[0])
    until(lambda: dealer.send(Message(Type.PING)), "connected")
    ((peer, _),) = received(door, 1)
    payload = memoryview(bytearray(b"ab" * 50_000))
    assert door.send(peer.routing_id, Message(Type.DATA, 1, payload=payload))
    seen: list[Message | ProtocolError] = []
    until(lambda: bool(seen.extend(dealer.receive(1)) or seen), "it came")
    (message,) = seen
    assert isinstance(message, Message)
    assert bytes(message.payload) == bytes(payload)
    dealer.close()
    until(lambda: door.disconnections() > 0, "the end is heard of")
    until(lambda: not door.send(peer.routing_id, Message(Type.PING)), "and refused")
    assert door.disconnections() == 0


FLOOD = """
import os, sys, time, zmq
raw = zmq.Context().socket(zmq.DEALER)
raw.setsockopt(zmq.HEARTBEAT_IVL, 300)
raw.setsockopt(zmq.HEARTBEAT_TTL, 2000)
raw.setsockopt(zmq.SNDHWM, 0)
raw.connect(sys.argv[1])
for _ in range(60_000):
    raw.send(bytes(60))
time.sleep(0.5)
os._exit(0)
"""

DOOR = """
import subprocess, sys, time, zmq
from storagebus.broker.doors import DoorSocket
from storagebus.broker.sessions import Door
address = "ipc://" + sys.argv[1] + "/door"
door = DoorSocket(zmq.Context(), Door.CLIENTS, (address,))
subprocess.run([sys.executable, "-c", sys.argv[2], address], check=True)
time.sleep(2.5)  # while nobody reads, timers of a paused and broken connection run
print("alive", sum(1 for _ in door.receive(100_000)) > 0, flush=True)
"""


@pytest.mark.slow
def test_a_flood_that_breaks_off_does_not_end_the_process(folder: Path) -> None:
    """libzmq 4.3.5 aborts when a heartbeat meets such a connection."""
    ran = subprocess.run(
        [sys.executable, "-c", DOOR, str(folder), FLOOD],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout == b"alive True\n", ran.stderr
    assert ran.returncode == 0

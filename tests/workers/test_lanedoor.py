"""The side socket: what is handed over, to whom, how often, and what it costs."""

import os
import resource
import select
import socket
import threading
import time
from pathlib import Path

import pytest

from storagebus.broker import lanes
from storagebus.broker.bell import Bell
from storagebus.broker.lanes import Descriptor, abstract_name
from storagebus.broker.segment import map_segment
from storagebus.workers import lanedoor
from storagebus.workers.lanedoor import CONNECTIONS_MAX, PAUSE_S, LaneDoor
from storagebus.workers.lanes import Offer, memory_offer

SIZE = 1 << 16
PATIENCE_S = 20.0


def open_descriptors():
    return len([*Path("/proc/self/fd").iterdir()])


class Doorkeeper:
    """Pumps as the loop does, and notes what was taken."""

    def __init__(self, bytes_max=8 * SIZE):
        self.door = LaneDoor(bytes_max)
        self.now = 1000.0
        self.taken = {}

    def pump(self, until=None, seconds=PATIENCE_S):
        """What there is to do now; or until something holds."""
        ends = time.monotonic() + seconds
        while True:
            if select.select([self.door], [], [], 0.01)[0] or until is None:
                self.taken.update(self.door.pump(self.now))
            if until is None or until():
                return
            assert time.monotonic() < ends

    def visit(self):
        visitor = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        visitor.settimeout(PATIENCE_S)
        visitor.connect(abstract_name(self.door.address))
        return visitor

    def fetch(self, token):
        """Show a token; the socket, and the descriptors that came."""
        visitor = self.visit()
        visitor.send(token)
        self.pump()
        self.pump()
        try:
            _, fds, _, _ = socket.recv_fds(visitor, 10, 10)
        except ConnectionResetError:
            fds = []
        return visitor, fds

    def close(self):
        self.door.close()
        for lane in self.taken.values():
            if lane is not None:
                lane.close()


@pytest.fixture
def keeper():
    before = open_descriptors()
    keeper = Doorkeeper()
    yield keeper
    keeper.close()
    assert open_descriptors() == before


def test_memory_to_read(keeper):
    offer = memory_offer(SIZE, writable=False)
    keeper.door.offer(offer)
    visitor, (fd,) = keeper.fetch(offer.token)
    assert keeper.taken == {}, "not before the client has said that it has it"
    visitor.send(b"L")
    keeper.pump()
    lane = keeper.taken[offer.token]
    theirs = map_segment(fd, SIZE, writable=False)
    lane.segment.view[:4] = b"data"
    assert theirs.view[:4] == b"data"
    assert keeper.door.bytes_used == SIZE
    lane.bell.ring(7)
    bell = Bell(visitor)
    assert bell.heard() and bell.mark == 7, "the connection is the lane's bell"
    lane.close()
    lane.close()
    assert keeper.door.bytes_used == 0
    theirs.close()
    os.close(fd)
    visitor.close()


def test_memory_to_write_is_in_use_at_once(keeper):
    """What is sent by it may overtake the word that it has come."""
    offer = memory_offer(SIZE, writable=True)
    keeper.door.offer(offer)
    visitor, (fd,) = keeper.fetch(offer.token)
    theirs = map_segment(fd, SIZE, writable=True)
    theirs.view[:4] = b"data"
    lane = keeper.taken[offer.token]
    assert lane.segment.view[:4] == b"data"
    visitor.send(b"L")
    bell = Bell(visitor)
    bell.ring(4)
    assert lane.bell.heard() and lane.bell.mark == 4, "the word is none of it"
    theirs.close()
    os.close(fd)
    visitor.close()


def test_a_file(keeper, tmp_path):
    (tmp_path / "object").write_bytes(b"content")
    fd = os.open(tmp_path / "object", os.O_RDONLY)
    offer = Offer("file", 7, 0, Descriptor(fd))
    keeper.door.offer(offer)
    visitor, (mine,) = keeper.fetch(offer.token)
    visitor.send(b"L")
    keeper.pump()
    assert keeper.taken == {offer.token: None}
    assert os.pread(mine, 100, 0) == b"content"
    assert offer.file.fileno() == -1, "the worker has let go of it"
    os.close(mine)
    visitor.close()


def test_a_token_works_once(keeper):
    offer = memory_offer(SIZE, writable=False)
    keeper.door.offer(offer)
    visitor, fds = keeper.fetch(offer.token)
    again, nothing = keeper.fetch(offer.token)
    assert (len(fds), nothing) == (1, [])
    for fd in fds:
        os.close(fd)
    again.close()
    visitor.close()


@pytest.mark.parametrize(
    "shown", [b"x" * 16, b"", b"x", b"\0" * 15, b"x" * 17, b"x" * 100_000]
)
def test_a_wrong_token_gets_nothing(keeper, shown):
    keeper.door.offer(memory_offer(SIZE, writable=False))
    visitor, fds = keeper.fetch(shown)
    assert fds == []
    assert visitor.recv(10) == b""
    visitor.close()


def test_a_token_with_something_behind_it_is_none(keeper):
    offer = memory_offer(SIZE, writable=False)
    keeper.door.offer(offer)
    visitor, fds = keeper.fetch(offer.token + b"!")
    assert fds == []
    visitor.close()


def test_what_is_withdrawn_is_not_to_be_had(keeper, tmp_path):
    (tmp_path / "object").write_bytes(b"content")
    file = Descriptor(os.open(tmp_path / "object", os.O_RDONLY))
    for offer in (memory_offer(SIZE, writable=True), Offer("file", 7, 0, file)):
        keeper.door.offer(offer)
        keeper.door.withdraw(offer.token)
        keeper.door.withdraw(offer.token)
        visitor, fds = keeper.fetch(offer.token)
        assert fds == []
        visitor.close()
    assert file.fileno() == -1


def test_all_segments_together_are_bounded(keeper):
    offers = [memory_offer(SIZE, writable=True) for _ in range(10)]
    got = []
    for offer in offers:
        keeper.door.offer(offer)
        visitor, fds = keeper.fetch(offer.token)
        got += fds
        visitor.close()
    assert len(got) == 8
    keeper.taken[offers[0].token].close()
    late = memory_offer(SIZE, writable=True)
    keeper.door.offer(late)
    visitor, fds = keeper.fetch(late.token)
    assert len(fds) == 1
    visitor.close()
    for fd in got + fds:
        os.close(fd)


@pytest.mark.parametrize("word", [b"no", b"", None])
def test_who_does_not_say_that_it_has_it_has_no_lane(keeper, word):
    offer = memory_offer(SIZE, writable=False)
    keeper.door.offer(offer)
    visitor, (fd,) = keeper.fetch(offer.token)
    if word is None:
        visitor.close()
    else:
        visitor.send(word)
    keeper.pump(lambda: keeper.door.bytes_used == 0)
    assert keeper.taken == {}
    os.close(fd)
    visitor.close()


def test_who_is_slow_is_dismissed(keeper):
    silent = keeper.visit()
    offer = memory_offer(SIZE, writable=False)
    keeper.door.offer(offer)
    halfway, (fd,) = keeper.fetch(offer.token)
    assert keeper.door.next_deadline() == keeper.now + lanes.STEP_S_MAX
    keeper.now += lanes.STEP_S_MAX
    keeper.pump()
    assert silent.recv(1) == b""
    assert halfway.recv(1) == b""
    assert keeper.door.next_deadline() is None
    assert keeper.door.bytes_used == 0
    os.close(fd)
    silent.close()
    halfway.close()


def test_a_crowd_is_turned_away_and_the_next_is_served(keeper):
    crowd = []
    for _ in range(CONNECTIONS_MAX + 10):
        crowd.append(keeper.visit())
        keeper.pump()
    turned = [visitor for visitor in crowd[CONNECTIONS_MAX:] if visitor.recv(1) == b""]
    assert len(turned) == 10
    for visitor in crowd:
        visitor.close()
    keeper.pump(lambda: keeper.door.next_deadline() is None)
    offer = memory_offer(SIZE, writable=True)
    keeper.door.offer(offer)
    visitor, (fd,) = keeper.fetch(offer.token)
    os.close(fd)
    visitor.close()


def test_descriptors_that_a_visitor_sends_are_not_kept(keeper):
    before = open_descriptors()
    visitor = keeper.visit()
    reading, writing = os.pipe()
    for _ in range(3):
        socket.send_fds(visitor, [b"x" * 16], [writing])
    os.close(writing)
    keeper.pump(lambda: keeper.door.next_deadline() is None)
    visitor.close()
    assert os.read(reading, 1) == b"", "somebody holds the writing end"
    os.close(reading)
    assert open_descriptors() == before


def test_another_user_gets_nothing(keeper, monkeypatch):
    offer = memory_offer(SIZE, writable=True)
    keeper.door.offer(offer)
    monkeypatch.setattr(lanedoor, "is_own_user", lambda connection: False)
    visitor = keeper.visit()
    keeper.pump()
    assert visitor.recv(1) == b""
    visitor.close()
    assert keeper.taken == {}


def test_another_user_really_gets_nothing(keeper):
    if os.geteuid():
        pytest.skip("only root can be another user")
    offer = memory_offer(SIZE, writable=True)
    keeper.door.offer(offer)
    pid = os.fork()
    if not pid:
        try:
            os.setuid(65_534)
            visitor = keeper.visit()
            visitor.send(offer.token)
            got = visitor.recv(1)
        except OSError:
            got = b""
        os._exit(len(got))
    child = threading.Thread(target=lambda: codes.append(os.waitpid(pid, 0)[1]))
    codes = []
    child.start()
    keeper.pump(lambda: bool(codes))
    child.join()
    assert codes == [0]
    assert keeper.taken == {}


def test_it_leaves_nothing_behind():
    door = LaneDoor(SIZE)
    name = door.address[1:]
    assert name in Path("/proc/net/unix").read_text()
    door.close()
    assert name not in Path("/proc/net/unix").read_text()


def test_without_descriptors_nobody_is_admitted_and_nothing_spins(keeper):
    """Who waits at the door would wake the loop without end."""
    offer = memory_offer(SIZE, writable=True)
    keeper.door.offer(offer)
    visitor = keeper.visit()
    visitor.send(offer.token)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        assert select.select([keeper.door], [], [], PATIENCE_S)[0]
        keeper.pump()
        assert not select.select([keeper.door], [], [], 0.01)[0]
        assert keeper.door.next_deadline() == keeper.now + PAUSE_S
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    keeper.now += PAUSE_S
    keeper.pump()
    keeper.pump(until=lambda: offer.token in keeper.taken)
    word, fds, _, _ = socket.recv_fds(visitor, 10, 10)
    assert word == b"L"
    os.close(*fds)
    visitor.close()

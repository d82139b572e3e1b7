"""The bell: what is told, what is heard, and who is not held up by it."""

import gc
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from storagebus.broker.bell import STRIKES_MAX, Bell


class Pair:
    """Two ends, and the plain socket of a third who says what it likes."""

    def __init__(self) -> None:
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.here, self.there = Bell(one), Bell(other)
        self.plain = other


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.here.close()
    made.there.close()


def test_what_is_rung_is_heard(pair: Pair) -> None:
    assert not pair.there.heard()
    pair.here.ring(1 << 40, 5)
    assert pair.there.wait(10)
    assert pair.there.heard()
    assert (pair.there.mark, pair.there.durable) == (1 << 40, 5)
    assert pair.here.told == 1 << 40
    assert not pair.there.heard(), "it is news once"


def test_the_highest_counts(pair: Pair) -> None:
    for mark, durable in ((5, 2), (9, 1), (7, 0)):
        pair.here.ring(mark, durable)
    assert pair.there.heard()
    assert (pair.there.mark, pair.there.durable) == (9, 2)


@pytest.mark.parametrize("packet", [b"L", b"x" * 15, b"x" * 17, b"x" * 1_000])
def test_other_packets_are_none(pair: Pair, packet: bytes) -> None:
    pair.plain.send(packet)
    pair.there.ring(3)
    assert pair.here.heard()
    assert (pair.here.mark, pair.here.is_cut) == (3, False)


def test_nobody_waits_for_an_end_that_does_not_listen(pair: Pair) -> None:
    began = time.monotonic()
    for mark in range(5_000):
        pair.here.ring(mark)
    assert time.monotonic() - began < 20
    while pair.there.heard():
        pass
    assert pair.there.mark > STRIKES_MAX


def test_one_look_is_bounded(pair: Pair) -> None:
    for mark in range(1, 2 * STRIKES_MAX):
        pair.here.ring(mark)
    pair.there.heard()
    assert pair.there.mark == STRIKES_MAX


def test_a_wait_ends_in_time(pair: Pair) -> None:
    began = time.monotonic()
    assert not pair.here.wait(0.05)
    assert 0.04 < time.monotonic() - began < 10


def test_the_other_end_is_gone(pair: Pair) -> None:
    pair.there.ring(7)
    pair.there.close()
    assert pair.here.wait(10)
    assert pair.here.heard()
    assert (pair.here.mark, pair.here.is_cut) == (7, True)
    pair.here.ring(8)


def test_an_interruption_ends_a_wait_and_loses_nothing(pair: Pair) -> None:
    pair.there.ring(7)
    threading.Timer(0.05, pair.here.interrupt).start()
    pair.here.heard()
    assert pair.here.wait(10.0)
    pair.there.ring(9)  # has nobody to hear it any more
    pair.here.heard()
    assert (pair.here.mark, pair.here.is_cut) == (7, True)
    pair.here.close()
    pair.here.interrupt()


def test_what_had_come_before_the_interruption_is_heard(pair: Pair) -> None:
    pair.there.ring(7)
    pair.here.interrupt()
    assert pair.here.heard() and pair.here.mark == 7


def test_a_closed_one_is_cut(pair: Pair) -> None:
    pair.here.close()
    pair.here.close()
    assert pair.here.is_cut and pair.here.fileno() == -1
    assert not pair.here.heard()
    pair.here.ring(1)


def test_one_that_is_forgotten_is_closed() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    bell = Bell(one)
    del bell, one
    gc.collect()
    assert other.recv(1) == b""
    other.close()

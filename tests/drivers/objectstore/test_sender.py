"""Parts sent in parallel: their order, their bound, their failures, their memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from storagebus.drivers.errors import ThrottledError
from storagebus.drivers.objectstore.clients import Clients
from storagebus.drivers.objectstore.part_budget import PartBudget
from storagebus.drivers.objectstore.part_buffer import PartBuffer
from storagebus.drivers.objectstore.sender import Sender

PART_BYTES = 100_000


@pytest.fixture
def clients() -> Iterator[Clients]:
    made = Clients(8, "test")
    yield made
    made.close()


@pytest.fixture
def budget() -> Iterator[PartBudget]:
    made = PartBudget(10 * PART_BYTES)
    yield made
    assert made.reserved_bytes == 0, "a part's memory was not given back"


class Server:
    """Stores parts when they are let through."""

    def __init__(self) -> None:
        self.gates = {number: threading.Event() for number in range(1, 10)}
        self.refuses: set[int] = set()
        self.begun: set[int] = set()

    def store(self, number: int, buffer: PartBuffer) -> tuple[int, bytes]:
        self.begun.add(number)
        assert self.gates[number].wait(20)
        if number in self.refuses:
            raise ThrottledError(f"part {number}")
        return number, buffer.content()[:2]


def part(budget: PartBudget, number: int) -> PartBuffer:
    buffer = PartBuffer(budget, PART_BYTES)
    buffer.append(b"%d:" % number * (PART_BYTES // 2))
    return buffer


def test_stored_parts_count_up_to_the_first_gap(
    clients: Clients, budget: PartBudget
) -> None:
    server = Server()
    sender = Sender(clients, server.store, 3, "/a")
    for number in (1, 2, 3):
        sender.send(number, part(budget, number))
    server.gates[2].set()
    assert sender.stored == []
    server.gates[1].set()
    server.gates[3].set()
    sender.drain()
    assert sender.stored == [(1, b"1:"), (2, b"2:"), (3, b"3:")]
    sender.forget_stored()
    assert sender.stored == []


def test_no_more_are_under_way_than_allowed(
    clients: Clients, budget: PartBudget
) -> None:
    server = Server()
    sender = Sender(clients, server.store, 2, "/a")
    for number in (1, 2):
        sender.send(number, part(budget, number))
    third = threading.Thread(target=lambda: sender.send(3, part(budget, 3)))
    third.start()
    third.join(0.05)
    assert third.is_alive() and 3 not in server.begun
    # Any that has ended makes room, not only the oldest.
    server.gates[2].set()
    third.join(20)
    assert not third.is_alive()
    for gate in server.gates.values():
        gate.set()
    sender.drain()
    assert [number for number, _ in sender.stored] == [1, 2, 3]


def test_the_first_failure_is_raised_and_all_memory_given_back(
    clients: Clients, budget: PartBudget
) -> None:
    server = Server()
    server.refuses = {2}
    sender = Sender(clients, server.store, 3, "/a")
    for number in (1, 2, 3):
        sender.send(number, part(budget, number))
    for gate in server.gates.values():
        gate.set()
    with pytest.raises(ThrottledError, match="part 2"):
        sender.drain()
    with pytest.raises(ThrottledError, match="part 2"):
        sender.send(4, part(budget, 4))
    assert [number for number, _ in sender.stored] == [1]
    sender.stop()
    sender.stop()


def test_a_part_that_cannot_be_begun_gives_its_memory_back(budget: PartBudget) -> None:
    clients = Clients(1, "test")
    clients.submit(int).result(10)
    assert clients._threads is not None
    clients._threads.shutdown()
    sender = Sender(clients, Server().store, 1, "/a")
    with pytest.raises(RuntimeError):
        sender.send(1, part(budget, 1))
    sender.stop()
    clients.close()

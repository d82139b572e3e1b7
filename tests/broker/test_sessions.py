"""broker/sessions.py: records of peers, and a worker's room."""

from __future__ import annotations

from random import Random

from scene import hello_of

from storagebus.broker.messages import Operation
from storagebus.broker.sessions import (
    ClientSession,
    Door,
    Peer,
    Sessions,
    Stream,
    WorkerSession,
)
from storagebus.broker.wire import Message, Type

CLIENT = ClientSession(Peer(Door.CLIENTS, b"c"), 5, hello_of("c", "client"))


def worker_of(**changes: int) -> WorkerSession:
    hello = hello_of("w", "worker", **changes)
    return WorkerSession(Peer(Door.WORKERS, b"w"), 1, hello, 0.0)


def stream_of(operation: Operation) -> Stream:
    return Stream(CLIENT, Message(Type.OPEN, 3, code=int(operation)), "s", 0.0, 1.0)


def test_calls_and_streams_have_room_of_their_own() -> None:
    chance = Random(5)
    worker = worker_of(slots=3, streams=2)
    held: list[Stream] = []
    for _ in range(500):
        calls = sum(not stream.holds_stream for stream in held)
        streams = len(held) - calls
        assert (worker.calls, worker.open) == (calls, streams)
        assert worker.has_room(False) == (calls < 3)
        assert worker.has_room(True) == (streams < 2)
        operation = chance.choice([Operation.STAT, Operation.READ, Operation.WRITE])
        stream = stream_of(operation)
        if worker.has_room(stream.holds_stream):
            worker.take(stream)
            held.append(stream)
        elif held:
            gone = held.pop(chance.randrange(len(held)))
            worker.drop(gone)
            worker.drop(gone)  # harmless when repeated
    assert list(worker.streams.values()) == held
    numbers = [stream.worker_stream for stream in held]
    assert numbers == sorted(set(numbers))


def test_no_work_for_a_worker_that_drains_or_is_silent() -> None:
    for name in ("draining", "suspect"):
        worker = worker_of()
        setattr(worker, name, True)
        assert not worker.has_room(False)
        assert not worker.has_room(True)


def test_labels_name_the_session() -> None:
    assert CLIENT.label == "c#5"
    unnamed = ClientSession(CLIENT.peer, 6, hello_of("", "client"))
    assert unnamed.label == "client#6"
    assert worker_of(pid=12).id == "12-77000000"


def test_sessions_by_peer_and_door() -> None:
    sessions = Sessions()
    worker = worker_of()
    sessions.add(CLIENT)
    sessions.add(worker)
    assert sessions.get(worker.peer) is worker
    assert sessions.at(Door.CLIENTS) == [CLIENT]
    later = worker_of()
    sessions.add(later)  # the same peer, another incarnation
    assert not sessions.remove(worker)
    assert sessions.remove(later)
    assert list(sessions) == [CLIENT]

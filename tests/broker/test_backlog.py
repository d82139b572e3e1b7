"""broker/backlog.py against a plain list."""

from __future__ import annotations

import gc

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)
from scene import hello_of

from storagebus.broker.backlog import STALE_MIN, Backlog
from storagebus.broker.messages import Operation
from storagebus.broker.sessions import ClientSession, Door, Line, Peer, Stream
from storagebus.broker.wire import Message, Type

CALLS, BYTES = 6, 100


def client_named(name: str) -> ClientSession:
    return ClientSession(Peer(Door.CLIENTS, name.encode()), 1, hello_of(name, "client"))


def stream_of(
    client: ClientSession, *, streams: bool = False, size: int = 0, expires: float = 9.0
) -> Stream:
    code = int(Operation.READ if streams else Operation.PUT)
    opened = Message(Type.OPEN, 1, code=code, payload=bytes(size))
    return Stream(client, opened, "s", 0.0, expires)


class Backlogs(RuleBasedStateMachine):
    """The twin keeps, for each kind, an ordered list of (client, its streams)."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog(CALLS, BYTES)
        self.clients = [client_named(name) for name in "abc"]
        self.lines: dict[bool, list[tuple[ClientSession, list[Stream]]]] = {
            False: [],
            True: [],
        }
        self.now = 0.0

    def waiting(self) -> list[Stream]:
        return [s for line in self.lines.values() for _, q in line for s in q]

    def bytes(self) -> int:
        return sum(len(stream.opened.payload) for stream in self.waiting())

    def drop(self, stream: Stream) -> None:
        for line in self.lines.values():
            for entry in list(line):
                if stream in entry[1]:
                    entry[1].remove(stream)
                    if not entry[1]:
                        line.remove(entry)

    @rule(
        which=st.integers(0, 2),
        streams=st.booleans(),
        size=st.integers(0, 60),
        life=st.integers(1, 20),
        first=st.booleans(),
    )
    def add(self, which: int, streams: bool, size: int, life: int, first: bool) -> None:
        client = self.clients[which]
        stream = stream_of(client, streams=streams, size=size, expires=self.now + life)
        fits = len(self.waiting()) < CALLS and self.bytes() + size <= BYTES
        assert self.backlog.add(stream, first=first) == fits
        if not fits:
            return
        line = self.lines[streams]
        queue = next((q for c, q in line if c is client), None)
        if queue is None:
            line.append((client, [stream]))
        else:
            queue.insert(0 if first else len(queue), stream)

    @rule(streams=st.booleans())
    def take(self, streams: bool) -> None:
        line = self.lines[streams]
        kind = Line.STREAM if streams else Line.CALL
        head = self.backlog.head(kind)
        taken = self.backlog.take(kind)
        assert taken is head
        if not line:
            assert taken is None
            return
        client, queue = line.pop(0)
        assert taken is queue.pop(0)
        if queue:
            line.append((client, queue))  # the others have their turn first

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        stream = data.draw(st.sampled_from(self.waiting()))
        assert self.backlog.remove(stream)
        assert not self.backlog.remove(stream)
        self.drop(stream)

    @rule(seconds=st.integers(0, 10))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        late = {stream for stream in self.waiting() if stream.expires <= self.now}
        assert set(self.backlog.expired(self.now)) == late
        for stream in late:
            self.drop(stream)

    @invariant()
    def same(self) -> None:
        waiting = self.waiting()
        assert len(self.backlog) == len(waiting) <= CALLS
        assert self.backlog.bytes == self.bytes() <= BYTES
        for streams, kind in ((False, Line.CALL), (True, Line.STREAM)):
            waits = self.backlog.head(kind) is not None
            assert waits == bool(self.lines[streams])
        due = self.backlog.next_deadline()
        if waiting:
            assert due is not None
            assert due <= min(stream.expires for stream in waiting)
        else:
            assert due is None


TestBacklogs = Backlogs.TestCase
TestBacklogs.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None
)


def test_clients_take_turns() -> None:
    backlog = Backlog(1000, 0)
    greedy, modest = client_named("greedy"), client_named("modest")
    for _ in range(100):
        backlog.add(stream_of(greedy))
    mine = stream_of(modest)
    backlog.add(mine)
    assert mine in [backlog.take(Line.CALL), backlog.take(Line.CALL)]


def test_what_has_gone_holds_no_memory() -> None:
    """Neither payloads nor deadlines pile up when nothing ever expires."""
    backlog = Backlog(1000, 1 << 30)
    client = client_named("a")
    for _ in range(500):
        stream = stream_of(client, size=1000, expires=1e9)
        backlog.add(stream)
        backlog.take(Line.CALL)
    gc.collect()
    alive = [item for item in gc.get_objects() if isinstance(item, Stream)]
    assert len([s for s in alive if s.client is client]) <= 1
    assert len(backlog._deadlines) <= STALE_MIN + 1

"""client/puts.py: a content of many messages is stored in one call, with scripts."""

from __future__ import annotations

import pytest
from scripted_transport import Script, Stream

from storagebus.broker.messages import Operation
from storagebus.broker.wire import Type
from storagebus.client.operations import Operations
from storagebus.client.puts import put_whole
from storagebus.client.uploads import DROP_S_MAX
from storagebus.client.waiting import run_now
from storagebus.drivers.errors import (
    DeadlineExceededError,
    Executed,
    UnsupportedMethodError,
    WorkerLostError,
)

LOST = WorkerLostError("gone", executed=Executed.MAYBE)
DATA = bytes(range(256)) * 1_200
DEADLINE_S = 30.0


def write(stream: Stream) -> tuple[Operation, Stream]:
    return Operation.WRITE, stream


def put(transport: Script) -> None:
    run_now(put_whole(Operations(transport, "default", DEADLINE_S), "/a", DATA))


class Slow(Stream):
    """A stream whose bytes take seconds, and are a progress or not."""

    def __init__(self, transport: Script, moves_s: float, stays_s: float) -> None:
        super().__init__(write=LOST)
        self._transport = transport
        self._moves_s, self._stays_s = moves_s, stays_s

    async def write(self, data: bytes) -> None:
        if self._moves_s:
            self._transport.time += self._moves_s
            self.moved_at = self._transport.time
            self.taken.append(b"a")
        self._transport.time += self._stays_s
        await super().write(data)


def test_dropping_what_a_failed_put_left_over_holds_its_caller_for_a_moment() -> None:
    """The deadline is over already, and a left upload changes nothing."""
    second = Stream()
    failed = DeadlineExceededError(executed=Executed.MAYBE)
    transport = Script(write(Stream(write=failed)), write(second))
    with pytest.raises(DeadlineExceededError):
        put(transport)
    assert second.ended_with is Type.CANCEL
    assert 0 < second.request.budget_s <= DROP_S_MAX
    assert 0 < second.within_s <= DROP_S_MAX
    transport.close()


def test_all_its_uploads_have_one_deadline() -> None:
    """What was begun anew has what is left of it, and does the same again."""
    transport = Script()
    gone = Stream(UnsupportedMethodError())
    first, last = Slow(transport, 0.0, 20.0), Stream()
    for stream in (first, gone, last):
        transport.add(*write(stream))
    put(transport)
    assert first.request.budget_s == first.request.patience_s == DEADLINE_S
    assert gone.request.budget_s == pytest.approx(10.0)
    assert last.request.budget_s == pytest.approx(10.0, abs=0.1)
    assert last.request.patience_s == DEADLINE_S
    assert (first.request.mark, last.request.mark) == (-1, 0)
    transport.close()


def test_what_got_further_has_the_deadline_anew() -> None:
    transport = Script()
    first = Slow(transport, 25.0, 10.0)
    gone, last = Stream(UnsupportedMethodError()), Stream()
    for stream in (first, gone, last):
        transport.add(*write(stream))
    put(transport)
    assert last.request.budget_s == pytest.approx(20.0, abs=0.1)
    assert last.request.mark == 1, "the bytes that were there before are no progress"
    transport.close()


def test_what_it_does_again_has_no_more_time_because_it_was_opened() -> None:
    """That is one of its steps, and not the end of the call."""
    transport = Script()
    last = Stream()
    for stream in (Slow(transport, 25.0, 10.0), Stream(UnsupportedMethodError()), last):
        transport.add(*write(stream))
    put(transport)
    assert not last.relaxed
    transport.close()

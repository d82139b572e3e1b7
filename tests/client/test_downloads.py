"""client/downloads.py: how much may arrive ahead, and losses."""

from __future__ import annotations

import pytest
from scripted_transport import Script, Stream

from storagebus.broker.messages import Accepted, Operation
from storagebus.client import Client
from storagebus.client.downloads import (
    AHEAD_BYTES_MAX,
    READ_WINDOW_BYTES,
    READ_WINDOW_BYTES_MIN,
    Reading,
    window_bytes,
)
from storagebus.client.operations import Operations
from storagebus.client.waiting import run_now
from storagebus.drivers.errors import DataLossError, StorageError, WorkerLostError


@pytest.mark.parametrize("count", [1, 2, 16, 17, 64, 256])
def test_downloads_share_what_may_arrive_ahead(count: int) -> None:
    window = window_bytes(READ_WINDOW_BYTES, count)
    assert READ_WINDOW_BYTES_MIN <= window <= READ_WINDOW_BYTES
    assert window * count <= AHEAD_BYTES_MAX


def test_a_single_download_has_its_whole_window_and_each_the_least() -> None:
    assert window_bytes(READ_WINDOW_BYTES, 1) == READ_WINDOW_BYTES
    assert window_bytes(READ_WINDOW_BYTES, 1_000) == READ_WINDOW_BYTES_MIN


def test_open_downloads_are_counted_until_they_end(client: Client) -> None:
    client.put_content("/count/x", bytes(3_000_000))
    downloads = client._operations.downloads
    readers = [client.reader("/count/x") for _ in range(3)]
    assert len(downloads) == 3
    readers.pop().close()
    assert len(downloads) == 2
    readers.clear()  # forgotten
    assert len(downloads) == 0
    client.get_content("/count/x")
    client.list("/")
    assert len(downloads) == 0


class Bytes(Stream):
    """A stream of an object's bytes, which ends with an error or well."""

    has_lane = False

    def __init__(self, *pieces: bytes | StorageError) -> None:
        super().__init__()
        self._pieces = list(pieces)

    async def opened(self) -> Accepted:
        return Accepted(identity="i1")

    async def piece(self) -> bytes | None:
        piece = self._pieces.pop(0) if self._pieces else None
        if isinstance(piece, StorageError):
            raise piece
        return piece


def gathered(*streams: Bytes) -> bytes:
    """An object read over these streams; all of them must be asked for."""
    transport = Script(*((Operation.READ, stream) for stream in streams))
    found = run_now(Reading(Operations(transport, "default", 30.0), "/a").gather())
    transport.close()
    return found


def test_a_read_goes_on_behind_what_it_has() -> None:
    second = Bytes(b"cd")
    assert gathered(Bytes(b"ab", WorkerLostError()), second) == b"abcd"
    assert second.asked.start == 2 and second.asked.if_match == "i1"


def test_a_read_goes_on_however_long_its_caller_has_rested() -> None:
    """Its stream is lost meanwhile: each read has the deadline from its own start."""
    second = Bytes(b"cd")
    first = Bytes(b"ab", WorkerLostError())
    transport = Script((Operation.READ, first), (Operation.READ, second))
    reading = Reading(Operations(transport, "default", 30.0), "/a")
    run_now(reading.open())
    assert run_now(reading.piece()) == b"ab"
    transport.time += 100.0
    assert run_now(reading.piece()) == b"cd"
    assert second.request.budget_s == second.request.patience_s == 30.0
    reading.close()
    transport.close()


def test_what_is_left_of_a_read_is_no_measure_for_its_later_waits() -> None:
    second = Bytes(b"cd")
    transport = Script()

    class Late(Bytes):
        async def piece(self) -> bytes | None:
            transport.time += 29.0
            return await super().piece()

    transport.add(Operation.READ, Late(WorkerLostError()))
    transport.add(Operation.READ, second)
    reading = Reading(Operations(transport, "default", 30.0), "/a")
    assert run_now(reading.gather()) == b"cd"
    assert second.request.budget_s == pytest.approx(1.0)
    assert second.request.patience_s == 30.0
    transport.close()


def test_damage_found_at_the_end_may_lie_in_what_was_given_already() -> None:
    """Going on behind it would pass the damaged bytes off as whole."""
    damage = DataLossError("not the object's bytes", temporary=True)
    with pytest.raises(DataLossError) as caught:
        gathered(Bytes(b"ab", damage), Bytes(b"cd"))
    assert caught.value.offset == 2
    assert gathered(Bytes(damage), Bytes(b"abcd")) == b"abcd"

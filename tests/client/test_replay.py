"""client/replay.py: what is kept of an upload, to be sent again after a loss."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.client.replay import (
    REPLAY_BYTES_MAX,
    REPLAY_BYTES_MIN,
    REPLAY_BYTES_TOTAL,
    FileSource,
    Replay,
    replay_bytes,
)
from storagebus.drivers.errors import DataLossError


@given(
    st.integers(0, 100),
    st.lists(
        st.tuples(st.binary(min_size=1, max_size=50), st.sampled_from("kfl")),
        max_size=20,
    ),
    st.integers(0, 500),
    st.data(),
)
def test_what_is_kept_is_found_by_its_place(
    start: int, pieces: list[tuple[bytes, str]], durable: int, data: st.DataObject
) -> None:
    file = io.BytesIO(b"".join(piece for piece, kind in pieces if kind == "f"))
    source = FileSource(file)
    replay = Replay(start)
    read = 0
    for piece, kind in pieces:
        if kind == "f":
            replay.add_stretch(source, read, len(piece))
            read += len(piece)
        else:
            replay.add(piece, lasting=kind == "l")
    whole = bytes(start) + b"".join(piece for piece, _ in pieces)
    replay.drop(durable)
    assert replay.end == len(whole)
    # Whole pieces are dropped, never a byte that is not durable.
    assert replay.start <= max(start, durable)
    place = data.draw(st.integers(replay.start, replay.end))
    assert b"".join(map(bytes, replay.since(place))) == whole[place:]
    assert file.tell() == 0


def test_what_is_not_kept_is_an_error_and_no_gap() -> None:
    replay = Replay(10)
    replay.add(b"abc")
    replay.add(b"def")
    replay.drop(13)
    for place in (12, 17):
        with pytest.raises(DataLossError) as caught:
            replay.since(place)
        assert caught.value.offset == place


def test_no_more_is_kept_in_memory_than_the_bound() -> None:
    replay = Replay(0, most=1_000)
    data = random.Random(3).randbytes(300)
    for count in range(1, 40):
        replay.add(data)
        replay.drop(max(0, 300 * (count - 2)))
        assert 300 <= replay.held <= 1_000
    assert b"".join(map(bytes, replay.since(39 * 300 - 5))) == data[-5:]


def test_a_lag_above_the_bound_is_made_up_for_when_it_shrinks() -> None:
    replay = Replay(0, most=1_000)
    for count in range(10):
        replay.add(bytes(300))
        replay.drop(max(0, 300 * count - 1_500))
        assert replay.held <= 1_000
    with pytest.raises(DataLossError):
        replay.since(1_200)
    replay.drop(2_700)
    replay.add(b"the next")
    assert b"".join(map(bytes, replay.since(3_000))) == b"the next"


def test_for_a_driver_that_keeps_nothing_nothing_is_kept() -> None:
    replay = Replay(0, most=1_000)
    for _ in range(10):
        replay.add(bytes(300))
        replay.drop(0)
    assert replay.held == 0


def test_what_can_be_had_again_costs_nothing() -> None:
    replay = Replay(0, most=10)
    content = random.Random(4).randbytes(3 << 20)
    replay.add(content, lasting=True)
    source = FileSource(io.BytesIO(b"#" + content))
    for offset in range(0, len(content), 1 << 20):
        replay.add_stretch(source, 1 + offset, 1 << 20)
    assert replay.held == 0
    pieces = list(replay.since(7))
    assert max(map(len, pieces)) <= 1 << 20
    assert b"".join(map(bytes, pieces)) == (content + content)[7:]


def test_a_file_that_was_cut_is_an_error() -> None:
    file = io.BytesIO(bytes(100))
    replay = Replay(0)
    replay.add_stretch(FileSource(file), 0, 100)
    file.truncate(99)
    with pytest.raises(DataLossError, match="shorter"):
        list(replay.since(0))


def test_many_uploads_share() -> None:
    assert replay_bytes(0) == replay_bytes(1) == REPLAY_BYTES_MAX
    assert replay_bytes(16) == REPLAY_BYTES_TOTAL // 16
    assert replay_bytes(1_000) == REPLAY_BYTES_MIN

"""broker/wire.py: round trips, the frames as bytes, and frames that are none."""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path
from random import Random

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import maps, messages

from storagebus.broker.messages import (
    Accepted,
    Farewell,
    Hello,
    Load,
    Open,
    Operation,
    Progress,
    Reason,
    Result,
    Update,
    Vouched,
    Welcome,
    error_message,
    pack,
)
from storagebus.broker.wire import (
    CHUNK_BYTES_MAX,
    HEAD_BYTES_MAX,
    HEADER,
    HEADER_BYTES,
    LANE_BYTES_MAX,
    MAP_BYTES_MAX,
    NUMBER_MAX,
    Flag,
    Message,
    Type,
    decode,
    encode,
    pack_map,
    unpack,
    unpack_map,
)
from storagebus.drivers.errors import Executed, ProtocolError, WorkerLostError

GOLDEN = Path(__file__).parent / "golden" / "messages.txt"
SEEDS = 6
MUTATIONS = 500


def examples() -> list[Message]:
    """One message of every type, with every field that it uses."""
    worker = Hello(
        role="worker",
        protocol=(1, 1),
        boot=bytes(range(16)),
        name="w",
        pid=4711,
        features=("a",),
        service="default",
        driver="filesystem",
        api_version="1.0",
        capabilities={"shared": True},
        instance="i1",
        slots=16,
        streams=256,
        cookie="secret",
    )
    welcome = Welcome("b", 1, CHUNK_BYTES_MAX, 1000, 1024, ("a",), ("tcp://h:1",))
    read = Open("default", "/a/b", start=5, length=9, if_match="v1")
    lost = WorkerLostError("gone", executed=Executed.MAYBE, path="/a", offset=7)
    return [
        Message(Type.HELLO, fields=pack(worker)),
        Message(Type.WELCOME, epoch=258, fields=pack(welcome)),
        Message(
            Type.GOAWAY, code=Reason.VERSION, epoch=258, fields=pack(Farewell("no"))
        ),
        Message(Type.PING, offset=3, epoch=258),
        Message(
            Type.PONG, offset=3, epoch=258, fields=pack(Load(calls=1, oldest_ms=5))
        ),
        Message(Type.UPDATE, epoch=258, fields=pack(Update(8, 128))),
        Message(Type.DRAIN, epoch=258, budget_ms=5000),
        Message(Type.DRAINED, epoch=258),
        Message(
            Type.OPEN,
            9,
            code=Operation.READ,
            limit=1 << 20,
            budget_ms=30_000,
            epoch=258,
            fields=pack(read),
            vouched=pack(Vouched("c#1", "alice", 2, 1500)),
        ),
        Message(
            Type.ACCEPT,
            9,
            limit=1 << 20,
            epoch=258,
            fields=pack(Accepted("v1", 100, 90, "u1", 3)),
        ),
        Message(
            Type.ACCEPT,
            9,
            epoch=258,
            fields=pack(
                Accepted(
                    "v1",
                    lane="file",
                    lane_address="@storagebus-lane-" + 32 * "0",
                    lane_token=bytes(range(16)),
                    lane_bytes=95,
                    lane_start=5,
                )
            ),
        ),
        Message(
            Type.DATA,
            9,
            flags=Flag.WANT,
            offset=262_144,
            epoch=258,
            payload=b"\x00\x01\xfe\xff",
        ),
        Message(
            Type.DATA,
            9,
            flags=Flag.WANT,
            offset=262_144,
            epoch=258,
            lane=1_000_000,
        ),
        Message(
            Type.CREDIT,
            9,
            offset=524_288,
            limit=NUMBER_MAX,
            epoch=258,
            fields=pack(Progress(durable=7)),
        ),
        Message(Type.COMMIT, 9, offset=77, epoch=258),
        Message(Type.DETACH, 9, offset=77, epoch=258),
        Message(Type.CANCEL, 9, code=61, epoch=258),
        Message(Type.PROGRESS, 9, epoch=258, fields=pack(Progress(done=1))),
        Message(
            Type.RESULT,
            9,
            offset=8,
            epoch=258,
            fields=pack(Result(identity="v1", size=12, driver_us=5)),
            payload=b"tail",
        ),
        error_message(lost, 9, 258),
    ]


@given(messages())
def test_round_trip(message: Message) -> None:
    assert decode(encode(message), from_broker=True) == message


@given(maps)
def test_maps_come_back(fields: dict[str, object]) -> None:
    assert unpack_map(pack_map(fields)) == fields


def test_golden_frames() -> None:
    """The bytes of every type: what another implementation can compare with."""
    lines = [
        " ".join([message.type.name, *(bytes(part).hex() for part in encode(message))])
        for message in examples()
    ]
    if "STORAGEBUS_REWRITE" in os.environ:
        GOLDEN.write_text("\n".join(lines) + "\n")
    assert GOLDEN.read_text().splitlines() == lines
    assert {line.split()[0] for line in lines} == {member.name for member in Type}


def test_golden_frames_decode() -> None:
    for line, message in zip(GOLDEN.read_text().splitlines(), examples(), strict=True):
        frames = [bytes.fromhex(word) for word in line.split()[1:]]
        assert decode(frames, from_broker=True) == message


def test_a_client_cannot_forge_what_the_broker_vouches_for() -> None:
    forged = next(m for m in examples() if m.type is Type.OPEN)
    with pytest.raises(ProtocolError, match="bytes behind the map"):
        decode(encode(forged), from_broker=False)


def test_an_open_is_forwarded_with_all_that_it_says() -> None:
    opened = next(m for m in examples() if m.type is Type.OPEN)
    expected = opened._replace(limit=5, budget_ms=6, vouched=b"v", lane=0)
    assert opened.forwarded(5, 6, b"v") == expected
    assert opened.in_session(99) == opened._replace(epoch=99)


def test_unknown_flags_are_ignored_and_not_passed_on() -> None:
    head = bytearray(encode(Message(Type.DATA, 1, payload=b"x"))[0])
    head[4:6] = (0xFFFF & ~Flag.LANE).to_bytes(2)
    message = decode([bytes(head), b"x"], from_broker=False)
    assert message.flags == Flag.WANT


def test_bytes_in_a_lane_are_counted_and_not_there() -> None:
    message = Message(Type.DATA, 1, flags=Flag.WANT, offset=7, lane=3_000_000)
    frames = encode(message)
    assert len(frames) == 1
    assert decode(frames, from_broker=False) == message
    assert decode(frames, from_broker=True).size == 3_000_000
    assert message.readdressed(2, 3).lane == 3_000_000


@pytest.mark.parametrize("count", [0, LANE_BYTES_MAX + 1, 0xFFFF_FFFF])
def test_a_lane_has_bytes_and_a_bound(count: int) -> None:
    head = _head(type=Type.DATA, flags=int(Flag.LANE), payload_length=count)
    with pytest.raises(ProtocolError, match="in a lane"):
        decode([head], from_broker=False)


def test_bytes_in_a_lane_have_no_payload_beside_them() -> None:
    head = _head(type=Type.DATA, flags=int(Flag.LANE), payload_length=3)
    with pytest.raises(ProtocolError, match="payload"):
        decode([head, b"abc"], from_broker=False)


def test_a_lane_does_not_end_above_the_highest_offset() -> None:
    head = _head(
        type=Type.DATA, flags=int(Flag.LANE), payload_length=1, offset=(1 << 53) - 1
    )
    with pytest.raises(ProtocolError, match="2\\^53"):
        decode([head], from_broker=False)


def test_the_flag_of_lanes_means_nothing_elsewhere() -> None:
    head = _head(flags=int(Flag.LANE | Flag.WANT))
    message = decode([head], from_broker=False)
    assert (message.flags, message.lane) == (Flag.WANT, 0)


def _head(**changes: int | bytes) -> bytes:
    values: dict[str, int | bytes] = {
        "magic": b"SB",
        "version": 1,
        "type": Type.CREDIT,
        "flags": 0,
        "code": 0,
        "map_length": 0,
        "payload_length": 0,
        "budget_ms": 0,
        "spare": 0,
        "stream": 1,
        "offset": 0,
        "limit": 0,
        "epoch": 0,
    }
    return HEADER.pack(*(values | changes).values())


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([], "1 or 2 frames, not 0"),
        ([_head(), b"x", b"y"], "1 or 2 frames, not 3"),
        ([b""], "a head has 56 to"),
        ([_head()[:-1]], "a head has 56 to"),
        ([_head() + bytes(HEAD_BYTES_MAX)], "a head has 56 to"),
        ([_head(magic=b"GE")], "does not start with SB"),
        ([_head(version=2)], "header version 2; this side speaks 1"),
        ([_head(type=9)], "unknown message type 9"),
        ([_head(stream=0)], "CREDIT with stream id 0"),
        ([_head(type=Type.PING)], "PING with stream id 1"),
        ([_head(stream=NUMBER_MAX + 1)], "2\\^53 or more"),
        ([_head(offset=NUMBER_MAX + 1)], "2\\^53 or more"),
        ([_head(limit=NUMBER_MAX + 1)], "2\\^53 or more"),
        ([_head(epoch=NUMBER_MAX + 1)], "2\\^53 or more"),
        ([_head(map_length=1)], "map_length 1 does not fit"),
        (
            [_head(map_length=MAP_BYTES_MAX + 1) + bytes(MAP_BYTES_MAX + 1)],
            "does not fit",
        ),
        ([_head() + b"x"], "bytes behind the map"),
        ([_head(type=Type.DATA, payload_length=2), b"x"], "payload_length 2, but 1"),
        ([_head(type=Type.DATA, payload_length=2)], "payload_length 2, but 0"),
        ([_head(type=Type.DATA), b""], "payload_length 0, but 0"),
        (
            [
                _head(type=Type.DATA, payload_length=CHUNK_BYTES_MAX + 1),
                bytes(CHUNK_BYTES_MAX + 1),
            ],
            "payload above",
        ),
        ([_head(payload_length=1), b"x"], "CREDIT takes no payload"),
        (
            [_head(type=Type.DATA, payload_length=2, offset=NUMBER_MAX - 1), b"xy"],
            "its end is 2\\^53",
        ),
    ],
)
def test_each_rule_of_a_frame(frames: list[bytes], says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        decode(frames, from_broker=False)


@pytest.mark.parametrize(
    ("packed", "says"),
    [
        (b"\xc1", "malformed"),
        (b"\x81\xa1a", "malformed"),
        (b"\x80\x80", "malformed"),
        (b"\x90", "a map was due, not list"),
        (b"\x81\x01\x02", "malformed"),
        (b"\x81\xc4\x01a\x02", "key that is no string"),
        (b"\x81\xa1\xff\x00", "malformed"),
        (msgpack.packb({"a": msgpack.ExtType(5, b"")}), "extension type 5"),
        (msgpack.packb({"a": msgpack.Timestamp(1)}), "a value of type Timestamp"),
        (msgpack.packb({"a": NUMBER_MAX + 1}), "integer of 2\\^53"),
        (msgpack.packb({"a": {"b": {"c": {"d": {}}}}}), "map nested more than 4"),
        (msgpack.packb({"a": [[[[]]]]}), "array nested more than 4"),
        (msgpack.packb({"a": [0] * 1025}), "malformed"),
        (b"\x81" * MAP_BYTES_MAX, "malformed"),
        (b"\xdf\xff\xff\xff\xff", "malformed"),
        (b"\xdd\xff\xff\xff\xff", "malformed"),
        (b"\xdb\xff\xff\xff\xff", "malformed"),
    ],
)
def test_each_rule_of_a_map(packed: bytes, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        unpack_map(packed)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"a": object()}, "a value of type object"),
        ({"a": NUMBER_MAX + 1}, "2\\^53"),
        ({"a": 1 << 70}, "2\\^53"),
        ({1: 2}, "no string"),
        ({"a": "\ud800"}, "cannot be packed"),
        ({"a": "x" * MAP_BYTES_MAX}, "limit 16384"),
        ({"a": {"b": {"c": {"d": {}}}}}, "nested"),
    ],
)
def test_what_may_not_be_sent_cannot_be_packed(
    fields: dict[str, object], says: str
) -> None:
    with pytest.raises(ProtocolError, match=says):
        pack_map(fields)


BOMBS = {
    "nested arrays that declare many items": b"\xdc\x3f\xff" * 1020,
    "nested arrays of the largest length": b"\xdd\xff\xff\xff\xff" * 1000,
    "nested maps": b"\x81\xa0" * 8000,
    "nested maps that declare many items": b"\xde\x3f\xff\xa0" * 1000,
    "deep arrays": b"\x91" * MAP_BYTES_MAX,
    "a string that is not there": b"\x81\xa1a\xdb\x7f\xff\xff\xff",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_few_bytes_take_no_much_memory(name: str) -> None:
    packed = BOMBS[name].ljust(MAP_BYTES_MAX, b"\xc0")
    tracemalloc.start()
    started = time.perf_counter()
    try:
        with pytest.raises(ProtocolError):
            unpack_map(packed)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < 16 * 1024 * 1024
    assert time.perf_counter() - started < 1


def test_a_page_may_have_more_items_than_a_map() -> None:
    names = [f"n{number}" for number in range(3000)]
    page = msgpack.packb(names)
    assert unpack(page) == names
    assert unpack(memoryview(page)) == names


def _mutated(chance: Random, frames: list[bytes]) -> list[bytes]:
    frames = list(frames)
    at = chance.randrange(len(frames))
    part = bytearray(frames[at])
    match chance.randrange(6):
        case 0:  # flip bits
            for _ in range(chance.randint(1, 4)):
                if part:
                    part[chance.randrange(len(part))] ^= 1 << chance.randrange(8)
        case 1:  # cut
            del part[chance.randint(0, len(part)) :]
        case 2:  # splice with another message
            other = bytes(encode(chance.choice(examples()))[0])
            part[chance.randint(0, len(part)) :] = other[
                chance.randint(0, len(other)) :
            ]
        case 3:  # random bytes within
            start = chance.randint(0, len(part))
            part[start : start + 8] = chance.randbytes(8)
        case 4:  # only random
            part = bytearray(chance.randbytes(chance.randint(0, 200)))
        case 5:  # more or fewer frames
            if chance.random() < 0.5:
                frames.append(chance.randbytes(3))
            else:
                frames.pop()
            return frames
    frames[at] = bytes(part)
    return frames


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_arrives_is_a_message_or_a_protocol_error(seed: int) -> None:
    from storagebus.broker.messages import error_of, parse

    chance = Random(seed)
    maps_of = (Hello, Welcome, Farewell, Load, Update, Open, Vouched, Accepted)
    messages_seen = errors_seen = 0
    sources = [[bytes(part) for part in encode(m)] for m in examples()]
    for _ in range(MUTATIONS):
        frames = _mutated(chance, chance.choice(sources))
        for from_broker in (False, True):
            try:
                message = decode(frames, from_broker=from_broker)
                error_of(message)
                messages_seen += 1
            except ProtocolError:
                errors_seen += 1
                continue
            for cls in (*maps_of, Progress, Result):
                try:
                    parse(cls, message.fields)
                except ProtocolError:
                    pass
    assert messages_seen > 50
    assert errors_seen > 50


@given(st.lists(st.binary(max_size=120), max_size=3), st.booleans())
def test_random_frames(frames: list[bytes], from_broker: bool) -> None:
    with pytest.raises(ProtocolError):
        decode(frames, from_broker=from_broker)


def test_header_has_the_length_of_the_specification() -> None:
    assert HEADER_BYTES == 56

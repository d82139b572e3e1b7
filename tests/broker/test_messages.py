"""broker/messages.py: what maps say, and what they may not."""

from __future__ import annotations

import os
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import maps, texts

from storagebus.broker.messages import (
    Accepted,
    Farewell,
    Hello,
    Load,
    Open,
    Progress,
    Result,
    Update,
    Vouched,
    Welcome,
    error_message,
    error_of,
    make,
    pack,
    pack_vouched,
    parse,
)
from storagebus.broker.wire import NUMBER_MAX, Message, Type, pack_map, unpack_map
from storagebus.drivers.contract import FileInfo
from storagebus.drivers.errors import (
    CODES,
    AccessDeniedError,
    Executed,
    ProtocolError,
    StorageError,
    UploadSupersededError,
)

counts = st.integers(0, NUMBER_MAX)
names = texts
optional_texts = st.none() | texts
pieces = st.lists(texts, max_size=3).map(tuple)
STRATEGIES: dict[type, st.SearchStrategy[Any]] = {
    Hello: st.builds(
        Hello,
        role=st.sampled_from(["client", "worker"]),
        protocol=st.tuples(st.integers(1, 9), st.integers(9, 255)),
        boot=st.binary(min_size=16, max_size=16),
        name=names,
        pid=counts,
        features=pieces,
        service=names,
        driver=names,
        api_version=st.sampled_from(["1.0", ""]),
        capabilities=st.none() | st.dictionaries(texts, st.integers(0, 9), max_size=3),
        instance=names,
        slots=st.integers(0, 100_000),
        streams=st.integers(0, 100_000),
        cookie=names,
    ),
    Welcome: st.builds(
        Welcome,
        broker=names,
        protocol=st.integers(1, 255),
        chunk_max=st.integers(1, 1 << 30),
        heartbeat_ms=st.integers(1, 3_600_000),
        streams_max=st.integers(1, 1_000_000),
        features=pieces,
        brokers=pieces,
    ),
    Farewell: st.builds(Farewell, texts),
    Load: st.builds(Load, counts, counts, counts, counts),
    Update: st.builds(Update, st.integers(0, 100_000), st.integers(0, 100_000)),
    Open: st.builds(
        Open,
        service=names,
        path=texts,
        destination=texts,
        start=counts,
        length=st.none() | counts,
        if_match=optional_texts,
        start_after=optional_texts,
        append=st.booleans(),
        upload_id=optional_texts,
        method=st.sampled_from(["GET", "HEAD"]),
        expires=counts,
        worker=names,
        lane=names,
        lane_kinds=pieces,
        lane_window=counts,
    ),
    Vouched: st.builds(Vouched, names, names, counts, counts),
    Accepted: st.builds(
        Accepted,
        identity=optional_texts,
        size=counts,
        durable=counts,
        upload_id=texts,
        generation=counts,
        lane=names,
        lane_address=names,
        lane_token=st.binary(min_size=16, max_size=16),
        lane_bytes=counts,
        lane_start=counts,
    ),
    Progress: st.builds(Progress, st.none() | counts, st.none() | counts),
    Result: st.builds(
        Result,
        identity=optional_texts,
        size=counts,
        durable=counts,
        path=texts,
        mtime_us=st.none() | st.integers(-NUMBER_MAX, NUMBER_MAX),
        is_dir=st.booleans(),
        url=optional_texts,
        state=st.sampled_from(["open", ""]),
        driver=names,
        api_version=st.sampled_from(["1.0", ""]),
        status=st.binary(max_size=30),
        queued_us=counts,
        driver_us=counts,
    ),
}


@pytest.mark.parametrize("cls", STRATEGIES, ids=lambda cls: cls.__name__)
def test_round_trip(cls: type) -> None:
    @given(STRATEGIES[cls])
    def holds(content: Any) -> None:
        assert parse(cls, pack(content)) == content

    holds()


@pytest.mark.parametrize("cls", STRATEGIES, ids=lambda cls: cls.__name__)
def test_any_map_is_read_or_refused(cls: type) -> None:
    keys = st.sampled_from([f.name for f in fields(cls)])
    values = st.none() | st.booleans() | st.integers(-5, 1 << 40) | texts | st.binary()

    @given(st.dictionaries(keys, values | st.lists(values, max_size=3)), maps)
    def holds(given_: dict[str, Any], more: dict[str, Any]) -> None:
        try:
            parse(cls, pack_map(more | given_))
        except ProtocolError as error:
            assert cls.__name__ in error.detail  # names what it was reading

    holds()


@pytest.mark.parametrize("cls", STRATEGIES, ids=lambda cls: cls.__name__)
def test_a_key_that_is_missing_or_wrong_is_named(cls: type) -> None:
    due = [f.name for f in fields(cls) if f.default is MISSING]
    whole = {name: object for name in due}
    if due:
        with pytest.raises(ProtocolError, match=f"'{due[0]}' is missing"):
            parse(cls, b"")
    for item in fields(cls):
        # No field of ours is an array of numbers.
        wrong = {name: 1 for name in whole} | {item.name: [[0]]}
        with pytest.raises(ProtocolError, match=r"value that is not due|is missing"):
            parse(cls, pack_map(wrong))


def test_what_has_its_default_is_left_out() -> None:
    assert unpack_map(pack(Open("s"))) == {"service": "s"}
    assert pack(Progress()) == b""


def test_unknown_keys_are_ignored() -> None:
    assert parse(Update, pack_map({"slots": 1, "streams": 2, "new": {}})) == Update(
        1, 2
    )


@pytest.mark.parametrize(
    "given",
    [{"new": 1 << 53}, {"new": [[[[1]]]]}, {b"new": 1}, {"new": {"a": {b"b": 1}}}],
    ids=repr,
)
def test_what_is_ignored_has_to_be_allowed(given: Any) -> None:
    with pytest.raises(ProtocolError):
        parse(Farewell, msgpack.packb(given))


def test_a_map_in_a_map_is_looked_at_too() -> None:
    hello = vars(Hello("client", (1, 1), bytes(16)))
    packed = msgpack.packb({**hello, "capabilities": {"a": {"b": {"c": {"d": 1}}}}})
    with pytest.raises(ProtocolError, match="nested"):
        parse(Hello, packed)


@pytest.mark.parametrize("boolean", ["slots", "streams"])
def test_a_boolean_is_no_number(boolean: str) -> None:
    with pytest.raises(ProtocolError, match=boolean):
        parse(Update, pack_map({"slots": 1, "streams": 1} | {boolean: True}))


@pytest.mark.parametrize(
    "protocol", [[1], [2, 1], [0, 1], [1, 256], ["1", 1], [1, 1, 1], "11"]
)
def test_a_range_of_versions(protocol: Any) -> None:
    given_ = {"role": "client", "boot": bytes(16), "protocol": protocol}
    with pytest.raises(ProtocolError, match="protocol"):
        parse(Hello, pack_map(given_))


def test_stat_answers_come_back() -> None:
    info = FileInfo("/a", 7, datetime(2026, 2, 3, 4, 5, 6, 7, tzinfo=UTC), False, "v")
    assert parse(Result, pack(Result.of_info(info, 1, 2))).info() == info
    directory = FileInfo("/d", 0, None, True, None)
    assert parse(Result, pack(Result.of_info(directory, 0, 0))).info() == directory


@pytest.mark.parametrize("code", CODES)
def test_every_error_comes_back(code: int) -> None:
    error = CODES[code](
        "why",
        path="/a",
        offset=3,
        driver="s3",
        temporary=True,
        executed=Executed.YES,
        retry_after_s=1.5,
        durable=12,
    )
    back = error_of(error_message(error, 9))
    assert type(back) is type(error)
    assert back.to_fields() == error.to_fields()


def test_an_unknown_code_is_a_storage_error() -> None:
    back = error_of(Message(Type.ERROR, 1, 999, fields=pack_map({"detail": "new"})))
    assert type(back) is StorageError
    assert back.detail == "new"


@pytest.mark.parametrize(
    "error",
    [
        UploadSupersededError("x" * 1000, path="/p" * 10_000),
        UploadSupersededError("name \udce9", path="/a"),
        UploadSupersededError("x", path="/\udce9"),
        UploadSupersededError("x", offset=1 << 60),
        UploadSupersededError("x", durable=1 << 70),
        UploadSupersededError(os.fsdecode(b"\xff") * 3000),
    ],
    ids=["long path", "surrogate", "surrogate in path", "large", "huge", "all odd"],
)
def test_an_error_that_fits_no_map_is_still_reported(error: StorageError) -> None:
    back = error_of(error_message(error, 1))
    assert isinstance(back, UploadSupersededError)
    assert (back.temporary, back.executed) == (error.temporary, error.executed)
    assert (
        back.detail[:1]
        == error.detail[:1].encode(errors="backslashreplace").decode()[:1]
    )


@given(
    st.text(min_size=1, max_size=128),
    st.text(max_size=5),
    st.integers(1, 3),
    st.integers(0, 1 << 40),
)
def test_what_a_broker_vouches_for_is_packed_as_any_map(
    client: str, user: str, attempt: int, queued_us: int
) -> None:
    expected = pack(Vouched(client, user, attempt, queued_us))
    assert pack_vouched(client, user, attempt, queued_us) == expected


def test_what_is_made_quickly_is_what_the_constructor_makes() -> None:
    quick = make(Open, service="s", path="/a", start=5, length=None)
    slow = Open("s", "/a", start=5)
    assert quick == slow
    assert hash(quick) == hash(slow)
    assert repr(quick) == repr(slow)
    assert pack(quick) == pack(slow)
    assert (quick.method, quick.expires) == ("GET", 1200)


@pytest.mark.parametrize(
    ("name", "value"),
    [("executed", "no"), ("detail", 5), ("path", object()), ("temporary", "yes")],
)
def test_an_error_that_a_driver_has_spoilt_is_told_all_the_same(
    name: str, value: object
) -> None:
    error = AccessDeniedError("the key is wrong", path="/a")
    setattr(error, name, value)
    assert isinstance(error_of(error_message(error, 3)), AccessDeniedError)

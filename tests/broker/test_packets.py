"""Messages as packets of a call lane."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.broker.messages import INLINE_BYTES_MAX, Operation
from storagebus.broker.packets import (
    BUDGET_MS_MAX,
    PACKET_BYTES_MAX,
    Span,
    from_packet,
    to_packet,
)
from storagebus.broker.wire import MAP_BYTES_MAX, Message, Type, pack_map
from storagebus.drivers.errors import ProtocolError

OPENED = Message(
    Type.OPEN, 7, Operation.PUT, offset=1_500_000, budget_ms=250, fields=b"\x80"
)


@given(
    stream=st.integers(1, 1 << 40),
    text=st.text(max_size=200),
    payload=st.binary(max_size=3_000),
)
def test_a_message_comes_back_as_it_went(
    stream: int, text: str, payload: bytes
) -> None:
    message = OPENED._replace(
        stream=stream, fields=pack_map({"path": text}), payload=payload
    )
    assert from_packet(b"".join(to_packet(message))) == message


@given(st.binary(max_size=300))
def test_whatever_comes_is_a_message_or_an_error(packet: bytes) -> None:
    try:
        assert isinstance(from_packet(packet), Message)
    except ProtocolError:
        pass


@given(st.data())
def test_a_damaged_packet_is_a_message_or_an_error(data: st.DataObject) -> None:
    packet = bytearray(b"".join(to_packet(OPENED._replace(payload=b"0123456789"))))
    for _ in range(data.draw(st.integers(1, 4))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(
            st.integers(0, 255)
        )
    try:
        assert isinstance(from_packet(bytes(packet)), Message)
    except ProtocolError:
        pass


def test_the_largest_packet() -> None:
    fields = pack_map({"a": "x" * (MAP_BYTES_MAX - 6)})
    assert len(fields) == MAP_BYTES_MAX
    most = OPENED._replace(fields=fields, payload=bytes(INLINE_BYTES_MAX))
    packet = b"".join(to_packet(most))
    assert len(packet) == PACKET_BYTES_MAX
    assert from_packet(packet) == most
    with pytest.raises(ProtocolError, match="limit"):
        to_packet(most._replace(payload=bytes(INLINE_BYTES_MAX + 1)))
    with pytest.raises(ProtocolError, match="bytes"):
        from_packet(packet + b"x")


def test_a_packet_without_its_payload_is_refused() -> None:
    head, _ = to_packet(OPENED._replace(payload=b"01234"))
    for cut in (bytes(head), bytes(head) + b"0123", bytes(head) + b"012345"):
        with pytest.raises(ProtocolError):
            from_packet(cut)


def test_when_a_call_was_sent_and_is_given_up() -> None:
    assert Span.of(OPENED) == (1.5, 1.75)
    for budget in (0, BUDGET_MS_MAX + 1):
        with pytest.raises(ProtocolError, match="ms"):
            Span.of(OPENED._replace(budget_ms=budget))

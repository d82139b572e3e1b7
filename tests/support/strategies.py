"""Hypothesis strategies for what travels on the wire."""

from __future__ import annotations

from hypothesis import strategies as st

from storagebus.broker.wire import LANE_BYTES_MAX, NUMBER_MAX, Message, Type, pack_map

WITH_PAYLOAD = (Type.OPEN, Type.DATA, Type.RESULT)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(0, NUMBER_MAX)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-NUMBER_MAX, NUMBER_MAX),
    st.floats(allow_nan=False),
    texts,
    st.binary(max_size=20),
)


def _nested(depth: int) -> st.SearchStrategy[object]:
    if depth == 0:
        return scalars
    inner = _nested(depth - 1)
    return st.one_of(
        scalars,
        st.lists(inner, max_size=3),
        st.dictionaries(texts, inner, max_size=3),
    )


maps = st.dictionaries(texts, _nested(3), max_size=5)
"""Maps as section 3 of PROTOCOL.md allows them: nested at most 4 deep."""


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Any valid message, a broker's OPEN to a worker among them."""
    kind = draw(st.sampled_from(Type))
    payload = draw(st.binary(max_size=200)) if kind in WITH_PAYLOAD else b""
    lane = 0
    if kind is Type.DATA and not payload:
        lane = draw(st.integers(0, LANE_BYTES_MAX))
    vouched = kind is Type.OPEN and draw(st.booleans())
    return Message(
        kind,
        draw(st.integers(1, NUMBER_MAX)) if kind >= Type.OPEN else 0,
        code=draw(st.integers(0, 0xFFFF)),
        flags=draw(st.sampled_from([0, 2])),
        offset=draw(st.integers(0, NUMBER_MAX - len(payload) - lane)),
        limit=draw(numbers),
        budget_ms=draw(st.integers(0, 0xFFFF_FFFF)),
        epoch=draw(numbers),
        fields=pack_map(draw(maps)),
        vouched=pack_map(draw(maps)) if vouched else b"",
        payload=payload,
        lane=lane,
    )

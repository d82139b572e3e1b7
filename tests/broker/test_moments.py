"""broker/moments.py: times as integers, exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from storagebus.broker.moments import EPOCH, from_us, to_us
from storagebus.broker.wire import NUMBER_MAX


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7))])))
def test_round_trip(moment: datetime) -> None:
    assert from_us(to_us(moment)) == moment


@given(st.integers(-NUMBER_MAX, NUMBER_MAX))
def test_every_number_of_the_wire_is_a_time(moment_us: int) -> None:
    assert to_us(from_us(moment_us)) == moment_us


def test_beyond_all_years_is_clamped() -> None:
    assert from_us(1 << 80) == datetime.max.replace(tzinfo=UTC)
    assert from_us(-(1 << 80)) == datetime.min.replace(tzinfo=UTC)


def test_known_times() -> None:
    assert to_us(EPOCH) == 0
    assert to_us(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1

"""Points in time on the wire: microseconds since 1970 UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 UTC of a time with zone."""
    return (moment - EPOCH) // _MICROSECOND


def from_us(moment_us: int) -> datetime:
    """The reverse of `to_us`, in UTC; clamped to the years that datetime holds."""
    try:
        return EPOCH + timedelta(microseconds=moment_us)
    except OverflowError:
        last = datetime.max.replace(tzinfo=UTC)
        return last if moment_us > 0 else datetime.min.replace(tzinfo=UTC)

from datetime import UTC, datetime, timedelta, timezone

import pytest

from storagebus.conf.output import info_fields, long_line, size_text
from storagebus.drivers import FileInfo

WHEN = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (5 << 30, "5.0 GiB"),
        (3 << 50, "3072.0 TiB"),
    ],
)
def test_sizes(count: float, text: str) -> None:
    assert size_text(count) == text


def test_times_are_in_utc_for_people_and_exact_for_programs() -> None:
    info = FileInfo("/a", 7, WHEN, False, "id")
    assert long_line(info).split() == ["7", "2026-05-04T01:02:01Z", "/a"]
    time = info_fields(info)["mod_time"]
    assert datetime.fromisoformat(time) == WHEN.astimezone(UTC)


def test_what_has_no_time() -> None:
    assert long_line(FileInfo("/a", 7, None, False)).split() == ["7", "-", "/a"]
    assert long_line(FileInfo("/a", 0, None, True)).split() == ["-", "-", "/a/"]

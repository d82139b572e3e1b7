"""drivers/answers.py: faults of a driver's answers, each said as what it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from storagebus.drivers import FileInfo
from storagebus.drivers.answers import check_info, check_url
from storagebus.drivers.errors import StorageError

NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("info", "says"),
    [
        (None, "gave NoneType, no FileInfo: /a"),
        (("/a", 1), "gave tuple, no FileInfo: /a"),
        (FileInfo("/a", "1", NOW, False), "a size of '1': /a"),  # type: ignore[arg-type]
        (FileInfo("/a", -1, NOW, False), "a size of -1: /a"),
        (FileInfo("/a", True, NOW, False), "a size of True: /a"),
        (FileInfo("/a", 1, NOW, 0), "is_dir of 0: /a"),  # type: ignore[arg-type]
        (FileInfo("/a", 1, 5.0, False), "mod_time of 5.0: /a"),  # type: ignore[arg-type]
        (FileInfo("/a", 1, NOW.replace(tzinfo=None), False), "without a zone: /a"),
    ],
)
def test_what_is_wrong_with_a_status_is_said(info: Any, says: str) -> None:
    with pytest.raises(StorageError) as caught:
        check_info("/a", info)
    assert str(caught.value).endswith(says)


def test_good_answers_are_passed_on() -> None:
    for info in (FileInfo("/a", 1, NOW, False), FileInfo("/a", 0, None, True)):
        assert check_info("/a", info) is info
    assert check_url("/a", None) is None
    assert check_url("/a", "https://example.com/a") == "https://example.com/a"
    with pytest.raises(StorageError, match="gave int: /a"):
        check_url("/a", 5)

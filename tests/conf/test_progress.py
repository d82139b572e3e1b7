from collections.abc import Iterator

import pytest

from storagebus.client.transfer import Summary
from storagebus.conf import progress as module
from storagebus.conf.progress import progress, summary_fields, summary_line
from storagebus.drivers.errors import InvalidPathError


@pytest.mark.parametrize(
    ("done", "seconds", "line"),
    [
        (Summary(1, 10, 0, 0, 0), 2.0, "stored 1 file, 10 B in 2.0 s (5 B/s)"),
        (
            Summary(2, 3 << 20, 1, 2, 3),
            0.5,
            "stored 2 files, 3.0 MiB in 0.5 s (6.0 MiB/s), 1 skipped, 2 failed, "
            "3 empty directories left out",
        ),
        (
            Summary(0, 0, 0, 0, 1),
            1.0,
            "stored 0 files, 0 B in 1.0 s (0 B/s), 1 empty directory left out",
        ),
        (Summary(0, 0, 0, 0, 0), 0.0, "stored 0 files, 0 B in 0.0 s (-/s)"),
    ],
)
def test_the_last_line(done: Summary, seconds: float, line: str) -> None:
    assert summary_line("stored", done, seconds) == line


def test_the_same_for_programs() -> None:
    assert summary_fields(Summary(1, 2, 3, 4, 5), 1.23456) == {
        "files": 1,
        "bytes": 2,
        "seconds": 1.235,
        "skipped": 3,
        "failed": 4,
        "empty_directories": 5,
    }


def test_without_a_terminal_a_line_at_times(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with progress(shows=True) as shown:
        shown.moved(1_000)
        shown.finished()
        assert capsys.readouterr().err == ""
        now += module.LINE_INTERVAL_S
        shown.moved(24)
        shown.moved(1)
        assert capsys.readouterr().err == "storagebus: 1 files, 1.0 KiB so far\n"
        shown.fault("name", InvalidPathError("why"))
    assert capsys.readouterr().err == "storagebus: name: invalid path: why\n"


def test_quiet_still_tells_faults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with progress(shows=False) as shown:
        now += 100 * module.LINE_INTERVAL_S
        shown.moved(1_000)
        shown.fault("name", InvalidPathError())
    assert capsys.readouterr().err == "storagebus: name: invalid path\n"


def test_nothing_is_counted_without_a_bar() -> None:
    def sizes() -> Iterator[int]:
        raise AssertionError("counted")

    with progress(shows=True) as shown:
        shown.count(sizes)

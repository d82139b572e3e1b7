"""What is shown while files are transferred: a bar on a terminal, else a line at times.

Everything goes to standard error, so that data on standard output stays clean.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..client.transfer import Summary
from ..drivers.errors import StorageError
from .output import size_text

if TYPE_CHECKING:
    from tqdm import tqdm

LINE_INTERVAL_S = 10.0
COLUMNS_DEFAULT = 80
ROWS_DEFAULT = 24
COUNT_FILES_MAX = 1_000_000
"""Files that are counted beforehand for the bar; beyond, it has no total."""

Count = Callable[[], Iterator[int]]
"""Yields the size of each file that is to come."""


class Progress:
    """A transfer's listener that shows how it goes.

    Args:
        shows: whether to show progress; faults are shown in any case.
        total: bytes to come, when that is known.
    """

    def __init__(self, *, shows: bool, total: int | None = None) -> None:
        self.started = time.monotonic()
        self._files = 0
        self._size = 0
        self._line_at = self.started + LINE_INTERVAL_S
        self._shows = shows
        self._bar: tqdm[Any] | None = None
        if shows and sys.stderr.isatty():
            self._bar = _bar(total=total, unit="B", unit_scale=True, unit_divisor=1024)

    def moved(self, count: int) -> None:
        self._size += count
        if self._bar is not None:
            self._bar.update(count)
        elif self._shows and time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + LINE_INTERVAL_S
            self._echo(f"{self._files} files, {size_text(self._size)} so far")

    def finished(self) -> None:
        self._files += 1
        if self._bar is not None:
            self._bar.set_postfix_str(f"{self._files} files", refresh=False)

    def fault(self, name: str, error: StorageError) -> None:
        self._echo(f"{name}: {error}")

    def count(self, sizes: Count) -> None:
        """Find the bar's total beside the transfer, from the sizes of all files."""
        if self._bar is not None:
            threading.Thread(target=self._count, args=(sizes,), daemon=True).start()

    def close(self) -> None:
        """Remove the bar."""
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()

    def _count(self, sizes: Count) -> None:
        total = 0
        try:
            for number, size in enumerate(sizes()):
                total += size
                if number >= COUNT_FILES_MAX or self._bar is None:
                    return
        except (StorageError, OSError):
            return  # the transfer itself will meet and report it
        bar = self._bar
        if bar is not None:
            bar.total = total

    def _echo(self, line: str) -> None:
        text = f"storagebus: {line}"
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            click.echo(text, err=True)


class SecondsBar:
    """A bar on a terminal for work that takes a time known beforehand, and what is
    printed meanwhile.

    Args:
        seconds: how long it takes.
        shows_rows: whether `say` prints.
    """

    def __init__(self, seconds: float, *, shows_rows: bool) -> None:
        self._seconds = seconds
        self._shows_rows = shows_rows
        self._bar: tqdm[Any] | None = None

    def moved(self, seconds: float) -> None:
        """So much time has gone by."""
        if self._bar is not None:
            self._bar.update(min(seconds, self._seconds - self._bar.n))

    def say(self, line: str) -> None:
        """Print a line on standard output, clear of the bar."""
        if not self._shows_rows:
            return
        if self._bar is not None:
            self._bar.clear()
        click.echo(line)
        sys.stdout.flush()
        if self._bar is not None:
            self._bar.refresh()

    def __enter__(self) -> SecondsBar:
        if sys.stderr.isatty():
            layout = "{l_bar}{bar}| {n:.0f}/{total:.0f} s"
            self._bar = _bar(total=self._seconds, bar_format=layout)
        return self

    def __exit__(self, *_: object) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()


def _bar(**options: Any) -> tqdm[Any]:
    """A bar on standard error, gone at its end."""
    from tqdm import tqdm

    # Some pseudo-terminals have no size, and tqdm would show nothing.
    has_size = os.get_terminal_size(sys.stderr.fileno()).columns > 0
    return tqdm(
        leave=False,
        ncols=None if has_size else COLUMNS_DEFAULT,
        nrows=None if has_size else ROWS_DEFAULT,
        dynamic_ncols=has_size,
        **options,
    )


@contextmanager
def progress(*, shows: bool, total: int | None = None) -> Iterator[Progress]:
    """A `Progress` whose bar is gone at the end."""
    shown = Progress(shows=shows, total=total)
    try:
        yield shown
    finally:
        shown.close()


def summary_line(verb: str, done: Summary, seconds: float) -> str:
    """What a transfer has done, for people."""
    rate = size_text(done.size / seconds) if seconds > 0 else "-"
    files = "1 file" if done.files == 1 else f"{done.files} files"
    parts = [f"{verb} {files}, {size_text(done.size)} in {seconds:.1f} s ({rate}/s)"]
    empty = "directory" if done.empty_directories == 1 else "directories"
    for count, what in (
        (done.skipped, "skipped"),
        (done.failed, "failed"),
        (done.empty_directories, f"empty {empty} left out"),
    ):
        if count:
            parts.append(f"{count} {what}")
    return ", ".join(parts)


def summary_fields(done: Summary, seconds: float) -> dict[str, Any]:
    """What a transfer has done, for programs."""
    return {
        "files": done.files,
        "bytes": done.size,
        "seconds": round(seconds, 3),
        "skipped": done.skipped,
        "failed": done.failed,
        "empty_directories": done.empty_directories,
    }

"""Commands that list: ls and walk."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import click

from ..drivers.contract import FileInfo, StorageDriver
from ..drivers.errors import PathNotFoundError
from ..drivers.paths import ROOT
from .options import Target, json_option, opened, target_options
from .output import info_fields, long_line, print_json

STATS_AT_ONCE = 8


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("-l", "--long", "is_long", is_flag=True, help="Show sizes and times.")
@json_option
@target_options
def ls(target: Target, paths: tuple[str, ...], is_long: bool, as_json: bool) -> None:
    """List what lies directly in directories: a full path a line.

    Without PATH the root is listed. -l and --json look at each entry.

    \b
    Examples:
      storagebus ls
      storagebus ls -l /images
      storagebus ls --json /images | jq -r .path
    """
    with opened(target) as store:
        for path in paths or (ROOT,):
            listed = sorted(store.list(path))
            if is_long or as_json:
                for info in _stats(store, listed):
                    _print_info(info, as_json)
            else:
                for entry in listed:
                    click.echo(entry)


@click.command()
@click.argument("path", default=ROOT)
@click.option("-l", "--long", "is_long", is_flag=True, help="Show sizes and times.")
@click.option(
    "--start-after",
    metavar="PATH",
    help="Only what comes after this path; it need not exist.",
)
@json_option
@target_options
def walk(
    target: Target, path: str, is_long: bool, start_after: str | None, as_json: bool
) -> None:
    """List all files and directories below a directory, in the order of the walk.

    A directory compares as its path with "/" behind it, so that /a-b comes before
    /a/c, as in object stores.

    \b
    Examples:
      storagebus walk /images
      storagebus walk --json --start-after /images/m /images
    """
    with opened(target) as store, store.walk(path, start_after) as found:
        for info in found:
            if is_long or as_json:
                _print_info(info, as_json)
            else:
                click.echo(info.path)


def _print_info(info: FileInfo, as_json: bool) -> None:
    if as_json:
        print_json(info_fields(info))
    else:
        click.echo(long_line(info))


def _stats(store: StorageDriver, paths: Sequence[str]) -> Iterator[FileInfo]:
    """What is known of each path, in order, a few asked at once."""

    def stat(path: str) -> FileInfo | None:
        try:
            return store.stat(path)
        except PathNotFoundError:
            return None  # it vanished after it was listed

    with ThreadPoolExecutor(STATS_AT_ONCE, "storagebus-stat") as pool:
        asked: deque[Future[FileInfo | None]] = deque()
        try:
            for path in paths:
                asked.append(pool.submit(stat, path))
                if len(asked) > STATS_AT_ONCE:
                    info = asked.popleft().result()
                    if info is not None:
                        yield info
            while asked:
                info = asked.popleft().result()
                if info is not None:
                    yield info
        finally:
            for future in asked:
                future.cancel()

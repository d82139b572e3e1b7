"""Commands that move content: put and get."""

from __future__ import annotations

import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import click

from ..client.transfer import JOBS_DEFAULT, JOBS_MAX, Tally
from ..client.transfer_get import get_file, get_stream, get_tree
from ..client.transfer_put import local_files, put_file, put_stream, put_tree
from ..drivers.contract import StorageDriver
from ..drivers.errors import StorageError
from .options import Target, json_option, opened, target_options
from .output import print_json
from .progress import Progress, progress, summary_fields, summary_line

PIPE = "-"

_recursive = click.option("-r", "--recursive", is_flag=True, help="A whole directory.")
_jobs = click.option(
    "--jobs",
    type=click.IntRange(1, JOBS_MAX),
    default=JOBS_DEFAULT,
    show_default=True,
    help="Files at once, with -r.",
)
_quiet = click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")


@click.command()
@click.argument("local")
@click.argument("remote")
@_recursive
@_jobs
@click.option(
    "--encode-names",
    is_flag=True,
    help="With -r: store names outside the path grammar under an escaped name "
    "(`get -r --decode-names` restores them) instead of skipping them.",
)
@_quiet
@json_option
@target_options
def put(
    target: Target,
    local: str,
    remote: str,
    recursive: bool,
    jobs: int,
    encode_names: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Store a file, what a pipe brings ("-"), or with -r a directory.

    An object appears when it is complete. With -r, names outside the path grammar,
    symbolic links and special files are reported and skipped, and the exit code is
    then not 0; empty directories are left out, since a store has none.

    \b
    Examples:
      storagebus put layer.tar /images/layer
      tar c src | storagebus put - /backup/src.tar
      storagebus put -r ./site /sites/main --jobs 16
    """
    _check_recursive_only(recursive, encode_names, "--encode-names")
    if recursive:
        if local == PIPE:
            raise click.UsageError("-r stores a directory; a pipe is one object")

        def sizes(store: StorageDriver) -> Iterator[int]:
            found = local_files(local, remote, Tally(), encode_names=encode_names)
            return (file.size for file in found)

        def transfer(store: StorageDriver, tally: Tally, shown: Progress) -> None:
            shown.count(lambda: sizes(store))
            put_tree(store, local, remote, tally, jobs=jobs, encode_names=encode_names)

        _tree(target, "stored", transfer, quiet=quiet, as_json=as_json)
        return
    with ExitStack() as stack:
        size: int | None = None
        stream = sys.stdin.buffer
        if local != PIPE:
            found = Path(local).stat()
            if stat.S_ISDIR(found.st_mode):
                raise click.UsageError(f"{local} is a directory; -r stores it")
            if stat.S_ISREG(found.st_mode):
                size = found.st_size
            else:
                stream = stack.enter_context(Path(local).open("rb"))
        store = stack.enter_context(opened(target))
        shown = stack.enter_context(progress(shows=_one_shows(quiet), total=size))
        tally = Tally(shown)
        if size is None:
            put_stream(store, stream, remote, tally)
        else:
            put_file(store, local, remote, tally)
        tally.finished()
        if as_json:
            print_json(_fields(tally, shown))


@click.command()
@click.argument("remote")
@click.argument("local")
@_recursive
@_jobs
@click.option(
    "--decode-names",
    is_flag=True,
    help="With -r: undo `put -r --encode-names`.",
)
@_quiet
@json_option
@target_options
def get(
    target: Target,
    remote: str,
    local: str,
    recursive: bool,
    jobs: int,
    decode_names: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Fetch an object into a file, to standard output ("-"), or with -r a directory.

    A file appears under its name when it is complete and its size is right; until
    then it lies beside it as .storagebus-... With -r nothing is written outside the
    local directory, whatever the store's names and the links that lie there.

    \b
    Examples:
      storagebus get /images/layer layer.tar
      storagebus get /backup/src.tar - | tar x
      storagebus get -r /sites/main ./site
    """
    _check_recursive_only(recursive, decode_names, "--decode-names")
    if recursive:
        if local == PIPE:
            raise click.UsageError("-r fetches into a directory; - is one stream")

        def sizes(store: StorageDriver) -> Iterator[int]:
            with store.walk(remote) as found:
                yield from (info.size for info in found if not info.is_dir)

        def transfer(store: StorageDriver, tally: Tally, shown: Progress) -> None:
            shown.count(lambda: sizes(store))
            get_tree(store, remote, local, tally, jobs=jobs, decode_names=decode_names)

        _tree(target, "fetched", transfer, quiet=quiet, as_json=as_json)
        return
    if local == PIPE and as_json:
        raise click.UsageError("--json and the object cannot both go to stdout")
    with opened(target) as store, progress(shows=_one_shows(quiet)) as shown:
        tally = Tally(shown)
        if local == PIPE:
            output = sys.stdout.buffer
            get_stream(store, remote, output, tally)
            output.flush()
        else:
            get_file(store, remote, local, tally)
        tally.finished()
        if as_json:
            print_json(_fields(tally, shown))


def _tree(
    target: Target,
    verb: str,
    transfer: Callable[[StorageDriver, Tally, Progress], None],
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """Transfer a tree, say what was done, and fail if anything was left out."""
    with opened(target) as store, progress(shows=not quiet) as shown:
        tally = Tally(shown)
        try:
            transfer(store, tally, shown)
        except StorageError:
            raise  # it did not even begin
        except BaseException:
            _summarize(verb, tally, shown, quiet=quiet, as_json=as_json)
            raise
        _summarize(verb, tally, shown, quiet=quiet, as_json=as_json)
        outcome = tally.outcome()
        if outcome is not None:
            raise outcome


def _summarize(
    verb: str, tally: Tally, shown: Progress, *, quiet: bool, as_json: bool
) -> None:
    shown.close()
    if as_json:
        print_json(_fields(tally, shown))
    elif not quiet:
        seconds = time.monotonic() - shown.started
        click.echo(summary_line(verb, tally.summary(), seconds), err=True)


def _fields(tally: Tally, shown: Progress) -> dict[str, object]:
    return summary_fields(tally.summary(), time.monotonic() - shown.started)


def _one_shows(quiet: bool) -> bool:
    """A single file has a bar, but never lines: scripts put many."""
    return not quiet and sys.stderr.isatty()


def _check_recursive_only(recursive: bool, given: bool, option: str) -> None:
    if given and not recursive:
        raise click.UsageError(f"{option} is for -r; one file has the name you give")

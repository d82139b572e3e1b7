"""The command bench: how fast a driver, executable or service is."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from click.core import ParameterSource

from ..drivers.contract import StorageDriver
from ..drivers.errors import PathNotFoundError, StorageError
from .memory import Memory
from .options import DEADLINE_S, DEADLINE_S_MAX, ENDPOINT_HELP, Seconds, json_option
from .output import print_json, size_text
from .parameters import parameters_option
from .phases import HEADING, Row, phases, run
from .progress import SecondsBar
from .subject import subject
from .termination import ends_on_term
from .workload import PIECE_BYTES, Workload

DIRECTORY = "storagebus-bench"
"""Beginning of the name of the directory that holds everything."""
GRACE_S = 5.0
"""Seconds above the deadline that the last call of a phase may take."""
SECONDS = 20.0
SECONDS_MAX = 3600.0
STREAMS_MAX = 256
THREADS_MAX = 256
SIZE_MAX = 1 << 40
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d{1,12})([KMGT]?)(?:i?B)?", re.IGNORECASE)


class Size(click.ParamType[int]):
    """A number of bytes, as in 4096, 64K or 1GiB; units are powers of 1024."""

    name = "SIZE"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> int:
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(value.strip())
        size = int(match[1]) * _UNITS[match[2].upper()] if match else 0
        if not 1 <= size <= SIZE_MAX:
            self.fail(f"{value!r} is no size such as 4096, 64K or 1GiB", param, ctx)
        return size


@click.command()
@click.option("--driver", metavar="NAME", help="The driver to measure.")
@parameters_option
@click.option(
    "--child",
    "as_child",
    is_flag=True,
    help="Measure the executable registry-storage-NAME as a managed child.",
)
@click.option(
    "--endpoint",
    metavar="ADDRESS",
    envvar="STORAGEBUS_ENDPOINT",
    help=f"{ENDPOINT_HELP}  [STORAGEBUS_ENDPOINT]",
)
@click.option(
    "--service",
    metavar="NAME",
    envvar="STORAGEBUS_SERVICE",
    help="The service to measure.  [STORAGEBUS_SERVICE; default: default]",
)
@click.option(
    "--seconds",
    type=Seconds(0, SECONDS_MAX, min_open=True),
    default=SECONDS,
    show_default="20",
    metavar="S",
    help="Time for all phases together.",
)
@click.option(
    "--size",
    type=Size(),
    default="64M",
    show_default=True,
    help="Size of the objects that are streamed.",
)
@click.option(
    "--streams",
    type=click.IntRange(1, STREAMS_MAX),
    default=4,
    show_default=True,
    metavar="N",
    help="Streams at once.",
)
@click.option(
    "--small",
    type=Size(),
    default="4K",
    show_default=True,
    help="Size of the small objects, 1 MiB at most.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, THREADS_MAX),
    default=16,
    show_default=True,
    metavar="N",
    help="Small operations at once.",
)
@click.option(
    "--deadline",
    type=Seconds(0, DEADLINE_S_MAX, min_open=True),
    default=DEADLINE_S,
    show_default="30",
    metavar="SECONDS",
    help="Time for each call to a service or child.",
)
@json_option
@click.pass_context
def bench(
    context: click.Context,
    driver: str | None,
    parameters: dict[str, Any] | None,
    as_child: bool,
    endpoint: str | None,
    service: str | None,
    seconds: float,
    size: int,
    streams: int,
    small: int,
    threads: int,
    deadline: float,
    as_json: bool,
) -> None:
    """Measure streams, small operations, and both at once.

    Everything is stored below a directory of its own, which is removed at the end,
    and compared when it is read back. Latencies are those of one call: of a stream,
    the time for one piece of 1 MiB. Every phase has an equal part of the time.

    \b
    Examples:
      storagebus bench --driver filesystem --parameters '{"rootdirectory": "/data"}'
      storagebus bench --driver acme --parameters '{"bucket": "b"}' --child
      storagebus bench --endpoint ipc:///run/storagebus/clients --service default
      storagebus bench --seconds 60 --size 1G --streams 16 --json
    """
    if small > PIECE_BYTES:
        raise click.UsageError("--small is 1 MiB at most; --size is for large objects")
    if context.get_parameter_source("endpoint") is ParameterSource.ENVIRONMENT:
        endpoint = None if driver is not None else endpoint
    if context.get_parameter_source("service") is ParameterSource.ENVIRONMENT:
        service = None if driver is not None else service
    way = subject(driver, parameters, as_child, endpoint, service, deadline)
    shown = SecondsBar(seconds, shows_rows=not as_json)
    with ends_on_term(), way as (store, find), shown as bar:
        most = store.capabilities.object_bytes_max or max(size, small)
        directory = f"/{DIRECTORY}-{secrets.token_hex(8)}"
        watched = Memory()
        workload = Workload(store, directory, min(size, most), min(small, most))
        rows: list[Row] = []
        bar.say(HEADING)
        with _removed(store, directory):
            plan = phases(workload, streams, threads)
            for groups in plan:
                watched.watch(find())

                def tick(passed_s: float) -> None:
                    watched.look()
                    bar.moved(passed_s)

                done = run(groups, seconds / len(plan), deadline + GRACE_S, tick)
                rows.extend(done)
                for row in done:
                    bar.say(row.line())
    if as_json:
        print_json(_fields(rows, watched))
    else:
        _print_end(rows, watched)


@contextmanager
def _removed(store: StorageDriver, directory: str) -> Iterator[None]:
    """Whatever happens, nothing is left of a directory."""
    try:
        yield
    except BaseException:
        try:
            _remove(store, directory)
        except StorageError as error:
            click.echo(f"storagebus: {directory} is left behind: {error}", err=True)
        raise
    _remove(store, directory)


def _remove(store: StorageDriver, directory: str) -> None:
    try:
        store.delete(directory)
    except PathNotFoundError:
        pass  # nothing was stored


def _fields(rows: Sequence[Row], watched: Memory) -> dict[str, Any]:
    return {
        "phases": [row.fields() for row in rows],
        "verified_bytes": _verified(rows),
        "memory": watched.fields(),
    }


def _print_end(rows: Sequence[Row], watched: Memory) -> None:
    click.echo()
    for seen in watched.fields():
        click.echo(
            f"memory of {seen['process']} (pid {seen['pid']}): "
            f"{size_text(seen['before'])}, at most {size_text(seen['peak'])}"
        )
    click.echo(f"{size_text(_verified(rows))} compared with what was written")


def _verified(rows: Sequence[Row]) -> int:
    return sum(row.tally.verified for row in rows)

"""A driver executable's two calls: `parameters`, and `serve`.

    from storagebus.workers import serve

    serve(AcmeDriver)

is `serve(AcmeDriver(**parameters()))`, and also ends with the right exit code when the
driver refuses its parameters. PROTOCOL.md section 10 is the contract with the process
that starts it.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ..broker.addresses import check_addresses
from ..broker.allocator import keep_memory
from ..broker.filelimit import raise_file_limit
from ..broker.lanes import is_possible
from ..broker.messages import (
    BOOT_BYTES,
    LANE_FEATURE,
    NAME_CHARACTERS_MAX,
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    Hello,
)
from ..drivers.checked import Checked
from ..drivers.contract import Capabilities, StorageDriver
from ..drivers.errors import InvalidParameterError, StorageError
from ..drivers.factory import EXECUTABLE_PREFIX, call_factory
from .exits import Exit
from .instance import instance_of
from .lanedoor import LaneDoor
from .lifeline import end_group, watch
from .logs import configure
from .loop import WorkerLoop
from .spawned import Surroundings, Unfit, childhood

CLOSE_S = 3.0
"""How long the driver may take to close when the worker ends."""
ORPHAN_S = 3.0
"""How long an orphaned worker may take to end before it is ended."""

_VERSION = re.compile(r"[0-9]{1,6}\.[0-9]{1,6}")

log = logging.getLogger("storagebus.worker")


def parameters() -> dict[str, Any]:
    """The driver's parameters as this process was given them.

    They are the JSON map in argv[1]; secrets in it are references whose values come
    on a descriptor from the parent.

    Returns:
        Names and values; empty without argv[1], or when it is "-".

    Raises:
        SystemExit: they are malformed, or a person has started the program without
            any, and is told on stderr what it is for.
    """
    try:
        told = childhood.surroundings()
        if len(sys.argv) < 2 and not told.endpoints:
            raise Unfit(Exit.USAGE, _purpose())
        return dict(childhood.parameters())
    except Unfit as error:
        _leave(error.code, str(error))


def serve(
    driver: StorageDriver | Callable[..., StorageDriver],
    service: str | None = None,
    *,
    endpoint: str | Sequence[str] | None = None,
    slots: int | None = None,
    streams: int | None = None,
    lane_bytes_max: int | None = None,
    grace_s: float | None = None,
    name: str | None = None,
    instance: str | None = None,
) -> int:
    """Serve a driver until told to stop. Blocks; belongs into the main thread.

    What is not given comes from the environment that the parent has set.

    Args:
        driver: the driver, or what makes it (a class, say): that is called with what
            `parameters` returns as keywords. The driver is closed in the end.
        service: name of the service.
        endpoint: address of the broker's door for workers, or of several brokers'.
        slots: calls at once.
        streams: open streams at once.
        lane_bytes_max: bytes of shared memory for clients of this host; 0 for no lanes.
        grace_s: seconds that a drain may take, after SIGTERM.
        name: for people; by default the driver's name and the process id.
        instance: equal for workers that may form a pool; by default made from the
            driver's name and what `parameters` returned.

    Returns:
        0, when it was told to stop.

    Raises:
        SystemExit: every broker has refused it, nobody has said which broker, or the
            driver could not be made.
        InvalidParameterError: an argument makes no sense.
    """
    configure(chat=sys.stdout)
    try:
        told = childhood.surroundings()
        # An explicit argument counts more than the environment.
        told = replace(
            told,
            endpoints=told.endpoints if endpoint is None else check_addresses(endpoint),
            service=service or told.service,
            slots=told.slots if slots is None else _count("slots", slots),
            streams=told.streams if streams is None else _count("streams", streams),
            grace_s=told.grace_s if grace_s is None else grace_s,
            lane_bytes_max=told.lane_bytes_max
            if lane_bytes_max is None
            else lane_bytes_max,
        )
        if not told.endpoints or not told.service:
            raise Unfit(Exit.USAGE, _purpose())
    except Unfit as error:
        _leave(error.code, str(error))
    if not isinstance(driver, StorageDriver):
        driver = _make(driver)
    fault = _fault_of(driver)
    if fault:
        _leave(Exit.REFUSED, f"{type(driver).__name__}: {fault}")
    told = replace(told, name=name or told.name or f"{driver.name}-{os.getpid()}")
    checked = driver if isinstance(driver, Checked) else Checked(driver)
    if instance is None:
        instance = instance_of(driver.name, childhood.given or {})
    hello = greeting(checked, told, instance)
    raise_file_limit()
    keep_memory()
    door = _door(told.lane_bytes_max)
    if door is not None:
        hello = replace(hello, features=(LANE_FEATURE,))
    loop = _loop(checked, hello, told, door)
    ended = threading.Event()
    if told.fd is not None:
        watch(told.fd, lambda: _orphaned(loop, ended))
    log.info(
        "driver %s serves %s at %s",
        driver.name,
        told.service,
        ", ".join(told.endpoints),
    )
    try:
        with _signals(loop, told.grace_s):
            stop = loop.run()
    finally:
        _close(checked)
        ended.set()
    log.info("ended: %s", stop.why)
    if stop.code == Exit.ORPHANED:
        end_group(stop.code)
    if stop.code != Exit.STOPPED:
        _leave(stop.code, stop.why)
    return stop.code


def _fault_of(driver: StorageDriver) -> str:
    """Why no broker would take this driver, which it would learn by silence only; ""
    when there is no reason."""
    name, version = driver.name, driver.api_version
    if not isinstance(name, str) or not 1 <= len(name) <= NAME_CHARACTERS_MAX:
        return f"its name must be 1 to {NAME_CHARACTERS_MAX} characters, not {name!r}"
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        return f'its api_version must be text as in "1.0", not {version!r}'
    if not isinstance(driver.capabilities, Capabilities):
        return f"its capabilities must be Capabilities, not {driver.capabilities!r}"
    return ""


def greeting(driver: StorageDriver, told: Surroundings, instance: str) -> Hello:
    """What the worker says of itself.

    Args:
        driver: the driver.
        told: service, name, cookie, slots and streams.
        instance: see `serve`.
    """
    capabilities = driver.capabilities
    streams = told.streams
    if capabilities.streams_max is not None:
        streams = max(1, min(streams, capabilities.streams_max))
    return Hello(
        role="worker",
        protocol=(PROTOCOL_MIN, PROTOCOL_MAX),
        boot=os.urandom(BOOT_BYTES),
        name=told.name,
        pid=os.getpid(),
        service=told.service,
        driver=driver.name,
        api_version=driver.api_version,
        capabilities=capabilities.to_fields(),
        instance=instance,
        slots=told.slots,
        streams=streams,
        cookie=told.cookie,
    )


def _door(bytes_max: int) -> LaneDoor | None:
    """The side socket for clients of this host, where that is wanted and possible."""
    if not bytes_max or not is_possible():
        return None
    try:
        return LaneDoor(bytes_max)
    except OSError as error:
        log.warning("no lanes for clients of this host: %s", error.strerror)
        return None


def _loop(
    driver: StorageDriver, hello: Hello, told: Surroundings, door: LaneDoor | None
) -> WorkerLoop:
    if told.faults is None:
        return WorkerLoop(driver, hello, told.endpoints, door)
    from .faulty import FaultyLoop

    return FaultyLoop(driver, hello, told.endpoints, told.faults, door)


def _make(factory: Callable[..., StorageDriver]) -> StorageDriver:
    """The driver, from this process's parameters; without it the process ends."""
    given = parameters()
    try:
        return call_factory(_driver_name(), factory, given)
    except InvalidParameterError as error:
        _leave(Exit.CONFIGURATION, str(error))
    except StorageError as error:
        _leave(1, str(error))


class _signals:
    """Signals of the contract, while the worker runs.

    Only the main thread may set handlers; elsewhere the owner has other means.
    """

    def __init__(self, loop: WorkerLoop, grace_s: float) -> None:
        self._loop = loop
        self._grace_s = grace_s
        self._before: Mapping[int, Any] = {}
        self._terminated = False

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.signal(number, self._on_signal)
                for number in (signal.SIGTERM, signal.SIGINT)
            }

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM and not self._terminated:
            self._terminated = True
            self._loop.drain(self._grace_s)
        else:
            self._loop.halt(f"{signal.Signals(number).name} was received")


def _orphaned(loop: WorkerLoop, ended: threading.Event) -> None:
    """The parent is gone: end in order if that is quick, else at once."""
    loop.halt("the parent is gone", Exit.ORPHANED)
    ended.wait(ORPHAN_S)
    end_group(Exit.ORPHANED)


def _close(driver: StorageDriver) -> None:
    """Close the driver, unless it takes too long."""

    def close() -> None:
        try:
            driver.close()
        except Exception:
            log.exception("the driver could not be closed")

    thread = threading.Thread(target=close, name="storagebus-close", daemon=True)
    thread.start()
    thread.join(CLOSE_S)
    if thread.is_alive():
        log.warning("the driver did not close within %g s", CLOSE_S)


def _count(what: str, value: object) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not 0 < value <= 100_000
    ):
        raise InvalidParameterError(f"{what} must be a whole number from 1 to 100000")
    return value


def _leave(code: int, why: str) -> NoReturn:
    print(f"{_program()}: {why}", file=sys.stderr, flush=True)
    raise SystemExit(int(code))


def _program() -> str:
    return Path(sys.argv[0]).name or "worker"


def _driver_name() -> str:
    return _program().removeprefix(EXECUTABLE_PREFIX)


def _purpose() -> str:
    program, driver = _program(), _driver_name()
    return f"""this is a storage driver of storagebus; another program starts it:

  storagebus up --driver {driver} --parameters '{{"name": "value"}}'
  storagebus conform --driver {driver} --parameters '{{"name": "value"}}' --child

or in Python: storagebus.drivers.create("{driver}", {{"name": "value"}})

To join a broker that runs already, say which, and as which service:

  STORAGEBUS_WORKER_ENDPOINT=ipc:///run/storagebus/workers \\
  STORAGEBUS_WORKER_SERVICE=default {program} '{{"name": "value"}}'
"""

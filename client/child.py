"""Managed children: a driver's executable as a driver of this process.

`create("acme", ...)` comes here when nothing in Python has that name. The executable
`registry-storage-acme` is run as a pool of child processes behind a broker core in
this process's I/O thread (`local`); the driver that is returned is a client of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from ..drivers.checked import Checked
from ..drivers.errors import InvalidStorageDriverError
from ..drivers.factory import EXECUTABLE_PREFIX
from ..workers.children import START_TIMEOUT_S
from ..workers.elastic import PoolSize
from ..workers.executable import find_executable
from .driver import BusDriver
from .household import Household, LocalTransport
from .operations import Description

DEADLINE_S = 30.0


def create(
    name: str, parameters: Mapping[str, Any], pool: Mapping[str, int] | None
) -> ChildDriver | None:
    """The fallback of `drivers.create`.

    Args:
        name: the driver's.
        parameters: the driver's own.
        pool: `{"workers": n, "slots": m}`, or with `min` and `max` for a pool that
            grows and shrinks; None for two processes, or one of a driver that cannot
            share its state.

    Returns:
        The driver, its first process ready; None without such an executable.

    Raises:
        StorageError: the executable did not become ready; says why, with its last
            lines. No process is left then.
    """
    size = PoolSize.of(pool)
    executable = find_executable(name)
    if executable is None:
        _check_no_mode_is_missing(name)
        return None
    return ChildDriver(name, executable, parameters, size)


class ChildDriver(Checked):
    """A driver whose calls are run by child processes.

    It should be closed. Left to the garbage collector, its processes end soon after.

    Args:
        name: the driver's.
        executable: path of its executable.
        parameters: the driver's own; secrets do not get onto the command line.
        size: of the pool.
        deadline: seconds that a call may take, retries included.
        start_timeout_s: seconds that a child has until it must be ready.

    Raises:
        StorageError: see `create`.
    """

    def __init__(
        self,
        name: str,
        executable: str,
        parameters: Mapping[str, Any],
        size: PoolSize,
        deadline: float = DEADLINE_S,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self._name = name
        household = Household(name, executable, parameters, size, start_timeout_s)
        self.pool = household.pool
        bus = BusDriver(LocalTransport(household), household.service, deadline)
        bus.operations.describe_as(Description.of(household.hello))
        super().__init__(bus)

    @property
    def name(self) -> str:  # type: ignore[override]
        return self._name

    @property
    def _label(self) -> str:
        return self._name

    def _walk_key(self, start_after: str) -> str:
        """Resolved by the worker, without a call of its own."""
        return start_after


def _check_no_mode_is_missing(name: str) -> None:
    """An executable that nobody may run is a mistake to be told of.

    Raises:
        InvalidStorageDriverError: there is one.
    """
    found = shutil.which(EXECUTABLE_PREFIX + name, mode=0)
    if found is not None:
        raise InvalidStorageDriverError(
            f"{found} is not executable by this user; set its mode, as by chmod +x"
        )
